//! The life of jobs and of the processes that work on them: states and their audit entries, cancel, terminate and shutdown
//! wherever a backup may be, and what walwarden must not stand in the way of.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::time::{Duration, Instant};
use support::site::{APP, Held, Hold, PATIENCE, PROMPTLY, Site, report};
use support::{await_end, back_up, install, job_row, run_now, text};
use walwarden_testkit::postgres::error::SqlState;
use walwarden_testkit::{Cluster, StopMode, kill, postgres, terminate, wait_until};

/// The next backup works, and nothing of the one before stands in its way.
fn assert_next_backup_works(site: &Site) {
    site.shrink();
    back_up(&site.cluster, APP, "");
    site.assert_chain_verifies();
}

fn storage_of(hold: Hold) -> &'static str {
    if hold == Hold::Upload { "s3" } else { "local" }
}

fn database_error(outcome: Result<(), postgres::Error>) -> postgres::error::DbError {
    outcome.expect_err("an error is due").as_db_error().expect("an error of the server").clone()
}

/// Every state has its time and its audit entry, in order; the last entry was written by the very transaction that set
/// the last state.
#[test]
fn states_follow_each_other_and_each_has_its_audit_entry() {
    let site = Site::local(Cluster::builder());
    let row = back_up(&site.cluster, APP, "");
    let job = text(&row, "id");
    assert_eq!(
        site.events(job),
        "backup.queued backup.claimed backup.running backup.finalizing backup.completed"
    );
    let in_order = site.sql(&format!(
        "SELECT queued_at <= claimed_at AND claimed_at <= started_at AND started_at <= snapshot_at \
                AND snapshot_at <= finalizing_at AND finalizing_at <= finalized_at AND finalized_at <= clock_timestamp() \
         FROM walwarden.jobs WHERE id = '{job}'"
    ));
    assert_eq!(in_order, "t", "{row:#}");
    let together = site.sql(&format!(
        "SELECT j.xmin = a.xmin FROM walwarden.job AS j JOIN walwarden.audit AS a ON a.job_id = j.id \
         WHERE j.id = '{job}' AND a.event = 'backup.completed'"
    ));
    assert_eq!(together, "t");
    let actors = site.sql(&format!(
        "SELECT string_agg(DISTINCT actor, ' ' ORDER BY actor DESC) FROM walwarden.audit WHERE job_id = '{job}'"
    ));
    assert_eq!(actors, format!("walwarden {}", site.cluster.superuser()));
    site.assert_chain_verifies();
}

/// No state is skipped or taken back, nothing of a finished job changes, and history only grows: for a superuser too, and
/// with triggers in replica mode.
#[test]
fn history_is_sealed_even_for_a_superuser() {
    let site = Site::local(Cluster::builder());
    let row = back_up(&site.cluster, APP, "");
    let done = text(&row, "id");
    let held = site.hold(Hold::LockWait);
    let running = &held.job;
    let before = site.sql("SELECT md5(string_agg(j::text, '' ORDER BY id)) FROM walwarden.job AS j");
    let refused = [
        format!("UPDATE walwarden.job SET state = 'queued' WHERE id = '{running}'"),
        format!("UPDATE walwarden.job SET state = 'completed', finalized_at = now() WHERE id = '{running}'"),
        format!("UPDATE walwarden.job SET requested_by = 'somebody else' WHERE id = '{running}'"),
        format!("UPDATE walwarden.job SET queued_at = now() WHERE id = '{running}'"),
        format!("UPDATE walwarden.job SET state = 'running', finalized_at = NULL WHERE id = '{done}'"),
        format!("UPDATE walwarden.job SET state = 'canceled' WHERE id = '{done}'"),
        format!("UPDATE walwarden.job SET size_bytes = 1 WHERE id = '{done}'"),
        format!("UPDATE walwarden.job SET sha256 = repeat('0', 64) WHERE id = '{done}'"),
        format!("UPDATE walwarden.job SET finalized_at = now() WHERE id = '{done}'"),
        "INSERT INTO walwarden.job (id, trigger, state, storages, requested_by, finalized_at) \
         VALUES (gen_random_uuid(), 'manual', 'completed', '{local}', 'me', now())"
            .to_owned(),
        format!("DELETE FROM walwarden.job WHERE id = '{done}'"),
        "DELETE FROM walwarden.job".to_owned(),
        "TRUNCATE walwarden.job CASCADE".to_owned(),
        "UPDATE walwarden.audit SET event = 'backup.failed' WHERE event = 'backup.completed'".to_owned(),
        "DELETE FROM walwarden.audit WHERE seq = 1".to_owned(),
        "TRUNCATE walwarden.audit".to_owned(),
        "DELETE FROM walwarden.audit_head".to_owned(),
        "TRUNCATE walwarden.audit_head".to_owned(),
        "UPDATE walwarden.manifest SET body = '{}'".to_owned(),
        "DELETE FROM walwarden.manifest".to_owned(),
        "TRUNCATE walwarden.manifest".to_owned(),
    ];
    for mode in ["origin", "replica"] {
        for statement in &refused {
            let mut session = site.cluster.client(APP);
            session.batch_execute(&format!("SET session_replication_role = {mode}")).unwrap();
            let Err(error) = session.batch_execute(statement) else {
                panic!("allowed as {mode}: {statement}")
            };
            let state = error.code().cloned();
            assert_eq!(state, Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE), "{statement}: {error}");
        }
    }
    assert_eq!(site.sql("SELECT md5(string_agg(j::text, '' ORDER BY id)) FROM walwarden.job AS j"), before);
    let job = held.let_go(&site);
    assert_eq!(await_end(&site.cluster, APP, &job)["state"], "completed");
    site.assert_chain_verifies();
}

/// `cancel()` ends a backup at once wherever it is; it leaves nothing in storage, no process and no session.
#[test]
fn cancel_stops_a_running_backup_wherever_it_is() {
    let site = Site::with_s3(Cluster::builder());
    let before = site.stored();
    for hold in Hold::ALL {
        let held = site.hold(hold);
        let started = Instant::now();
        let cancel = format!("SELECT walwarden.cancel('{}')", held.job);
        assert_eq!(site.sql(&cancel), "t");
        // An impatient user does it again, while the first one is being served or after it.
        site.sql(&cancel);
        site.await_state(&held.job, "canceled", PROMPTLY);
        report(&format!("canceled at {hold:?}"), started);
        let job = held.let_go(&site);
        let row = site.job(&job);
        assert_eq!(row["canceled_by"], site.cluster.superuser(), "{row:#}");
        assert_eq!(row["error_class"], serde_json::Value::Null, "{row:#}");
        assert_eq!(site.events(&job), format!("{} backup.canceled", hold.events()));
        site.await_rest(PATIENCE);
        site.await_stored(&before);
        assert_eq!(site.sql("SELECT jobs_to_clean_up FROM walwarden.status"), "0");
    }
    assert_next_backup_works(&site);
}

/// `pg_cancel_backend()` of the leader cancels its job as `cancel()` does; walwarden cannot know who it was.
#[test]
fn canceling_the_leader_by_its_process_id_cancels_the_job() {
    let site = Site::local(Cluster::builder());
    let before = site.stored();
    let held = site.hold(Hold::LockWait);
    let started = Instant::now();
    assert_eq!(site.sql(&format!("SELECT pg_cancel_backend({})", site.worker("leader").pid)), "t");
    site.await_state(&held.job, "canceled", PROMPTLY);
    report("canceled by process id", started);
    let job = held.let_go(&site);
    assert_eq!(site.job(&job)["canceled_by"], serde_json::Value::Null);
    site.await_rest(PROMPTLY);
    site.await_stored(&before);
    assert_next_backup_works(&site);
}

/// A queued job is canceled on the spot, a finished one not at all, and a rolled back `cancel()` never happened.
#[test]
fn cancel_of_queued_and_finished_jobs_and_cancel_rolled_back() {
    let site = Site::local(Cluster::builder());
    let held = site.hold(Hold::LockWait);
    let waiting = run_now(&site.cluster, APP, "");
    assert_eq!(site.job(&waiting)["state"], "queued");
    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{waiting}')")), "t");
    let row = site.job(&waiting);
    assert_eq!((text(&row, "state"), text(&row, "canceled_by")), ("canceled", site.cluster.superuser()));
    assert_eq!(site.events(&waiting), "backup.queued backup.canceled");

    let rolled_back = format!("BEGIN; SELECT walwarden.cancel('{}'); ROLLBACK", held.job);
    assert_eq!(site.sql(&rolled_back), "t");
    let job = held.let_go(&site);
    let row = await_end(&site.cluster, APP, &job);
    assert_eq!(row["state"], "completed", "{row:#}");

    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{job}')")), "f");
    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{waiting}')")), "f");
    let mut session = site.cluster.client(APP);
    let unknown = session.batch_execute("SELECT walwarden.cancel(gen_random_uuid())");
    assert_eq!(database_error(unknown).code(), &SqlState::UNDEFINED_OBJECT);
    assert_eq!(site.job(&job), row);
    site.assert_chain_verifies();
}

/// A backup whose leader or copier is terminated fails at once with a class and a message, and leaves nothing; what could
/// not be removed from a storage that does not answer is removed by the next one.
#[test]
fn terminating_a_worker_fails_the_job_and_the_next_backup_works() {
    let site = Site::with_s3(Cluster::builder());
    let before = site.stored();
    for hold in Hold::ALL {
        for (victim, class) in [("leader", "terminated"), ("copier", "lost")] {
            if hold == Hold::Commit && victim == "copier" {
                continue;
            }
            let held = site.hold(hold);
            let started = Instant::now();
            terminate(site.worker(victim).pid);
            if hold == Hold::Upload && victim == "copier" {
                // A server that does not answer holds up the clean-up, and nobody is in a hurry here.
                site.mend_network();
            }
            site.await_state(&held.job, "failed", PROMPTLY);
            report(&format!("{victim} terminated at {hold:?}"), started);
            let job = held.let_go(&site);
            let row = site.job(&job);
            assert_eq!(text(&row, "error_class"), class, "{row:#}");
            assert!(!text(&row, "error_message").is_empty());
            assert_eq!(text(&row, "storage"), storage_of(hold));
            assert_eq!(site.events(&job), format!("{} backup.failed", hold.events()));
            site.await_rest(PROMPTLY);
            assert_next_backup_works(&site);
            let files: Vec<_> = site.stored();
            let of_the_job: Vec<_> = files.iter().filter(|name| name.contains(&job)).collect();
            assert!(of_the_job.is_empty(), "{of_the_job:?}");
            assert!(!files.iter().any(|name| name.starts_with("pending")), "{files:?}");
            assert!(files.len() > before.len(), "the other backups are still there");
        }
    }
}

/// A backup whose `pg_dump` is killed fails as what it is. Large objects keep `pg_dump` busy until the tables are through.
#[test]
fn killing_pg_dump_fails_the_job_and_the_next_backup_works() {
    let site = Site::with_s3(Cluster::builder());
    site.sql(
        "SELECT count(lo_from_bytea(0, (SELECT string_agg(sha512((batch + n)::text::bytea), '') \
                                        FROM generate_series(1, 20000) AS n))) \
         FROM generate_series(1000000, 10000000, 1000000) AS batch",
    );
    let before = site.stored();
    let held = site.hold(Hold::Upload);
    let leader = site.worker("leader");
    let dump = wait_until("pg_dump", PATIENCE, || {
        leader.children().into_iter().find(|child| child.title.contains("pg_dump"))
    });
    assert!(dump.title.contains("--snapshot"), "not the one for the globals: {}", dump.title);
    kill(dump.pid);
    let job = held.let_go(&site);
    let row = await_end(&site.cluster, APP, &job);
    assert_eq!((text(&row, "state"), text(&row, "error_class")), ("failed", "child_process"), "{row:#}");
    assert!(text(&row, "error_message").contains("pg_dump"), "{row:#}");
    site.await_rest(PROMPTLY);
    site.await_stored(&before);
    assert_next_backup_works(&site);
}

/// A terminated launcher comes back, and goes on firing.
#[test]
fn a_terminated_launcher_comes_back() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    let first = site.worker("launcher");
    terminate(first.pid);
    wait_until("the launcher to go", PROMPTLY, || (!first.is_running()).then_some(()));
    let second = site.worker("launcher");
    assert_ne!(second.pid, first.pid);
    site.await_true("the scheduler to run", PATIENCE, "SELECT scheduler = 'running' FROM walwarden.status");
    assert_eq!(site.sql(&format!("SELECT pg_cancel_backend({})", second.pid)), "t");
    assert_next_backup_works(&site);
    assert_eq!(site.worker("launcher").pid, second.pid, "a canceled query means nothing to it");
}

/// `pg_ctl stop -m fast` is not held up by a backup, wherever it is; after the start the job is failed and gone from storage.
#[test]
fn a_fast_shutdown_is_not_held_up() {
    let mut site = Site::with_s3(Cluster::builder().preload_walwarden());
    let before = site.stored();
    for hold in Hold::ALL {
        let held = site.hold(hold);
        let started = Instant::now();
        site.cluster.stop(StopMode::Fast);
        report(&format!("stopped at {hold:?}"), started);
        assert!(started.elapsed() < PROMPTLY, "{:?}", started.elapsed());
        let job = held.let_go(&site);
        site.cluster.start();
        site.await_state(&job, "failed", PATIENCE);
        let row = site.job(&job);
        assert_eq!(row["error_class"], "terminated", "{row:#}");
        site.await_stored(&before);
        site.await_true(
            "the clean-up to be noted",
            PATIENCE,
            "SELECT jobs_to_clean_up = 0 FROM walwarden.status",
        );
    }
    assert_next_backup_works(&site);
    assert!(!site.cluster.log().contains("PANIC"), "{}", site.cluster.log());
}

/// A table that is locked for longer than `walwarden.lock_timeout` fails the backup, and says so.
#[test]
fn a_lock_not_had_in_time_fails_the_backup() {
    let site = Site::local(Cluster::builder().config("walwarden.lock_timeout = '500ms'"));
    let lock = site.lock_table(APP, "customer");
    let job = run_now(&site.cluster, APP, "");
    site.await_state(&job, "failed", PATIENCE);
    let row = site.job(&job);
    assert_eq!(row["error_class"], "lock_timeout", "{row:#}");
    assert_eq!(row["error_message"], "could not lock table \"public.customer\" within 500 ms");
    drop(lock);
    assert_next_backup_works(&site);
}

/// A session that wants a table for itself while a backup has it waits behind the copier, and pg_dump would wait behind
/// that session, so that all three wait in a circle that no deadlock check sees. It must come to an end by itself.
#[test]
fn ddl_that_waits_for_the_copier_does_not_hang_the_backup() {
    let site = Site::local(Cluster::builder().config("walwarden.lock_timeout = '5s'"));
    // Locks are taken in the order of the tables' oids: the copier has the first table while it waits for the second.
    site.sql("CREATE TABLE first AS SELECT 1 AS a; CREATE TABLE second AS SELECT 1 AS a");
    let mut gate = site.lock_table(APP, "second");
    let job = run_now(&site.cluster, APP, "");
    site.await_lock_wait("walwarden copier");
    let mut ddl = site.cluster.client(APP);
    let ddl = std::thread::spawn(move || ddl.batch_execute("ALTER TABLE first ADD COLUMN b int").is_ok());
    site.await_lock_wait("client backend");
    gate.batch_execute("ROLLBACK").unwrap();
    let started = Instant::now();
    wait_until("the ALTER TABLE to have its way", PATIENCE, || ddl.is_finished().then_some(()));
    report("the ALTER TABLE was done", started);
    assert!(ddl.join().unwrap());
    let row = await_end(&site.cluster, APP, &job);
    assert!(
        row["state"] == "completed" || row["error_class"] == "lock_timeout",
        "neither done nor failed for a reason: {row:#}"
    );
    assert_next_backup_works(&site);
}

/// One backup runs at a time in a database; the next one waits in the queue and then runs by itself, in order.
#[test]
fn jobs_queue_behind_each_other() {
    let site = Site::local(Cluster::builder());
    let held = site.hold(Hold::LockWait);
    let waiting: Vec<String> = (0..3).map(|_| run_now(&site.cluster, APP, "")).collect();
    let status = "SELECT running_job, queued_jobs FROM walwarden.status";
    assert_eq!(site.sql(status), format!("{}|3", held.job));
    let first = held.let_go(&site);
    // Nobody waits for them in a session, which could start them too.
    for job in std::iter::once(&first).chain(&waiting) {
        site.await_state(job, "completed", PATIENCE);
    }
    let order = site.sql("SELECT string_agg(id::text, ' ' ORDER BY started_at) FROM walwarden.jobs");
    let expected: Vec<_> = std::iter::once(&first).chain(&waiting).map(String::as_str).collect();
    assert_eq!(order, expected.join(" "));
    let overlaps = "SELECT count(*) FROM walwarden.jobs AS a JOIN walwarden.jobs AS b \
                    ON a.id <> b.id AND b.started_at BETWEEN a.started_at AND a.finalized_at";
    assert_eq!(site.sql(overlaps), "0");
}

/// A job queued by a transaction exists when that commits and not before; until then it keeps nobody else from working.
#[test]
fn a_job_begins_with_the_commit_of_its_transaction() {
    let site = Site::local(Cluster::builder());
    let chain = "SELECT count(*) FROM walwarden.audit";
    let before = site.sql(chain);
    site.sql("BEGIN; SELECT walwarden.run_now(); ROLLBACK");
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.job"), "0");
    assert_eq!(site.sql(chain), before);

    let mut session = site.cluster.client(APP);
    let mut open = session.transaction().unwrap();
    let job: String = open.query_one("SELECT walwarden.run_now()::text", &[]).unwrap().get(0);
    let other = run_now(&site.cluster, APP, "");
    site.await_state(&other, "completed", PATIENCE);
    assert_eq!(site.sql(&format!("SELECT count(*) FROM walwarden.job WHERE id = '{job}'")), "0");
    open.commit().unwrap();
    site.await_state(&job, "completed", PATIENCE);
    site.assert_chain_verifies();
}

/// `wait_for()` never waits for what it could not see: it says at once why. With a timeout it gives the present state.
#[test]
fn wait_for_says_at_once_when_it_would_wait_for_ever() {
    let site = Site::local(Cluster::builder());
    let mut session = site.cluster.client(APP);
    let mut open = session.transaction().unwrap();
    let started = Instant::now();
    let error = database_error(open.batch_execute("SELECT walwarden.wait_for(walwarden.run_now())"));
    assert!(started.elapsed() < PROMPTLY);
    assert_eq!(error.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("COMMIT")), "{error:?}");
    open.rollback().unwrap();

    // In a transaction of its own a single statement is the same case.
    let error = database_error(session.batch_execute("SELECT walwarden.wait_for(walwarden.run_now())"));
    assert_eq!(error.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "{error}");

    let held = site.hold(Hold::LockWait);
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let mut open = session.transaction().unwrap();
        open.batch_execute(&format!("SET TRANSACTION ISOLATION LEVEL {level}")).unwrap();
        let error = database_error(open.batch_execute(&format!("SELECT walwarden.wait_for('{}')", held.job)));
        assert_eq!(error.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "{level}: {error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("READ COMMITTED")), "{error:?}");
    }

    let started = Instant::now();
    assert_eq!(site.sql(&format!("SELECT walwarden.wait_for('{}', '300 ms')", held.job)), "running");
    assert!(started.elapsed() >= Duration::from_millis(300) && started.elapsed() < PROMPTLY);
    assert_eq!(site.sql(&format!("SELECT walwarden.wait_for('{}', '0')", held.job)), "running");
    // A session that waits can be canceled like any other.
    let mut impatient = site.cluster.client(APP);
    impatient.batch_execute("SET statement_timeout = '200ms'").unwrap();
    let error =
        database_error(impatient.batch_execute(&format!("SELECT walwarden.wait_for('{}')", held.job)));
    assert_eq!(error.code(), &SqlState::QUERY_CANCELED, "{error}");

    let job = held.let_go(&site);
    assert_eq!(site.sql(&format!("SELECT walwarden.wait_for('{job}')")), "completed");
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.job"), "1", "the failed transactions queued nothing");
}

/// Every worker slot taken: a leader that cannot start leaves its job queued with a warning, to run when somebody waits for
/// it; one that gets no copier fails with class `resources`. Nothing hangs.
#[test]
fn too_few_worker_slots_fail_or_wait_and_never_hang() {
    // One slot is the leader's of the other database, one its copier's; PostgreSQL itself takes none.
    let slots = |n: u32| format!("max_worker_processes = {n}");
    let mut site =
        Site::local(Cluster::builder().config("max_logical_replication_workers = 0").config(&slots(2)));
    site.add_database("other");
    let hold_other = |site: &Site| {
        let lock = site.lock_table("other", "customer");
        let job = run_now(&site.cluster, "other", "");
        site.await_lock_wait("walwarden copier");
        (lock, job)
    };

    let (lock, other) = hold_other(&site);
    let queued = site.cluster.psql(APP, "SELECT walwarden.run_now()");
    let said = String::from_utf8_lossy(&queued.stderr).into_owned();
    assert!(said.contains("WARNING") && said.contains("max_worker_processes"), "{said}");
    let queued = String::from_utf8_lossy(&queued.stdout).trim().to_owned();
    assert_eq!(site.sql(&format!("SELECT walwarden.wait_for('{queued}', '3 s')")), "queued");
    drop(lock);
    assert_eq!(await_end(&site.cluster, "other", &other)["state"], "completed");
    assert_eq!(await_end(&site.cluster, APP, &queued)["state"], "completed");

    site.cluster.append_config(&slots(3));
    site.cluster.restart();
    let (lock, other) = hold_other(&site);
    let failed = run_now(&site.cluster, APP, "");
    site.await_state(&failed, "failed", PATIENCE);
    let row = site.job(&failed);
    assert_eq!(row["error_class"], "resources", "{row:#}");
    assert!(text(&row, "error_hint").contains("max_worker_processes"), "{row:#}");
    drop(lock);
    assert_eq!(await_end(&site.cluster, "other", &other)["state"], "completed");
    assert_next_backup_works(&site);
}

/// Two databases of one cluster have nothing to do with each other: their backups run at the same time.
#[test]
fn databases_are_backed_up_side_by_side() {
    let site = Site::local(Cluster::builder());
    site.add_database("other");
    let locks = [site.lock_table(APP, "customer"), site.lock_table("other", "customer")];
    let jobs = [APP, "other"].map(|database| (database, run_now(&site.cluster, database, "")));
    for (database, job) in &jobs {
        wait_until("the job to run", PATIENCE, || {
            (job_row(&site.cluster, database, job)["state"] == "running").then_some(())
        });
    }
    drop(locks);
    for (database, job) in &jobs {
        let row = await_end(&site.cluster, database, job);
        assert_eq!(row["state"], "completed", "{row:#}");
    }
    let id = "SELECT id FROM walwarden.database";
    assert_ne!(site.sql(id), site.cluster.sql("other", id));
}

/// An idle walwarden is connected to no database: one can be dropped, renamed and copied. A copy holds its schedules still
/// and refuses to back up, to verify and to restore until it is adopted, so that two databases never write to one place.
#[test]
fn idle_walwarden_stands_in_nobodys_way_and_a_copy_waits_for_adoption() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    site.sql("SELECT walwarden.schedule('hourly', '0 * * * *')");
    let backup = back_up(&site.cluster, APP, "");
    let backup = text(&backup, "id");
    site.await_rest(PROMPTLY);
    let ours = "SELECT coalesce(datname, '-'), backend_type FROM pg_stat_activity \
                WHERE backend_type LIKE 'walwarden%' OR application_name LIKE 'walwarden %'";
    wait_until("the launcher alone", PATIENCE, || {
        (site.cluster.sql("postgres", ours) == "-|walwarden launcher").then_some(())
    });

    let cluster = &site.cluster;
    cluster.sql("postgres", "CREATE DATABASE copy TEMPLATE app");
    assert_eq!(cluster.sql("copy", "SELECT scheduler FROM walwarden.status"), "suspended");
    let mut session = cluster.client("copy");
    let work = ["run_now()".to_owned(), format!("verify('{backup}')"), format!("restore('{backup}', 'new')")];
    for call in &work {
        let refused = database_error(session.batch_execute(&format!("SELECT walwarden.{call}")));
        assert_eq!(refused.code(), &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "{refused}");
        assert!(refused.hint().is_some_and(|hint| hint.contains("adopt()")), "{refused:?}");
    }
    // Nothing fires there, however late: the time that passed is played.
    cluster.sql("copy", "UPDATE walwarden.schedule SET checked_until = now() - interval '2 hours'");
    cluster.sql("copy", "SELECT walwarden.schedule('another', '0 1 * * *')");
    let original = site.sql("SELECT id FROM walwarden.database");
    assert_eq!(cluster.sql("copy", "SELECT id FROM walwarden.database"), original);
    let adopted = cluster.sql("copy", "SELECT walwarden.adopt()");
    // Once adopted it is itself, unless somebody says that it is a copy all the same.
    assert_eq!(cluster.sql("copy", "SELECT walwarden.adopt()"), adopted);
    assert_ne!(adopted, original);
    assert_eq!(cluster.sql("copy", "SELECT scheduler FROM walwarden.status"), "running");
    let in_the_past =
        "SELECT count(*) FROM walwarden.schedule WHERE checked_until < now() - interval '1 hour'";
    assert_eq!(cluster.sql("copy", in_the_past), "0");
    let entries = "SELECT count(*) FROM walwarden.audit_chain WHERE event = 'database.adopted' \
                   AND detail ->> 'id' = (SELECT id::text FROM walwarden.database)";
    assert_eq!(cluster.sql("copy", entries), "1");
    let [row, ..] = work.map(|call| {
        let job = cluster.sql("copy", &format!("SELECT walwarden.{call}"));
        let row = await_end(cluster, "copy", &job);
        assert_eq!(text(&row, "state"), "completed", "{row:#}");
        row
    });
    assert!(text(&row, "object_key").contains(&adopted), "{row:#}");
    assert_ne!(cluster.sql("copy", "SELECT walwarden.adopt(is_copy => true)"), adopted);
    drop(session);

    // A tick may be in the middle of its second of work.
    let free = |statement: &str| {
        wait_until(statement, PROMPTLY, || cluster.try_sql("postgres", statement).ok());
    };
    free("ALTER DATABASE copy RENAME TO duplicate");
    free("DROP DATABASE duplicate");
    free("DROP DATABASE app");
}

/// DROP EXTENSION while a backup runs: all of it stops within seconds, and what it wrote is removed.
#[test]
fn drop_extension_stops_a_running_backup() {
    let site = Site::with_s3(Cluster::builder());
    let before = site.stored();
    for hold in Hold::COPYING {
        let held = site.hold(hold);
        let started = Instant::now();
        site.sql("SET lock_timeout = '10s'; DROP EXTENSION walwarden");
        report(&format!("extension dropped at {hold:?}"), started);
        if hold == Hold::Upload {
            site.mend_network();
        }
        site.await_rest(PROMPTLY);
        report(&format!("the workers were gone at {hold:?}"), started);
        drop_lock(held, &site);
        site.await_stored(&before);
        assert_eq!(site.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'walwarden'"), "0");
        install(&site.cluster, APP);
        site.add_bucket();
    }
    assert_next_backup_works(&site);
}

fn drop_lock(held: Held, site: &Site) {
    let _ = held.let_go(site);
}

/// While an upload is stalled, other databases come and go: every process of walwarden answers the barrier that
/// DROP DATABASE waits for.
#[test]
fn drop_database_elsewhere_works_during_a_stalled_upload() {
    let site = Site::with_s3(Cluster::builder().preload_walwarden());
    let held = site.hold(Hold::Upload);
    let started = Instant::now();
    site.cluster.sql("postgres", "CREATE DATABASE elsewhere");
    site.cluster.sql("postgres", "SET statement_timeout = '10s'; DROP DATABASE elsewhere");
    report("CREATE and DROP DATABASE", started);
    let job = held.let_go(&site);
    let row = await_end(&site.cluster, APP, &job);
    assert_eq!(row["state"], "completed", "{row:#}");
}

/// Every other session sees how far a running backup is, a monitoring role as well, which can do nothing but look.
#[test]
fn progress_is_seen_from_outside_and_monitors_only_look() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    site.sql("CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher; CREATE ROLE nobody LOGIN");
    let held = site.hold(Hold::Copy);
    let mut watcher = site.cluster.client_as("watcher", APP);
    let mut look = || {
        let row = watcher
            .query_one("SELECT job::text, state, phase, tables_done, tables_total, raw_bytes FROM walwarden.progress", &[])
            .unwrap();
        assert_eq!(row.get::<_, String>(0), held.job);
        assert_eq!((row.get::<_, &str>(1), row.get::<_, &str>(2)), ("running", "copying"));
        assert_eq!((row.get::<_, i64>(3), row.get::<_, i64>(4)), (1, 2));
        row.get::<_, i64>(5)
    };
    let first = look();
    wait_until("the numbers to move", PROMPTLY, || (look() > first).then_some(()));
    for view in [
        "jobs",
        "backups",
        "discovered_backups",
        "schedules",
        "storages",
        "progress",
        "waiting_sessions",
        "status",
        "audit_chain",
    ] {
        if let Err(error) = watcher
            .query(&format!("SELECT * FROM (SELECT v::text FROM walwarden.{view} AS v) AS all_rows"), &[])
        {
            panic!("{view}: {error:?}");
        }
    }
    for refused in [
        "SELECT walwarden.run_now()",
        "SELECT walwarden.cancel((SELECT id FROM walwarden.jobs))",
        "SELECT walwarden.schedule('x', '* * * * *')",
        "SELECT walwarden.manifest((SELECT id FROM walwarden.jobs))",
        "SELECT walwarden.verify_audit_chain()",
        "SELECT walwarden.discover('local', '')",
        "SELECT * FROM walwarden.discovered",
        "SELECT * FROM walwarden.job",
        "SELECT * FROM walwarden.audit",
        "UPDATE walwarden.jobs SET state = 'failed'",
    ] {
        let error = database_error(watcher.batch_execute(refused));
        assert_eq!(error.code(), &SqlState::INSUFFICIENT_PRIVILEGE, "{refused}: {error}");
    }
    let job = held.let_go(&site);
    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{job}')")), "t");
    site.await_state(&job, "canceled", PROMPTLY);
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.progress"), "0");
}
