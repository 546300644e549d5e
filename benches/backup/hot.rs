//! A table that the server has in its shared buffers, and how much of it a backup pushes out.

use crate::stage::Stage;

const DATABASE: &str = "hot";
/// Rows of this table in a page.
const ROWS_A_PAGE: u64 = 58;

/// The table.
#[derive(Debug)]
pub struct HotTable {
    pages: i64,
}

impl HotTable {
    /// Makes it in a database of its own, so that no backup reads it. `None` where pg_buffercache is missing.
    pub fn create(stage: &Stage, notes: &mut Vec<String>) -> Option<Self> {
        let is_there = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_buffercache'";
        if stage.cluster.sql("postgres", is_there) == "0" {
            notes.push("pg_buffercache is not installed: nothing is known about the hot table.".to_owned());
            return None;
        }
        stage.cluster.create_database(DATABASE);
        // An eighth of the shared buffers: above a quarter, reading it would not fill them.
        let pages: u64 = stage
            .cluster
            .sql(DATABASE, "SELECT setting::integer / 8 FROM pg_settings WHERE name = 'shared_buffers'")
            .parse()
            .expect("a number");
        let rows = pages * ROWS_A_PAGE;
        stage.cluster.sql(
            DATABASE,
            &format!(
                "CREATE EXTENSION pg_buffercache; \
                 CREATE TABLE hot AS SELECT n AS id, repeat('x', 100) AS filler FROM generate_series(1, {rows}) AS n"
            ),
        );
        let pages = stage.cluster.sql(DATABASE, "SELECT pg_relation_size('hot') / 8192");
        Some(Self { pages: pages.parse().expect("a number") })
    }

    /// How many pages it has.
    pub fn pages(&self) -> i64 {
        self.pages
    }

    /// Brings the whole table into the shared buffers, in the same way before every run: written anew it is in none of
    /// them, whatever was there before, and read once it is worth as much to the server as any page that somebody
    /// needed. So the share that is lost says how much of the cache was turned over.
    pub fn warm_up(&self, stage: &Stage) {
        stage.cluster.sql(DATABASE, "SET client_min_messages = warning; VACUUM (FULL, FREEZE) hot");
        stage.cluster.sql(DATABASE, "SET max_parallel_workers_per_gather = 0; SELECT sum(id) FROM hot");
    }

    /// How many of its pages are in the shared buffers.
    pub fn resident(&self, stage: &Stage) -> i64 {
        let query = "SELECT count(*) FROM pg_buffercache \
                      WHERE reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                        AND relfilenode = pg_relation_filenode('hot') AND relforknumber = 0";
        stage.cluster.sql(DATABASE, query).parse().expect("a number")
    }
}
