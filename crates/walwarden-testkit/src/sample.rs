//! Databases worth backing up.

use crate::cluster::Cluster;

/// Makes sample databases in a cluster.
#[derive(Debug)]
pub struct SampleDatabase;

impl SampleDatabase {
    /// Rows of the large table when a test does not say.
    pub const ROWS: u32 = 200_000;

    /// A database that looks like a real one: a shop (`fixtures/sample.sql`).
    pub fn create(cluster: &Cluster, database: &str) {
        Self::create_with_rows(cluster, database, Self::ROWS);
    }

    /// The same with this many rows in its large table.
    pub fn create_with_rows(cluster: &Cluster, database: &str, rows: u32) {
        cluster.create_database(database);
        cluster.sql(database, &format!("\\set rows {rows}\n{}", include_str!("../fixtures/sample.sql")));
    }

    /// A database of odd things (`fixtures/hard.sql`), in UTF-8.
    pub fn create_hard(cluster: &Cluster, database: &str) {
        cluster.installation().install_fixture_extension();
        cluster.create_database(database);
        cluster.sql(database, include_str!("../fixtures/hard.sql"));
    }
}
