//! What is compared: each contender backs a database up once, or reads it, and says how long that took.

use crate::floor;
use crate::options::{Codec, Options};
use crate::stage::{BUCKET_STORAGE, Database, FILE_STORAGE, Stage, size_of};
use serde::Serialize;
use std::process::{Command, Stdio};
use std::time::Instant;
use walwarden_testkit::postgres::Client;

/// One way to read a database.
#[derive(Clone, Debug)]
pub struct Contender {
    kind: Kind,
    label: String,
    /// Copiers, or `-j`, where it has a choice.
    jobs: u32,
}

/// What it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `pg_dump -Fc -Z9`.
    DumpMax,
    /// `pg_dump -Fc` as it comes: gzip at level 6.
    Dump,
    /// `pg_dump -Fd -j` with the same codec and level as walwarden.
    DumpDirectory(Codec),
    /// `COPY TO '/dev/null'` in two sessions.
    Floor,
    /// walwarden to a folder.
    File(Codec),
    /// walwarden to the S3 server.
    Bucket(Codec),
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Outcome {
    /// From the start of pg_dump, of the statements, or of `run_now()`, to their end.
    pub seconds: f64,
    /// The size of the archive.
    pub bytes: Option<u64>,
    pub phases: Option<Phases>,
}

/// How walwarden's time divides, in seconds by the job's own row.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Phases {
    /// From the queue to the leader's start of the work.
    pub start_seconds: f64,
    /// Locks, catalogs, copying, uploading.
    pub copy_seconds: f64,
    /// Reading the archive back, globals, manifest and signature.
    pub proof_seconds: f64,
}

/// The contenders in the order of the first round.
pub fn list(stage: &Stage, options: &Options, notes: &mut Vec<String>) -> Vec<Contender> {
    let mut list = Vec::new();
    let mut add = |wanted: &str, kind: Kind| {
        if options.wants(wanted) {
            list.push(Contender { label: label(stage, options, &kind), jobs: options.jobs, kind });
        }
    };
    add("dump-Z9", Kind::DumpMax);
    add("dump", Kind::Dump);
    for codec in &stage.codecs {
        if stage.pg_dump_knows(codec) {
            add("dump-dir", Kind::DumpDirectory(codec.clone()));
        } else {
            notes.push(format!("This pg_dump does not know {codec}."));
        }
    }
    add("floor", Kind::Floor);
    for codec in &stage.codecs {
        add("file", Kind::File(codec.clone()));
    }
    for codec in &stage.codecs {
        add("s3", Kind::Bucket(codec.clone()));
    }
    list
}

fn label(stage: &Stage, options: &Options, kind: &Kind) -> String {
    let jobs = options.jobs;
    let how = |codec: &Codec| match stage.is_tunable {
        true => format!("{codec}, {jobs} {}", if jobs == 1 { "copier" } else { "copiers" }),
        false => format!("{codec}, 1 copier"),
    };
    match kind {
        Kind::DumpMax => "`pg_dump -Fc -Z9`".to_owned(),
        Kind::Dump => "`pg_dump -Fc`".to_owned(),
        Kind::DumpDirectory(codec) => format!("`pg_dump -Fd -j{jobs} {}`", stage.compress_option(codec)),
        Kind::Floor => "floor: two `COPY TO '/dev/null'`".to_owned(),
        Kind::File(codec) => format!("walwarden to `file://`, {}", how(codec)),
        Kind::Bucket(codec) => format!("walwarden to `s3://`, {}", how(codec)),
    }
}

impl Contender {
    /// What it runs.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Its name in the report, as Markdown.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its codec, where that is compared with the same one of another contender.
    pub fn codec(&self) -> Option<&Codec> {
        match &self.kind {
            Kind::DumpDirectory(codec) | Kind::File(codec) | Kind::Bucket(codec) => Some(codec),
            Kind::DumpMax | Kind::Dump | Kind::Floor => None,
        }
    }

    /// Runs it once and removes what it wrote. `watch` is told the ids of the client programs it starts.
    pub fn run(&self, stage: &Stage, database: &Database, watch: &dyn Fn(u32)) -> Outcome {
        let outcome = match &self.kind {
            Kind::DumpMax => dump(stage, database, &["-Fc", "-Z9"], watch),
            Kind::Dump => dump(stage, database, &["-Fc"], watch),
            Kind::DumpDirectory(codec) => {
                let (jobs, compress) = (format!("-j{}", self.jobs), stage.compress_option(codec));
                dump(stage, database, &["-Fd", &jobs, &compress], watch)
            }
            Kind::Floor => {
                let seconds = floor::run(stage, database).as_secs_f64();
                Outcome { seconds, bytes: None, phases: None }
            }
            Kind::File(codec) => back_up(stage, database, FILE_STORAGE, self.jobs, codec),
            Kind::Bucket(codec) => back_up(stage, database, BUCKET_STORAGE, self.jobs, codec),
        };
        stage.await_rest();
        stage.clear_output();
        outcome
    }
}

fn dump(stage: &Stage, database: &Database, arguments: &[&str], watch: &dyn Fn(u32)) -> Outcome {
    let target = stage.dumps.join("dump");
    let mut command: Command = stage.cluster.program("pg_dump");
    command.args(arguments).arg("--file").arg(&target).arg(&database.name);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    watch(child.id());
    let status = child.wait().expect("our own child");
    let seconds = started.elapsed().as_secs_f64();
    assert!(status.success(), "{command:?}: {status}");
    Outcome { seconds, bytes: Some(size_of(&target)), phases: None }
}

fn back_up(stage: &Stage, database: &Database, storage: &str, jobs: u32, codec: &Codec) -> Outcome {
    let mut client = stage.cluster.client(&database.name);
    let started = Instant::now();
    let job: String = if stage.is_tunable {
        let jobs = i32::try_from(jobs).expect("a small number");
        let query =
            "SELECT walwarden.run_now(schedule => NULL, storage => $1, jobs => $2, compression => $3)::text";
        ask(&mut client, query, &[&storage, &jobs, &codec.to_string()])
    } else {
        ask(&mut client, "SELECT walwarden.run_now(storage => $1)::text", &[&storage])
    };
    let state: String = ask(&mut client, "SELECT walwarden.wait_for($1::text::uuid)", &[&job]);
    let seconds = started.elapsed().as_secs_f64();
    assert!(
        state == "completed",
        "the backup of {} ended as {state}: {}",
        database.name,
        complaint(&mut client, &job)
    );
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
    Outcome { seconds, bytes: Some(bytes), phases: Some(phases) }
}

fn ask(
    client: &mut Client,
    query: &str,
    parameters: &[&(dyn walwarden_testkit::postgres::types::ToSql + Sync)],
) -> String {
    client.query_one(query, parameters).unwrap_or_else(|e| panic!("{query}: {e:?}")).get(0)
}

/// Why a job did not complete, in its own words.
fn complaint(client: &mut Client, job: &str) -> String {
    let query = "SELECT concat_ws(E'\\n', error_class, error_message, error_detail, error_hint) \
                   FROM walwarden.jobs WHERE id = $1::text::uuid";
    ask(client, query, &[&job])
}
