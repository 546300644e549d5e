//! What monitoring systems and people see: the metrics, read by a real Prometheus as every file in monitoring/ says; the check; the
//! lines of the log; the help.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::released::install_previous;
use support::site::{APP, Hold, PATIENCE, Site};
use support::{await_end, back_up, run, run_now, text};
use walwarden_testkit::{Cluster, HttpProgram, StopMode, monitoring_program, serve_page, wait_until};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A file in YAML, by somebody else's parser.
fn yaml(name: &str) -> Value {
    let program = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output = run(Command::new("python3").args(["-c", program]).arg(file(name)));
    assert!(output.status.success(), "{name}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn promtool(arguments: &[&str]) -> Output {
    run(Command::new(monitoring_program("promtool")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")))
}

/// The value of the one sample with this name and at least these labels; None when there is none.
fn metric(site: &Site, name: &str, labels: &str) -> Option<f64> {
    let found = site.sql(&format!(
        "SELECT value FROM walwarden.metrics WHERE name = 'walwarden_{name}' AND labels @> '{labels}'"
    ));
    assert!(found.lines().count() < 2, "{name} {labels}: {found}");
    found.parse().ok()
}

fn await_metric(site: &Site, name: &str, labels: &str, value: f64) {
    wait_until(&format!("{name} {labels} to be {value}"), PATIENCE, || {
        (metric(site, name, labels) == Some(value)).then_some(())
    });
}

/// A storage with a file where its folder was, and a schedule that backs up there.
fn break_a_schedule(site: &Site) -> String {
    let folder = site.cluster.new_server_folder("gone");
    site.sql(&format!(
        "SELECT walwarden.add_storage('gone', 'file://{}'); SELECT walwarden.schedule('broken', storage => 'gone')",
        folder.display()
    ));
    std::fs::remove_dir(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
    let job = run_now(&site.cluster, APP, "'broken'");
    let row = await_end(&site.cluster, APP, &job);
    assert_eq!(row["state"], "failed", "{row:#}");
    job
}

/// A schedule with a target and one of everything that succeeds.
fn work_a_while(site: &Site) -> String {
    site.sql("SELECT walwarden.schedule('nightly', '0 2 * * *', rpo => '26 hours')");
    let backup = text(&back_up(&site.cluster, APP, "'nightly'"), "id").to_owned();
    for call in [format!("verify('{backup}')"), "restore_test('nightly')".to_owned()] {
        let job = site.sql(&format!("SELECT walwarden.{call}"));
        let row = await_end(&site.cluster, APP, &job);
        assert_eq!(row["state"], "completed", "{row:#}");
    }
    backup
}

#[test]
fn metrics_say_what_happened() {
    let mut site = Site::local(Cluster::builder().preload_walwarden());
    assert_eq!(metric(&site, "loss_window_seconds", "{}"), None, "no backup, no age");
    assert_eq!(metric(&site, "scheduler_status", r#"{"state": "running"}"#), Some(1.0));
    let backup = work_a_while(&site);
    let row = site.job(&backup);
    let size = row["size_bytes"].as_f64().unwrap();
    assert_eq!(metric(&site, "last_backup_size_bytes", r#"{"database": "app"}"#), Some(size));
    assert_eq!(metric(&site, "schedule_last_backup_size_bytes", r#"{"schedule": "nightly"}"#), Some(size));
    assert_eq!(metric(&site, "storage_size_bytes", r#"{"storage": "local"}"#), Some(size));
    assert_eq!(metric(&site, "storage_copies", r#"{"storage": "local"}"#), Some(1.0));
    assert_eq!(metric(&site, "schedule_rpo_seconds", r#"{"schedule": "nightly"}"#), Some(93600.0));
    assert_eq!(metric(&site, "schedule_rpo_met", r#"{"schedule": "nightly"}"#), Some(1.0));
    for kind in ["backup", "verify", "restore_test"] {
        let labels = format!(r#"{{"kind": "{kind}", "state": "completed"}}"#);
        assert_eq!(metric(&site, "jobs_total", &labels), Some(1.0), "{kind}");
        let labels = format!(r#"{{"kind": "{kind}"}}"#);
        assert_eq!(metric(&site, "job_last_succeeded", &labels), Some(1.0), "{kind}");
    }
    // The daily look at the audit chain comes with the first tick.
    await_metric(&site, "audit_problems", "{}", 0.0);

    // Failures count, and stop counting with the next success.
    break_a_schedule(&site);
    let broken = r#"{"schedule": "broken", "kind": "backup"}"#;
    assert_eq!(metric(&site, "schedule_job_failures_in_a_row", broken), Some(1.0));
    assert_eq!(metric(&site, "schedule_job_last_succeeded", broken), Some(0.0));
    assert_eq!(metric(&site, "job_failures_in_a_row", r#"{"kind": "backup"}"#), Some(1.0));
    assert_eq!(metric(&site, "jobs_total", r#"{"kind": "backup", "state": "failed"}"#), Some(1.0));
    assert_eq!(metric(&site, "storage_reachable", r#"{"storage": "gone"}"#), Some(0.0));
    assert_eq!(metric(&site, "storage_reachable", r#"{"storage": "local"}"#), Some(1.0));
    back_up(&site.cluster, APP, "");
    assert_eq!(metric(&site, "job_failures_in_a_row", r#"{"kind": "backup"}"#), Some(0.0));
    assert_eq!(metric(&site, "schedule_job_failures_in_a_row", broken), Some(1.0));

    // A copy that is not made, and one that is damaged.
    site.sql("SELECT walwarden.schedule('both', storages => '{local,gone}')");
    let partial = run_now(&site.cluster, APP, "'both'");
    assert_eq!(await_end(&site.cluster, APP, &partial)["state"], "partial");
    assert_eq!(metric(&site, "storage_copies_missing", r#"{"storage": "gone"}"#), Some(1.0));
    assert_eq!(metric(&site, "storage_reachable", r#"{"storage": "gone"}"#), Some(0.0));
    assert_eq!(metric(&site, "storage_copies_damaged", r#"{"storage": "local"}"#), Some(0.0));
    let archive = site.cluster.data_dir().join("pg_walwarden/backups").join(text(&row, "object_key"));
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let verification = site.sql(&format!("SELECT walwarden.verify('{backup}')"));
    assert_eq!(await_end(&site.cluster, APP, &verification)["error_class"], "storage_corrupt");
    assert_eq!(metric(&site, "storage_copies_damaged", r#"{"storage": "local"}"#), Some(1.0));
    assert_eq!(metric(&site, "schedule_loss_window_seconds", r#"{"schedule": "nightly"}"#), None);

    // What a changed entry is worth, when the look comes again.
    site.sql(
        "ALTER TABLE walwarden.audit DISABLE TRIGGER ALL; UPDATE walwarden.audit SET actor = 'nobody' WHERE seq = 3; \
         ALTER TABLE walwarden.audit ENABLE TRIGGER ALL; UPDATE walwarden.watch SET audit_at = '-infinity'",
    );
    site.wake();
    wait_until("the look at the audit chain", PATIENCE, || {
        metric(&site, "audit_problems", "{}").filter(|problems| *problems >= 1.0)
    });

    // While a backup runs, and another one waits for its turn.
    let held = site.hold(Hold::LockWait);
    let next = run_now(&site.cluster, APP, "");
    await_metric(&site, "jobs_unfinished", r#"{"kind": "backup", "state": "running"}"#, 1.0);
    await_metric(&site, "waiting_jobs", r#"{"reason": "turn"}"#, 1.0);
    assert_eq!(metric(&site, "job_running_progress_ratio", r#"{"kind": "backup"}"#), Some(0.0));
    assert!(metric(&site, "job_running_seconds", r#"{"kind": "backup"}"#).unwrap() > 0.0);
    assert!(metric(&site, "oldest_queued_job_age_seconds", "{}").unwrap() > 0.0);
    await_end(&site.cluster, APP, &held.let_go(&site));
    await_end(&site.cluster, APP, &next);
    assert_eq!(metric(&site, "job_running_seconds", r#"{"kind": "backup"}"#), None);

    // By now there is one of each, but for what only a running job has; whoever monitors sees them all.
    site.sql("SELECT walwarden.add_webhook('ops', 'https://hooks.example.com/', events => '{test}'); CREATE ROLE watcher IN ROLE pg_monitor");
    let as_watcher = "SET SESSION AUTHORIZATION watcher;";
    let missing = site.sql(
        "SELECT name FROM walwarden._metric WHERE name NOT LIKE 'walwarden\\_job\\_running\\_%' \
            AND name NOT IN (SELECT name FROM walwarden.metrics)",
    );
    assert_eq!(missing, "");
    let wrong = site.sql(&format!(
        "{as_watcher} SELECT name, labels, type FROM walwarden.metrics \
          WHERE name !~ '^walwarden_[a-z_]+$' OR (name LIKE '%\\_total') <> (type = 'counter') OR type NOT IN ('gauge', 'counter') \
             OR type IS NULL OR help IS NULL OR value IS NULL OR labels ->> 'database' <> 'app' \
             OR EXISTS (SELECT FROM jsonb_each(labels) AS l WHERE jsonb_typeof(l.value) <> 'string') \
         UNION ALL SELECT name, labels, 'twice' FROM walwarden.metrics GROUP BY name, labels HAVING count(*) > 1"
    ));
    assert_eq!(wrong, "");

    // A standby, where nothing is ever written, and a copy.
    site.cluster.stop(StopMode::Fast);
    let signal = site.cluster.data_dir().join("standby.signal");
    std::fs::write(&signal, "").unwrap();
    site.cluster.give_to_server(&signal);
    site.cluster.start();
    assert_eq!(metric(&site, "scheduler_status", r#"{"state": "standby"}"#), Some(1.0));
    assert!(metric(&site, "loss_window_seconds", "{}").unwrap() > 0.0);
    let check = site.sql(&format!("{as_watcher} SELECT status, message FROM walwarden.check()"));
    assert!(check.starts_with("CRITICAL|") && !check.contains("do not fire"), "{check}");
    std::fs::remove_file(&signal).unwrap();
    site.cluster.restart();
    site.cluster.sql("postgres", &format!("CREATE DATABASE copy TEMPLATE {APP}"));
    let suspended = "SELECT labels ->> 'database', value FROM walwarden.metrics WHERE labels @> '{\"state\": \"suspended\"}'";
    assert_eq!(site.cluster.sql("copy", suspended), "copy|1");
}

/// This library leaves alone what the objects of the release before do not have, and an update counts the jobs there were.
#[test]
fn an_update_brings_the_numbers() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    site.sql("DROP EXTENSION walwarden");
    install_previous(&site.cluster, APP);
    let failed = break_a_schedule(&site);
    back_up(&site.cluster, APP, "");
    site.await_true(
        "the look at the audit chain",
        PATIENCE,
        "SELECT audit_at > '-infinity' FROM walwarden.watch",
    );
    site.wake();
    site.await_rest(PATIENCE);
    assert!(!site.cluster.log().contains("walwarden: rounds"), "{}", site.cluster.log());
    assert_eq!(fields(&lines_about(&site, &failed)[0]).1["kind"], "backup");
    site.sql("ALTER EXTENSION walwarden UPDATE");
    for (state, jobs) in [("completed", 1.0), ("failed", 1.0), ("canceled", 0.0)] {
        let labels = format!(r#"{{"kind": "backup", "state": "{state}"}}"#);
        assert_eq!(metric(&site, "jobs_total", &labels), Some(jobs), "{state}");
    }
    site.sql("UPDATE walwarden.watch SET audit_at = '-infinity'");
    site.wake();
    await_metric(&site, "audit_problems", "{}", 0.0);
}

/// Everything in monitoring/ that reads metrics has all of them, and nothing else.
#[test]
fn query_files_have_every_metric() {
    let site = Site::local(Cluster::builder());
    let types: BTreeMap<String, String> = site
        .sql("SELECT name, type FROM walwarden._metric")
        .lines()
        .map(|line| line.split_once('|').map(|(name, kind)| (name.to_owned(), kind.to_owned())).unwrap())
        .collect();
    assert!(types.len() > 50);

    let mut seen = BTreeMap::new();
    for (namespace, query) in yaml("monitoring/postgres_exporter.yaml").as_object().unwrap() {
        let columns: BTreeSet<String> = columns(&site, query["query"].as_str().unwrap());
        let mut named = BTreeSet::new();
        for metric in query["metrics"].as_array().unwrap() {
            let (column, how) = metric.as_object().unwrap().iter().next().unwrap();
            named.insert(column.clone());
            if how["usage"] != "LABEL" {
                let kind = how["usage"].as_str().unwrap().to_lowercase();
                seen.insert(format!("{namespace}_{column}"), kind);
            }
        }
        assert_eq!(columns, named, "{namespace}");
    }
    assert_eq!(seen, types, "postgres_exporter.yaml");

    let collector = yaml("monitoring/sql_exporter.collector.yaml");
    let queries = collector["queries"].as_array().unwrap();
    assert_eq!(queries.len(), 1);
    let columns = columns(&site, queries[0]["query"].as_str().unwrap());
    let mut seen = BTreeMap::new();
    for metric in collector["metrics"].as_array().unwrap() {
        assert_eq!(metric["query_ref"], queries[0]["query_name"]);
        let named = ["key_labels", "values"].map(|list| metric[list].as_array().unwrap().clone());
        assert_eq!(named[1].len(), 1, "{metric}");
        for column in named.iter().flatten() {
            assert!(columns.contains(column.as_str().unwrap()), "{metric}");
        }
        let name = metric["metric_name"].as_str().unwrap().to_owned();
        assert_eq!(format!("walwarden_{}", named[1][0].as_str().unwrap()), name);
        seen.insert(name, metric["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, types, "sql_exporter.collector.yaml");

    // Dashboard, rules and documentation name none that does not exist.
    for name in ["monitoring/grafana-dashboard.json", "monitoring/alerts.yaml", "docs/monitoring.md"] {
        let text = std::fs::read_to_string(file(name)).unwrap();
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let is_metric = word.starts_with("walwarden_") && !word.ends_with('_');
            assert!(!is_metric || types.contains_key(word), "{name}: {word}");
        }
    }
    let documented = std::fs::read_to_string(file("docs/monitoring.md")).unwrap();
    for name in types.keys() {
        assert!(documented.contains(&format!("`{name}`")), "docs/monitoring.md lacks {name}");
    }
}

fn columns(site: &Site, query: &str) -> BTreeSet<String> {
    let mut client = site.cluster.client(APP);
    client.prepare(query).unwrap().columns().iter().map(|column| column.name().to_owned()).collect()
}

/// Each alert fires when it must and not otherwise: `promtool` reads two days for each.
#[test]
fn alert_rules_do_what_they_say() {
    let checked = promtool(&["check", "rules", "--lint-fatal", "monitoring/alerts.yaml"]);
    assert!(checked.status.success(), "{checked:?}");
    let tested = promtool(&["test", "rules", "tests/monitoring/alerts.test.yaml"]);
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
    let cases = std::fs::read_to_string(file("tests/monitoring/alerts.test.yaml")).unwrap();
    for rule in yaml("monitoring/alerts.yaml")["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert!(cases.contains(&format!("ALERTS{{alertname=\"{name}\"")), "{name} is not tested");
        for annotation in ["summary", "description"] {
            assert!(rule["annotations"][annotation].is_string(), "{name} has no {annotation}");
        }
    }
}

/// The rows of an answer of Prometheus.
fn rows(answer: &str) -> Vec<Value> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    assert_eq!(answer["status"], "success", "{answer}");
    answer["data"]["result"].as_array().unwrap().clone()
}

/// Every expression of the dashboard, as Grafana asks with all chosen.
fn expressions(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            if let Some(expression) = object.get("expr").and_then(Value::as_str) {
                into.insert(expression.replace("$database", ".*").replace("$instance", ".*"));
            }
            object.values().for_each(|value| expressions(value, into));
        }
        Value::Array(array) => array.iter().for_each(|value| expressions(value, into)),
        _ => {}
    }
}

/// A real Prometheus scrapes a real exporter and both text formats, evaluates the alert rules, and has an answer to every expression
/// of the dashboard.
#[test]
fn prometheus_reads_it_and_the_dashboard_shows_something() {
    let site =
        Site::local(Cluster::builder().preload_walwarden().tcp().config("walwarden.lock_timeout = '10min'"));
    work_a_while(&site);
    let odd = r#"a"b\c|d"#;
    site.sql(&format!(
        "CREATE ROLE exporter LOGIN IN ROLE pg_monitor; SELECT walwarden.schedule('{odd}', rpo => '1 year'); \
         SELECT walwarden.add_webhook('ops', 'https://hooks.example.com/', events => '{{test}}')"
    ));
    break_a_schedule(&site);
    await_metric(&site, "audit_problems", "{}", 0.0);
    let page = site.sql("SELECT walwarden.metrics_text()") + "\n";
    let open_page = site.sql("SELECT walwarden.metrics_text(open_metrics => true)") + "\n";
    assert!(open_page.ends_with("\n# EOF\n") && !page.contains("# EOF"), "{open_page}");
    let text_format = serve_page("text/plain; version=0.0.4; charset=utf-8", &page);
    let open_metrics = serve_page("application/openmetrics-text; version=1.0.0; charset=utf-8", &open_page);
    // Names of databases may have everything in them.
    let odder = "a \"line\\\nand another|";
    site.add_database(odder);
    let odd_page = site.cluster.sql(odder, "SELECT walwarden.metrics_text()") + "\n";
    let odd_format = serve_page("text/plain; version=0.0.4; charset=utf-8", &odd_page);
    let exporter = HttpProgram::postgres_exporter(
        &file("monitoring/postgres_exporter.yaml"),
        &format!("host=127.0.0.1 port={} user=exporter dbname={APP} sslmode=disable", site.cluster.port()),
    );
    let prometheus = HttpProgram::prometheus(
        &[
            ("exporter", exporter.address()),
            ("text", text_format),
            ("open", open_metrics),
            ("odd", odd_format),
        ],
        &file("monitoring/alerts.yaml"),
    );
    wait_until("four targets to be scraped", PATIENCE, || {
        (rows(&prometheus.query("walwarden_version_info")).len() == 4).then_some(())
    });
    assert_eq!(
        rows(&prometheus.query("walwarden_version_info{job=\"odd\"}"))[0]["metric"]["database"],
        odder
    );
    assert!(!exporter.log().contains("Error running query"), "{}", exporter.log());

    // All three tell the same; a page can leave out what has no value.
    let names = site.sql("SELECT DISTINCT name FROM walwarden.metrics");
    for name in names.lines() {
        for job in ["exporter", "text", "open"] {
            let found = rows(&prometheus.query(&format!("{name}{{job=\"{job}\"}}")));
            assert!(!found.is_empty(), "{name} of {job}");
            assert!(
                job == "exporter" || found.iter().all(|row| row["value"][1] != "NaN"),
                "{name}: {found:?}"
            );
        }
    }
    let met = rows(&prometheus.query("walwarden_schedule_rpo_met{schedule!=\"nightly\"} == 1"));
    let labels: BTreeSet<&str> = met.iter().map(|row| row["metric"]["schedule"].as_str().unwrap()).collect();
    assert_eq!(labels, BTreeSet::from([odd]), "{met:?}");

    // Something happens while Prometheus looks.
    back_up(&site.cluster, APP, "");
    let held = site.hold(Hold::LockWait);
    let dashboard = std::fs::read_to_string(file("monitoring/grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut wanted = BTreeSet::new();
    expressions(&dashboard, &mut wanted);
    assert!(wanted.len() > 30, "{wanted:#?}");
    let mut last_empty = BTreeSet::new();
    wait_until("an answer to every expression", PATIENCE, || {
        last_empty = wanted.iter().filter(|one| rows(&prometheus.query(one)).is_empty()).cloned().collect();
        println!("empty: {last_empty:#?}");
        last_empty.is_empty().then_some(())
    });
    let failing = "ALERTS{alertname=\"WalwardenBackupFailing\", job=\"exporter\", schedule=\"broken\", alertstate=\"firing\"}";
    assert_eq!(rows(&prometheus.query(failing)).len(), 1);

    // The rules are evaluated without trouble, and their texts with what they are about.
    let told = prometheus.get("/api/v1/rules");
    let rules: Value = serde_json::from_str(&told).unwrap();
    for rule in rules["data"]["groups"][0]["rules"].as_array().unwrap() {
        assert_eq!((&rule["health"], &rule["lastError"]), (&"ok".into(), &Value::Null), "{rule:#}");
    }
    let alerts = prometheus.get("/api/v1/alerts");
    assert!(alerts.contains("Backups of schedule broken of database app fail (1 in a row)."), "{alerts}");
    assert!(!alerts.contains("<no value>") && !alerts.contains("error expanding"), "{alerts}");
    let job = held.let_go(&site);
    await_end(&site.cluster, APP, &job);

    // The layout: no two panels have the same place or number.
    let panels = dashboard["panels"].as_array().unwrap();
    let mut cells = BTreeSet::new();
    for panel in panels {
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(x < 24 && cells.insert((x, y)), "{}", panel["title"]);
            }
        }
    }
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    // A parser that was written for nothing else.
    let mut checker = Command::new(monitoring_program("promtool"));
    checker.args(["check", "metrics"]);
    let checked = with_stdin(&mut checker, &page);
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    let refused =
        with_stdin(Command::new(monitoring_program("promtool")).args(["check", "metrics"]), "a{b=\"c} 1\n");
    assert!(!refused.status.success(), "the checker checks");
}

fn with_stdin(command: &mut Command, input: &str) -> Output {
    use std::io::Write as _;
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What the check says in SQL, and what the script for Nagios says and exits with.
fn check(site: &Site, arguments: &[&str], sql: &str) -> (i32, String) {
    let row = site.sql(&format!("SELECT code, status, message, perfdata FROM walwarden.check({sql})"));
    let mut cells = row.splitn(4, '|');
    let code: i32 = cells.next().unwrap().parse().unwrap();
    let (status, message) = (cells.next().unwrap(), cells.next().unwrap());
    let output = script(site, arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.starts_with(&format!("WALWARDEN {status}: ")), "{said}");
    assert_eq!((said.lines().count(), said.matches('|').count()), (1, 1), "{said}");
    (code, message.to_owned())
}

fn script(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new("sh");
    command
        .arg(file("monitoring/check_walwarden"))
        .arg("-p")
        .arg(site.cluster.installation().program("psql"));
    command.args(arguments);
    command.arg(format!(
        "host={} port={} user=monitor dbname={APP}",
        site.cluster.folder().display(),
        site.cluster.port()
    ));
    run(&mut command)
}

#[test]
fn the_check_has_every_status() {
    let mut site = Site::local(Cluster::builder().preload_walwarden());
    site.sql("CREATE ROLE monitor LOGIN IN ROLE pg_monitor");
    assert_eq!(check(&site, &[], ""), (2, "there is no good backup".to_owned()));
    site.sql("SELECT walwarden.schedule('nightly', '0 2 * * *', rpo => '26 hours')");
    assert_eq!(check(&site, &[], "").0, 1, "within the target, counted from when the schedule was made");
    work_a_while(&site);
    let (code, message) = check(&site, &[], "");
    assert_eq!(code, 0, "{message}");
    assert!(message.starts_with("the newest good backup holds what was there 00:"), "{message}");
    assert_eq!(check(&site, &["-s", "nightly"], "schedule => 'nightly'").0, 0);
    assert_eq!(
        check(&site, &["-v", "1 day", "-r", "1 day"], "verify_age => '1 day', restore_test_age => '1 day'").0,
        0
    );

    let (code, message) = check(&site, &["-w", "1 microsecond"], "warning => '1 microsecond'");
    assert_eq!(code, 1, "{message}");
    let (code, message) =
        check(&site, &["-w", "0", "-c", "1 microsecond"], "warning => '0', critical => '1 microsecond'");
    assert_eq!(code, 2, "{message}");
    assert!(message.starts_with("what would be lost is 00:"), "{message}");
    let (code, message) = check(&site, &["-v", "1 microsecond"], "verify_age => '1 microsecond'");
    assert_eq!((code, &*message), (1, "no verification has succeeded for 00:00:00.000001"));
    let missed =
        "UPDATE walwarden.schedule SET definition = definition || '{\"rpo\": 0}' WHERE name = 'nightly'";
    site.sql(missed);
    let (code, message) = check(&site, &[], "");
    assert!(
        code == 2 && message.contains("schedule \"nightly\": its loss window is above its rpo"),
        "{message}"
    );
    site.sql("SELECT walwarden.pause('nightly')");
    assert_eq!(check(&site, &[], "").0, 0, "a paused schedule has no target");
    site.sql("SELECT walwarden.schedule('nightly', '0 2 * * *', rpo => '26 hours'); SELECT walwarden.resume('nightly')");

    break_a_schedule(&site);
    let (code, message) = check(&site, &[], "");
    assert_eq!(code, 1, "{message}");
    for part in [
        "the latest job of kind backup failed",
        "schedule \"broken\": the latest job of kind backup failed",
        "storage \"gone\" cannot be used",
    ] {
        assert!(message.contains(part), "{message}");
    }
    site.cluster.append_config("walwarden.enabled = off");
    site.cluster.reload();
    wait_until("the scheduler to be off", PATIENCE, || {
        check(&site, &[], "").1.contains("schedules do not fire: off").then_some(())
    });

    // UNKNOWN: what is asked makes no sense, or nobody answers.
    let (code, message) = check(&site, &["-s", "no|such"], "schedule => 'no such'");
    assert_eq!((code, &*message), (3, "there is no schedule \"no such\""));
    assert_eq!(
        check(&site, &["-w", "2 days", "-c", "1 day"], "warning => '2 days', critical => '1 day'").0,
        3
    );
    for arguments in [&["-w", "soon"][..], &["-t", "x"], &["-q"], &["-s", "'; SELECT 1 --"]] {
        let output = script(&site, arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(output.stdout.starts_with(b"WALWARDEN UNKNOWN: "), "{output:?}");
    }
    site.cluster.stop(StopMode::Fast);
    let output = script(&site, &[]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

/// The lines of the server's log that have a job's id.
fn lines_about(site: &Site, job: &str) -> Vec<String> {
    let log = site.cluster.log();
    let lines: Vec<String> = log
        .lines()
        .filter(|line| line.contains(job) && line.contains("LOG:  "))
        .map(|line| line.split_once("LOG:  ").unwrap().1.to_owned())
        .collect();
    for line in &lines {
        assert!(line.starts_with(&format!("walwarden: job {job}")), "{line}");
    }
    lines
}

/// The text before the brackets, and the fields in them.
fn fields(line: &str) -> (&str, BTreeMap<String, String>) {
    let (told, fields) = line.rsplit_once(" [").unwrap_or_else(|| panic!("no fields: {line}"));
    let fields = fields.trim_end_matches(']').split(' ');
    (
        told,
        fields
            .map(|field| field.split_once('=').unwrap())
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect(),
    )
}

#[test]
fn the_log_has_a_line_for_each_job_that_ends() {
    let mut site = Site::local(Cluster::builder().preload_walwarden());
    let backup = work_a_while(&site);
    let row = site.job(&backup);
    let lines = lines_about(&site, &backup);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (told, of) = fields(&lines[0]);
    assert_eq!(told, format!("walwarden: job {backup} completed"));
    assert_eq!(of["kind"], "backup");
    assert_eq!(of["schedule"], "\"nightly\"");
    assert_eq!(of["attempt"], "1");
    assert_eq!(of["size_bytes"], row["size_bytes"].to_string());
    assert!(of["duration_seconds"].parse::<f64>().unwrap() > 0.0, "{of:?}");
    assert!(!of.contains_key("class"));
    for kind in ["verify", "restore_test"] {
        let job = site.sql(&format!("SELECT id FROM walwarden.jobs WHERE kind = '{kind}'"));
        assert_eq!(fields(lines_about(&site, &job).last().unwrap()).1["kind"], kind);
    }

    let failed = break_a_schedule(&site);
    let lines = lines_about(&site, &failed);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (told, of) = fields(&lines[0]);
    assert!(told.starts_with(&format!("walwarden: job {failed} failed: ")), "{told}");
    assert_eq!(of["class"], text(&site.job(&failed), "error_class"));
    assert_eq!((&*of["kind"], &*of["schedule"]), ("backup", "\"broken\""));

    let held = site.hold(Hold::LockWait);
    site.sql(&format!("SELECT walwarden.cancel('{}')", held.job));
    let canceled = held.let_go(&site);
    await_end(&site.cluster, APP, &canceled);
    let line = wait_until("the line of a canceled job", PATIENCE, || lines_about(&site, &canceled).pop());
    assert!(line.starts_with(&format!("walwarden: job {canceled} canceled: ")), "{line}");

    // Nobody is left to say it but the next tick.
    let lost = site.hold(Hold::LockWait).job;
    site.cluster.kill9();
    site.cluster.start();
    site.await_state(&lost, "failed", PATIENCE);
    let line = wait_until("the line of a lost job", PATIENCE, || {
        lines_about(&site, &lost).into_iter().find(|line| line.contains(" failed: "))
    });
    assert_eq!(fields(&line).1["class"], "lost", "{line}");
}

/// Every public function and view is in the help, and every example can be run.
#[test]
fn help_has_everything_and_its_examples_are_statements() {
    let site = Site::local(Cluster::builder().preload_walwarden());
    work_a_while(&site);
    let examples = site.sql(r"SELECT replace(call, E'\n', ' ') FROM walwarden.help()");
    let public = site.sql(
        "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'walwarden'::regnamespace AND left(proname, 1) <> '_' \
         UNION SELECT relname FROM pg_class WHERE relnamespace = 'walwarden'::regnamespace AND relkind = 'v' AND left(relname, 1) <> '_'",
    );
    assert!(public.lines().count() > 50, "{public}");
    for name in public.lines() {
        let is_named = examples.match_indices(&format!("walwarden.{name}")).any(|(at, found)| {
            !examples[at + found.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        });
        assert!(is_named, "walwarden.{name} is not in the help");
    }
    let overloads = site.sql("SELECT count(*) FROM pg_proc WHERE pronamespace = 'walwarden'::regnamespace AND left(proname, 1) <> '_'");
    assert!(examples.lines().count() > overloads.parse().unwrap());
    site.sql("CREATE TABLE users (id integer, name text)");
    for example in examples.lines() {
        // A body of SQL is analyzed as it would be run: names, types and arguments.
        let kind = if example.starts_with("CALL") { "PROCEDURE" } else { "FUNCTION" };
        let returns = if example.starts_with("CALL") { "" } else { "RETURNS void" };
        site.sql(&format!(
            "CREATE {kind} pg_temp.example() {returns} LANGUAGE sql AS $example$ {example} $example$"
        ));
    }
    let about =
        |topic: &str| site.sql(&format!("SELECT DISTINCT task FROM walwarden.help('{topic}') ORDER BY 1"));
    assert_eq!(about("ROTATE"), "keys");
    assert_eq!(about("retention"), "retention");
    assert_eq!(about("no such topic"), "");
    // As psql shows it, with a space before and behind each column and a line between two.
    let widths = site.sql(
        "SELECT max(length(task)) + max(length(w)) + max(length(c)) + 8 FROM walwarden.help(), \
         regexp_split_to_table(what, '\n') AS w, regexp_split_to_table(call, '\n') AS c",
    );
    assert!(widths.parse::<usize>().unwrap() <= 120, "{widths}");
}
