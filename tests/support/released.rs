//! The release before this version: its SQL objects, under the library of this version.

use std::path::Path;
use walwarden_core::release::PREVIOUS;
use walwarden_testkit::Cluster;

/// Its version.
pub fn previous() -> &'static str {
    PREVIOUS.expect("there is a release before this version")
}

/// Installs walwarden in a database as that release did.
pub fn install_previous(cluster: &Cluster, database: &str) {
    let name = format!("walwarden--{}.sql", previous());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/released").join(&name);
    let script = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    cluster.installation().install_extension_file(&name, &script);
    cluster.sql(
        database,
        &format!("SET client_min_messages = warning; CREATE EXTENSION walwarden VERSION '{}'", previous()),
    );
}
