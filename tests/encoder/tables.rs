//! Tables of every shape and with every past, those of the server itself, and what is left to COPY.

use crate::check::{AS_PG_DUMP, assert_same_text, check, run, try_check};
use crate::support::site::APP;
use crate::{cluster_with_generators, set_seed};
use walwarden_testkit::postgres::Client;

pub const TABLES: &str = include_str!("tables.sql");

/// The tables of a schema, as SQL.
fn tables_of(client: &mut Client, schema: &str) -> Vec<String> {
    // A regclass prints the schema only where it is needed.
    let query = "SELECT format('%I.%I', relnamespace::regnamespace, relname) FROM pg_class \
                 WHERE relkind = 'r' AND relnamespace = $1::text::regnamespace ORDER BY relname";
    client.query(query, &[&schema]).expect("pg_class").iter().map(|row| row.get(0)).collect()
}

/// Tables of the schema shape that have no column to be copied, and nothing to be quick about.
pub const WITHOUT_COLUMNS: &[&str] =
    &["shape.nothing", "shape.nothing_left", "shape.only_generated", "shape.only_virtual"];

#[test]
fn tables_of_every_shape_are_written_as_copy_writes_them() {
    let cluster = cluster_with_generators();
    cluster.sql(APP, &(set_seed() + TABLES));
    let mut client = cluster.client(APP);
    run(&mut client, AS_PG_DUMP);
    let tables = tables_of(&mut client, "shape");
    assert!(tables.len() > 150, "{} tables", tables.len());
    for table in tables {
        let found = assert_same_text(&mut client, &table);
        if WITHOUT_COLUMNS.contains(&table.as_str()) {
            found.assert_copy(&table);
        } else {
            found.assert_direct(&table);
        }
    }
}

/// The server's own tables are heaps like others, with types that no other table has.
#[test]
fn catalogs_are_written_as_copy_writes_them() {
    let cluster = cluster_with_generators();
    // For pg_statistic, whose columns have a type for each row.
    cluster.sql(APP, "ANALYZE");
    let mut client = cluster.client(APP);
    run(&mut client, AS_PG_DUMP);
    for table in tables_of(&mut client, "pg_catalog") {
        assert_same_text(&mut client, &table);
    }
}

/// Rows of transactions that have not ended, of others and of the session itself, with combined command ids.
#[test]
fn rows_are_seen_as_copy_sees_them() {
    let cluster = cluster_with_generators();
    cluster
        .sql(APP, "CREATE TABLE seen AS SELECT n, 'text ' || n AS text FROM generate_series(1, 3000) AS n");
    let mut other = cluster.client(APP);
    other
        .batch_execute(
            "BEGIN; INSERT INTO seen SELECT n, 'of the other' FROM generate_series(1, 500) AS n; \
             UPDATE seen SET text = 'of the other' WHERE n % 7 = 0; DELETE FROM seen WHERE n % 11 = 0; \
             SELECT FROM seen WHERE n % 13 = 0 FOR UPDATE",
        )
        .expect("a transaction");
    let mut client = cluster.client(APP);
    run(&mut client, AS_PG_DUMP);
    let found = assert_same_text(&mut client, "public.seen");
    found.assert_direct("beside another transaction");
    assert_eq!(found.rows, 3000);

    run(
        &mut client,
        "BEGIN; INSERT INTO public.seen VALUES (-1, 'own'), (-2, 'own'), (-3, 'own'); \
             UPDATE public.seen SET text = 'updated' WHERE n < 0; DELETE FROM public.seen WHERE n = -2; \
             SAVEPOINT before; DELETE FROM public.seen WHERE n = -3; ROLLBACK TO before",
    );
    assert_eq!(assert_same_text(&mut client, "public.seen").rows, 3002);
    run(&mut client, "ROLLBACK");

    // A snapshot from before the other one ended.
    run(&mut client, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT");
    other.batch_execute("COMMIT").expect("the end");
    assert_eq!(assert_same_text(&mut client, "public.seen").rows, 3000);
    run(&mut client, "COMMIT");
    assert_ne!(assert_same_text(&mut client, "public.seen").rows, 3000);
}

/// What is no table of rows in a heap that everybody sees is left to COPY, or refused as COPY refuses it.
#[test]
fn what_is_no_ordinary_table_is_left_to_copy() {
    let cluster = cluster_with_generators();
    let mut client = cluster.client(APP);
    run(
        &mut client,
        "CREATE TABLE ordinary AS SELECT n, 'text ' || n AS text FROM generate_series(1, 500) AS n;
             CREATE TEMPORARY TABLE passing AS TABLE ordinary;
             CREATE INDEX ordinary_index ON ordinary (n);
             CREATE VIEW view AS TABLE ordinary;
             CREATE SEQUENCE sequence;
             CREATE TABLE partitioned (n int) PARTITION BY LIST (n);
             CREATE TABLE one PARTITION OF partitioned DEFAULT;
             INSERT INTO partitioned VALUES (1);
             CREATE EXTENSION file_fdw;
             CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
             CREATE FOREIGN TABLE away (line text) SERVER files OPTIONS (program 'echo 1')",
    );
    check(&mut client, "ordinary").assert_direct("ordinary");
    let passing = check(&mut client, "pg_temp.passing");
    passing.assert_copy("passing");
    assert_eq!((passing.rows, passing.differs_at), (500, None));
    for (relation, refusal) in [
        ("view", "cannot copy from view"),
        ("sequence", "cannot copy from sequence"),
        ("partitioned", "cannot copy from partitioned table"),
        ("away", "cannot copy from foreign table"),
        ("ordinary_index", "\"ordinary_index\""),
    ] {
        let message = try_check(&mut client, relation).expect_err(relation);
        assert!(message.contains(refusal), "{relation}: {message}");
    }
}

/// A heap by another name is a heap.
#[test]
fn another_name_of_the_heap_is_written_as_copy_writes_it() {
    let cluster = cluster_with_generators();
    let mut client = cluster.client(APP);
    run(
        &mut client,
        "CREATE ACCESS METHOD another TYPE TABLE HANDLER heap_tableam_handler;
             CREATE TABLE stored_otherwise (n int, text text) USING another;
             INSERT INTO stored_otherwise SELECT n, 'text ' || n FROM generate_series(1, 5000) AS n",
    );
    let found = assert_same_text(&mut client, "stored_otherwise");
    found.assert_direct("another name of the heap");
    assert_eq!(found.rows, 5000);
}

/// Where row security hides rows it is COPY that decides: in a session like pg_dump's it wants all rows or none. A superuser sees
/// them all.
#[test]
fn row_security_is_left_to_copy() {
    let cluster = cluster_with_generators();
    cluster.sql(
        APP,
        "CREATE ROLE owner LOGIN;
         CREATE TABLE guarded AS SELECT n, 'text ' || n AS text FROM generate_series(1, 500) AS n;
         ALTER TABLE guarded OWNER TO owner;
         CREATE POLICY a_few ON guarded USING (n <= 10);
         ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         GRANT USAGE ON SCHEMA walwarden TO owner;
         GRANT EXECUTE ON FUNCTION walwarden.check_encoder(regclass) TO owner",
    );
    let by_superuser = check(&mut cluster.client(APP), "guarded");
    by_superuser.assert_direct("a superuser");
    assert_eq!((by_superuser.rows, by_superuser.differs_at), (500, None));
    let message = try_check(&mut cluster.client_as("owner", APP), "guarded").expect_err("the owner");
    assert!(message.contains("row-level security"), "{message}");
}
