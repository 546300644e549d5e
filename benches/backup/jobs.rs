//! walwarden's jobs, by its SQL: queued, waited for, and asked what became of them.

use crate::options::Codec;
use crate::stage::{Database, Stage};
use serde::Serialize;
use std::time::Instant;
use walwarden_testkit::postgres::Client;
use walwarden_testkit::postgres::types::ToSql;

/// A backup that is complete.
#[derive(Debug)]
pub struct Backup {
    pub job: String,
    /// From `run_now()` to the end of `wait_for()`.
    pub seconds: f64,
    /// The size of the archive.
    pub bytes: u64,
    pub phases: Phases,
}

/// How a backup's time divides, in seconds by the job's own row.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Phases {
    /// From the queue to the leader's start of the work.
    pub start_seconds: f64,
    /// Locks, catalogs, copying, uploading.
    pub copy_seconds: f64,
    /// Reading the archive back, globals, manifest and signature.
    pub proof_seconds: f64,
}

/// Backs a database up.
pub fn back_up(stage: &Stage, database: &Database, storage: &str, jobs: u32, codec: &Codec) -> Backup {
    let mut client = stage.cluster.client(&database.name);
    let started = Instant::now();
    let job: String = if stage.is_tunable {
        let query =
            "SELECT walwarden.run_now(schedule => NULL, storage => $1, jobs => $2, compression => $3)::text";
        ask(&mut client, query, &[&storage, &number(jobs), &codec.to_string()])
    } else {
        ask(&mut client, "SELECT walwarden.run_now(storage => $1)::text", &[&storage])
    };
    await_end(&mut client, &job, &format!("the backup of {}", database.name));
    let seconds = started.elapsed().as_secs_f64();
    let row = client
        .query_one(
            "SELECT size_bytes, extract(epoch FROM started_at - queued_at)::float8, \
                    extract(epoch FROM finalizing_at - started_at)::float8, \
                    extract(epoch FROM finalized_at - finalizing_at)::float8 \
               FROM walwarden.jobs WHERE id = $1::text::uuid",
            &[&job],
        )
        .unwrap_or_else(|e| panic!("cannot read the job {job}: {e}"));
    let phases = Phases { start_seconds: row.get(1), copy_seconds: row.get(2), proof_seconds: row.get(3) };
    let bytes = u64::try_from(row.get::<_, i64>(0)).expect("a size");
    Backup { job, seconds, bytes, phases }
}

/// Restores a backup that `source` made into the new database `target`. Gives the seconds from `restore()` to the end of
/// `wait_for()`.
pub fn restore(stage: &Stage, source: &Database, backup: &str, target: &str, jobs: u32) -> f64 {
    let mut client = stage.cluster.client(&source.name);
    let started = Instant::now();
    let query = "SELECT walwarden.restore($1::text::uuid, $2, jobs => $3)::text";
    let job = ask(&mut client, query, &[&backup, &target, &number(jobs)]);
    await_end(&mut client, &job, &format!("the restore of {}", source.name));
    started.elapsed().as_secs_f64()
}

fn await_end(client: &mut Client, job: &str, what: &str) {
    let state = ask(client, "SELECT walwarden.wait_for($1::text::uuid)", &[&job]);
    assert!(state == "completed", "{what} ended as {state}: {}", complaint(client, job));
}

fn ask(client: &mut Client, query: &str, parameters: &[&(dyn ToSql + Sync)]) -> String {
    client.query_one(query, parameters).unwrap_or_else(|e| panic!("{query}: {e:?}")).get(0)
}

/// Why a job did not complete, in its own words.
fn complaint(client: &mut Client, job: &str) -> String {
    let query = "SELECT concat_ws(E'\\n', error_class, error_message, error_detail, error_hint) \
                   FROM walwarden.jobs WHERE id = $1::text::uuid";
    ask(client, query, &[&job])
}

fn number(jobs: u32) -> i32 {
    i32::try_from(jobs).expect("a small number")
}
