//! The floor: what two sessions need to read the same rows with `COPY ... TO '/dev/null'`, inside the server. No client, no
//! compression, no storage: a backup that goes through COPY cannot be faster with as many processes.

use crate::stage::{Database, Stage};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Sessions that share the work.
const SESSIONS: usize = 2;

/// The statements that read a database's tables once, largest first. A table that holds well over half of all is read in
/// two halves, cut between two rows, or one session would wait for the other. Reading a half is a TID range scan, which
/// PostgreSQL, other than a sequential scan of a large table, lets use all the shared buffers.
pub fn plan(client: &mut walwarden_testkit::postgres::Client) -> Vec<String> {
    let tables = client
        .query(
            "SELECT format('%I.%I', nspname, relname), \
                    pg_table_size(c.oid) > sum(pg_table_size(c.oid)) OVER () * 0.6 \
               FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace \
              WHERE relkind = 'r' AND nspname = 'public' ORDER BY pg_table_size(c.oid) DESC, relname",
            &[],
        )
        .unwrap_or_else(|e| panic!("cannot list the tables: {e}"));
    // Else a scan may begin anywhere, and the row in the middle would not be in the middle.
    client.batch_execute("SET synchronize_seqscans = off").unwrap_or_else(|e| panic!("{e}"));
    tables
        .iter()
        .flat_map(|row| {
            let (table, is_large): (String, bool) = (row.get(0), row.get(1));
            let middle = is_large.then(|| middle(client, &table)).flatten();
            match middle {
                None => vec![format!("COPY {table} TO '/dev/null'")],
                Some(ctid) => [("<", &ctid), (">=", &ctid)]
                    .map(|(operator, ctid)| {
                        format!(
                            "COPY (SELECT * FROM ONLY {table} WHERE ctid {operator} '{ctid}') TO '/dev/null'"
                        )
                    })
                    .to_vec(),
            }
        })
        .collect()
}

/// The place of the row in the middle of a table, unless it has next to none.
fn middle(client: &mut walwarden_testkit::postgres::Client, table: &str) -> Option<String> {
    let query =
        format!("SELECT ctid::text FROM ONLY {table} OFFSET (SELECT count(*) / 2 FROM ONLY {table}) LIMIT 1");
    client
        .query_opt(&query, &[])
        .unwrap_or_else(|e| panic!("cannot look for the middle of {table}: {e}"))
        .map(|row| row.get(0))
}

/// Reads all tables once with [`SESSIONS`] sessions, each of which takes the next statement when it is done with one.
pub fn run(stage: &Stage, database: &Database) -> Duration {
    let next = AtomicUsize::new(0);
    let clients: Vec<_> = (0..SESSIONS).map(|_| stage.cluster.client(&database.name)).collect();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for mut client in clients {
            let (next, plan) = (&next, &database.floor);
            scope.spawn(move || {
                while let Some(statement) = plan.get(next.fetch_add(1, Ordering::Relaxed)) {
                    client.batch_execute(statement).unwrap_or_else(|e| panic!("{statement}: {e}"));
                }
            });
        }
    });
    started.elapsed()
}
