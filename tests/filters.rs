//! Backups of a part of a database: what patterns select is what stock `pg_dump` selects with the same switches, nothing
//! else is locked, and whoever looks at such a backup, or restores it, is told.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use support::restores::{completes, restore};
use support::site::{APP, PATIENCE, Site};
use support::{LocalBackup, await_end, back_up, number, run_now, text};
use walwarden_testkit::{Archive, Cluster, normalized_dump, wait_until};

/// Names that patterns must tell apart, and everything that hangs on tables.
const WORLD: &str = r#"
    SET client_min_messages = warning;
    SET client_encoding = 'UTF8';
    CREATE EXTENSION citext;
    CREATE SCHEMA fixture;
    CREATE EXTENSION walwarden_fixture SCHEMA fixture;
    INSERT INTO fixture.fixture_setting VALUES ('a', 'b');
    CREATE TABLE users (id serial PRIMARY KEY, name citext);
    INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 100) n;
    CREATE TABLE "Users" (id int); INSERT INTO "Users" VALUES (1), (2);
    CREATE TABLE users_log (id bigserial, user_id int REFERENCES users, what text);
    INSERT INTO users_log (user_id, what) SELECT n, 'did' FROM generate_series(1, 50) n;
    CREATE TABLE usersxlog (id int); INSERT INTO usersxlog VALUES (7);
    CREATE TABLE "us.ers" (id int); INSERT INTO "us.ers" VALUES (8);
    CREATE TABLE "a""quote" (id int); INSERT INTO "a""quote" VALUES (9);
    CREATE TABLE "cash$flow" (id int); INSERT INTO "cash$flow" VALUES (10);
    CREATE TABLE "log(old)" (id int); INSERT INTO "log(old)" VALUES (11);
    CREATE TABLE "Straße 表 🐘" (id int); INSERT INTO "Straße 表 🐘" VALUES (12);
    CREATE TABLE "-T users" (id int); INSERT INTO "-T users" VALUES (13);
    CREATE UNLOGGED TABLE scratch (id int); INSERT INTO scratch VALUES (14);
    CREATE VIEW user_names AS SELECT name FROM users;
    CREATE MATERIALIZED VIEW user_count AS SELECT count(*) FROM users;
    CREATE SEQUENCE ticket; SELECT setval('ticket', 42);
    CREATE TABLE event (at date, what text) PARTITION BY RANGE (at);
    CREATE TABLE event_2024 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE event_2025 PARTITION OF event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (what);
    CREATE TABLE event_2025_a PARTITION OF event_2025 FOR VALUES IN ('a');
    CREATE TABLE event_2025_rest PARTITION OF event_2025 DEFAULT;
    CREATE INDEX ON event (at);
    INSERT INTO event SELECT '2024-06-01'::date + n, CASE WHEN n % 2 = 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 500) n;
    CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);
    CREATE TABLE child (more text) INHERITS (parent); INSERT INTO child VALUES (2, 'x');
    CREATE SCHEMA sales;
    CREATE TABLE sales.users (id int); INSERT INTO sales.users VALUES (1), (2), (3);
    CREATE TABLE sales.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id int REFERENCES public.users);
    INSERT INTO sales.orders (user_id) SELECT n FROM generate_series(1, 30) n;
    CREATE FUNCTION sales.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE SCHEMA "Sales"; CREATE TABLE "Sales".orders (id int); INSERT INTO "Sales".orders VALUES (1);
    CREATE SCHEMA sales_old; CREATE TABLE sales_old.orders (id int); INSERT INTO sales_old.orders VALUES (2);
    CREATE SCHEMA "a.b"; CREATE TABLE "a.b"."c.d" (id int); INSERT INTO "a.b"."c.d" VALUES (3);
    CREATE SCHEMA empty;
    SELECT lo_from_bytea(0, 'a large object');
    CREATE PUBLICATION all_users FOR TABLE users;
"#;

/// What `run_now()` is given: its arguments, each with patterns.
type Patterns = &'static [(&'static str, &'static [&'static str])];

/// Each on its own, as `pg_dump` takes them.
const FILTERS: &[Patterns] = &[
    &[("tables", &["users"])],
    &[("tables", &["USERS", "\"Users\""])],
    &[("tables", &["users*"])],
    &[("tables", &["users?log"])],
    &[("tables", &["*.users"])],
    &[("tables", &["*.*"])],
    &[("tables", &["users_log", "sales.*"]), ("exclude_tables", &["*.users"])],
    &[(
        "tables",
        &[
            "\"us.ers\"",
            "\"a.b\".\"c.d\"",
            "\"a\"\"quote\"",
            "cash$flow",
            "\"log(old)\"",
            "\"S\"traße*",
            "-\"T\"*",
        ],
    )],
    &[("tables", &["(users|event_2024)"])],
    &[("tables", &["event_20[0-9]+*"])],
    &[("tables", &["event*"]), ("exclude_table_data", &["event_2025_a"])],
    &[("tables", &["user_names", "user_count", "ticket"])],
    &[("tables", &["child"])],
    &[("tables", &["fixture.fixture_setting", "users"])],
    &[("schemas", &["sales"])],
    &[("schemas", &["SALES*", "\"Sales\""])],
    &[("schemas", &["public"]), ("exclude_tables", &["users*", "event_2024"])],
    &[("schemas", &["*"]), ("exclude_schemas", &["public"]), ("exclude_table_data", &["*.orders"])],
    &[("schemas", &["empty"])],
    &[("schemas", &["\"a.b\""])],
    &[("schemas", &["fixture"])],
    &[("exclude_schemas", &["sales*"])],
    &[("exclude_schemas", &["*"])],
    &[("exclude_schemas", &["nothing_has_this_name"])],
    &[("exclude_tables", &["users"])],
    &[("exclude_tables", &["event", "parent", "*_seq"])],
    &[("exclude_tables", &["nothing.*", "sales.*"])],
    &[("exclude_tables", &["fixture.*"])],
    &[("exclude_table_data", &["users*", "user_count", "ticket", "event_2024", "scratch"])],
    &[("exclude_table_data", &["*"])],
    &[("exclude_table_data", &["event", "fixture.*"])],
    &[("exclude_table_data", &["\"-T users\"", "$(touch /tmp/never)", "; DROP TABLE users"])],
];

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// As SQL: `tables => ARRAY['a', 'b'], ...`.
fn arguments(patterns: Patterns) -> String {
    let lists = patterns.iter().map(|(name, patterns)| {
        let patterns: Vec<String> = patterns.iter().map(|pattern| literal(pattern)).collect();
        format!("{name} => ARRAY[{}]", patterns.join(", "))
    });
    lists.collect::<Vec<_>>().join(", ")
}

/// As `pg_dump` is called, with what is the system's own kept out where a pattern would bring it.
fn switches(patterns: Patterns) -> Vec<String> {
    let mut switches = Vec::new();
    for (name, patterns) in patterns {
        let switch = match *name {
            "schemas" => "--schema",
            "exclude_schemas" => "--exclude-schema",
            "tables" => "--table",
            "exclude_tables" => "--exclude-table",
            _ => "--exclude-table-data",
        };
        switches.extend(patterns.iter().map(|pattern| format!("{switch}={pattern}")));
        match *name {
            "schemas" => switches
                .extend(["--exclude-schema=pg_*".into(), "--exclude-schema=information_schema".into()]),
            "tables" => switches
                .extend(["--exclude-table=pg_*.*".into(), "--exclude-table=information_schema.*".into()]),
            _ => {}
        }
    }
    switches
}

fn world() -> Cluster {
    let cluster = Cluster::builder().config("max_worker_processes = 16").start();
    cluster.installation().install_fixture_extension();
    cluster.create_database("world");
    cluster.sql("world", WORLD);
    cluster
}

fn pg_dump(cluster: &Cluster, database: &str, switches: &[String], path: &Path) {
    let mut command = cluster.program("pg_dump");
    command.env("PGDATABASE", database).arg("--format=custom").arg("-f").arg(path).args(switches);
    let output = support::run(&mut command);
    assert!(output.status.success(), "{switches:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// `pg_restore -l` without its header and the numbers of the entries.
fn listing(cluster: &Cluster, archive: &Path) -> Vec<String> {
    let output = cluster.pg_restore(&["--list"], Archive::File(archive));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names in UTF-8");
    let entries = text.split('\n').filter(|line| !line.starts_with(';') && !line.is_empty());
    entries.map(|line| line.split_once("; ").map_or(line, |(_, entry)| entry).to_owned()).collect()
}

/// Everything that an archive holds, rows included, as one script.
fn script(cluster: &Cluster, archive: &Path) -> String {
    let output = cluster.pg_restore(&["-f", "-"], Archive::File(archive));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(normalized_dump(&output.stdout)).expect("UTF-8");
    let differs = |line: &&str| {
        ["\\restrict ", "\\unrestrict ", "-- Dumped "].iter().any(|start| line.starts_with(start))
    };
    text.lines().filter(|line| !differs(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn patterns_select_what_pg_dump_selects() {
    let cluster = world();
    let stock: Vec<PathBuf> =
        (0..FILTERS.len()).map(|n| cluster.folder().join(format!("stock{n}"))).collect();
    for (patterns, path) in FILTERS.iter().zip(&stock) {
        pg_dump(&cluster, "world", &switches(patterns), path);
    }
    support::install(&cluster, "world");
    for (patterns, path) in FILTERS.iter().zip(&stock) {
        let ours = LocalBackup::of(&cluster, back_up(&cluster, "world", &arguments(patterns)));
        assert_eq!(listing(&cluster, &ours.archive), listing(&cluster, path), "{patterns:?}");
        let (left, right) = (script(&cluster, &ours.archive), script(&cluster, path));
        assert!(left == right, "{patterns:?}:\n{left}\n-------- stock\n{right}");
        let rows_of = left.matches("\nCOPY ").count() as u64;
        assert_eq!(number(&ours.row, "tables"), rows_of, "{patterns:?}");
        assert_eq!(ours.read_manifest()["filter"], expected_filter(patterns));
    }
    assert_eq!(cluster.sql("world", "SELECT bool_and(filtered) FROM walwarden.backups"), "t");
    let whole = LocalBackup::make(&cluster, "world");
    assert_eq!(whole.read_manifest().get("filter"), None);
    assert_eq!(cluster.sql("world", "SELECT count(*) FROM walwarden.backups WHERE NOT filtered"), "1");
}

fn expected_filter(patterns: Patterns) -> Value {
    Value::Object(patterns.iter().map(|(name, patterns)| ((*name).to_owned(), json!(patterns))).collect())
}

#[test]
fn patterns_are_in_the_encoding_of_the_database() {
    let cluster = Cluster::builder().config("max_worker_processes = 16").start();
    cluster.sql("postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    cluster.sql(
        "latin",
        "SET client_encoding = 'UTF8'; CREATE TABLE größe (id int); INSERT INTO größe VALUES (1), (2); \
         CREATE TABLE grösse (id int); CREATE TABLE \"ÄRGER\" (id int)",
    );
    support::install(&cluster, "latin");
    let row = back_up(
        &cluster,
        "latin",
        "tables => '{GRöße,Ä*}', exclude_table_data => ARRAY['Ä?ger', '\"ÄRGER\"']",
    );
    let manifest = LocalBackup::of(&cluster, row).read_manifest();
    let names = |list: &str| -> Vec<String> {
        manifest[list]
            .as_array()
            .expect("a list")
            .iter()
            .map(|table| text(table, "name").to_owned())
            .collect()
    };
    assert_eq!(names("tables"), ["größe"]);
    assert_eq!(names("tables_without_data"), ["ÄRGER"]);
}

#[test]
fn what_cannot_be_meant_is_refused_when_it_is_asked_for() {
    let cluster = world();
    support::install(&cluster, "world");
    for (arguments, told) in [
        ("tables => '{a.b.c}'", "names a database"),
        ("tables => '{a.b.c.d}'", "too many dots"),
        ("schemas => '{a.b}'", "no dot"),
        ("tables => ARRAY['']", "It is empty"),
        ("exclude_tables => ARRAY['\"users']", "not closed"),
        ("exclude_tables => ARRAY['users(']", "parentheses"),
        ("tables => ARRAY['users', NULL]", "must not be NULL"),
        ("tables => '{users}', schemas => '{sales}'", "tables and schemas exclude each other"),
        (
            "tables => '{users}', exclude_schemas => '{sales}'",
            "tables and exclude_schemas exclude each other",
        ),
    ] {
        for call in [
            format!("SELECT walwarden.run_now({arguments})"),
            format!("SELECT walwarden.schedule('s', {arguments})"),
            format!("CALL walwarden.backup({arguments})"),
        ] {
            let error = cluster.try_sql("world", &call).expect_err(&call);
            assert!(error.contains(told), "{call}: {error}");
        }
    }
    assert_eq!(cluster.sql("world", "SELECT count(*) FROM walwarden.jobs"), "0");
}

#[test]
fn a_backup_that_would_silently_hold_nothing_fails() {
    let cluster = world();
    support::install(&cluster, "world");
    for (arguments, told) in [
        ("tables => '{users,gone_*}'", "no table matches the pattern \"gone_*\" of tables"),
        ("tables => '{orders}'", "no table matches the pattern \"orders\""),
        ("schemas => '{public,gone}'", "no schema matches the pattern \"gone\" of schemas"),
        ("tables => '{pg_class}'", "no table matches the pattern \"pg_class\""),
        ("tables => '{information_schema.*}'", "no table matches"),
        ("tables => '{walwarden.*}'", "no table matches"),
        ("schemas => '{walwarden}'", "no schema matches"),
        ("schemas => '{pg_catalog}'", "no schema matches"),
        ("tables => '{fixture.*,users}', exclude_tables => '{*.*}'", "leave nothing to back up"),
        ("schemas => '{sales}', exclude_schemas => '{s*}'", "leave nothing to back up"),
        ("tables => '{event}'", "no partition of table public.event matches"),
        ("tables => '{event,event_2025}'", "no partition of table public.event"),
    ] {
        let job = run_now(&cluster, "world", arguments);
        let row = await_end(&cluster, "world", &job);
        support::restores::fails(&row, "not_found", told);
    }
    assert_eq!(cluster.sql("world", "SELECT count(*) FROM walwarden.backups"), "0");
    // An excluded name that is not there is nothing to worry about, and not in a pattern among others either.
    back_up(&cluster, "world", "exclude_tables => '{gone_*}', exclude_table_data => '{also_gone}'");
}

#[test]
fn what_is_excluded_is_not_locked() {
    let site = Site::local(Cluster::builder().config("max_worker_processes = 16"));
    site.sql(
        "CREATE TABLE busy (id int PRIMARY KEY); CREATE TABLE refers (id int REFERENCES busy); CREATE SCHEMA other; \
         CREATE TABLE other.busy (id int); CREATE TABLE part (id int) PARTITION BY LIST (id); \
         CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1)",
    );
    let mut locks: Vec<_> =
        ["busy", "other.busy", "part_1"].iter().map(|table| site.lock_table(APP, table)).collect();
    for arguments in [
        "exclude_tables => '{busy,other.*,part_1}'",
        "exclude_tables => '{busy,part_1}', exclude_schemas => '{other}'",
        "tables => '{customer,refers}'",
    ] {
        back_up(&site.cluster, APP, arguments);
    }
    // What stays without its rows is locked, as pg_dump does: its definition must not change.
    let job = run_now(
        &site.cluster,
        APP,
        "exclude_tables => '{*.busy,part_1}', exclude_table_data => '{busy}', exclude_schemas => '{other}'",
    );
    assert_eq!(text(&await_end(&site.cluster, APP, &job), "state"), "completed", "excluded wins");
    let job = run_now(
        &site.cluster,
        APP,
        "exclude_tables => '{part_1}', exclude_table_data => '{busy}', exclude_schemas => '{other}'",
    );
    site.await_lock_wait("walwarden copier");
    locks.iter_mut().for_each(|lock| lock.batch_execute("ROLLBACK").expect("ROLLBACK"));
    assert_eq!(text(&await_end(&site.cluster, APP, &job), "state"), "completed");
}

#[test]
fn only_what_is_copied_is_estimated() {
    let site = Site::local(Cluster::builder().config("max_worker_processes = 16"));
    site.sql(
        "CREATE TABLE large AS SELECT repeat('x', 1000) AS text FROM generate_series(1, 30000); \
         CREATE TABLE kept AS SELECT encode(sha512(n::text::bytea), 'base64') AS text FROM generate_series(1, 30000) n",
    );
    let size = |table: &str| -> u64 {
        site.sql(&format!("SELECT pg_table_size('{table}')")).parse().expect("a size")
    };
    let (large, kept) = (size("large"), size("kept"));
    for arguments in ["exclude_tables => '{large}'", "exclude_table_data => '{large}'", "tables => '{kept}'"]
    {
        let job =
            run_now(&site.cluster, APP, &format!("max_rate => '300kB', compression => 'none', {arguments}"));
        let estimated = wait_until("an estimate", PATIENCE, || {
            let found = site.sql(&format!(
                "SELECT estimated_bytes FROM walwarden.progress WHERE job = '{job}' AND phase = 'copying'"
            ));
            found.parse::<u64>().ok()
        });
        assert!(estimated >= kept / 2 && estimated < large, "{arguments}: {estimated} of {kept} and {large}");
        site.sql(&format!("SELECT walwarden.cancel('{job}')"));
        assert_eq!(text(&await_end(&site.cluster, APP, &job), "state"), "canceled");
    }
}

#[test]
fn a_schedule_takes_in_what_is_new() {
    let cluster = world();
    support::install(&cluster, "world");
    cluster.sql(
        "world",
        "SELECT walwarden.schedule('nightly', exclude_tables => '{event*,users_log}', exclude_table_data => '{*.orders}')",
    );
    assert_eq!(
        cluster.sql("world", "SELECT filter FROM walwarden.schedules"),
        r#"{"exclude_tables": ["event*", "users_log"], "exclude_table_data": ["*.orders"]}"#
    );
    let names = |row: &Value| -> Vec<String> {
        let manifest = LocalBackup::of(&cluster, row.clone()).read_manifest();
        let tables = manifest["tables"].as_array().expect("a list").iter();
        tables.map(|table| format!("{}.{}", text(table, "schema"), text(table, "name"))).collect()
    };
    let first = names(&back_up(&cluster, "world", "'nightly'"));
    assert!(first.contains(&"public.users".to_owned()) && first.contains(&"sales.users".to_owned()));
    assert!(
        !first.iter().any(|name| name.starts_with("public.event") || name.ends_with(".orders")),
        "{first:?}"
    );
    cluster.sql("world", "CREATE TABLE event_new (id int); CREATE TABLE brand_new (id int)");
    let mut second = names(&back_up(&cluster, "world", "'nightly'"));
    second.retain(|name| !first.contains(name));
    assert_eq!(second, ["public.brand_new"]);
    // What a call asks for takes the place of what the schedule says, as a whole.
    assert_eq!(
        names(&back_up(&cluster, "world", "'nightly', tables => '{event_2024}'")),
        ["public.event_2024"]
    );
    // The definition comes back from any manifest.
    let manifest = cluster.sql(
        "world",
        "SELECT walwarden.manifest(job) #> '{schedules,0,filter}' FROM walwarden.backups ORDER BY snapshot_at DESC LIMIT 1",
    );
    assert_eq!(
        manifest,
        r#"{"exclude_tables": ["event*", "users_log"], "exclude_table_data": ["*.orders"]}"#
    );
}

#[test]
fn a_filtered_backup_is_verified_restored_and_tested() {
    let cluster = world();
    support::install(&cluster, "world");
    let row = back_up(
        &cluster,
        "world",
        // An extension's own rows would be counted with those of the user: fixture.fixture_rule.
        "exclude_tables => '{event_2025_a,sales.users,fixture.*}', exclude_table_data => '{users,event_2024}'",
    );
    let backup = text(&row, "id");
    let manifest = LocalBackup::of(&cluster, row.clone()).read_manifest();
    assert_eq!(
        manifest["tables_without_data"],
        json!([{"schema": "public", "name": "event_2024"}, {"schema": "public", "name": "users"}])
    );
    assert_eq!(manifest["large_objects"].get("left_out"), None);
    let job = cluster.sql("world", &format!("SELECT walwarden.verify('{backup}')"));
    completes(&await_end(&cluster, "world", &job));

    let said = cluster.psql("world", &format!("SELECT walwarden.restore_test('{backup}')"));
    let notice = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(notice.contains("NOTICE") && notice.contains("is filtered"), "{notice}");
    let job = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    completes(&await_end(&cluster, "world", &job));

    let restored = restore(&cluster, "world", backup, "'again'");
    completes(&restored);
    assert_eq!(number(&restored, "rows"), number(&row, "rows"));
    let ask = |query: &str| cluster.sql("again", query);
    assert_eq!(ask("SELECT count(*) FROM users"), "0");
    assert_eq!(ask("SELECT count(*) FROM users_log"), "50");
    // It would not find the rows that it refers to.
    assert_eq!(
        ask("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND confrelid = 'users'::regclass"),
        "0"
    );
    // Nor would this one show what was there.
    assert_eq!(ask("SELECT relispopulated FROM pg_class WHERE relname = 'user_count'"), "f");
    assert_eq!(ask("SELECT to_regclass('sales.users'), count(*) FROM event_2024"), "|0");
    assert_eq!(
        ask("SELECT count(*) FROM event"),
        cluster.sql("world", "SELECT count(*) FROM event_2025_rest")
    );
    assert_eq!(ask("SELECT nextval('users_id_seq')"), "101");
    // A part of it is restored in the same way.
    completes(&restore(&cluster, "world", backup, "'part', tables => '{public.users_log}'"));
    assert_eq!(cluster.sql("part", "SELECT count(*) FROM users_log"), "50");

    // One table alone has rows or is refused.
    for table in ["public.users", "public.event"] {
        let call = format!("SELECT walwarden.restore_table('{backup}', '{table}', 'public.again')");
        let job = cluster.sql("world", &call);
        support::restores::fails(&await_end(&cluster, "world", &job), "wrong_state", "has no rows of table");
    }
    let job = cluster.sql(
        "world",
        &format!("SELECT walwarden.restore_table('{backup}', 'public.users_log', 'public.again')"),
    );
    completes(&await_end(&cluster, "world", &job));
    let error = cluster
        .try_sql(
            "world",
            &format!("SELECT * FROM walwarden.read_table('{backup}', 'public.users') AS t(id int)"),
        )
        .expect_err("no rows");
    assert!(error.contains("has no rows of table public.users"), "{error}");
}

#[test]
fn foreign_keys_and_partitions_of_what_is_gone_do_not_stop_a_restore() {
    let cluster = world();
    support::install(&cluster, "world");
    let row =
        back_up(&cluster, "world", "exclude_tables => '{users,user_names,user_count,event,event_2025}'");
    completes(&restore(&cluster, "world", text(&row, "id"), "'again'"));
    let partitions = "SELECT count(*) FILTER (WHERE relispartition), count(*) FROM pg_class WHERE relname LIKE 'event\\_%' AND relkind = 'r'";
    assert_eq!(cluster.sql("again", partitions), "0|3");
    assert_eq!(cluster.sql("again", "SELECT count(*) FROM users_log"), "50");

    // pg_dump does not bring the schemas of tables, nor that of an extension.
    let row = back_up(&cluster, "world", "tables => '{sales_old.*,\"\\\"Sales\\\".*\",usersxlog}'");
    completes(&restore(&cluster, "world", text(&row, "id"), "'tables'"));
    assert_eq!(cluster.sql("tables", "SELECT * FROM \"Sales\".orders, sales_old.orders, usersxlog"), "1|2|7");
    let row = back_up(&cluster, "world", "exclude_schemas => '{fixture,sales*}'");
    completes(&restore(&cluster, "world", text(&row, "id"), "'schemas'"));
    assert_eq!(cluster.sql("schemas", "SELECT count(*) FROM fixture.fixture_setting"), "0");

    // Of the schema public it brings a statement that makes it.
    let row = back_up(&cluster, "world", "schemas => '{public}', exclude_tables => '{users*,user_*}'");
    completes(&restore(&cluster, "world", text(&row, "id"), "'public_only'"));
    completes(&restore(
        &cluster,
        "world",
        text(&row, "id"),
        "'no_owner', owner => false, privileges => false",
    ));
    assert_eq!(cluster.sql("no_owner", "SELECT count(*) FROM event"), "500");

    // Extensions are in no schema: they are not there.
    let row = back_up(&cluster, "world", "schemas => '{public}', exclude_table_data => '{*}'");
    let failed = restore(&cluster, "world", text(&row, "id"), "'without_extensions'");
    support::restores::fails(&failed, "child_process", "citext");
    assert!(text(&failed, "error_hint").contains("is filtered"), "{failed:#}");

    let row = back_up(&cluster, "world", "schemas => '{sales,sales_old}'");
    let backup = LocalBackup::of(&cluster, row.clone());
    assert_eq!(
        backup.read_manifest()["large_objects"],
        json!({"count": 0, "raw_bytes": 0, "left_out": true})
    );
    completes(&restore(&cluster, "world", text(&row, "id"), "'sales'"));
    assert_eq!(cluster.sql("sales", "SELECT count(*) FROM sales.orders"), "30");
    let job = cluster.sql("world", &format!("SELECT walwarden.restore_test('{}')", text(&row, "id")));
    completes(&await_end(&cluster, "world", &job));
}
