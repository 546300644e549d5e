//! The direct encoder writes what COPY writes, byte for byte: values of every type, tables of every shape, every time zone,
//! every encoding; and backups are the same whichever of the two wrote them.
//!
//! Two variables say how much is tried, and what: `WALWARDEN_ENCODER_VALUES`, how many values of each type, and
//! `WALWARDEN_ENCODER_SEED`, a whole number, for other values. `make encoder-test` tries ten million of each.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod backups;
mod check;
mod encodings;
mod limits;
mod sample;
mod tables;
mod values;
mod zones;

use support::site::APP;
use walwarden_testkit::{Cluster, ClusterBuilder};

const VALUES: &str = include_str!("values.sql");

/// Enough of each type for everything that the generators' dice decide to happen, and quick.
const DEFAULT_VALUES: u64 = 30_000;

/// A number out of the environment.
fn variable(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|e| panic!("{name}={value}: {e}")),
        Err(_) => default,
    }
}

/// How many values of each type are tried.
fn wanted_values() -> u64 {
    variable("WALWARDEN_ENCODER_VALUES", DEFAULT_VALUES)
}

/// Makes the random numbers of a session the same in every run. The seed is printed, and seen when the test fails.
fn set_seed() -> String {
    let seed = variable("WALWARDEN_ENCODER_SEED", 1);
    println!("WALWARDEN_ENCODER_SEED={seed}");
    // From 0 to 1, as setseed() wants it; neighbours far from each other.
    format!("DO $$ BEGIN PERFORM setseed({seed} * 0.6180339887498949 % 1); END $$;")
}

/// A cluster that writes nothing on its own account while tables are compared.
fn quiet() -> ClusterBuilder {
    Cluster::builder().preload_walwarden().config("autovacuum = off").config("shared_buffers = 128MB")
}

/// A cluster whose database [`APP`] has walwarden and the generators.
fn cluster_with_generators() -> Cluster {
    let cluster = quiet().start();
    cluster.create_database(APP);
    support::install(&cluster, APP);
    cluster.sql(APP, VALUES);
    cluster
}
