//! Restores side by side: `pg_restore -j` of a local file and `walwarden.restore()` of a backup, into a new database.

use crate::disk::DiskWatch;
use crate::in_turns;
use crate::jobs;
use crate::options::{Codec, Options};
use crate::stage::{BUCKET_STORAGE, Database, FILE_STORAGE, Stage, flush_disks, size_of};
use crate::usage::{Sampler, Usage};
use serde::Serialize;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The database that every contender makes, and that is gone before the next one runs.
const RESTORED: &str = "restored";
/// What walwarden's archives leave out: itself.
const EXTENSION: &str = "walwarden";

/// One way to restore a database.
#[derive(Clone, Debug)]
pub struct Contender {
    kind: Kind,
    codec: Codec,
    /// Loaders, and `-j`.
    jobs: u32,
    label: String,
}

/// What it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `createdb` and `pg_restore -j` of a file of `pg_dump -Fc` with the same codec and level as walwarden's.
    PgRestore,
    /// walwarden from a folder.
    File,
    /// walwarden from the S3 server.
    Bucket,
}

/// What one restore gave.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// From the start of createdb, or of `restore()`, to the end.
    pub seconds: f64,
    /// The size of the archive.
    pub archive_bytes: u64,
    /// What was written ahead meanwhile.
    pub wal_bytes: u64,
    pub usage: Usage,
}

/// The contenders in the order of the first round.
pub fn list(stage: &Stage, options: &Options) -> Vec<Contender> {
    let mut list = Vec::new();
    for (wanted, kind) in
        [("pg_restore", Kind::PgRestore), ("restore-file", Kind::File), ("restore-s3", Kind::Bucket)]
    {
        for codec in &stage.codecs {
            if options.wants(wanted) && (kind != Kind::PgRestore || stage.pg_dump_knows(codec)) {
                list.push(Contender::new(kind, codec, options.jobs));
            }
        }
    }
    list
}

impl Contender {
    fn new(kind: Kind, codec: &Codec, jobs: u32) -> Self {
        let loaders = format!("{jobs} {}", if jobs == 1 { "loader" } else { "loaders" });
        let label = match kind {
            Kind::PgRestore => format!("`pg_restore -j{jobs}` of a local file, {codec}"),
            Kind::File => format!("walwarden from `file://`, {codec}, {loaders}"),
            Kind::Bucket => format!("walwarden from `s3://`, {codec}, {loaders}"),
        };
        Self { kind, codec: codec.clone(), jobs, label }
    }

    /// What it runs.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name in the report, as Markdown.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How the archive is compressed.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }
}

/// All rounds on one data set: in each every contender once, forwards in the first, backwards in the second, and so on.
/// The result holds a list for each round, in the order of `contenders`.
pub fn play(stage: &Stage, database: &Database, contenders: &[Contender], rounds: usize) -> Vec<Vec<Run>> {
    let expected = contents(stage, &database.name);
    let sources: Vec<Source> =
        contenders.iter().map(|contender| Source::make(stage, database, contender)).collect();
    let runs = (0..rounds)
        .map(|round| {
            in_turns(contenders.len(), round, |index| {
                let contender = &contenders[index];
                let run = restore(stage, database, contender, &sources[index]);
                let restored = contents(stage, RESTORED);
                assert!(
                    restored == expected,
                    "{} of {} gave {restored} instead of {expected}",
                    contender.label,
                    database.name
                );
                stage.cluster.sql("postgres", &format!("DROP DATABASE {RESTORED} WITH (FORCE)"));
                let place = format!("restore of {}, round {} of {rounds}", database.name, round + 1);
                eprintln!("{place}: {:>8.2} s  {}", run.seconds, contender.label);
                run
            })
        })
        .collect();
    stage.clear_output();
    runs
}

/// What a contender restores from, made before the first of them runs.
struct Source {
    kind: SourceKind,
    bytes: u64,
}

enum SourceKind {
    /// A file of pg_dump, and the list of what is restored of it.
    Dump { file: PathBuf, list: PathBuf },
    /// The job that made the backup.
    Backup { job: String },
}

impl Source {
    fn make(stage: &Stage, database: &Database, contender: &Contender) -> Self {
        let Contender { codec, jobs, .. } = contender;
        let storage = match contender.kind {
            Kind::PgRestore => return Self::dump(stage, database, codec),
            Kind::File => FILE_STORAGE,
            Kind::Bucket => BUCKET_STORAGE,
        };
        let backup = jobs::back_up(stage, database, storage, *jobs, codec);
        stage.await_rest();
        Self { kind: SourceKind::Backup { job: backup.job }, bytes: backup.bytes }
    }

    fn dump(stage: &Stage, database: &Database, codec: &Codec) -> Self {
        let file = stage.dumps.join(format!("{}-{}.dump", codec.name, codec.level));
        let list = file.with_extension("list");
        let mut dump = stage.cluster.program("pg_dump");
        dump.args(["--format=custom", "--exclude-schema", EXTENSION]).arg(stage.compress_option(codec));
        output(dump.arg("--file").arg(&file).arg(&database.name), &|_| ());
        // pg_dump before PostgreSQL 17 cannot leave an extension out.
        let mut entries = output(stage.cluster.program("pg_restore").arg("--list").arg(&file), &|_| ());
        entries = entries
            .lines()
            .filter(|line| !line.contains(EXTENSION))
            .map(|line| format!("{line}\n"))
            .collect();
        std::fs::write(&list, entries).unwrap_or_else(|e| panic!("{}: {e}", list.display()));
        Self { bytes: size_of(&file), kind: SourceKind::Dump { file, list } }
    }
}

/// Restores once, with everything around it as it was for the others.
fn restore(stage: &Stage, database: &Database, contender: &Contender, source: &Source) -> Run {
    stage.cluster.sql("postgres", "CHECKPOINT");
    flush_disks();
    let wal_before = stage.cluster.sql("postgres", "SELECT pg_current_wal_lsn()");
    let sampler = Sampler::start_with_disk(stage.cluster.pid(), DiskWatch::new(&stage.cluster));
    let seconds = match &source.kind {
        SourceKind::Dump { file, list } => {
            let mut create = stage.cluster.program("createdb");
            create.args(["--template=template0", RESTORED]);
            let mut restore = stage.cluster.program("pg_restore");
            restore.arg("--exit-on-error").arg(format!("--jobs={}", contender.jobs));
            restore.arg("--use-list").arg(list).arg(format!("--dbname={RESTORED}")).arg(file);
            let watch = |pid| sampler.watch(pid);
            let started = Instant::now();
            output(&mut create, &watch);
            output(&mut restore, &watch);
            started.elapsed().as_secs_f64()
        }
        SourceKind::Backup { job } => jobs::restore(stage, database, job, RESTORED, contender.jobs),
    };
    let usage = sampler.stop();
    let wal = format!("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{wal_before}')");
    let wal_bytes = stage.cluster.sql("postgres", &wal).parse().expect("a number");
    stage.await_rest();
    Run { seconds, archive_bytes: source.bytes, wal_bytes, usage }
}

/// Runs a client program to its end and returns what it printed. `watch` is told its id.
fn output(command: &mut Command, watch: &dyn Fn(u32)) -> String {
    // Not the caller's own stderr: that may be a file, which would look like one that the restore writes.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    watch(child.id());
    let output = child.wait_with_output().expect("our own child");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{message}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is in a database, in numbers: none of them may be another one in a database that was restored.
fn contents(stage: &Stage, database: &str) -> String {
    stage.cluster.sql(
        database,
        "CREATE FUNCTION pg_temp.count_rows() RETURNS bigint LANGUAGE plpgsql AS $$ \
             DECLARE \"table\" text; rows bigint; sum bigint := 0; \
             BEGIN \
                 FOR \"table\" IN SELECT oid::regclass::text FROM pg_class \
                                 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP \
                     EXECUTE 'SELECT count(*) FROM ' || \"table\" INTO rows; \
                     sum := sum + rows; \
                 END LOOP; \
                 RETURN sum; \
             END $$; \
         SELECT format('%s tables, %s indexes, %s constraints, %s rows', \
                       count(*) FILTER (WHERE relkind = 'r'), count(*) FILTER (WHERE relkind = 'i'), \
                       (SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace), \
                       pg_temp.count_rows()) \
           FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    )
}
