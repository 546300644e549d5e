//! What a backup costs those who use the database meanwhile: transactions per second of pgbench.

use crate::contenders::Contender;
use crate::in_turns;
use crate::options::Options;
use crate::stage::{Database, Stage};
use serde::Serialize;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use walwarden_testkit::{postgres, wait_until};

const DATABASE: &str = "pgbench";
/// 300,000 accounts: about 45 MB, which stays in memory.
const SCALE: &str = "--scale=3";
const CLIENTS: &str = "--client=2";
/// How long pgbench runs before its transactions count.
const WARM_UP: Duration = Duration::from_secs(1);
/// pgbench is stopped when it is not needed any more, long before.
const FOREVER: &str = "--time=86400";
const PATIENCE: Duration = Duration::from_secs(60);

/// The database that pgbench works on, beside the one that is backed up.
#[derive(Debug)]
pub struct Load;

/// pgbench alone, and right after that beside a contender.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LoadRun {
    pub alone_tps: f64,
    pub beside_tps: f64,
    /// How long one backup took beside pgbench.
    pub backup_seconds: f64,
}

impl LoadRun {
    /// The loss as a share of the transactions per second alone; less than zero when there were more.
    pub fn loss(&self) -> f64 {
        1.0 - self.beside_tps / self.alone_tps
    }
}

impl Load {
    /// Makes pgbench's tables.
    pub fn create(stage: &Stage) -> Self {
        stage.cluster.create_database(DATABASE);
        let mut command = stage.cluster.program("pgbench");
        command
            .args(["--initialize", "--quiet", SCALE, DATABASE])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = command.status().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        assert!(status.success(), "{command:?}: {status}");
        Self
    }

    /// All rounds beside the backups of one database, in turns.
    pub fn play(
        &self,
        stage: &Stage,
        database: &Database,
        contenders: &[Contender],
        options: &Options,
    ) -> Vec<Vec<LoadRun>> {
        let seconds = Duration::from_secs(options.load_seconds);
        // Not counted: writes each page's first image after the last checkpoint. No further one comes in between.
        count_alone(stage, seconds);
        (0..options.rounds)
            .map(|round| {
                in_turns(contenders.len(), round, |index| {
                    let run = beside(stage, database, &contenders[index], seconds);
                    eprintln!(
                        "pgbench beside {}, round {} of {}: {:>5.1} % lost  {}",
                        database.name,
                        round + 1,
                        options.rounds,
                        run.loss() * 100.0,
                        contenders[index].label()
                    );
                    run
                })
            })
            .collect()
    }
}

fn count_alone(stage: &Stage, time: Duration) -> f64 {
    let pgbench = Pgbench::start(stage);
    let mut client = stage.cluster.client(DATABASE);
    let alone = tps(&mut client, || std::thread::sleep(time));
    pgbench.stop(stage);
    alone
}

fn beside(stage: &Stage, database: &Database, contender: &Contender, time: Duration) -> LoadRun {
    let pgbench = Pgbench::start(stage);
    let mut client = stage.cluster.client(DATABASE);
    let alone_tps = tps(&mut client, || std::thread::sleep(time));
    let mut backups = Vec::new();
    let beside_tps = tps(&mut client, || {
        let started = Instant::now();
        // A short one again and again, or chance would say how many transactions fall into it.
        while backups.is_empty() || started.elapsed() < time {
            backups.push(contender.run(stage, database, &|_| ()).seconds);
        }
    });
    pgbench.stop(stage);
    let backup_seconds = crate::statistics::Spread::of(&backups).median;
    LoadRun { alone_tps, beside_tps, backup_seconds }
}

/// The transactions per second that pgbench does while `work` runs. Each leaves one row in its history.
fn tps(client: &mut postgres::Client, work: impl FnOnce()) -> f64 {
    let mut count = || -> i64 {
        client.query_one("SELECT count(*) FROM pgbench_history", &[]).unwrap_or_else(|e| panic!("{e}")).get(0)
    };
    let (before, started) = (count(), Instant::now());
    work();
    let (after, seconds) = (count(), started.elapsed().as_secs_f64());
    assert!(after > before, "pgbench did nothing in {seconds:.1} s: did it fail?");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 transactions")]
    let transactions = (after - before) as f64;
    transactions / seconds
}

/// A running pgbench. Dropped by a panic it ends with the cluster.
struct Pgbench {
    child: Child,
}

impl Pgbench {
    fn start(stage: &Stage) -> Self {
        stage.cluster.sql(DATABASE, "TRUNCATE pgbench_history; VACUUM pgbench_branches, pgbench_tellers");
        let mut command = stage.cluster.program("pgbench");
        command.args(["--no-vacuum", CLIENTS, FOREVER, DATABASE]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        std::thread::sleep(WARM_UP);
        Self { child }
    }

    fn stop(mut self, stage: &Stage) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
        wait_until("the sessions of pgbench to end", PATIENCE, || {
            let query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'";
            (stage.cluster.sql("postgres", query) == "0").then_some(())
        });
    }
}
