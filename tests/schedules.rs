//! Schedules against the real clock: what fires, when, how often, and what never does. Everything that needs a full minute
//! to pass runs side by side.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use std::time::Duration;
use support::back_up;
use support::site::{APP, PATIENCE, PROMPTLY, Site};
use walwarden_testkit::{Cluster, wait_until};

/// Until the next full minute, and then some.
const A_MINUTE: Duration = Duration::from_secs(90);
const EVERY_MINUTE: &str = "* * * * *";
/// Never due while the test runs, but for two minutes a year.
const YEARLY: &str = "0 0 1 1 *";

/// Defines a schedule and gives the time it says it will run next.
fn schedule(site: &Site, database: &str, name: &str, cron: &str) -> String {
    site.cluster.sql(database, &format!("SELECT walwarden.schedule('{name}', '{cron}')"))
}

/// The scheduled times that a schedule has jobs for, in order.
fn fired(site: &Site, database: &str, name: &str) -> Vec<String> {
    let query = format!(
        "SELECT scheduled_for FROM walwarden.jobs WHERE schedule = '{name}' AND trigger = 'schedule' \
         ORDER BY scheduled_for"
    );
    site.cluster.sql(database, &query).lines().map(str::to_owned).collect()
}

/// Waits until a schedule has fired for this time, giving the launcher reasons to wake all the while: a tick too many must
/// not fire twice.
fn await_fire(site: &Site, database: &str, name: &str, time: &str) {
    let wake = format!("SELECT walwarden.schedule('noise', '{YEARLY}')");
    let fired = format!("SELECT FROM walwarden.jobs WHERE schedule = '{name}' AND scheduled_for = '{time}'");
    let mut client = site.cluster.client(database);
    wait_until(&format!("{name} to fire for {time}"), A_MINUTE, || {
        client.execute(&wake, &[]).expect("a schedule");
        client.query_opt(&fired, &[]).expect("jobs")
    });
}

/// Waits until there is time enough to prepare everything before the next full minute.
fn await_room(site: &Site) {
    let room = "SELECT extract(second FROM clock_timestamp()) < 50";
    site.await_true("the minute to begin", PATIENCE, room);
}

/// Waits until this time is past, by enough for a tick to have done its work.
fn await_time(site: &Site, time: &str) {
    site.await_true(
        &format!("{time} to pass"),
        A_MINUTE,
        &format!("SELECT clock_timestamp() > timestamptz '{time}' + interval '5 seconds'"),
    );
}

fn minute_after(site: &Site, time: &str) -> String {
    site.sql(&format!("SELECT timestamptz '{time}' + interval '1 minute'"))
}

fn await_done(site: &Site, database: &str) {
    wait_until("all jobs to be done", PATIENCE, || {
        (site.cluster.sql(database, "SELECT count(*) FROM walwarden.jobs WHERE finalized_at IS NULL") == "0")
            .then_some(())
    });
}

/// Schedules fire at the full minute, once for each time, whatever wakes the launcher and through a restart; a change takes
/// effect by itself; blank, paused and far-off ones do not fire.
fn schedules_fire_once_for_each_time() {
    let mut site = Site::local(Cluster::builder().preload_walwarden());
    site.await_true("the scheduler to run", PATIENCE, "SELECT scheduler = 'running' FROM walwarden.status");
    await_room(&site);
    assert_eq!(schedule(&site, APP, "blank", "  "), "");
    assert_eq!(site.sql("SELECT walwarden.schedule('null')"), "");
    schedule(&site, APP, "changed", YEARLY);
    schedule(&site, APP, "paused", EVERY_MINUTE);
    site.sql("SELECT walwarden.pause('paused')");
    let first = schedule(&site, APP, "every", EVERY_MINUTE);
    let second = minute_after(&site, &first);
    assert_eq!(
        site.sql(&format!(
            "SELECT date_trunc('minute', timestamptz '{first}') = '{first}' \
                    AND timestamptz '{first}' - clock_timestamp() BETWEEN interval '-5 s' AND interval '1 minute', \
                    (SELECT next_run = least('{first}', date_trunc('minute', now()) + interval '1 minute') \
                     FROM walwarden.schedules WHERE name = 'every')"
        )),
        "t|t"
    );

    await_fire(&site, APP, "every", &first);
    await_done(&site, APP);
    let job = site.sql(
        "SELECT state, trigger, requested_by, storage, queued_at - scheduled_for < interval '10 s' \
         FROM walwarden.jobs WHERE schedule = 'every'",
    );
    assert_eq!(job, "completed|schedule|walwarden|local|t");
    println!(
        "queued after {}",
        site.sql("SELECT queued_at - scheduled_for FROM walwarden.jobs WHERE schedule = 'every'")
    );

    site.sql("SELECT walwarden.resume('paused')");
    schedule(&site, APP, "changed", EVERY_MINUTE);
    site.cluster.restart();
    for name in ["every", "paused", "changed"] {
        await_fire(&site, APP, name, &second);
    }
    await_done(&site, APP);
    assert_eq!(fired(&site, APP, "every"), [first, second.clone()]);
    assert_eq!(
        fired(&site, APP, "paused"),
        std::slice::from_ref(&second),
        "a time that passed while paused never fires"
    );
    assert_eq!(fired(&site, APP, "changed"), [second]);
    for silent in ["blank", "null", "noise"] {
        assert_eq!(fired(&site, APP, silent), [""; 0], "{silent}");
    }
    let unfinished = "SELECT count(*) FROM walwarden.jobs WHERE state <> 'completed'";
    assert_eq!(site.sql(unfinished), "0");
    site.assert_chain_verifies();
}

/// A run that is still going at its next time is not started again, and the audit chain says so. A copy of the database holds
/// its schedules still until it is adopted.
fn a_run_still_going_is_skipped_and_a_copy_holds_still() {
    let site = Site::local(Cluster::builder().preload_walwarden().config("walwarden.lock_timeout = '10min'"));
    await_room(&site);
    let first = schedule(&site, APP, "every", EVERY_MINUTE);
    // It is here before anything fires, so a tick is all it may have to wait for.
    wait_until("the copy", PROMPTLY, || {
        site.cluster.try_sql("postgres", "CREATE DATABASE copy TEMPLATE app").ok()
    });
    let lock = site.lock_table(APP, "customer");
    let second = minute_after(&site, &first);
    await_fire(&site, APP, "every", &first);

    await_time(&site, &first);
    assert_eq!(site.cluster.sql("copy", "SELECT scheduler FROM walwarden.status"), "suspended");
    assert_eq!(fired(&site, "copy", "every"), [""; 0]);
    site.cluster.sql("copy", "SELECT walwarden.adopt()");
    // At the next minute: what passed while it held still is not made up for.
    wait_until("the adopted copy to fire", A_MINUTE, || {
        (!fired(&site, "copy", "every").is_empty()).then_some(())
    });

    let skipped = format!(
        "SELECT count(*) = 1 FROM walwarden.audit_chain WHERE event = 'backup.skipped' \
         AND detail ->> 'schedule' = 'every' AND (detail ->> 'scheduled_for')::timestamptz = '{second}'"
    );
    site.await_true("the second run to be skipped", A_MINUTE, &skipped);
    drop(lock);
    await_done(&site, APP);
    let fired = fired(&site, APP, "every");
    assert_eq!(fired.iter().filter(|time| **time == first).count(), 1);
    assert!(!fired.contains(&second), "what was skipped is not made up for: {fired:?}");
    assert_eq!(site.sql(&skipped), "t", "and is noted once");
    site.assert_chain_verifies();
}

/// Without preload, and with `walwarden.enabled = off`, nothing fires and the status says why; jobs started by hand run.
/// Switched on, the schedule makes up for a time that is not long past.
fn nothing_fires_without_preload_or_switched_off() {
    let without = Site::local(Cluster::builder());
    let off = Site::local(Cluster::builder().preload_walwarden().config("walwarden.enabled = off"));
    let states = [(&without, "not preloaded"), (&off, "off")];
    let times = states.map(|(site, state)| {
        assert_eq!(site.sql("SELECT scheduler FROM walwarden.status"), state);
        schedule(site, APP, "every", EVERY_MINUTE)
    });
    for ((site, state), time) in states.iter().zip(&times) {
        await_time(site, time);
        assert_eq!(fired(site, APP, "every"), [""; 0], "{state}");
        back_up(&site.cluster, APP, "'every'");
    }
    off.cluster.append_config("walwarden.enabled = on");
    off.cluster.reload();
    wait_until("the schedule to fire", PROMPTLY, || (!fired(&off, APP, "every").is_empty()).then_some(()));
    assert_eq!(off.sql("SELECT scheduler FROM walwarden.status"), "running");
}

/// Everything that waits for the clock.
#[test]
fn schedules_by_the_clock() {
    std::thread::scope(|scope| {
        scope.spawn(schedules_fire_once_for_each_time);
        scope.spawn(a_run_still_going_is_skipped_and_a_copy_holds_still);
        scope.spawn(nothing_fires_without_preload_or_switched_off);
    });
}

/// The next run follows the schedule's time zone, and changes with it.
#[test]
fn the_next_run_follows_the_time_zone() {
    let site = Site::local(Cluster::builder());
    let mut seen = Vec::new();
    for zone in ["UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Kiritimati"] {
        let next = site.sql(&format!("SELECT walwarden.schedule('noon', '0 12 * * *', '{zone}')"));
        let facts = site.sql(&format!(
            "SELECT (next_run AT TIME ZONE '{zone}')::time, next_run > now(), next_run <= now() + interval '1 day', \
                    next_run = '{next}', time_zone \
             FROM walwarden.schedules WHERE name = 'noon'"
        ));
        assert_eq!(facts, format!("12:00:00|t|t|t|{zone}"));
        assert!(!seen.contains(&next), "{zone}: {next}");
        seen.push(next);
    }
    site.sql("SELECT walwarden.pause('noon')");
    assert_eq!(site.sql("SELECT next_run IS NULL, enabled FROM walwarden.schedules"), "t|f");
    assert_eq!(site.sql("SELECT next_run IS NULL FROM walwarden.status"), "t");
}

/// Scheduled times that are noticed long after they passed are missed: the audit chain counts them, and nothing runs.
#[test]
fn times_noticed_too_late_are_missed() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    // Due twenty minutes ago, and an hour before that, and another.
    let minute =
        site.sql("SELECT extract(minute FROM now() AT TIME ZONE 'UTC' - interval '20 minutes')::int");
    schedule(&site, APP, "hourly", &format!("{minute} * * * *"));
    site.sql("UPDATE walwarden.schedule SET checked_until = now() - interval '2 hours 50 minutes' WHERE name = 'hourly'");
    // Any change wakes the launcher.
    schedule(&site, APP, "noise", YEARLY);
    let missed = |name: &str| {
        site.sql(&format!(
            "SELECT detail ->> 'count', \
                    now() - (detail ->> 'scheduled_for')::timestamptz BETWEEN interval '19 min' AND interval '22 min' \
             FROM walwarden.audit_chain WHERE event = 'backup.missed' AND detail ->> 'schedule' = '{name}'"
        ))
    };
    let await_missed = |name: &str| {
        wait_until("the missed times to be noted", PROMPTLY, || (!missed(name).is_empty()).then_some(()));
    };
    await_missed("hourly");
    assert_eq!(missed("hourly"), "3|t");
    // Noted once: the tick that notes another schedule's looks at this one too.
    schedule(&site, APP, "later", &format!("{minute} * * * *"));
    site.sql(
        "UPDATE walwarden.schedule SET checked_until = now() - interval '50 minutes' WHERE name = 'later'",
    );
    schedule(&site, APP, "noise", YEARLY);
    await_missed("later");
    assert_eq!((missed("later").as_str(), missed("hourly").as_str()), ("1|t", "3|t"));
    assert_eq!(fired(&site, APP, "hourly"), [""; 0]);
    assert_eq!(site.sql("SELECT next_run > now() FROM walwarden.schedules WHERE name = 'hourly'"), "t");
    site.assert_chain_verifies();
}
