//! One table of a backup: restored beside the original, or read without restoring anything.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use support::restores::completes;
use support::site::{APP, PATIENCE, PROMPTLY, Site};
use support::{LocalBackup, back_up, number, text};
use walwarden_testkit::{Cluster, SampleDatabase};

fn restore_table(cluster: &Cluster, database: &str, backup: &str, table: &str, into: &str) -> Value {
    let job = cluster.sql(
        database,
        &format!(
            "SET client_encoding = 'UTF8'; SELECT walwarden.restore_table('{backup}', '{table}', '{into}')"
        ),
    );
    support::await_end(cluster, database, &job)
}

/// That two tables hold the same rows.
fn assert_same_rows(cluster: &Cluster, database: &str, left: &str, right: &str) {
    let hash = |table: &str| {
        cluster.sql(
            database,
            &format!("SET client_encoding = 'UTF8'; SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} AS t"),
        )
    };
    assert_eq!(hash(left), hash(right), "{left} and {right}");
}

#[test]
fn a_table_comes_back_beside_the_original() {
    let cluster = Cluster::builder().start();
    cluster.create_database("app");
    cluster.sql(
        "app",
        "CREATE SCHEMA old; CREATE TYPE mood AS ENUM ('good', 'bad');
         CREATE TABLE team (id serial PRIMARY KEY, name text UNIQUE);
         INSERT INTO team (name) SELECT 'team ' || n FROM generate_series(1, 10) n;
         CREATE TABLE person (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, team int NOT NULL DEFAULT 1 REFERENCES team,
             name text COLLATE \"C\" NOT NULL, feels mood DEFAULT 'good', born date, gone int,
             age_in_2000 int GENERATED ALWAYS AS (2000 - extract(year FROM born)::int) STORED,
             CONSTRAINT has_name CHECK (name <> ''));
         ALTER TABLE person DROP COLUMN gone;
         CREATE INDEX person_name ON person (lower(name)) WHERE team > 2; ALTER TABLE person CLUSTER ON person_pkey;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         INSERT INTO person (team, name, born) SELECT n % 10 + 1, E'tab\\t and \\\\ ' || n, date '1970-01-01' + n FROM generate_series(1, 5000) n;
         CREATE TRIGGER refuse BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION refuse();
         CREATE TABLE event (at date NOT NULL, what text) PARTITION BY RANGE (at);
         CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE TABLE event_2 (what text, at date NOT NULL); ALTER TABLE event ATTACH PARTITION event_2 DEFAULT;
         INSERT INTO event SELECT date '2020-06-01' + n, 'event ' || n FROM generate_series(1, 500) n; CREATE INDEX ON event (at);
         CREATE TABLE parent (a int, b text DEFAULT 'x'); CREATE TABLE child (c int UNIQUE) INHERITS (parent);
         INSERT INTO child VALUES (1, 'one', 11), (2, NULL, 12); INSERT INTO parent VALUES (3, 'three')",
    );
    support::install(&cluster, "app");
    let backup = back_up(&cluster, "app", "");
    let job = text(&backup, "id");
    cluster.sql("app", "CREATE SCHEMA before; CREATE TABLE before.person AS TABLE person; CREATE TABLE before.event AS TABLE event");
    cluster.sql("app", "DELETE FROM person WHERE id % 3 = 0; TRUNCATE event; DROP TABLE team CASCADE");

    let row = restore_table(&cluster, "app", job, "public.person", "old.person");
    completes(&row);
    assert_eq!((number(&row, "rows"), number(&row, "tables")), (5000, 1));
    assert_same_rows(&cluster, "app", "before.person", "old.person");
    // The same definition, without what would reach out: defaults, identity, foreign key, trigger.
    let columns = |table: &str| {
        cluster.sql(
            "app",
            &format!(
                "SELECT attname, format_type(atttypid, atttypmod), attnotnull, attgenerated, attcollation::regcollation \
                 FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname"
            ),
        )
    };
    assert_eq!(columns("old.person"), columns("public.person"));
    assert_eq!(
        cluster.sql("app", "SELECT string_agg(contype::text, '' ORDER BY contype) FROM pg_constraint WHERE conrelid = 'old.person'::regclass AND contype <> 'n'"),
        "cp"
    );
    assert_eq!(
        cluster.sql(
            "app",
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'old.person'::regclass AND attidentity <> ''"
        ),
        "0"
    );
    assert_eq!(
        cluster.sql(
            "app",
            "SELECT count(*) FROM pg_index WHERE indrelid = 'old.person'::regclass AND indisvalid"
        ),
        "2"
    );
    // Beside it in the same schema too; and what was dropped since.
    completes(&restore_table(&cluster, "app", job, "public.person", "public.person_as_it_was"));
    assert_same_rows(&cluster, "app", "before.person", "person_as_it_was");
    completes(&restore_table(&cluster, "app", job, "public.team", "public.team"));
    assert_eq!(cluster.sql("app", "SELECT count(*), min(name) FROM team"), "10|team 1");
    // All partitions of a table, in one; the inherited columns with their own rows only.
    completes(&restore_table(&cluster, "app", job, "public.event", "old.\"Event\""));
    assert_same_rows(&cluster, "app", "before.event", "old.\"Event\"");
    assert_eq!(cluster.sql("app", "SELECT relkind FROM pg_class WHERE oid = 'old.\"Event\"'::regclass"), "r");
    completes(&restore_table(&cluster, "app", job, "public.child", "old.child"));
    assert_same_rows(&cluster, "app", "child", "old.child");
    completes(&restore_table(&cluster, "app", job, "public.parent", "old.parent"));
    assert_same_rows(&cluster, "app", "ONLY parent", "old.parent");
    assert_eq!(
        cluster.sql("app", "SELECT count(*) FROM pg_inherits WHERE inhrelid::regclass::text LIKE 'old.%'"),
        "0"
    );
}

/// It belongs to who asked for it, and is made with that role's rights.
#[test]
fn a_restored_table_belongs_to_who_asked_for_it() {
    let site = Site::local(Cluster::builder());
    let backup = back_up(&site.cluster, APP, "");
    let job = text(&backup, "id");
    site.sql(
        "CREATE ROLE clerk LOGIN; GRANT USAGE ON SCHEMA walwarden TO clerk; CREATE SCHEMA hers AUTHORIZATION clerk; CREATE SCHEMA his;
         GRANT EXECUTE ON FUNCTION walwarden.restore_table, walwarden.wait_for TO clerk",
    );
    let mut clerk = site.cluster.client_as("clerk", APP);
    let mut ask = |into: &str| {
        clerk
            .query_one(
                &format!("SELECT walwarden.restore_table('{job}', 'public.customer', '{into}')::text"),
                &[],
            )
            .map(|row| row.get::<_, String>(0))
            .map_err(|error| error.as_db_error().unwrap().message().to_owned())
    };
    assert_eq!(ask("his.customer").unwrap_err(), "permission denied for schema his");
    let restored = ask("hers.customer").unwrap();
    completes(&support::await_end(&site.cluster, APP, &restored));
    assert_eq!(site.sql("SELECT tableowner FROM pg_tables WHERE schemaname = 'hers'"), "clerk");
    assert_same_rows(&site.cluster, APP, "customer", "hers.customer");
}

#[test]
fn what_is_no_table_of_the_backup_is_refused() {
    let site = Site::local(Cluster::builder());
    site.sql("CREATE VIEW a_view AS TABLE customer; CREATE TABLE taken ()");
    let backup = back_up(&site.cluster, APP, "");
    let job = text(&backup, "id");
    let refused = |table: &str, into: &str, told: &str| {
        let call = format!("SELECT walwarden.restore_table('{job}', '{table}', '{into}')");
        let error = site.cluster.try_sql(APP, &call).unwrap_err();
        assert!(error.contains(told), "{error} says {told}");
    };
    refused("customer", "public.x", "a table must be named with its schema");
    refused("public.customer", "x", "a table must be named with its schema");
    refused("public.customer", "nowhere.x", "schema \"nowhere\" does not exist");
    refused("public.customer", "public.taken", "relation public.taken exists already");
    for (table, class) in [("public.no_such", "not_found"), ("public.a_view", "invalid_input")] {
        let row = restore_table(&site.cluster, APP, job, table, "public.x");
        assert_eq!((text(&row, "state"), text(&row, "error_class")), ("failed", class), "{row:#}");
        let name = table.trim_start_matches("public.");
        assert!(text(&row, "error_message").contains(name), "{row:#}");
    }
    assert_eq!(site.sql("SELECT to_regclass('public.x') IS NULL"), "t");
}

/// Canceled or its loader or leader killed, it is not there.
#[test]
fn a_table_is_there_with_all_rows_or_not_at_all() {
    let site = Site::with_s3(Cluster::builder().preload_walwarden());
    site.sql("CREATE TABLE cargo AS SELECT encode(sha512(n::text::bytea), 'base64') AS t FROM generate_series(1, 800000) n");
    let backup = back_up(&site.cluster, APP, "storage => 's3'");
    let begin = || {
        let job = site.sql(&format!(
            "SELECT walwarden.restore_table('{}', 'public.cargo', 'public.again')",
            text(&backup, "id")
        ));
        site.stall_while_loading(&job);
        job
    };
    let not_there = || {
        site.await_rest(PATIENCE);
        assert_eq!(site.sql("SELECT to_regclass('public.again') IS NULL"), "t");
        site.mend_network();
    };
    let job = begin();
    assert_eq!(site.sql(&format!("SELECT walwarden.cancel('{job}')")), "t");
    site.await_state(&job, "canceled", PROMPTLY);
    not_there();
    for victim in ["loader", "leader"] {
        let job = begin();
        site.cluster.kill9_process(&site.worker(victim));
        site.await_state(&job, "failed", PATIENCE);
        not_there();
    }
}

/// In any columns and types that the values fit, whole or in part, in every compression, from all partitions.
#[test]
fn a_table_is_read_as_it_was() {
    let cluster = Cluster::builder().config("max_worker_processes = 16").start();
    SampleDatabase::create_with_rows(&cluster, "shop", 3000);
    support::install(&cluster, "shop");
    cluster.sql(
        "shop",
        "CREATE TABLE odd (id int, t text, b bytea, a text[], j jsonb, n text);
         INSERT INTO odd SELECT n, E'\\t\\n\\r\\\\N ' || chr(n) || E'\\\\.', decode(repeat('00ff5c', n), 'hex'), ARRAY[NULL, 'NULL', E'\\\\'], '{\"a\": 1}', NULL
           FROM generate_series(1, 300) n",
    );
    let mut compressions = vec!["none", "gzip:6"];
    if cluster.installation().major() >= 16 {
        compressions.extend(["lz4", "zstd:1"]);
    }
    for compression in compressions {
        let backup = back_up(&cluster, "shop", &format!("compression => '{compression}'"));
        let job = text(&backup, "id");
        for table in ["public.odd", "sales.customer", "sales.orders", "sales.payment", "staff.employee"] {
            let read = format!("walwarden.read_table('{job}', '{table}', NULL::{table})");
            assert_same_rows(&cluster, "shop", table, &read);
        }
        let some = format!(
            "SELECT * FROM walwarden.read_table('{job}', 'public.odd') AS t(t text, id bigint) WHERE id IN (7, 8)"
        );
        assert_eq!(
            cluster.sql("shop", &some),
            cluster.sql("shop", "SELECT t, id FROM odd WHERE id IN (7, 8)")
        );
    }
    // What has changed since: compared in one query.
    let backup = back_up(&cluster, "shop", "");
    let job = text(&backup, "id");
    cluster.sql(
        "shop",
        "UPDATE odd SET t = 'changed' WHERE id = 5; ALTER TABLE odd ADD COLUMN later int, DROP COLUMN n",
    );
    assert_eq!(
        cluster.sql(
            "shop",
            &format!("SELECT id, now.t, was.later FROM odd AS now JOIN walwarden.read_table('{job}', 'public.odd', NULL::odd) AS was USING (id) WHERE now.t <> was.t")
        ),
        "5|changed|"
    );
    let refused = |query: &str, told: &str| {
        let error = cluster.try_sql("shop", query).unwrap_err();
        assert!(error.contains(told), "{error} says {told}");
    };
    let of = |rest: &str| format!("SELECT * FROM walwarden.read_table('{job}', {rest}");
    refused(&of("'public.odd') AS t(id int, nothing text)"), "has no column \"nothing\" in the backup");
    refused(&of("'public.odd', NULL::int)"), "has none of these columns in the backup");
    refused(&of("'public.odd') AS t(t int)"), "invalid input syntax for type integer");
    refused(&of("'public.odd')"), "a column definition list is required");
    refused(&of("'odd') AS t(id int)"), "a table must be named with its schema");
    refused(&of("NULL) AS t(id int)"), "table must not be NULL");
    refused(&of("'public.no_such') AS t(id int)"), "no_such");
    refused(
        &format!("SELECT walwarden.read_table('{job}', 'public.odd')"),
        "a set of rows is given in FROM only",
    );
    refused(
        "SELECT * FROM walwarden.read_table('00000000-0000-7000-8000-000000000000', 'public.odd') AS t(id int)",
        "does not exist",
    );
}

/// A type's functions run with the rights of who reads, not with those of walwarden's owner.
#[test]
fn reading_lends_nobody_rights() {
    let site = Site::local(Cluster::builder());
    let backup = LocalBackup::make(&site.cluster, APP);
    let job = text(&backup.row, "id").to_owned();
    site.sql(
        "CREATE ROLE clerk LOGIN; CREATE SCHEMA hers AUTHORIZATION clerk; GRANT USAGE ON SCHEMA walwarden TO clerk;
         GRANT EXECUTE ON FUNCTION walwarden.read_table(uuid, text, text) TO clerk; SET ROLE clerk;
         CREATE FUNCTION hers.who(text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''I am %'', current_user; END';
         CREATE DOMAIN hers.tell AS text CHECK (hers.who(VALUE))",
    );
    let mut clerk = site.cluster.client_as("clerk", APP);
    let mut read = |column: &str| {
        clerk
            .query(
                &format!(
                    "SELECT * FROM walwarden.read_table('{job}', 'public.customer') AS t(name {column})"
                ),
                &[],
            )
            .map(|rows| rows.len())
            .map_err(|error| error.as_db_error().unwrap().message().to_owned())
    };
    assert_eq!(read("text").unwrap(), 1000);
    assert_eq!(read("hers.tell").unwrap_err(), "I am clerk");
    let mut other = site.cluster.client_as("clerk", APP);
    assert!(other.query("SELECT * FROM walwarden.job", &[]).is_err(), "no more rights than before");

    // A piece that is not as it was stored is not read.
    let manifest = backup.read_manifest();
    let at = usize::try_from(number(&manifest["tables"][0]["pieces"][0], "offset")).unwrap() + 20;
    let mut bytes = std::fs::read(&backup.archive).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&backup.archive, bytes).unwrap();
    let error = read("text").unwrap_err();
    assert!(error.contains(".dump"), "{error}");
}
