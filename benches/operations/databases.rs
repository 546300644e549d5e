//! Many databases of one cluster, each with walwarden and the same schedule.

use crate::processes::{cpu_seconds_with_the_ended, private_kb, sleeps};
use crate::table::Table;
use std::time::{Duration, Instant};
use walwarden_testkit::{Cluster, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(3600);
/// How long the idle cluster is watched.
const REST: Duration = Duration::from_secs(60);
const SLOTS: &str = "SELECT count(*) FROM pg_locks \
     WHERE locktype = 'advisory' AND database = 0 AND classid = 2 AND objsubid = 22359";

/// Measures all of it.
pub fn measure(count: usize, limit: usize) -> Table {
    let mut table = Table::new(&["", "measured"]);
    let mut cluster = Cluster::builder()
        .preload_walwarden()
        .config(&format!("walwarden.max_concurrent_jobs = {limit}"))
        .config("max_worker_processes = 32")
        // It would come when it likes and count as ours.
        .config("autovacuum = off")
        .config("checkpoint_timeout = 1h")
        .start();
    let names: Vec<String> = (0..count).map(|number| format!("db{number:03}")).collect();
    for name in &names {
        cluster.create_database(name);
        cluster.sql(
            name,
            "CREATE TABLE customer AS SELECT n AS id, 'customer ' || n AS name FROM generate_series(1, 1000) AS n; \
             SET client_min_messages = warning; CREATE EXTENSION walwarden; SELECT walwarden.schedule('nightly', '0 2 * * *')",
        );
        if name.ends_with("49") || name.ends_with("99") {
            eprintln!("made {name}");
        }
    }
    idle(&cluster, &mut table);
    ticks(&mut cluster, count, &mut table);
    due_at_once(&cluster, &names, limit, &mut table);
    await_rest(&cluster);
    table.row("launcher's private memory afterwards, MB", private_mb(&cluster));
    table
}

/// A minute in which nothing is due.
fn idle(cluster: &Cluster, table: &mut Table) {
    await_rest(cluster);
    // What the processes that have just ended cost is in the postmaster's account by now, but others may not have gone.
    let launcher = launcher(cluster);
    let before = (cpu(cluster), sleeps(launcher));
    std::thread::sleep(REST);
    let (cpu, wake_ups) = (cpu(cluster) - before.0, sleeps(launcher) - before.1);
    let connected =
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'walwarden%' AND datid IS NOT NULL";
    table.row("idle: walwarden's processes connected to a database", cluster.sql("postgres", connected));
    table.row("idle: time on a core in a minute, all processes of the cluster, s", format!("{cpu:.2}"));
    table.row("idle: wake-ups of the launcher in a minute", wake_ups);
    table.row("idle: launcher's private memory, MB", private_mb(cluster));
}

/// After a start every database is looked at.
fn ticks(cluster: &mut Cluster, count: usize, table: &mut Table) {
    let commits =
        "SELECT datname || ' ' || xact_commit FROM pg_stat_database WHERE datname LIKE 'db%' ORDER BY 1";
    let before = cluster.sql("postgres", commits);
    let known: Vec<&str> = before.lines().collect();
    cluster.restart();
    let started = Instant::now();
    let mut client = cluster.client("postgres");
    wait_until("a tick in every database", LONG, || {
        let rows = client.query(commits, &[]).expect("the statistics");
        let ticked = rows.iter().filter(|row| !known.contains(&row.get::<_, &str>(0))).count();
        (ticked == count).then_some(())
    });
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    table.row("after a start: ticks a second, two at a time", format!("{:.0}", count as f64 / seconds));
}

/// The same minute is due everywhere.
fn due_at_once(cluster: &Cluster, names: &[String], limit: usize, table: &mut Table) {
    // Time enough to define all of them before.
    let due = cluster.sql(
        "postgres",
        &format!(
            "SELECT date_trunc('minute', clock_timestamp()) + interval '1 minute' * (2 + {} / 500)",
            names.len()
        ),
    );
    let cron = cluster.sql(
        "postgres",
        &format!("SELECT to_char(timestamptz '{due}' AT TIME ZONE 'UTC', 'FMMI FMHH24 * * *')"),
    );
    for name in names {
        cluster.sql(name, &format!("SELECT walwarden.schedule('nightly', '{cron}')"));
    }
    let left = cluster
        .sql("postgres", &format!("SELECT extract(epoch FROM timestamptz '{due}' - clock_timestamp())"));
    assert!(left.parse::<f64>().expect("seconds") > 0.0, "the schedules were not defined in time");
    await_rest(cluster);
    let mut client = cluster.client("postgres");
    let is_due = format!("SELECT clock_timestamp() >= timestamptz '{due}'");
    wait_until("the schedules to be due", LONG, || {
        client.query_one(&is_due, &[]).expect("the time").get::<_, bool>(0).then_some(())
    });
    let cpu_before = cpu(cluster);
    let mut most = 0i64;
    let mut left: Vec<&String> = names.iter().collect();
    wait_until("every database to be backed up", LONG, || {
        most = most.max(client.query_one(SLOTS, &[]).expect("the locks").get(0));
        // One a look: to ask all of them would be what is measured.
        let name = left.last()?;
        let done = "SELECT count(*) FROM walwarden.job WHERE state = 'completed'";
        if cluster.sql(name, done) != "0" {
            left.pop();
        }
        left.is_empty().then_some(())
    });
    await_rest(cluster);
    let used = cpu(cluster) - cpu_before;
    let (mut queued, mut ended) = (0.0f64, 0.0f64);
    for name in names {
        let row = cluster.sql(
            name,
            &format!(
                "SELECT extract(epoch FROM max(queued_at) - timestamptz '{due}'), \
                        extract(epoch FROM max(finalized_at) - timestamptz '{due}'), count(*) = 1 AND min(state) = 'completed' \
                 FROM walwarden.job"
            ),
        );
        let cells: Vec<&str> = row.split('|').collect();
        assert_eq!(cells[2], "t", "one completed job in {name}");
        queued = queued.max(cells[0].parse().expect("seconds"));
        ended = ended.max(cells[1].parse().expect("seconds"));
    }
    assert!(most <= i64::try_from(limit).expect("a small number"), "{most} jobs at once");
    table.row("all due in the same minute: until all are queued, s", format!("{queued:.1}"));
    table.row("all due in the same minute: until all first backups are done, s", format!("{ended:.1}"));
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let each = used / names.len() as f64;
    table.row(
        "all due in the same minute: time on a core for each backup, all processes, s",
        format!("{each:.2}"),
    );
    table.row("all due in the same minute: most jobs seen at once", most);
}

fn await_rest(cluster: &Cluster) {
    wait_until("walwarden's processes to leave", PATIENCE, || {
        let is_busy = |title: &str| title.contains("walwarden") && !title.contains("walwarden launcher");
        (!cluster.processes().iter().any(|process| is_busy(&process.title))).then_some(())
    });
}

fn launcher(cluster: &Cluster) -> u32 {
    cluster.process("walwarden launcher").expect("the launcher runs").pid
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
fn private_mb(cluster: &Cluster) -> String {
    format!("{:.1}", private_kb(launcher(cluster)) as f64 / 1000.0)
}

/// Of all processes of the cluster, gone or not.
fn cpu(cluster: &Cluster) -> f64 {
    let there: f64 = cluster.processes().iter().map(|process| cpu_seconds_with_the_ended(process.pid)).sum();
    there + cpu_seconds_with_the_ended(cluster.pid())
}
