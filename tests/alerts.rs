//! Alerts: who listens hears of every state, and webhooks get what they chose, each once, whatever their receivers do; no
//! backup and no tick ever waits for them, and no secret is ever shown.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use support::site::{APP, PATIENCE, Site};
use support::webhook_receiver::{Manner, Taken, WebhookReceiver};
use support::{back_up, run, run_now};
use walwarden_testkit::postgres::fallible_iterator::FallibleIterator;
use walwarden_testkit::{Cluster, ClusterBuilder, wait_until};

/// For what is tried again after pauses.
const LONG: Duration = Duration::from_secs(240);
const ALLOWED: &str = "walwarden.webhook_allow = '127.0.0.1'";

fn builder() -> ClusterBuilder {
    Cluster::builder().config(ALLOWED)
}

/// Adds a webhook; `arguments` are those behind the name, as SQL.
fn add_webhook(site: &Site, name: &str, arguments: &str) {
    site.sql(&format!("SELECT walwarden.add_webhook('{name}', {arguments})"));
}

fn add_receiver(site: &Site, name: &str, receiver: &WebhookReceiver, events: &str) {
    add_webhook(site, name, &format!("'{}', events => '{{{events}}}'", receiver.url()));
}

/// Waits until nothing waits for this webhook any more.
fn await_delivered(site: &Site, webhook: &str) {
    let done = format!(
        "SELECT count(*) > 0 AND bool_and(delivered_at IS NOT NULL) FROM walwarden.notifications WHERE webhook = '{webhook}'"
    );
    site.await_true(&format!("everything to be delivered to {webhook}"), LONG, &done);
}

fn assert_each_once(taken: &[Taken]) {
    let ids: HashSet<String> = taken.iter().map(Taken::id).collect();
    assert_eq!(ids.len(), taken.len(), "each exactly once: {taken:#?}");
}

/// Makes a job that fails at once with this error, without anybody working on it.
fn fail_a_job(site: &Site, class: &str, message: &str) -> String {
    let job = site.sql(
        "INSERT INTO walwarden.job (id, trigger, storages, requested_by) \
         VALUES (gen_random_uuid(), 'manual', '{local}', 'me') RETURNING id",
    );
    let job = job.lines().next().unwrap().to_owned();
    site.sql(&format!(
        "UPDATE walwarden.job SET state = 'failed', finalized_at = now(), error_class = '{class}', error_message = {message} \
         WHERE id = '{job}'"
    ));
    job
}

/// The issue's own case: the receiver hangs while a backup runs, is down for the next job, then comes back.
#[test]
fn a_receiver_that_hangs_delays_nothing_and_gets_each_event_once_when_it_is_back() {
    let site = Site::local(builder().preload_walwarden());
    let (hook, good) = (WebhookReceiver::start(Manner::Hang), WebhookReceiver::start(Manner::Take));
    add_receiver(&site, "ops", &hook, "backup.*,verify.*");
    add_receiver(&site, "good", &good, "backup.completed,verify.completed");
    // Somebody is kept waiting before the backup begins.
    let failed = fail_a_job(&site, "internal", "'boom'");
    wait_until("a request that nobody answers", PATIENCE, || (hook.hanging() > 0).then_some(()));
    let first = back_up(&site.cluster, APP, "");
    assert!(hook.taken().is_empty() && hook.connections() > 0, "it still hangs, and the backup is complete");
    hook.behave(Manner::Down);
    let verification = site.sql(&format!("SELECT walwarden.verify('{}')", support::text(&first, "id")));
    assert_eq!(support::await_end(&site.cluster, APP, &verification)["state"], "completed");
    await_delivered(&site, "good");
    assert_eq!(good.events(), ["backup.completed", "verify.completed"], "the neighbour is served meanwhile");
    let waiting = site.sql(
        "SELECT waiting, failures > 0, paused_until > now() - interval '1 minute', host, signed FROM walwarden.webhooks \
         WHERE name = 'ops'",
    );
    assert_eq!(waiting, format!("3|t|t|127.0.0.1:{}|f", hook.port()));
    assert_eq!(
        site.sql(
            "SELECT count(*) FROM walwarden.notifications WHERE webhook = 'ops' AND delivered_at IS NOT NULL"
        ),
        "0"
    );

    hook.behave(Manner::Take);
    await_delivered(&site, "ops");
    assert_eq!(hook.events(), ["backup.completed", "backup.failed", "verify.completed"]);
    assert_each_once(&hook.taken());
    let facts = site.sql(
        "SELECT waiting, failures, paused_until IS NULL, last_error IS NULL FROM walwarden.webhooks WHERE name = 'ops'",
    );
    assert_eq!(facts, "0|0|t|t");
    let taken = hook.taken();
    let failure = taken.iter().find(|taken| taken.event() == "backup.failed").unwrap().json();
    assert_eq!(
        (&failure["version"], &failure["job"], &failure["severity"]),
        (&Value::from(1), &Value::from(failed), &Value::from("error"))
    );
    assert_eq!(failure["database"]["name"], APP);
    assert_eq!(failure["details"]["error_message"], "boom");
    assert_eq!(failure["text"], "backup to \"local\" failed: boom");
    let id =
        site.sql("SELECT id FROM walwarden.notifications WHERE webhook = 'ops' AND event = 'backup.failed'");
    assert_eq!(failure["id"], id);
    site.assert_chain_verifies();
}

/// Without preload there is no tick: whoever queues starts the messenger.
#[test]
fn bad_receivers_harm_nobody_and_what_one_refuses_holds_up_nothing_else() {
    let site = Site::local(builder());
    let elsewhere = WebhookReceiver::start(Manner::Take);
    let redirecting = WebhookReceiver::start(Manner::Redirect(elsewhere.url()));
    let lying = WebhookReceiver::start(Manner::Endless);
    let broken = WebhookReceiver::start(Manner::Status(500));
    let choosy = WebhookReceiver::start(Manner::Refuse("verify.completed", 400));
    for (name, receiver) in
        [("redirecting", &redirecting), ("lying", &lying), ("broken", &broken), ("choosy", &choosy)]
    {
        add_receiver(&site, name, receiver, "backup.completed");
    }
    site.sql("SELECT walwarden.alter_webhook('choosy', events => '{verify.completed,backup.completed,restore_test.*}')");
    let told = site.sql("SELECT webhook, ok, note FROM walwarden.send_test_notification() ORDER BY 1");
    println!("{told}");
    let lines: Vec<&str> = told.lines().collect();
    let host = |receiver: &WebhookReceiver| format!("127.0.0.1:{}", receiver.port());
    assert_eq!(
        lines,
        [
            format!("broken|f|{}: it answered with status 500", host(&broken)),
            format!("choosy|t|{}: it answered with status 204", host(&choosy)),
            format!("lying|t|{}: it answered with status 200", host(&lying)),
            format!(
                "redirecting|f|{}: it answered with a redirect (307), which is not followed",
                host(&redirecting)
            ),
        ]
    );
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.notifications"), "0", "a test is sent, not queued");
    let backup = back_up(&site.cluster, APP, "");
    let backup = support::text(&backup, "id");
    // The refused one comes first, again and again, and what comes after passes it by.
    let verification = site.sql(&format!("SELECT walwarden.verify('{backup}')"));
    support::await_end(&site.cluster, APP, &verification);
    let test = site.sql(&format!("SELECT walwarden.restore_test('{backup}'::uuid)"));
    support::await_end(&site.cluster, APP, &test);
    wait_until("the test to be told", PATIENCE, || {
        choosy.events().contains(&"restore_test.completed".to_owned()).then_some(())
    });
    let refused = "SELECT event, attempts, delivered_at IS NULL, given_up_at IS NULL, last_error LIKE '%status 400' \
                   FROM walwarden.notifications WHERE webhook = 'choosy' AND last_error IS NOT NULL";
    assert_eq!(site.sql(refused), "verify.completed|1|t|t|t");
    assert_eq!(site.sql("SELECT failures FROM walwarden.webhooks WHERE name = 'choosy'"), "0");
    site.await_true(
        "the others to have been tried",
        PATIENCE,
        "SELECT count(*) = 2 FROM walwarden.webhooks WHERE name IN ('broken', 'redirecting') AND failures > 0",
    );
    assert_eq!(elsewhere.connections(), 0, "no redirect was followed");
    assert!(lying.events().contains(&"backup.completed".to_owned()));
    // Dropped, it is not told any more; what waited is settled.
    site.sql("SELECT walwarden.drop_webhook('broken')");
    assert_eq!(
        site.sql(
            "SELECT given_up_at IS NOT NULL, last_error FROM walwarden.notifications WHERE webhook = 'broken'"
        ),
        "t|the webhook was dropped"
    );
    assert_eq!(
        site.sql("SELECT string_agg(event || ' ' || (detail ->> 'name'), ', ' ORDER BY seq) FROM walwarden.audit_chain \
                  WHERE event LIKE 'webhook.%' AND detail ->> 'name' IN ('broken', 'choosy')"),
        "webhook.created broken, webhook.created choosy, webhook.altered choosy, webhook.removed broken"
    );
    site.assert_chain_verifies();
}

/// Every state of every job is heard by whoever listens, as JSON that NOTIFY takes whatever the error says.
#[test]
fn who_listens_hears_of_every_state() {
    let site = Site::local(builder());
    let mut ear = site.cluster.client(APP);
    ear.batch_execute("LISTEN walwarden").unwrap();
    let job = run_now(&site.cluster, APP, "");
    support::await_end(&site.cluster, APP, &job);
    let failed = fail_a_job(&site, "storage_full", r#"repeat(E'\u00fc"\\ \u0001', 4000)"#);
    fail_a_job(&site, "timed_out", "NULL");
    let mut heard: Vec<Value> = Vec::new();
    let mut notifications = ear.notifications();
    let mut iter = notifications.timeout_iter(PATIENCE);
    while heard.last().is_none_or(|last| last["event"] != "backup.timed_out") {
        let notification = iter.next().unwrap().expect("another one");
        assert_eq!(notification.channel(), "walwarden");
        assert!(notification.payload().len() < 8000);
        heard.push(serde_json::from_str(notification.payload()).expect("JSON"));
    }
    let of = |job: &str| -> Vec<&Value> { heard.iter().filter(|one| one["job"] == job).collect() };
    let states: Vec<&str> = of(&job).iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["queued", "claimed", "running", "finalizing", "completed"]);
    for one in of(&job) {
        assert_eq!(one["event"], format!("backup.{}", one["state"].as_str().unwrap()));
        assert_eq!(
            (&one["kind"], &one["storage"], &one["database"]),
            (&Value::from("backup"), &Value::from("local"), &Value::from(APP))
        );
        assert!(one["at"].as_str().unwrap().ends_with('Z'));
    }
    let failure = of(&failed)[1];
    assert_eq!(
        (&failure["event"], &failure["error_class"]),
        (&"backup.failed".into(), &"storage_full".into())
    );
    let message = failure["error_message"].as_str().unwrap();
    assert!(message.starts_with("ü\"\\ \u{1}ü") && message.len() > 500, "{} bytes", message.len());
    // A full storage is an event of its own.
    let full = heard.iter().find(|one| one["event"] == "storage.nearly_full").unwrap();
    assert_eq!(full["message"], "storage \"local\" has no room left");
    let events: Vec<&Value> = heard.iter().map(|one| &one["event"]).collect();
    assert_eq!(events.last().unwrap(), &"backup.timed_out", "{events:?}");
}

/// Secrets stand in the credentials file, which must be private, and are seen nowhere else.
#[test]
fn secrets_come_from_a_private_file_and_are_never_shown() {
    const SECRET: &str = "canary-secret";
    let site = Site::local(builder());
    let hook = WebhookReceiver::start(Manner::Take);
    let file: PathBuf = site.cluster.folder().join("credentials");
    let url = hook.url();
    std::fs::write(
        &file,
        format!(
            "[signed]\nwebhook_url = {url}/canary-path?canary=canary-query\nwebhook_secret = {SECRET}\n\
             [chat]\nwebhook_url = {url}/canary-path\n[unsigned]\nwebhook_url = {url}/canary\n[bad]\nwebhook_url = canary\nwebhook_secret = {SECRET}\n"
        ),
    )
    .unwrap();
    site.cluster.give_to_server(&file);
    site.cluster.append_config(&format!("walwarden.credentials_file = '{}'", file.display()));
    site.cluster.reload();
    site.await_true("the setting", PATIENCE, "SELECT current_setting('walwarden.credentials_file') <> ''");
    let mode = |bits| std::fs::set_permissions(&file, PermissionsExt::from_mode(bits)).unwrap();
    let test = |name: &str| {
        let told = site.sql(&format!("SELECT ok, note FROM walwarden.send_test_notification('{name}')"));
        println!("{name}: {told}");
        assert!(!told.contains("canary"), "{told}");
        told
    };
    add_webhook(&site, "signed", "profile => 'signed', events => '{backup.completed}'");
    for format in ["slack", "discord", "teams"] {
        add_webhook(
            &site,
            format,
            &format!("format => '{format}', profile => 'chat', events => '{{backup.completed}}'"),
        );
    }
    for profile in ["unsigned", "bad", "missing"] {
        add_webhook(&site, profile, &format!("profile => '{profile}', events => '{{test}}'"));
    }
    for bits in [0o640, 0o604, 0o666] {
        mode(bits);
        let told = test("signed");
        assert!(told.starts_with("f|") && told.contains("open to its group or to others"), "{told}");
    }
    assert_eq!(hook.connections(), 0, "nothing was sent without the signature");
    // In the outbox too, until it is put right.
    let job = run_now(&site.cluster, APP, "");
    support::await_end(&site.cluster, APP, &job);
    site.await_true(
        "the attempts to fail",
        PATIENCE,
        "SELECT count(*) = 4 FROM walwarden.webhooks WHERE last_error LIKE '%open to its group%'",
    );
    mode(0o600);
    assert!(test("signed").starts_with("t|"));
    for (name, told) in
        [("unsigned", "has no webhook_secret"), ("bad", "is not a URL"), ("missing", "no such profile")]
    {
        assert!(test(name).contains(told), "{name}");
    }
    site.sql("UPDATE walwarden.notification SET next_attempt_at = now()");
    for name in ["signed", "slack", "discord", "teams"] {
        // Changed or not, a definition is tried again at once.
        site.sql(&format!("SELECT walwarden.alter_webhook('{name}')"));
        await_delivered(&site, name);
    }
    for taken in hook.taken() {
        let (format, body) = (taken.headers.get("walwarden-signature"), taken.json());
        if body.get("version").is_some() {
            assert!(openssl_agrees(&site, &taken, SECRET), "{taken:?}");
        } else {
            assert!(format.is_none(), "nobody there looks at it");
            assert!(
                ["blocks", "embeds", "attachments"].iter().any(|name| body.get(name).is_some()),
                "{body}"
            );
        }
    }
    assert_eq!(hook.taken().len(), 5);
    assert_eq!(
        site.sql("SELECT string_agg(name, ' ' ORDER BY name) FROM walwarden.webhooks WHERE signed"),
        "bad missing signed unsigned"
    );
    let shown = site.sql(
        "SELECT row_to_json(w) FROM walwarden.webhooks AS w; SELECT row_to_json(n) FROM walwarden.notification AS n; \
         SELECT body FROM walwarden.audit; SELECT row_to_json(p) FROM walwarden.webhook_pause AS p; \
         SELECT row_to_json(w) FROM walwarden.webhook AS w",
    );
    assert!(shown.contains("signed") && !shown.contains("canary"), "{shown}");
    assert!(!site.cluster.log().contains("canary"));
}

/// What docs/alerts.md says about checking a signature.
fn openssl_agrees(site: &Site, taken: &Taken, secret: &str) -> bool {
    let signature = &taken.headers["walwarden-signature"];
    let (time, hex) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).unwrap();
    let file = site.cluster.folder().join("signed");
    std::fs::write(&file, format!("{time}.{}", taken.body)).unwrap();
    let output = run(Command::new("openssl").args(["dgst", "-sha256", "-hmac", secret, "-r"]).arg(&file));
    String::from_utf8_lossy(&output.stdout).split_whitespace().next() == Some(hex)
}

/// Where a webhook may be is asked when it is defined and whenever it is sent to.
#[test]
fn only_the_internet_is_reached_unless_it_is_allowed() {
    let site = Site::local(Cluster::builder());
    let hook = WebhookReceiver::start(Manner::Take);
    let refused = |url: &str| {
        site.cluster
            .try_sql(APP, &format!("SELECT walwarden.add_webhook('hook', '{url}')"))
            .expect_err("it is refused")
    };
    for url in [
        hook.url(),
        "https://127.0.0.1/x".into(),
        "https://169.254.169.254/latest".into(),
        "https://[::ffff:169.254.169.254]/".into(),
        "https://2852039166/".into(),
        "http://example.com/".into(),
    ] {
        assert!(refused(&url).contains("walwarden.webhook_allow"), "{url}");
    }
    // A name is only known by its addresses when it is used.
    add_webhook(&site, "named", &format!("'https://localhost:{}/x'", hook.port()));
    let told = site.sql("SELECT ok, note FROM walwarden.send_test_notification('named')");
    assert!(told.starts_with("f|") && told.contains("loopback"), "{told}");
    assert_eq!(hook.connections(), 0);
    site.cluster.append_config("walwarden.webhook_allow = 'localhost'");
    site.cluster.reload();
    site.await_true("the setting", PATIENCE, "SELECT current_setting('walwarden.webhook_allow') <> ''");
    site.sql(&format!("SELECT walwarden.alter_webhook('named', 'http://localhost:{}/x')", hook.port()));
    let told = site.sql("SELECT ok, note FROM walwarden.send_test_notification('named')");
    assert!(told.starts_with("t|"), "{told}");
    assert_eq!(hook.events(), ["test"]);
}

/// A messenger that is killed while it sends: the server starts anew, and another one takes up what was left.
#[test]
fn a_killed_messenger_is_followed_by_another_one() {
    let mut site = Site::local(builder().preload_walwarden());
    let hook = WebhookReceiver::start(Manner::Hang);
    add_receiver(&site, "ops", &hook, "backup.failed");
    let job = fail_a_job(&site, "internal", "'boom'");
    wait_until("a request that nobody answers", PATIENCE, || (hook.hanging() > 0).then_some(()));
    let messenger = site.worker("messenger");
    site.cluster.kill9_process(&messenger);
    wait_until("the messenger to be gone", PATIENCE, || (!messenger.is_running()).then_some(()));
    hook.behave(Manner::Take);
    wait_until("the server to be back", PATIENCE, || site.cluster.try_sql(APP, "SELECT 1").ok());
    assert_eq!(
        site.sql("SELECT attempts FROM walwarden.notifications"),
        "1",
        "the attempt was written down before it began"
    );
    await_delivered(&site, "ops");
    assert_eq!(
        site.sql("SELECT attempts, job = '{}' FROM walwarden.notifications".replace("{}", &job).as_str()),
        "2|t"
    );
    assert_eq!(hook.events(), ["backup.failed"]);
    assert!(site.cluster.is_running());
}

/// What a tick sees: missed times, a chain that does not hold, a storage that is nearly full; each told once.
#[test]
fn a_tick_tells_what_nobody_asked() {
    let site = Site::local(builder().preload_walwarden());
    let hook = WebhookReceiver::start(Manner::Take);
    // On a disk that is nearly full as it is, that was told already.
    site.sql("INSERT INTO walwarden.storage_shortage VALUES ('local', now()) ON CONFLICT (storage) DO UPDATE SET told_at = now()");
    add_webhook(&site, "ops", &format!("'{}'", hook.url()));
    back_up(&site.cluster, APP, "");
    let wake = || site.sql("SELECT walwarden.schedule('noise', '0 0 1 1 *')");
    let minute =
        site.sql("SELECT extract(minute FROM now() AT TIME ZONE 'UTC' - interval '20 minutes')::int");
    site.sql(&format!("SELECT walwarden.schedule('hourly', '{minute} * * * *')"));
    site.sql("UPDATE walwarden.schedule SET checked_until = now() - interval '2 hours 50 minutes' WHERE name = 'hourly'");
    wake();
    let await_event = |event: &str| {
        wait_until(&format!("{event} to be told"), LONG, || {
            hook.taken().into_iter().find(|taken| taken.event() == event).map(|taken| taken.json())
        })
    };
    let missed = await_event("schedule.missed");
    assert_eq!((&missed["schedule"], &missed["details"]["count"]), (&"hourly".into(), &Value::from(3)));
    assert_eq!(hook.events(), ["schedule.missed"], "a completed backup wakes nobody");

    site.sql(
        "DELETE FROM walwarden.storage_shortage; UPDATE walwarden.backup_copy SET size_bytes = 9000000000000000000; \
         UPDATE walwarden.watch SET storages_at = '-infinity'",
    );
    wake();
    let full = await_event("storage.nearly_full");
    assert_eq!(full["details"]["storage"], "local");
    assert!(full["text"].as_str().unwrap().contains("less than the newest backup"), "{full}");
    // The chain is looked at once a day, and was looked at by the first tick.
    site.sql(
        "ALTER TABLE walwarden.audit DISABLE TRIGGER ALL; UPDATE walwarden.audit SET actor = 'nobody' WHERE seq = 2; \
         UPDATE walwarden.watch SET audit_at = '-infinity', storages_at = '-infinity'",
    );
    wake();
    let problem = await_event("audit.problem");
    assert_eq!((&problem["severity"], &problem["details"]["entry"]), (&"critical".into(), &Value::from(2)));
    // Full as before, and told once a day.
    assert_eq!(hook.events(), ["audit.problem", "schedule.missed", "storage.nearly_full"]);
    assert_each_once(&hook.taken());
    site.sql(
        "UPDATE walwarden.storage_shortage SET told_at = now() - interval '25 hours'; \
              UPDATE walwarden.watch SET storages_at = '-infinity'",
    );
    wake();
    wait_until("it to be told again", LONG, || (hook.taken().len() == 4).then_some(()));
}

/// Neither an endless outage nor years of use fill the outbox; webhooks hear of their schedules only.
#[test]
fn the_outbox_is_bounded_and_webhooks_choose() {
    let site = Site::local(builder());
    let hook = WebhookReceiver::start(Manner::Down);
    add_receiver(&site, "ops", &hook, "backup.*");
    site.sql("SELECT walwarden.schedule('nightly'); SELECT walwarden.schedule('weekly')");
    let url = hook.url();
    add_webhook(
        &site,
        "nightly",
        &format!("'{url}', events => '{{backup.completed,audit.problem}}', schedules => '{{nightly}}'"),
    );
    add_webhook(&site, "timeouts", &format!("'{url}', events => '{{backup.timed_out}}'"));
    add_webhook(&site, "failures", &format!("'{url}', events => '{{backup.failed}}'"));
    for arguments in ["", "'nightly'", "'weekly'"] {
        back_up(&site.cluster, APP, arguments);
    }
    site.sql("SELECT walwarden._alert('audit.problem', NULL, NULL, 'critical', 'a problem', '{}')");
    fail_a_job(&site, "timed_out", "'too slow'");
    fail_a_job(&site, "internal", "'boom'");
    let queued = |name: &str| {
        site.sql(&format!(
            "SELECT string_agg(event || coalesce(' ' || schedule, ''), ', ' ORDER BY seq) \
                           FROM walwarden.notification WHERE webhook = '{name}'"
        ))
    };
    assert_eq!(queued("nightly"), "backup.completed nightly, audit.problem");
    assert_eq!(queued("timeouts"), "backup.timed_out");
    assert_eq!(queued("failures"), "backup.timed_out, backup.failed");
    assert_eq!(queued("ops").matches("backup.").count(), 5);
    // Rolled back, nothing is told.
    site.sql("BEGIN; SELECT walwarden._alert('audit.problem', NULL, NULL, 'critical', 'no', '{}'); ROLLBACK");
    assert_eq!(site.sql("SELECT count(*) FROM walwarden.notification WHERE message = 'no'"), "0");

    site.await_rest(PATIENCE);
    site.sql(
        "INSERT INTO walwarden.notification (webhook, event, severity, message, detail, next_attempt_at) \
         SELECT 'ops', 'backup.failed', 'error', 'number ' || n, '{}', now() + interval '1 hour' FROM generate_series(1, 100000) AS n; \
         INSERT INTO walwarden.notification (webhook, event, severity, message, detail, queued_at, delivered_at) \
         SELECT 'ops', 'backup.failed', 'error', 'old', '{}', now() - interval '40 days', now() - make_interval(days => d) \
           FROM generate_series(29, 31) AS d",
    );
    let expected = site.sql("SELECT count(*) FROM walwarden.notification WHERE webhook = 'ops' AND message NOT LIKE 'number %' AND message <> 'old'");
    site.sql("SELECT walwarden.alter_webhook('timeouts')");
    site.await_true(
        "the oldest to be given up",
        PATIENCE,
        "SELECT count(*) > 0 FROM walwarden.notification WHERE last_error = '100000 newer notifications wait for this webhook'",
    );
    assert_eq!(
        site.sql(
            "SELECT count(*), bool_and(message NOT LIKE 'number %') FROM walwarden.notification \
                  WHERE last_error = '100000 newer notifications wait for this webhook'"
        ),
        format!("{expected}|t")
    );
    assert_eq!(site.sql("SELECT waiting FROM walwarden.webhooks WHERE name = 'ops'"), "100000");
    site.await_true(
        "what is old to be removed",
        PATIENCE,
        "SELECT count(*) = 1 FROM walwarden.notification WHERE message = 'old'",
    );
    // After three days it is given up, and that is recorded.
    site.sql("UPDATE walwarden.notification SET queued_at = now() - interval '3 days', next_attempt_at = now() WHERE webhook = 'timeouts'; \
              SELECT walwarden.alter_webhook('timeouts')");
    site.await_true(
        "it to be given up",
        PATIENCE,
        "SELECT given_up_at IS NOT NULL AND last_error LIKE '127.0.0.1:%' AND next_attempt_at IS NULL \
         FROM walwarden.notifications WHERE webhook = 'timeouts'",
    );
}

/// An entry that is appended while the chain is checked is none that is missing: no false alarm.
#[test]
fn a_chain_that_grows_while_it_is_checked_holds() {
    let site = Site::local(Cluster::builder());
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            let mut client = site.cluster.client(APP);
            for _ in 0..3000 {
                client
                    .execute("SELECT walwarden._append_audit('schedule.altered', NULL, '{}')", &[])
                    .unwrap();
            }
        });
        let mut client = site.cluster.client(APP);
        let mut checks = 0;
        while !appending.is_finished() || checks == 0 {
            let problems = client
                .query("SELECT seq, message FROM walwarden.verify_audit_chain() WHERE NOT ok", &[])
                .unwrap();
            assert!(
                problems.is_empty(),
                "{:?}",
                problems.iter().map(|row| row.get::<_, String>(1)).collect::<Vec<_>>()
            );
            checks += 1;
        }
        println!("{checks} checks meanwhile");
    });
}
