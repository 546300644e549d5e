//! A database to back up, and the points at which a backup of it can be held for as long as a test needs.

use super::{install, job_row, run_now};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use walwarden_testkit::{
    ChildProcess, Cluster, ClusterBuilder, Fault, FaultProxy, S3Client, S3Server, postgres, wait_until,
};

/// The database of a [`Site`].
pub const APP: &str = "app";
/// For what takes its time.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// For what must happen at once. Two seconds are promised; a busy machine gets more, and the measured time is printed.
pub const PROMPTLY: Duration = Duration::from_secs(10);
/// The stall begins with the first part of an upload, after everything that comes before it.
const BYTES_BEFORE_STALL: u64 = 1 << 20;

/// Where a backup is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The copier waits for the lock of a table.
    LockWait,
    /// The copier is in the middle of a COPY that takes long; the backup goes to a folder.
    Copy,
    /// Storage does not answer any more; parts of the archive are on their way.
    Upload,
    /// The manifest is in storage, read back and agreed; the leader waits for a lock to write that down.
    Commit,
}

impl Hold {
    /// All of them, in the order a backup meets them.
    pub const ALL: [Self; 4] = [Self::LockWait, Self::Copy, Self::Upload, Self::Commit];
    /// Those with a copier.
    pub const COPYING: [Self; 3] = [Self::LockWait, Self::Copy, Self::Upload];

    /// The audit events of a job that is held here.
    pub const fn events(self) -> &'static str {
        match self {
            Self::LockWait | Self::Copy | Self::Upload => "backup.queued backup.claimed backup.running",
            Self::Commit => "backup.queued backup.claimed backup.running backup.finalizing",
        }
    }
}

/// A cluster with one database that has walwarden, and an S3 server behind a faulty network.
pub struct Site {
    pub cluster: Cluster,
    bucket: Option<Bucket>,
}

struct Bucket {
    server: S3Server,
    network: FaultProxy,
}

/// A backup that goes on only when the test lets it.
pub struct Held {
    pub job: String,
    lock: Option<postgres::Client>,
}

impl Site {
    /// With the storage `local` only.
    pub fn local(builder: ClusterBuilder) -> Self {
        Self::furnish(builder.start(), None)
    }

    /// With the storage `s3` as well.
    pub fn with_s3(builder: ClusterBuilder) -> Self {
        let server = S3Server::start();
        let network = FaultProxy::new(server.address());
        let cluster = builder.envs(server.env_via(&network.endpoint())).start();
        Self::furnish(cluster, Some(Bucket { server, network }))
    }

    fn furnish(cluster: Cluster, bucket: Option<Bucket>) -> Self {
        let site = Self { cluster, bucket };
        site.add_database(APP);
        site.add_bucket();
        site
    }

    /// Another database like the first one, with the storage `local` only.
    pub fn add_database(&self, name: &str) {
        self.cluster.create_database(name);
        self.cluster
            .sql(name, "CREATE TABLE customer AS SELECT n AS id, 'customer ' || n AS name FROM generate_series(1, 1000) AS n");
        install(&self.cluster, name);
    }

    /// Defines the storage `s3`, where there is an S3 server.
    pub fn add_bucket(&self) {
        if let Some(bucket) = &self.bucket {
            let options = format!(
                r#"{{"endpoint": "{}", "allow_http": true, "part_size": "5MiB"}}"#,
                bucket.network.endpoint()
            );
            self.sql(&format!(
                "SELECT walwarden.add_storage('s3', 's3://{}', '{options}')",
                S3Server::BUCKET
            ));
        }
    }

    /// Runs SQL in the database and returns what it prints.
    pub fn sql(&self, script: &str) -> String {
        self.cluster.sql(APP, script)
    }

    /// Waits until a query says true.
    pub fn await_true(&self, what: &str, patience: Duration, query: &str) {
        let mut client = self.cluster.client(APP);
        wait_until(what, patience, || {
            client
                .query_one(query, &[])
                .unwrap_or_else(|e| panic!("{e}: {query}"))
                .get::<_, bool>(0)
                .then_some(())
        });
    }

    /// Starts a backup and returns when it is where it shall be held.
    pub fn hold(&self, hold: Hold) -> Held {
        self.shrink();
        match hold {
            Hold::LockWait => {
                let lock = self.lock_table(APP, "customer");
                let job = run_now(&self.cluster, APP, "");
                self.await_lock_wait("walwarden copier");
                Held { job, lock: Some(lock) }
            }
            Hold::Copy => {
                // A hundred kilobytes of COPY text a row, of which the table holds one: compressed, in the row itself.
                self.sql(
                    "CREATE TABLE wide AS SELECT repeat('x', 100000) AS text; \
                     INSERT INTO wide SELECT text FROM wide, generate_series(1, 100000)",
                );
                let job = run_now(&self.cluster, APP, "");
                let copying = format!(
                    "SELECT EXISTS (SELECT FROM walwarden.progress \
                     WHERE job = '{job}' AND phase = 'copying' AND raw_bytes > 10000000)"
                );
                self.await_true("rows to be copied", PATIENCE, &copying);
                Held { job, lock: None }
            }
            Hold::Upload => {
                // More than all the buffers between the copier and storage take: the copier waits too.
                self.sql(
                    "CREATE TABLE cargo AS \
                     SELECT encode(sha512(n::text::bytea), 'base64') AS text FROM generate_series(1, 800000) AS n",
                );
                let network = &self.bucket().network;
                network.set(Fault::StallAfter(BYTES_BEFORE_STALL));
                let job = run_now(&self.cluster, APP, "storage => 's3'");
                wait_until("the upload to stall", PATIENCE, || network.has_struck().then_some(()));
                Held { job, lock: None }
            }
            Hold::Commit => {
                let before = self.stored().len();
                let lock = self.lock_table(APP, "walwarden.manifest");
                let job = run_now(&self.cluster, APP, "");
                self.await_lock_wait("walwarden leader");
                assert_eq!(
                    self.stored().len(),
                    before + 4,
                    "archive, globals, manifest and signature are there"
                );
                Held { job, lock: Some(lock) }
            }
        }
    }

    /// Another session's lock that keeps everybody from a table, until the client is dropped.
    pub fn lock_table(&self, database: &str, table: &str) -> postgres::Client {
        let mut client = self.cluster.client(database);
        client
            .batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            .expect("the lock");
        client
    }

    /// Waits until a process of this type waits for the lock of a table.
    pub fn await_lock_wait(&self, backend_type: &str) {
        let waits = format!(
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) \
             WHERE NOT granted AND locktype = 'relation' AND backend_type = '{backend_type}')"
        );
        self.await_true(&format!("a {backend_type} to wait for a lock"), PATIENCE, &waits);
    }

    /// Storage does not answer any more.
    pub fn stall_network(&self) {
        self.bucket().network.set(Fault::Stall);
    }

    /// Waits until a restore has begun to load rows, and holds it there: storage does not answer any more.
    pub fn stall_while_loading(&self, job: &str) {
        self.await_true(
            "rows to be loaded",
            PATIENCE,
            &format!(
                "SELECT EXISTS (SELECT FROM walwarden.progress WHERE job = '{job}' AND phase = 'loading' AND raw_bytes > 0)"
            ),
        );
        self.stall_network();
    }

    /// Something is wrong with the network to storage.
    pub fn set_fault(&self, fault: Fault) {
        self.bucket().network.set(fault);
    }

    /// Speaks to the S3 server past the faulty network.
    pub fn s3_client(&self) -> S3Client {
        self.bucket().server.client()
    }

    /// Lets a tick come at once.
    pub fn wake(&self) {
        self.sql("SELECT walwarden.schedule('noise', '0 0 1 1 *')");
    }

    /// Lets storage answer again.
    pub fn mend_network(&self) {
        if let Some(bucket) = &self.bucket {
            bucket.network.set(Fault::Pass);
        }
    }

    /// Drops what only served to hold a backup, so that the next one is quick.
    pub fn shrink(&self) {
        self.sql("SET client_min_messages = warning; DROP TABLE IF EXISTS wide, cargo");
    }

    /// A job's row of `walwarden.jobs`.
    pub fn job(&self, job: &str) -> Value {
        job_row(&self.cluster, APP, job)
    }

    /// Waits until a job is in this state.
    pub fn await_state(&self, job: &str, state: &str, patience: Duration) {
        let reached = format!("SELECT state = '{state}' FROM walwarden.job WHERE id = '{job}'");
        self.await_true(&format!("job {job} to be {state}"), patience, &reached);
    }

    /// The events of a job in the audit chain, in order.
    pub fn events(&self, job: &str) -> String {
        self.sql(&format!(
            "SELECT string_agg(event, ' ' ORDER BY seq) FROM walwarden.audit WHERE job_id = '{job}'"
        ))
    }

    /// Fails unless every entry of the audit chain is as it was written.
    pub fn assert_chain_verifies(&self) {
        assert_eq!(self.sql("SELECT * FROM walwarden.verify_audit_chain() WHERE NOT ok"), "");
    }

    /// Everything of backups in the storages: files, whatever they are, objects, and uploads that were never ended. What is of the
    /// audit chain comes in its own time.
    pub fn stored(&self) -> Vec<String> {
        let mut all = self.stored_at_all();
        all.retain(|name| !name.contains("/audit/"));
        all
    }

    /// What of the audit chain is in the storages.
    pub fn anchored(&self) -> Vec<String> {
        let mut all = self.stored_at_all();
        all.retain(|name| name.contains("/audit/"));
        all
    }

    fn stored_at_all(&self) -> Vec<String> {
        let mut all = Vec::new();
        list_files(&self.cluster.data_dir().join("pg_walwarden/backups"), &mut all);
        if let Some(bucket) = &self.bucket {
            let client = bucket.server.client();
            all.extend(
                client.list(S3Server::BUCKET, "").into_iter().map(|object| format!("s3: {}", object.key)),
            );
            let pending = client.pending_uploads(S3Server::BUCKET);
            all.extend(pending.into_iter().map(|key| format!("pending upload: {key}")));
        }
        all.sort();
        all
    }

    /// Waits until there is in storage what there was.
    pub fn await_stored(&self, expected: &[String]) {
        wait_until("storage to hold nothing of the job", PATIENCE, || {
            (self.stored() == expected).then_some(())
        });
    }

    /// The processes of walwarden that work on something, and their children.
    pub fn workers(&self) -> Vec<ChildProcess> {
        let is_worker = |process: &ChildProcess| {
            process.title.contains("walwarden") && !process.title.contains("walwarden launcher")
        };
        let workers: Vec<_> = self.cluster.processes().into_iter().filter(is_worker).collect();
        let children: Vec<_> = workers.iter().flat_map(ChildProcess::children).collect();
        workers.into_iter().chain(children).collect()
    }

    /// The process of walwarden with this name.
    pub fn worker(&self, name: &str) -> ChildProcess {
        wait_until(&format!("a {name}"), PATIENCE, || self.cluster.process(&format!("walwarden {name}")))
    }

    /// Waits until walwarden has no process left but the launcher, and no child.
    pub fn await_rest(&self, patience: Duration) {
        // Read once more by name: a child whose parent is gone is nobody's child here.
        let sessions = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'walwarden pg_dump%')";
        wait_until("the workers to leave", patience, || self.workers().is_empty().then_some(()));
        self.await_true("the sessions of pg_dump to end", patience, sessions);
    }

    fn bucket(&self) -> &Bucket {
        self.bucket.as_ref().expect("this site has an S3 server")
    }
}

impl Held {
    /// Whatever held the backup is gone.
    pub fn let_go(self, site: &Site) -> String {
        // A session that a crash has ended has nothing left to unlock.
        if let Some(mut lock) = self.lock {
            let _ = lock.batch_execute("ROLLBACK");
        }
        site.mend_network();
        self.job
    }
}

/// Prints how long something took that must be quick.
pub fn report(what: &str, since: Instant) {
    println!("{what}: {:.2} s", since.elapsed().as_secs_f64());
}

fn list_files(folder: &Path, into: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.map(|entry| entry.expect("a folder of ours")) {
        if entry.file_type().expect("a file of ours").is_dir() {
            list_files(&entry.path(), into);
        } else {
            into.push(entry.path().display().to_string());
        }
    }
}
