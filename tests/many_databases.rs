//! Many databases of one cluster: how many jobs run at once, whose turn it is, and that nobody is in anybody's way while
//! nothing runs.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;
use support::restores::completes;
use support::site::{APP, PATIENCE, Site};
use support::{await_end, back_up, job_row, run_now, text};
use walwarden_testkit::{Cluster, ClusterBuilder, postgres, terminate, wait_until};

/// Besides the first.
const DATABASES: usize = 12;
/// In each of them.
const JOBS: usize = 3;
const LIMIT: usize = 2;
/// For all the jobs of a test together, on a busy machine.
const LONG: Duration = Duration::from_secs(300);
/// Until the next full minute, and then some.
const A_MINUTE: Duration = Duration::from_secs(90);
/// The slots that are taken.
const SLOTS: &str = "SELECT count(*) FROM pg_locks \
     WHERE locktype = 'advisory' AND database = 0 AND classid = 2 AND objsubid = 22359 AND granted";

/// `max_concurrent_jobs`, and workers enough for all of them.
fn builder(limit: usize) -> ClusterBuilder {
    Cluster::builder()
        .config(&format!("walwarden.max_concurrent_jobs = {limit}"))
        .config("max_worker_processes = 48")
        .config("walwarden.lock_timeout = '10min'")
}

fn names() -> Vec<String> {
    (0..DATABASES).map(|number| format!("db{number:02}")).collect()
}

/// Starts a backup whose copier waits for a lock until the client is dropped.
fn hold(site: &Site, database: &str) -> (String, postgres::Client) {
    let lock = site.lock_table(database, "customer");
    let job = run_now(&site.cluster, database, "");
    await_state(site, database, &job, "running");
    (job, lock)
}

fn await_state(site: &Site, database: &str, job: &str, state: &str) {
    let mut client = site.cluster.client(database);
    let query = format!("SELECT state = '{state}' FROM walwarden.job WHERE id = '{job}'");
    wait_until(&format!("job {job} of {database} to be {state}"), PATIENCE, || {
        client.query_one(&query, &[]).expect("the job").get::<_, bool>(0).then_some(())
    });
}

fn waiting_for(site: &Site, database: &str, job: &str) -> String {
    site.cluster.sql(database, &format!("SELECT waiting_for FROM walwarden.jobs WHERE id = '{job}'"))
}

fn set_limit(site: &Site, limit: usize) {
    site.cluster.append_config(&format!("walwarden.max_concurrent_jobs = {limit}"));
    site.cluster.reload();
}

/// When each job of these databases had its slot at the latest, and until when at least, by the rows that say so.
fn runs(site: &Site, databases: &[String]) -> Vec<(f64, f64, String)> {
    let query = "SELECT extract(epoch FROM claimed_at), extract(epoch FROM finalized_at) FROM walwarden.job";
    let mut runs = Vec::new();
    for database in databases {
        for line in site.cluster.sql(database, query).lines() {
            let (from, to) = line.split_once('|').expect("two columns");
            let time = |text: &str| text.parse::<f64>().expect("a time");
            runs.push((time(from), time(to), database.clone()));
        }
    }
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    runs
}

/// Three jobs in each of twelve databases, all queued while every slot is taken: never more than the limit run, and every
/// database has its first job started before any has its third.
#[test]
fn databases_take_turns_and_no_more_jobs_run_than_may() {
    let site = Site::local(builder(LIMIT).preload_walwarden());
    site.add_database("other");
    let databases = names();
    databases.iter().for_each(|name| site.add_database(name));
    let held = [hold(&site, APP), hold(&site, "other")];
    let mut client = site.cluster.client("postgres");
    let mut slots = || -> i64 { client.query_one(SLOTS, &[]).expect("pg_locks").get(0) };
    assert_eq!(slots(), LIMIT as i64);
    // The first database asks most eagerly: all of its jobs are there before anybody else's.
    for database in &databases {
        site.cluster.sql(database, &"SELECT walwarden.run_now();".repeat(JOBS));
    }
    let first = &databases[0];
    assert_eq!(
        site.cluster.sql(first, "SELECT waiting_for_slot, queued_jobs FROM walwarden.status"),
        format!("{JOBS}|{JOBS}")
    );
    drop(held);

    let mut left: BTreeMap<&String, postgres::Client> =
        databases.iter().map(|name| (name, site.cluster.client(name))).collect();
    let mut most = 0;
    wait_until("all jobs to be done", LONG, || {
        most = most.max(slots());
        left.retain(|_, client| {
            let unfinished = "SELECT EXISTS (SELECT FROM walwarden.job WHERE finalized_at IS NULL)";
            client.query_one(unfinished, &[]).expect("jobs").get(0)
        });
        left.is_empty().then_some(())
    });
    assert!(most <= LIMIT as i64, "{most} slots were taken at once");
    for database in &databases {
        assert_eq!(
            site.cluster.sql(database, "SELECT count(*), min(state), max(state) FROM walwarden.jobs"),
            format!("{JOBS}|completed|completed")
        );
        assert_eq!(
            site.cluster.sql(database, "SELECT * FROM walwarden.verify_audit_chain() WHERE NOT ok"),
            ""
        );
    }

    let runs = runs(&site, &databases);
    assert_eq!(runs.len(), DATABASES * JOBS);
    let mut started: BTreeMap<&str, usize> = databases.iter().map(|name| (name.as_str(), 0)).collect();
    for (from, _, database) in &runs {
        let at_once = runs.iter().filter(|(other, end, _)| other <= from && from < end).count();
        assert!(at_once <= LIMIT, "{at_once} at once: {runs:#?}");
        *started.get_mut(database.as_str()).expect("one of them") += 1;
        let (fewest, most) = (started.values().min().expect("some"), started.values().max().expect("some"));
        assert!(most - fewest <= 2, "{started:?} in {runs:#?}");
    }
    site.await_rest(PATIENCE);
    assert_eq!(slots(), 0);
}

/// A restore that somebody asks for runs while all slots are taken and counts as one; what else is asked for waits, and says
/// for what. More slots count from the next reload, fewer too.
#[test]
fn a_restore_by_hand_waits_for_nobody_and_the_limit_follows_the_configuration() {
    let site = Site::local(builder(1).preload_walwarden());
    site.add_database("other");
    let backup = back_up(&site.cluster, "other", "");
    let id = text(&backup, "id");
    let (held, lock) = hold(&site, APP);

    let verification = site.cluster.sql("other", &format!("SELECT walwarden.verify('{id}')"));
    let restore = site.cluster.sql("other", &format!("SELECT walwarden.restore('{id}', 'restored')"));
    completes(&await_end(&site.cluster, "other", &restore));
    assert_eq!(site.job(&held)["state"], "running");
    assert_eq!(job_row(&site.cluster, "other", &verification)["state"], "queued");
    assert_eq!(waiting_for(&site, "other", &verification), "slot");
    let second = run_now(&site.cluster, APP, "");
    assert_eq!(waiting_for(&site, APP, &second), "turn");
    assert_eq!(site.cluster.sql("other", "SELECT waiting_for_slot FROM walwarden.status"), "1");
    assert_eq!(site.sql("SELECT waiting_for_slot FROM walwarden.status"), "0", "it waits for its database");

    set_limit(&site, 2);
    await_state(&site, "other", &verification, "completed");
    assert_eq!(site.job(&held)["state"], "running");
    set_limit(&site, 1);
    site.await_true(
        "the new limit to be read",
        PATIENCE,
        "SELECT current_setting('walwarden.max_concurrent_jobs') = '1'",
    );
    let again = site.cluster.sql("other", &format!("SELECT walwarden.verify('{id}')"));
    assert_eq!(waiting_for(&site, "other", &again), "slot");
    drop(lock);
    for (database, job) in [(APP, &held), (APP, &second), ("other", &again)] {
        completes(&await_end(&site.cluster, database, job));
    }
}

/// However a leader ends, its slot is free afterwards and the job of another database starts.
#[test]
fn a_leader_that_is_gone_has_no_slot() {
    let site = Site::local(builder(1).preload_walwarden());
    site.add_database("other");
    for kill in [false, true] {
        let (held, lock) = hold(&site, APP);
        let waiting = run_now(&site.cluster, "other", "");
        assert_eq!(waiting_for(&site, "other", &waiting), "slot");
        let leader = site.worker("leader");
        if kill {
            site.cluster.kill9_process(&leader);
        } else {
            terminate(leader.pid);
        }
        // Nobody waits for it by wait_for(), which would help it along.
        await_state(&site, "other", &waiting, "completed");
        drop(lock);
        let row = await_end(&site.cluster, APP, &held);
        let class = if kill { "lost" } else { "terminated" };
        assert_eq!((text(&row, "state"), text(&row, "error_class")), ("failed", class), "{row:#}");
    }
}

/// Without preload there is no launcher: the limit holds all the same, each database goes on with its own jobs, and who waits
/// for a job starts it.
#[test]
fn without_preload_the_limit_holds_and_a_waiting_session_starts_its_job() {
    let site = Site::local(builder(1));
    site.add_database("other");
    let (held, lock) = hold(&site, APP);
    let next = run_now(&site.cluster, APP, "");
    let waiting = run_now(&site.cluster, "other", "");
    // A leader that asked for a slot is gone again.
    wait_until("the refused leaders to leave", PATIENCE, || {
        let leaders =
            site.cluster.processes().iter().filter(|p| p.title.contains("walwarden leader")).count();
        (leaders == 1).then_some(())
    });
    assert_eq!(
        site.cluster.sql("other", &format!("SELECT walwarden.wait_for('{waiting}', '5 s')")),
        "queued"
    );
    assert_eq!(waiting_for(&site, "other", &waiting), "slot");
    drop(lock);
    await_state(&site, APP, &held, "completed");
    await_state(&site, APP, &next, "completed");
    completes(&await_end(&site.cluster, "other", &waiting));
}

/// All of them have the same schedule: each fires for the same minute. Before and after, nothing is connected anywhere, and a
/// database can be copied and dropped.
#[test]
fn the_same_schedule_fires_everywhere_and_nothing_is_connected_while_idle() {
    let site = Site::local(builder(4).preload_walwarden());
    let databases = names();
    databases.iter().for_each(|name| site.add_database(name));
    assert_idle(&site);
    let mut next = String::new();
    for database in &databases {
        // None may fire before all are defined.
        if next.is_empty() {
            site.await_true(
                "the minute to begin",
                A_MINUTE,
                "SELECT extract(second FROM clock_timestamp()) < 20",
            );
        }
        next = site.cluster.sql(database, "SELECT walwarden.schedule('nightly', '* * * * *')");
    }
    let fired = format!(
        "SELECT count(*) = 1 FROM walwarden.jobs WHERE scheduled_for = '{next}' AND state = 'completed'"
    );
    for database in &databases {
        let mut client = site.cluster.client(database);
        wait_until(&format!("the schedule of {database} to fire"), A_MINUTE, || {
            client.query_one(&fired, &[]).expect("jobs").get::<_, bool>(0).then_some(())
        });
    }
    for database in &databases {
        site.cluster.sql(database, "SELECT walwarden.unschedule('nightly')");
    }
    wait_until("the last jobs to be done", LONG, || {
        let unfinished = "SELECT count(*) FROM walwarden.job WHERE finalized_at IS NULL";
        databases.iter().all(|name| site.cluster.sql(name, unfinished) == "0").then_some(())
    });
    assert_idle(&site);
    site.cluster.sql("postgres", "CREATE DATABASE copy TEMPLATE db00");
    for database in &databases {
        site.cluster.sql("postgres", &format!("DROP DATABASE {database}"));
    }
    assert_idle(&site);
    let log = site.cluster.log();
    assert!(!log.contains("launcher: the tick of database"), "{log}");
    assert!(!log.contains("FATAL"), "{log}");
}

/// Walwarden comes to have no process but the launcher, which is connected to no database. A database that has just been made is
/// looked at once, at a time of the launcher's choice.
fn assert_idle(site: &Site) {
    let processes = "SELECT string_agg(backend_type || ' ' || coalesce(datid::text, 'nowhere'), ',') \
                     FROM pg_stat_activity WHERE backend_type LIKE 'walwarden%'";
    wait_until("walwarden to be idle", PATIENCE, || {
        (site.cluster.sql("postgres", processes) == "walwarden launcher nowhere").then_some(())
    });
    assert_eq!(site.cluster.sql("postgres", SLOTS), "0");
}

/// Without a free worker a job stays queued and says so; the log says it once for each step, not each time.
#[test]
fn without_a_free_worker_jobs_stay_queued_and_the_log_says_why() {
    // One for logical replication, one for the launcher.
    let mut site = Site::local(builder(4).preload_walwarden().config("max_worker_processes = 2"));
    let jobs: Vec<String> = (0..5).map(|_| run_now(&site.cluster, APP, "")).collect();
    site.await_true(
        "the job to say what it waits for",
        PATIENCE,
        "SELECT bool_and(state = 'queued' AND waiting_for = 'worker') FROM walwarden.jobs",
    );
    wait_until("a second step", PATIENCE, || site.cluster.log().contains("next try in 2 s").then_some(()));
    let log = site.cluster.log();
    assert!(
        log.contains("launcher: failed once, next try in 1 s: could not start a background worker"),
        "{log}"
    );
    assert!(log.contains("Raise max_worker_processes"), "{log}");
    let told = log.matches("could not start a background worker").count();
    assert!(told < 6, "{told} times in {log}");
    site.cluster.append_config("max_worker_processes = 16");
    site.cluster.restart();
    for job in &jobs {
        site.await_state(job, "completed", PATIENCE);
    }
}

/// A database whose ticks fail is left alone for a minute, then longer; the others go on.
#[test]
fn a_tick_that_fails_is_tried_again_later_and_later() {
    let site = Site::local(builder(4).preload_walwarden());
    site.add_database("other");
    site.await_rest(PATIENCE);
    let told = || site.cluster.log().matches("failed once, next try in 60 s").count();
    let oid = site.sql("SELECT oid FROM pg_database WHERE datname = current_database()");
    // Together, so that the tick that the schedule calls for finds the table gone.
    site.sql(
        "BEGIN; SELECT walwarden.schedule('yearly', '0 0 1 1 *'); ALTER TABLE walwarden.backup_copy RENAME TO gone; COMMIT",
    );
    wait_until("the tick to fail", PATIENCE, || (told() > 0).then_some(()));
    assert!(
        site.cluster.log().contains(&format!("the tick of database {oid} failed once")),
        "{}",
        site.cluster.log()
    );
    // Each of these wakes the launcher.
    for _ in 0..20 {
        site.cluster.sql("other", "SELECT walwarden.schedule('yearly', '0 0 1 1 *')");
    }
    let job = run_now(&site.cluster, "other", "");
    completes(&await_end(&site.cluster, "other", &job));
    assert_eq!(told(), 1);
}
