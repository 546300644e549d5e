//! walwarden.restore() of a part of a backup: some schemas or tables, definitions or rows alone, with the globals.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use support::restores::{completes, fails, restore};
use support::{back_up, text};
use walwarden_testkit::{Cluster, SampleDatabase, assert_same_database, normalized_dump};

fn shop() -> (Cluster, String) {
    let cluster = Cluster::builder().config("max_worker_processes = 16").start();
    SampleDatabase::create_with_rows(&cluster, "shop", 3000);
    support::install(&cluster, "shop");
    let backup = back_up(&cluster, "shop", "");
    let job = text(&backup, "id").to_owned();
    (cluster, job)
}

/// `schema.table rows`, a line each.
fn tables(cluster: &Cluster, database: &str) -> String {
    cluster.sql(
        database,
        "SELECT format('%s.%s', n.nspname, c.relname), (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I.%I', \
         n.nspname, c.relname), false, true, '')))[1] FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relkind = 'r' AND n.nspname !~ '^(pg_|information_schema|walwarden)' ORDER BY 1",
    )
}

#[test]
fn schemas_and_tables_are_chosen() {
    let (cluster, backup) = shop();
    let in_source = tables(&cluster, "shop");
    let of = |names: &str| -> String {
        in_source.lines().filter(|line| line.starts_with(names)).collect::<Vec<_>>().join("\n")
    };

    completes(&restore(&cluster, "shop", &backup, "'stock_only', schemas => '{stock}'"));
    let found = tables(&cluster, "stock_only");
    assert!(found.contains(&of("stock.")), "{found}");
    assert!(!found.contains("sales.orders"), "{found}");

    // A partitioned table is all of its partitions.
    completes(&restore(&cluster, "shop", &backup, "'payments', tables => '{sales.payment}'"));
    let found = tables(&cluster, "payments");
    assert!(found.contains(&of("sales.payment")), "{found}");
    assert!(!found.contains("staff.department"), "{found}");
    assert_eq!(
        cluster.sql("payments", "SELECT count(*) FROM sales.payment"),
        cluster.sql("shop", "SELECT count(*) FROM sales.payment")
    );

    let row = restore(
        &cluster,
        "shop",
        &backup,
        "'without', exclude_tables => '{sales.order_log}', exclude_schemas => '{reporting}'",
    );
    completes(&row);
    let found = tables(&cluster, "without");
    assert!(!found.contains("sales.order_log"), "{found}");
    assert!(found.contains(&of("sales.orders")) && found.contains(&of("staff.")), "{found}");
    assert_eq!(cluster.sql("without", "SELECT to_regnamespace('reporting') IS NULL"), "t");
    assert_eq!(row["rows"].as_u64().unwrap(), {
        let rows = |lines: &str| -> u64 {
            lines.lines().map(|line| line.split('|').nth(1).unwrap().parse::<u64>().unwrap()).sum()
        };
        rows(&found)
    });

    for (arguments, told) in [
        ("'x', tables => '{sales.no_such}'", "sales.no_such"),
        ("'x', schemas => '{nowhere}'", "nowhere"),
        ("'x', exclude_tables => '{reporting.open_orders}'", "reporting.open_orders"),
    ] {
        fails(&restore(&cluster, "shop", &backup, arguments), "not_found", told);
        assert_eq!(
            cluster.sql("shop", "SELECT count(*) FROM pg_database WHERE datname ~ '^(x$|walwarden_)'"),
            "0"
        );
    }
    for (arguments, told) in [
        ("'x', tables => '{orders}'", "a table must be named with its schema, not \"orders\""),
        ("'x', tables => '{a.b.c}'", "a table must be named with its schema"),
        ("'x', tables => ARRAY[NULL]::text[]", "a table must be named with its schema, not \"NULL\""),
        ("'x', tables => '{\"a b.c\"}'", "not a valid identifier"),
        ("'x', schema_only => true, data_only => true", "schema_only and data_only exclude each other"),
        ("'x', data_only => true", "database \"x\" does not exist"),
        ("'shop', data_only => true, overwrite => true", "data_only excludes overwrite"),
    ] {
        let refused = cluster.try_sql("shop", &format!("SELECT walwarden.restore('{backup}', {arguments})"));
        let error = refused.unwrap_err();
        assert!(error.contains(told), "{error} says {told}");
    }
}

/// First the definitions, then the rows: together they are the database as it was. What is not empty is not touched.
#[test]
fn definitions_and_rows_come_apart_and_together() {
    let (cluster, backup) = shop();
    let row = restore(&cluster, "shop", &backup, "'again', schema_only => true");
    completes(&row);
    assert_eq!(row["rows"], 0);
    let definitions = |database: &str| {
        let dump = cluster.pg_dump(database, &["--schema-only"]);
        String::from_utf8(normalized_dump(&dump)).unwrap()
    };
    assert_eq!(definitions("again"), definitions("shop"));
    assert_eq!(cluster.sql("again", "SELECT count(*) FROM sales.orders"), "0");

    let row = restore(&cluster, "shop", &backup, "'again', data_only => true");
    completes(&row);
    // pg_restore leaves what a materialized view holds to REFRESH.
    cluster.sql(
        "again",
        "REFRESH MATERIALIZED VIEW reporting.turnover; REFRESH MATERIALIZED VIEW reporting.turnover_per_year",
    );
    assert_same_database(&cluster, "shop", "again");

    fails(
        &restore(&cluster, "shop", &backup, "'again', data_only => true"),
        "child_process",
        "has rows already",
    );
    assert_same_database(&cluster, "shop", "again");

    // Back into the database itself, as after a mistake: children of what is still there.
    cluster.sql("shop", "CREATE TABLE kept AS TABLE sales.order_line; TRUNCATE sales.order_line");
    completes(&restore(
        &cluster,
        "shop",
        &backup,
        "'shop', data_only => true, tables => '{sales.order_line}'",
    ));
    assert_eq!(cluster.sql("shop", "(TABLE kept EXCEPT ALL TABLE sales.order_line) UNION ALL (TABLE sales.order_line EXCEPT ALL TABLE kept)"), "");
    // What they refer to is gone: nothing is loaded.
    cluster.sql("shop", "SET session_replication_role = replica; TRUNCATE sales.order_line; DELETE FROM sales.orders WHERE id % 2 = 0");
    let row = restore(&cluster, "shop", &backup, "'shop', data_only => true, tables => '{sales.order_line}'");
    fails(&row, "child_process", "refer to rows of table sales.orders that are not there");
    assert_eq!(cluster.sql("shop", "SELECT count(*) FROM sales.order_line"), "0");
}

/// What is wrong in storage is found before it is loaded, and nothing is.
#[test]
fn damaged_rows_do_not_come_alone_either() {
    let cluster = Cluster::builder().start();
    cluster.create_database("app");
    cluster
        .sql("app", "CREATE TABLE a AS SELECT n FROM generate_series(1, 1000) n; CREATE TABLE b AS TABLE a");
    support::install(&cluster, "app");
    let backup = support::LocalBackup::make(&cluster, "app");
    let job = text(&backup.row, "id").to_owned();
    let manifest = backup.read_manifest();
    let last = manifest["tables"].as_array().unwrap().last().unwrap();
    let at = usize::try_from(support::number(&last["pieces"][0], "offset")).unwrap() + 20;
    let mut bytes = std::fs::read(&backup.archive).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&backup.archive, bytes).unwrap();
    cluster.sql("app", "TRUNCATE a, b");
    let row = restore(&cluster, "app", &job, "'app', data_only => true");
    fails(&row, "storage_corrupt", ".dump");
    assert_eq!(cluster.sql("app", "SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM b)"), "0");
}

/// Roles and tablespaces that are missing are made; those that are there are left alone.
#[test]
fn globals_come_first_where_they_are_missing() {
    let cluster = Cluster::builder().start();
    let folder = cluster.new_server_folder("space");
    cluster.create_database("app");
    cluster.sql(
        "app",
        &format!(
            "CREATE ROLE manager; CREATE ROLE \"the clerk\" LOGIN CONNECTION LIMIT 7; GRANT manager TO \"the clerk\";
             ALTER ROLE \"the clerk\" SET work_mem = '7MB'; COMMENT ON ROLE \"the clerk\" IS 'it''s; \\restrict is no command here';
             GRANT SET ON PARAMETER log_duration TO \"the clerk\"; GRANT SET ON PARAMETER log_statement TO PUBLIC; ALTER ROLE ALL SET log_lock_waits = off;
             CREATE TABLESPACE space LOCATION '{}'; COMMENT ON TABLESPACE space IS 'much of it'; GRANT CREATE ON TABLESPACE space TO \"the clerk\";
             CREATE TABLE till (a int) TABLESPACE space; ALTER TABLE till OWNER TO \"the clerk\"; GRANT SELECT ON till TO manager",
            folder.display()
        ),
    );
    support::install(&cluster, "app");
    let backup = back_up(&cluster, "app", "");
    let job = text(&backup, "id");
    let globals = |what: &str| cluster.sql("app", what);
    let clerk = "SELECT rolcanlogin, rolconnlimit, rolconfig, shobj_description(oid, 'pg_authid'), \
                 pg_has_role('the clerk', 'manager', 'member'), has_parameter_privilege('the clerk', 'log_duration', 'SET') FROM pg_roles WHERE rolname = 'the clerk'";
    let space = "SELECT spcname, spcacl IS NOT NULL, shobj_description(oid, 'pg_tablespace') FROM pg_tablespace WHERE spcname = 'space'";
    let before = (globals(clerk), globals(space));
    assert!(before.0.contains("7MB") && before.1.contains("much of it"), "{before:?}");
    cluster.sql(
        "app",
        "DROP TABLE till; DROP OWNED BY \"the clerk\"; DROP ROLE \"the clerk\"; ALTER ROLE manager CONNECTION LIMIT 3",
    );
    cluster.sql("app", "DROP TABLESPACE space");

    let row = restore(&cluster, "app", job, "'again'");
    fails(&row, "child_process", "does not exist");
    completes(&restore(&cluster, "app", job, "'again', globals => true"));
    assert_eq!((globals(clerk), globals(space)), before);
    assert_eq!(globals("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'manager'"), "3");
    assert_eq!(
        cluster.sql("again", "SELECT tableowner, tablespace FROM pg_tables WHERE tablename = 'till'"),
        "the clerk|space"
    );
    // Nothing is missing now, so nothing is made.
    completes(&restore(&cluster, "app", job, "'once_more', globals => true"));
}
