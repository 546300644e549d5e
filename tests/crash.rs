//! What is left of a backup after `kill -9` of its processes or of the whole server: a job that is failed and says why, and
//! nothing in storage. A job is completed exactly if its backup is there and proven.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::time::Instant;
use support::site::{APP, Hold, PATIENCE, PROMPTLY, Site, report};
use support::{
    LocalBackup, await_end, back_up, number, openssl_verifies, public_key, run_now, sha256sum, text,
};
use walwarden_testkit::Cluster;

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Copier,
    Leader,
    Postmaster,
}

impl Victim {
    const ALL: [Self; 3] = [Self::Copier, Self::Leader, Self::Postmaster];

    /// Kills it, and returns when the server takes connections again.
    fn kill(self, site: &mut Site) {
        match self {
            Self::Copier => site.cluster.kill9_process(&site.worker("copier")),
            Self::Leader => site.cluster.kill9_process(&site.worker("leader")),
            Self::Postmaster => {
                site.cluster.kill9();
                site.cluster.start();
            }
        }
    }

    /// Kills it if it is there at this moment, else the postmaster; says which it was.
    fn kill_or_postmaster(self, site: &mut Site) -> Self {
        let name = match self {
            Self::Copier => "walwarden copier",
            Self::Leader => "walwarden leader",
            Self::Postmaster => "no worker",
        };
        match site.cluster.process(name) {
            Some(worker) if worker.freeze() => {
                site.cluster.kill9_process(&worker);
                self
            }
            _ => {
                Self::Postmaster.kill(site);
                Self::Postmaster
            }
        }
    }
}

/// Who finds the dead.
#[derive(Clone, Copy, Debug)]
enum Finder {
    /// A tick that the launcher starts by itself.
    Tick,
    /// The leader of the next backup.
    NextBackup,
    /// A session that waits for the job.
    WaitFor,
}

/// One kill, and everything that must be true afterwards.
fn kill_and_recover(site: &mut Site, hold: Hold, victim: Victim, finder: Finder) {
    println!("{victim:?} at {hold:?}, found by {finder:?}");
    let before = site.stored();
    let held = site.hold(hold);
    victim.kill(site);
    let started = Instant::now();
    let job = held.let_go(site);
    site.shrink();
    let next = match finder {
        Finder::Tick => None,
        Finder::NextBackup => {
            assert_ne!(site.job(&job)["state"], "failed", "nobody has looked yet");
            Some(run_now(&site.cluster, APP, ""))
        }
        Finder::WaitFor => {
            assert_eq!(site.sql(&format!("SELECT walwarden.wait_for('{job}', '1 minute')")), "failed");
            None
        }
    };
    site.await_state(&job, "failed", PATIENCE);
    report("the job was found failed", started);
    let row = site.job(&job);
    assert_eq!(text(&row, "error_class"), "lost", "{row:#}");
    assert!(!text(&row, "error_hint").is_empty(), "{row:#}");
    assert_eq!(
        site.events(&job),
        format!("{} backup.reaped backup.failed", hold.events()),
        "{victim:?} at {hold:?}"
    );
    let next = next.unwrap_or_else(|| run_now(&site.cluster, APP, ""));
    let row = await_end(&site.cluster, APP, &next);
    assert_eq!(row["state"], "completed", "{row:#}");
    // What there was before, and the four objects of the backup that came after.
    site.await_true(
        "the clean-up to be noted",
        PATIENCE,
        "SELECT jobs_to_clean_up = 0 FROM walwarden.status",
    );
    let (added, left): (Vec<_>, Vec<_>) = site
        .stored()
        .into_iter()
        .filter(|name| !before.contains(name))
        .partition(|name| name.contains(&next));
    assert_eq!((added.len(), left), (4, vec![]));
    site.await_rest(PROMPTLY);
    site.assert_chain_verifies();
}

/// With preload nobody has to do anything: the first tick after the restart finds the lost job and cleans up after it.
#[test]
fn the_first_tick_finds_a_lost_job() {
    let mut site = Site::with_s3(Cluster::builder().preload_walwarden());
    for hold in Hold::ALL {
        for victim in Victim::ALL {
            if hold == Hold::Commit && victim == Victim::Copier {
                continue;
            }
            kill_and_recover(&mut site, hold, victim, Finder::Tick);
        }
    }
    assert!(!site.cluster.log().contains("PANIC"), "{}", site.cluster.log());
}

/// Without preload there is no tick: whoever queues a backup or waits for the lost job finds it.
#[test]
fn without_preload_the_next_backup_or_a_waiting_session_finds_a_lost_job() {
    let mut site = Site::with_s3(Cluster::builder());
    for (hold, victim, finder) in [
        (Hold::LockWait, Victim::Leader, Finder::WaitFor),
        (Hold::Copy, Victim::Copier, Finder::NextBackup),
        (Hold::Copy, Victim::Postmaster, Finder::WaitFor),
        (Hold::Upload, Victim::Postmaster, Finder::NextBackup),
        (Hold::Commit, Victim::Leader, Finder::NextBackup),
    ] {
        kill_and_recover(&mut site, hold, victim, finder);
    }
}

/// A job that was queued when the server died is still queued afterwards, and runs.
#[test]
fn a_queued_job_outlives_the_server() {
    for preload in [true, false] {
        let builder = Cluster::builder();
        let mut site = Site::local(if preload { builder.preload_walwarden() } else { builder });
        let mut session = site.cluster.client(APP);
        let held = site.hold(Hold::LockWait);
        // Else a leader could take up the job between the end of the first one and its own.
        site.cluster.freeze_postmaster();
        let waiting: String =
            session.query_one("SELECT walwarden.run_now()::text", &[]).expect("a job").get(0);
        Victim::Postmaster.kill(&mut site);
        let lost = held.let_go(&site);
        if preload {
            site.await_state(&waiting, "completed", PATIENCE);
        } else {
            assert_eq!(site.sql(&format!("SELECT walwarden.wait_for('{waiting}', '1 minute')")), "completed");
        }
        assert_eq!(site.job(&lost)["error_class"], "lost");
    }
}

/// A database that was set back in time, or copied together with its cluster, finds jobs running that the original has
/// completed since. It must not take their objects for remains.
#[test]
fn what_another_server_completed_stays() {
    let mut site = Site::local(Cluster::builder());
    let folder = site.cluster.data_dir().join("pg_walwarden/backups");
    let lose_a_job = |site: &mut Site| {
        let held = site.hold(Hold::LockWait);
        Victim::Postmaster.kill(site);
        let lost = held.let_go(site);
        let noted = |field: &str| {
            site.sql(&format!(
                "SELECT cleanup ->> '{field}' FROM walwarden.backup_copy WHERE backup = '{lost}'"
            ))
        };
        (noted("manifest_key"), noted("upload_key"), lost)
    };
    let to_clean_up = "SELECT jobs_to_clean_up FROM walwarden.status";

    // Set back: by now the manifest is there.
    let (manifest, archive, lost) = lose_a_job(&mut site);
    for key in [&manifest, &archive] {
        std::fs::write(folder.join(key), "of the original").expect("a file among the backups");
    }
    assert_eq!(site.sql(&format!("SELECT walwarden.wait_for('{lost}', '1 minute')")), "failed");
    site.await_true(
        "the remains to be seen to",
        PATIENCE,
        "SELECT jobs_to_clean_up = 0 FROM walwarden.status",
    );
    for key in [&manifest, &archive] {
        assert_eq!(std::fs::read_to_string(folder.join(key)).unwrap(), "of the original");
    }

    // Copied: the original may be at it still.
    let (_, archive, lost) = lose_a_job(&mut site);
    std::fs::write(folder.join(&archive), "of the original").expect("a file among the backups");
    site.sql(&format!(
        "UPDATE walwarden.backup_copy SET cleanup = jsonb_set(cleanup, '{{server,place}}', '\"elsewhere\"') \
         WHERE backup = '{lost}'"
    ));
    assert_eq!(site.sql(&format!("SELECT walwarden.wait_for('{lost}', '1 minute')")), "failed");
    assert_eq!(site.sql(to_clean_up), "1");
    // And is not any more after days.
    site.sql(&format!(
        "UPDATE walwarden.backup_copy SET cleanup = jsonb_set(cleanup, '{{noted_at}}', '\"2020-01-01T00:00:00Z\"') \
         WHERE backup = '{lost}'"
    ));
    back_up(&site.cluster, APP, "");
    site.await_true(
        "the remains to be seen to",
        PATIENCE,
        "SELECT jobs_to_clean_up = 0 FROM walwarden.status",
    );
    assert!(site.stored().iter().all(|name| !name.contains(&lost)));
}

/// Kills at moments nobody chose: whatever a backup was doing, its job is completed exactly if its manifest is there, and
/// then everything the manifest says is true.
#[test]
fn a_job_is_completed_exactly_if_its_backup_is_there() {
    const ROUNDS: u32 = 8;
    let seed =
        std::env::var("WALWARDEN_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_301);
    println!("WALWARDEN_TEST_SEED={seed}");
    let mut random = Random(seed);
    let mut site = Site::local(Cluster::builder().preload_walwarden());
    // Long enough that the last kills come before the end of the backup, short enough that some backups come through.
    site.sql("CREATE TABLE cargo AS SELECT encode(sha512(n::text::bytea), 'base64') AS text FROM generate_series(1, 150000) AS n");
    let started = Instant::now();
    let whole = back_up(&site.cluster, APP, "");
    let length = started.elapsed();
    let key = public_key(&site.cluster, APP);
    let mut jobs = vec![text(&whole, "id").to_owned()];
    for round in 0..ROUNDS {
        let delay = length.mul_f64(random.fraction());
        let victim = Victim::ALL[random.below(3)];
        let job = run_now(&site.cluster, APP, "");
        // The moment is the point of this test; it waits for nothing.
        std::thread::sleep(delay);
        let victim = victim.kill_or_postmaster(&mut site);
        let row = await_end(&site.cluster, APP, &job);
        println!("round {round}: {victim:?} after {delay:?}: {}", row["state"]);
        assert!(row["state"] == "completed" || row["error_class"] == "lost", "{row:#}");
        jobs.push(job);
        site.await_true(
            "the clean-up to be noted",
            PATIENCE,
            "SELECT jobs_to_clean_up = 0 FROM walwarden.status",
        );
        let stored = site.stored();
        for job in &jobs {
            let row = site.job(job);
            let objects = stored.iter().filter(|name| name.contains(job.as_str())).count();
            if row["state"] == "completed" {
                assert_eq!(objects, 4, "{stored:#?}");
                let backup = LocalBackup::of(&site.cluster, row);
                assert!(openssl_verifies(&key, &backup.manifest, &backup.signature));
                let manifest = backup.read_manifest();
                assert_eq!(text(&manifest["archive"], "sha256"), sha256sum(&backup.archive));
                assert_eq!(text(&manifest["globals"], "sha256"), sha256sum(&backup.globals));
                assert_eq!(
                    number(&manifest["archive"], "size"),
                    std::fs::metadata(&backup.archive).unwrap().len()
                );
            } else {
                assert_eq!(objects, 0, "{stored:#?}");
            }
        }
        site.assert_chain_verifies();
    }
    let listed = site.sql("SELECT count(*) FROM walwarden.backups");
    let completed = site.sql("SELECT count(*) FROM walwarden.jobs WHERE state = 'completed'");
    assert_eq!(listed, completed);
}

/// Xorshift: a seed gives the same kills again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).expect("32 bits")) / f64::from(u32::MAX)
    }
}
