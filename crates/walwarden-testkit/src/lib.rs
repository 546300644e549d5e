//! What the tests need around walwarden: temporary PostgreSQL clusters, an S3 server, a network that fails on
//! command, databases worth backing up, and a comparison that says whether a restored one is the same.
//!
//! For tests only: everything here panics when it cannot do what was asked, with a message that says what failed.
//! It knows PostgreSQL and S3, and nothing of walwarden but its name.
//!
//! Everything lives in folders of its own under `WALWARDEN_TEST_DIR` (default `/tmp`; the path is kept short, because
//! the path of a unix socket is limited to 107 bytes). A value that is dropped stops what it started and removes its
//! folder, and a panicking test keeps the folder and prints the end of the log. A `static` is never dropped: share a
//! cluster between tests only when they run under `scripts/test`, which stops what is left by its process id.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod azure_server;
mod cluster;
mod compare;
mod fault_proxy;
mod installation;
mod processes;
mod prometheus;
mod s3_client;
mod s3_recorder;
mod s3_server;
mod sample;
mod wait;
mod workspace;

pub use azure_server::AzureServer;
pub use cluster::{Archive, Cluster, ClusterBuilder, StopMode};
pub use compare::{assert_same_database, compare_databases, normalized_dump};
pub use fault_proxy::{Fault, FaultProxy};
pub use installation::Installation;
pub use processes::{ChildProcess, is_running, kill, peak_memory, terminate};
pub use prometheus::{HttpProgram, monitoring_program, serve_page};
pub use s3_client::{S3Client, S3Headers, S3Object, S3Version};
pub use s3_recorder::{S3Recorder, S3Request};
pub use s3_server::S3Server;
pub use sample::SampleDatabase;
pub use wait::wait_until;

/// The client library the tests speak to the clusters with.
pub use postgres;
