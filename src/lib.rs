//! walwarden: backs a PostgreSQL database up from inside. See ARCHITECTURE.md for the processes and the life of a
//! backup; this file only puts the parts together.

mod api;
mod catalog;
mod encoding;
mod error;
mod guc;
mod identity;
mod keyring;
mod pg;
mod signer;
mod sql_objects;
mod worker;

#[cfg(any(test, feature = "pg_test"))]
mod pg_tests;

#[cfg(not(panic = "unwind"))]
compile_error!("walwarden must be compiled with panic = \"unwind\": PostgreSQL's errors travel as panics");

pgrx::pg_module_magic!(name, version);

/// Called once per process when the library is loaded.
#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    guc::init();
    if pg::preload::in_progress() {
        pg::shared::init();
        worker::start::register_launcher();
    }
}

/// What `cargo pgrx test` needs of the crate's root.
#[cfg(test)]
pub mod pg_test {
    /// Called once before the first test.
    pub fn setup(_options: Vec<&str>) {}

    /// Settings of the test server.
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["shared_preload_libraries = 'walwarden'"]
    }
}
