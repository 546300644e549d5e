//! What is compared: each contender backs a database up once, or reads it, and says how long that took.

use crate::floor;
use crate::jobs::{self, Phases};
use crate::options::{Codec, Options};
use crate::stage::{BUCKET_STORAGE, Database, FILE_STORAGE, Stage, size_of};
use serde::Serialize;
use std::process::{Command, Stdio};
use std::time::Instant;

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
    /// The same with `walwarden.encoder = copy`.
    FileByCopy(Codec),
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
        add("copy", Kind::FileByCopy(codec.clone()));
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
        Kind::FileByCopy(codec) => format!("the same through COPY, {}", how(codec)),
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
            Kind::DumpDirectory(codec)
            | Kind::File(codec)
            | Kind::FileByCopy(codec)
            | Kind::Bucket(codec) => Some(codec),
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
            Kind::FileByCopy(codec) => {
                let set = |what: &str| {
                    stage.cluster.sql("postgres", &format!("ALTER DATABASE {} {what}", database.name))
                };
                set("SET walwarden.encoder = copy");
                let outcome = back_up(stage, database, FILE_STORAGE, self.jobs, codec);
                set("RESET walwarden.encoder");
                outcome
            }
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
    let backup = jobs::back_up(stage, database, storage, jobs, codec);
    Outcome { seconds: backup.seconds, bytes: Some(backup.bytes), phases: Some(backup.phases) }
}
