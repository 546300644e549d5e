//! The cluster that all contenders work on, the S3 server, and what this PostgreSQL and this walwarden can do.

use crate::floor;
use crate::options::{Codec, Options};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use walwarden_testkit::{Cluster, S3Server, wait_until};

/// The storages' names, in every database.
pub const FILE_STORAGE: &str = "bench_file";
pub const BUCKET_STORAGE: &str = "bench_s3";
/// What walwarden does when nobody asks for anything else.
const DEFAULT_CODEC: &str = "gzip:6";
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything the contenders share.
pub struct Stage {
    // Dropped first: the server may still speak to the bucket.
    pub cluster: Cluster,
    bucket: Option<S3Server>,
    /// The folder of the storage [`FILE_STORAGE`].
    pub backups: PathBuf,
    /// Where pg_dump writes, on the same file system.
    pub dumps: PathBuf,
    /// Whether `run_now()` takes the arguments `jobs` and `compression`.
    pub is_tunable: bool,
    /// The codecs that are compared.
    pub codecs: Vec<Codec>,
}

/// A database that is backed up.
#[derive(Debug)]
pub struct Database {
    pub name: String,
    /// The statements of the floor.
    pub floor: Vec<String>,
    pub size: DatabaseSize,
}

/// What a database consists of, in bytes on disk where nothing else is said.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DatabaseSize {
    pub bytes: i64,
    pub heap_bytes: i64,
    pub toast_bytes: i64,
    pub index_bytes: i64,
    pub tables: i64,
    pub rows: i64,
}

impl Stage {
    /// Starts the servers. What cannot be compared here is told in `notes`.
    pub fn set_up(options: &Options, notes: &mut Vec<String>) -> Self {
        let bucket = (options.wants("s3") || options.wants("restore-s3")).then(S3Server::start);
        let mut builder = Cluster::builder()
            // Half a data set: one that is read through all the buffers turns them over, and large tables are larger
            // than the quarter above which PostgreSQL reads them through a small ring.
            .config(&format!("shared_buffers = {}MB", (options.scale_mb / 2).clamp(16, 128)))
            .config("max_wal_size = 8GB")
            // What was written once is used again, or the first restore of a data set would pay for new segments alone.
            .config("min_wal_size = 8GB")
            .config("checkpoint_timeout = 1h")
            // It would come when it likes and count against whoever runs then.
            .config("autovacuum = off")
            // For thousands of tables, by pg_dump and walwarden alike.
            .config("max_locks_per_transaction = 512");
        if let Some(bucket) = &bucket {
            builder = builder.envs(bucket.env());
        }
        let cluster = builder.start();
        let backups = cluster.new_server_folder("backups");
        let dumps = cluster.new_server_folder("dumps");
        let mut stage = Self { cluster, bucket, backups, dumps, is_tunable: false, codecs: Vec::new() };
        stage.is_tunable = stage.run_now_is_tunable();
        stage.codecs = stage.choose_codecs(options, notes);
        stage
    }

    /// Makes a database with walwarden in it, by a psql script, and leaves it as autovacuum would have.
    pub fn create_database(&self, name: &str, script: &str) {
        self.cluster.create_database(name);
        self.cluster.sql(name, script);
        let folder = self.backups.display();
        self.cluster.sql(
            name,
            &format!(
                "SET client_min_messages = warning; CREATE EXTENSION walwarden; \
             SELECT walwarden.add_storage('{FILE_STORAGE}', 'file://{folder}')"
            ),
        );
        if let Some(bucket) = &self.bucket {
            self.cluster.sql(name, &format!(
                "SELECT walwarden.add_storage('{BUCKET_STORAGE}', 's3://{}', '{{\"endpoint\": \"{}\", \"allow_http\": true}}')",
                S3Server::BUCKET, bucket.endpoint()
            ));
        }
        self.cluster.sql(name, "VACUUM (ANALYZE)");
        self.cluster.sql(name, "CHECKPOINT");
    }

    /// From here on the server flushes to disk as one that is used does; making the data did not need it.
    pub fn become_durable(&self) {
        self.cluster.append_config("fsync = on");
        self.cluster.reload();
        flush_disks();
        self.cluster.sql("postgres", "CHECKPOINT");
    }

    /// Whether this PostgreSQL's pg_dump compresses this way.
    pub fn pg_dump_knows(&self, codec: &Codec) -> bool {
        let mut command = self.cluster.program("pg_dump");
        command.args(["--format=custom", "--schema-only"]).arg(self.compress_option(codec)).arg("postgres");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// The option that makes pg_dump compress this way. Before PostgreSQL 16 it knew levels of gzip only.
    pub fn compress_option(&self, codec: &Codec) -> String {
        if self.cluster.installation().major() < 16 && codec.name == "gzip" {
            format!("-Z{}", codec.level)
        } else {
            format!("--compress={codec}")
        }
    }

    /// Removes everything that the contenders wrote.
    pub fn clear_output(&self) {
        // The storage's own folder stays: it was there before the backups. An anchor may still be written into one of the others.
        for folder in [&self.backups, &self.dumps] {
            wait_until(&format!("{} to be empty", folder.display()), PATIENCE, || {
                empty(folder).then_some(())
            });
        }
        if let Some(bucket) = &self.bucket {
            let client = bucket.client();
            for object in client.list(S3Server::BUCKET, "") {
                client.delete(S3Server::BUCKET, &object.key);
            }
        }
    }

    /// Waits until walwarden's processes are gone, so that none of them works into what comes next.
    pub fn await_rest(&self) {
        wait_until("walwarden's processes to leave", PATIENCE, || {
            let is_busy = |title: &str| title.contains("walwarden ") && !title.contains("walwarden launcher");
            (!self.cluster.processes().iter().any(|process| is_busy(&process.title))).then_some(())
        });
    }

    fn run_now_is_tunable(&self) -> bool {
        const PROBE: &str = "probe";
        self.cluster.create_database(PROBE);
        self.cluster.sql(PROBE, "SET client_min_messages = warning; CREATE EXTENSION walwarden");
        let answer = self.cluster.sql(
            PROBE,
            "SELECT coalesce(bool_or(proargnames @> '{jobs,compression}'), false) FROM pg_proc \
              WHERE pronamespace = 'walwarden'::regnamespace AND proname = 'run_now'",
        );
        answer == "t"
    }

    fn choose_codecs(&self, options: &Options, notes: &mut Vec<String>) -> Vec<Codec> {
        if !self.is_tunable {
            notes.push(format!(
                "This walwarden's run_now() takes neither jobs nor compression: it ran with one copier and {DEFAULT_CODEC}."
            ));
            return vec![codec(DEFAULT_CODEC)];
        }
        if let Some(chosen) = &options.codecs {
            return chosen.clone();
        }
        let zstd = codec("zstd:1");
        if self.cluster.installation().major() < 16 {
            return vec![codec(DEFAULT_CODEC)];
        }
        if !self.pg_dump_knows(&zstd) {
            notes.push("This PostgreSQL was built without zstd: gzip only.".to_owned());
            return vec![codec(DEFAULT_CODEC)];
        }
        vec![zstd, codec(DEFAULT_CODEC)]
    }
}

impl Database {
    /// Looks at a database that is complete.
    pub fn look(stage: &Stage, name: &str) -> Self {
        let mut client = stage.cluster.client(name);
        let floor = floor::plan(&mut client);
        let row = client
            .query_one(
                "SELECT pg_database_size(current_database()), sum(pg_relation_size(oid))::bigint, \
                        sum(coalesce(pg_total_relation_size(nullif(reltoastrelid, 0)), 0))::bigint, \
                        sum(pg_indexes_size(oid))::bigint, count(*), sum(reltuples)::bigint \
                   FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
                &[],
            )
            .unwrap_or_else(|e| panic!("cannot measure {name}: {e}"));
        let size = DatabaseSize {
            bytes: row.get(0),
            heap_bytes: row.get(1),
            toast_bytes: row.get(2),
            index_bytes: row.get(3),
            tables: row.get(4),
            rows: row.get(5),
        };
        Self { name: name.to_owned(), floor, size }
    }
}

/// Writes out what the operating system holds back, so that no run pays for the one before.
pub fn flush_disks() {
    let status = Command::new("sync").status();
    assert!(status.is_ok_and(|status| status.success()), "sync failed");
}

/// The bytes of a file, or of all files in a folder.
pub fn size_of(path: &Path) -> u64 {
    let metadata = std::fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    entries.map(|entry| size_of(&entry.expect("a folder of ours").path())).sum()
}

fn codec(text: &str) -> Codec {
    text.parse().expect("a codec")
}

/// Removes what is in a folder; false if something came meanwhile.
fn empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder of ours").all(|entry| {
        let path = entry.expect("a folder of ours").path();
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => false,
            Err(error) => panic!("cannot remove {}: {error}", path.display()),
        }
    })
}
