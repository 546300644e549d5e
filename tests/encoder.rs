//! The direct encoder writes what COPY writes, byte for byte: values of every type, tables of every shape, every time zone,
//! every encoding; and backups are the same whichever of the two wrote them.
//!
//! Two variables say how much is tried, and what: `WALWARDEN_ENCODER_VALUES`, how many values of each type, and
//! `WALWARDEN_ENCODER_SEED`, a whole number, for other values. `make encoder-test` tries ten million of each.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's support code fails by panicking"
)]

mod support;

use serde_json::Value;
use std::io::Read as _;
use support::site::{APP, Site};
use support::{LocalBackup, await_end, back_up, pieces, restore, run_now, text};
use walwarden_testkit::postgres::Client;
use walwarden_testkit::{Archive, Cluster, ClusterBuilder, assert_same_database};

const VALUES: &str = include_str!("encoder/values.sql");
const TABLES: &str = include_str!("encoder/tables.sql");
const ZONES: &str = include_str!("encoder/zones.sql");
const CHARACTERS: &str = include_str!("encoder/characters.sql");

/// Enough of each type for everything that the generators' dice decide to happen, and quick.
const DEFAULT_VALUES: u64 = 30_000;
/// From so many on, a run is one that may take its time.
const THOROUGH: u64 = 1_000_000;
/// As many rows as a table has before it is emptied for the next ones: some hundred megabytes.
const ROWS_OF_A_BATCH: u64 = 500_000;
/// Rows that are looked at one by one for the one that is written differently.
const SUSPECTS: usize = 3000;
/// How much of a row is shown.
const SHOWN: usize = 1000;

/// A number out of the environment.
fn variable(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|e| panic!("{name}={value}: {e}")),
        Err(_) => default,
    }
}

/// How many values of each type are tried.
fn wanted_values() -> u64 {
    variable("WALWARDEN_ENCODER_VALUES", DEFAULT_VALUES)
}

/// Makes the random numbers of a session the same in every run. The seed is printed, and seen when the test fails.
fn set_seed() -> String {
    let seed = variable("WALWARDEN_ENCODER_SEED", 1);
    println!("WALWARDEN_ENCODER_SEED={seed}");
    // From 0 to 1, as setseed() wants it; neighbours far from each other.
    format!("DO $$ BEGIN PERFORM setseed({seed} * 0.6180339887498949 % 1); END $$;")
}

/// A cluster that writes nothing on its own account while tables are compared.
fn quiet() -> ClusterBuilder {
    Cluster::builder().preload_walwarden().config("autovacuum = off").config("shared_buffers = 128MB")
}

/// A cluster whose database [`APP`] has walwarden and the generators.
fn cluster_with_generators() -> Cluster {
    let cluster = quiet().start();
    cluster.create_database(APP);
    support::install(&cluster, APP);
    cluster.sql(APP, VALUES);
    cluster
}

/// What `check_encoder()` says of a table.
#[derive(Debug)]
struct Check {
    encoder: String,
    reason: Option<String>,
    rows: u64,
    bytes: u64,
    differs_at: Option<String>,
}

/// A name of a table, as SQL, has both encoders write it. An error of the server is returned as its message.
fn try_check(client: &mut Client, table: &str) -> Result<Check, String> {
    let query =
        "SELECT encoder, reason, rows, bytes, differs_at FROM walwarden.check_encoder($1::text::regclass)";
    let row = client.query_one(query, &[&table]).map_err(|e| match e.as_db_error() {
        Some(error) => error.message().to_owned(),
        None => panic!("{table}: {e}"),
    })?;
    let whole = |column| u64::try_from(row.get::<_, i64>(column)).expect("a count");
    Ok(Check {
        encoder: row.get("encoder"),
        reason: row.get("reason"),
        rows: whole("rows"),
        bytes: whole("bytes"),
        differs_at: row.get("differs_at"),
    })
}

/// Runs statements that must succeed.
fn run(client: &mut Client, script: &str) {
    if let Err(error) = client.batch_execute(script) {
        let message = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
        panic!("{message}\nin: {script}");
    }
}

fn check(client: &mut Client, table: &str) -> Check {
    try_check(client, table).unwrap_or_else(|e| panic!("{table}: {e}"))
}

impl Check {
    fn assert_direct(&self, what: &str) {
        assert_eq!((self.encoder.as_str(), &self.reason), ("direct", &None), "{what}");
    }

    /// By COPY, and with a reason.
    fn assert_copy(&self, what: &str) {
        assert_eq!(self.encoder, "copy", "{what}");
        assert!(self.reason.as_ref().is_some_and(|reason| !reason.is_empty()), "{what}: no reason");
    }
}

/// What COPY writes of a table in this session, as it is in the server.
fn copied(client: &mut Client, table: &str) -> Vec<u8> {
    let encoding: String = client.query_one("SHOW server_encoding", &[]).expect("SHOW").get(0);
    let mut bytes = Vec::new();
    let copy = format!("COPY {table} TO STDOUT (ENCODING '{encoding}')");
    let mut reader = client.copy_out(&copy).unwrap_or_else(|e| panic!("{copy}: {e}"));
    reader.read_to_end(&mut bytes).unwrap_or_else(|e| panic!("{copy}: {e}"));
    bytes
}

/// The first row of these blocks that is written differently when it is alone, as COPY writes it.
fn differing_row(client: &mut Client, table: &str, blocks: &str) -> String {
    let numbers: Vec<u64> =
        blocks.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
        return format!("{blocks:?} names no blocks");
    };
    let rows = format!(
        "SELECT ctid::text FROM {table} WHERE ctid >= '({first},0)' AND ctid < '({},0)' LIMIT {SUSPECTS}",
        last + 1
    );
    for row in client.query(&rows, &[]).expect("a table's rows") {
        let ctid: String = row.get(0);
        let alone = format!(
            "DROP TABLE IF EXISTS suspect; CREATE UNLOGGED TABLE suspect AS SELECT * FROM {table} WHERE ctid = '{ctid}'"
        );
        run(client, &alone);
        if check(client, "suspect").differs_at.is_some() {
            let bytes = copied(client, "suspect");
            let shown = bytes[..bytes.len().min(SHOWN)].escape_ascii();
            return format!("the row {ctid}, which COPY writes in {} bytes: {shown}", bytes.len());
        }
    }
    "no row of them differs alone".to_owned()
}

/// Nothing, or what is different in a table.
fn difference(client: &mut Client, table: &str, check: &Check) -> Option<String> {
    let blocks = check.differs_at.as_ref()?;
    Some(format!("{table} {blocks}: {}", differing_row(client, table, blocks)))
}

// --- Values -------------------------------------------------------------------------------------------------------------

/// A type, and how its values are made.
struct Kind {
    name: String,
    expression: String,
    rows: u64,
    is_of_its_own: bool,
    /// What makes arrays out of the values of a table.
    arrays: String,
}

/// What was tried of a type, as values or as arrays of them.
#[derive(Default)]
struct Tally {
    values: u64,
    bytes: u64,
    differences: Vec<String>,
}

/// The types of a family in gen.kind.
fn kinds_of(client: &mut Client, family: &str) -> Vec<Kind> {
    let query = "SELECT type, expression, share, of_its_own, gen.arrays_of(type, 'scalars') AS arrays \
                 FROM gen.kind WHERE family = $1 ORDER BY type";
    let rows = client.query(query, &[&family]).expect("gen.kind");
    assert!(!rows.is_empty(), "there is no family {family}");
    rows.iter()
        .map(|row| Kind {
            name: row.get("type"),
            expression: row.get("expression"),
            rows: (wanted_values() as f64 * row.get::<_, f64>("share")).ceil() as u64,
            is_of_its_own: row.get("of_its_own"),
            arrays: row.get("arrays"),
        })
        .collect()
}

/// What a session may have set and the text depends on.
fn sessions_of(family: &str) -> &'static [&'static str] {
    match family {
        "bytes" => &["SET bytea_output = hex", "SET bytea_output = escape"],
        "times" | "domains" => &[
            "SET TimeZone = 'UTC'",
            "SET TimeZone = 'America/St_Johns'",
            "SET TimeZone = 'Europe/Amsterdam'",
            "SET TimeZone = 'Pacific/Apia'",
        ],
        _ => &["RESET ALL"],
    }
}

impl Kind {
    /// Makes the two tables, empty.
    fn create_tables(&self) -> String {
        let name = &self.name;
        format!(
            "DROP TABLE IF EXISTS scalars, arrays; CREATE UNLOGGED TABLE scalars (v {name}); CREATE UNLOGGED TABLE arrays (v {name}[])"
        )
    }

    /// Fills them: with values, one NULL among 31, and those of gen.special; and with arrays of the same values, of one to
    /// some thousand elements, some of them with two or three dimensions or with other bounds.
    fn fill_tables(&self, rows: u64) -> String {
        let Self { name, expression, arrays, .. } = self;
        format!(
            "TRUNCATE scalars, arrays;
             INSERT INTO scalars SELECT CASE WHEN n % 31 <> 0 THEN {expression} END FROM gen.rows({rows});
             INSERT INTO scalars SELECT value::{name} FROM gen.special WHERE type = $name${name}$name$;
             INSERT INTO arrays {arrays};
             INSERT INTO arrays SELECT ARRAY[v, v] FROM arrays WHERE cardinality(v) < 9 LIMIT 60;
             INSERT INTO arrays SELECT ARRAY[ARRAY[v, v], ARRAY[v, v]] FROM arrays WHERE cardinality(v) < 9 LIMIT 30;
             INSERT INTO arrays SELECT format('[%s:%s]=%s', -2, cardinality(v) - 3, v)::{name}[]
                 FROM arrays WHERE array_ndims(v) = 1 AND cardinality(v) < 9 LIMIT 60;
             INSERT INTO arrays VALUES ('{{}}'), ('{{NULL}}'), (array_fill(NULL::{name}, ARRAY[2])), (NULL);"
        )
    }

    /// Checks one of the tables in each kind of session, and adds what it found. The number of values is that of one session.
    fn check_table(
        &self,
        client: &mut Client,
        table: &str,
        values: &str,
        sessions: &[&str],
        tally: &mut Tally,
    ) {
        let counts =
            client.query_one(&format!("SELECT count(*), {values} FROM {table}"), &[]).expect("counts");
        let (rows, values): (i64, i64) = (counts.get(0), counts.get(1));
        for session in sessions {
            run(client, session);
            let found = check(client, table);
            let what = format!("{table} of {}, {session}", self.name);
            if self.is_of_its_own {
                found.assert_direct(&what);
            }
            match difference(client, table, &found) {
                Some(how) => tally.differences.push(format!("{what}: {how}")),
                // Where there is one, the rest was not looked at.
                None => assert_eq!(found.rows, u64::try_from(rows).expect("a count"), "{what}"),
            }
            tally.bytes += found.bytes;
        }
        tally.values += u64::try_from(values).expect("a count");
    }

    /// Tries as many values as were asked for, and arrays of them.
    fn try_out(&self, client: &mut Client, sessions: &[&str]) -> [Tally; 2] {
        let mut tallies = [Tally::default(), Tally::default()];
        run(client, &self.create_tables());
        let mut left = self.rows;
        while left > 0 {
            let rows = left.min(ROWS_OF_A_BATCH);
            let fill = self.fill_tables(rows);
            run(client, &fill);
            self.check_table(client, "scalars", "count(*)", sessions, &mut tallies[0]);
            self.check_table(
                client,
                "arrays",
                "coalesce(sum(cardinality(v)), 0)::int8",
                sessions,
                &mut tallies[1],
            );
            left -= rows;
        }
        tallies
    }
}

/// Tries all types of a family, prints what was tried, and fails with all the differences there are.
fn try_family(family: &str) {
    let cluster = cluster_with_generators();
    let mut client = cluster.client(APP);
    run(&mut client, &set_seed());
    let mut differences = Vec::new();
    for kind in kinds_of(&mut client, family) {
        for (tally, suffix) in kind.try_out(&mut client, sessions_of(family)).into_iter().zip(["", "[]"]) {
            let (values, bytes, count) = (tally.values, tally.bytes, tally.differences.len());
            println!("{}{suffix}: {values} values, {bytes} bytes, {count} differences", kind.name);
            differences.extend(tally.differences);
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn numbers_are_written_as_copy_writes_them() {
    try_family("numbers");
}

#[test]
fn numerics_are_written_as_copy_writes_them() {
    try_family("numeric");
}

#[test]
fn strings_are_written_as_copy_writes_them() {
    try_family("strings");
}

#[test]
fn bytes_are_written_as_copy_writes_them() {
    try_family("bytes");
}

#[test]
fn dates_and_times_are_written_as_copy_writes_them() {
    try_family("times");
}

#[test]
fn documents_are_written_as_copy_writes_them() {
    try_family("documents");
}

#[test]
fn addresses_and_labels_are_written_as_copy_writes_them() {
    try_family("addresses");
}

#[test]
fn domains_are_written_as_copy_writes_them() {
    try_family("domains");
}

/// Those that only their output functions can write.
#[test]
fn types_that_the_encoder_does_not_know_are_written_as_copy_writes_them() {
    try_family("others");
}

// --- Time zones ----------------------------------------------------------------------------------------------------------

/// Zones with something of their own, tried in every run: seconds in the distance from UTC, a day left out, half an hour of
/// summer time, two hours of it, rules without an end, and none.
const ODD_ZONES: &[&str] = &[
    "Africa/Monrovia",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Europe/Amsterdam",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Antarctica/Troll",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Nuuk",
    "Asia/Manila",
    "UTC",
    "EST5EDT,M3.2.0,M11.1.0",
    "<+0330>-3:30",
    "<-0001>0:01",
    "XST-24YST,J60/0,J300/24",
    "AEST-10AEDT,M10.1.0,M4.1.0/3",
];

/// Settings that are no zone's name.
const FIXED_DISTANCES: &[&str] = &[
    "INTERVAL '+05:45' HOUR TO MINUTE",
    "INTERVAL '-08:00' HOUR TO MINUTE",
    "INTERVAL '-00:01' HOUR TO MINUTE",
    "INTERVAL '15:59' HOUR TO MINUTE",
    "5.75",
    "-13",
];

/// The odd zones and those of the server: all of them, or, for a quick run, some.
fn zones(client: &mut Client) -> Vec<String> {
    let every: i64 = if wanted_values() >= THOROUGH { 1 } else { 20 };
    let query = "SELECT name FROM (SELECT name, row_number() OVER (ORDER BY random()) AS place FROM pg_timezone_names) AS names \
                 WHERE place % $1 = 0 ORDER BY name";
    let some = client.query(query, &[&every]).expect("pg_timezone_names");
    let some = some.iter().map(|row| row.get::<_, String>(0));
    ODD_ZONES.iter().map(|&zone| zone.to_owned()).chain(some).collect()
}

/// Values about every change of a zone, written in this zone: as values and as elements of arrays.
#[test]
fn every_time_zone_is_written_as_copy_writes_it() {
    let cluster = cluster_with_generators();
    cluster.sql(APP, ZONES);
    let mut client = cluster.client(APP);
    run(&mut client, &set_seed());
    let named = zones(&mut client).into_iter().map(|zone| (format!("'{zone}'"), zone));
    let fixed = FIXED_DISTANCES.iter().map(|&distance| (distance.to_owned(), "UTC".to_owned()));
    let (mut differences, mut values, mut count) = (Vec::new(), 0, 0);
    for (setting, zone) in named.chain(fixed) {
        let fill = format!(
            "SET TIME ZONE {setting};
             DROP TABLE IF EXISTS instants;
             CREATE UNLOGGED TABLE instants AS SELECT instant, ARRAY[instant, NULL, instant + interval '1 hour'] AS around
                 FROM gen.instants('{zone}') AS instant WHERE instant < '294276-12-30' OR instant = 'infinity'"
        );
        run(&mut client, &fill);
        let found = check(&mut client, "instants");
        found.assert_direct(&setting);
        values += found.rows * 3;
        count += 1;
        differences
            .extend(difference(&mut client, "instants", &found).map(|how| format!("{setting}: {how}")));
    }
    println!("{count} time zones: {values} values, {} differences", differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

// --- Tables --------------------------------------------------------------------------------------------------------------

/// The tables of a schema, as SQL.
fn tables_of(client: &mut Client, schema: &str) -> Vec<String> {
    // A regclass prints the schema only where it is needed.
    let query = "SELECT format('%I.%I', relnamespace::regnamespace, relname) FROM pg_class \
                 WHERE relkind = 'r' AND relnamespace = $1::text::regnamespace ORDER BY relname";
    client.query(query, &[&schema]).expect("pg_class").iter().map(|row| row.get(0)).collect()
}

/// Tables of the schema shape that have no column to be copied, and nothing to be quick about.
const WITHOUT_COLUMNS: &[&str] =
    &["shape.nothing", "shape.nothing_left", "shape.only_generated", "shape.only_virtual"];

/// The settings of `pg_dump`'s sessions that COPY's text depends on.
const AS_PG_DUMP: &str =
    "SET DateStyle = ISO; SET IntervalStyle = postgres; SET extra_float_digits = 3; SET search_path = ''";

/// Both encoders wrote the same, and it is as long as what COPY sends to a client.
fn assert_same_text(client: &mut Client, table: &str) -> Check {
    let found = check(client, table);
    if let Some(how) = difference(client, table, &found) {
        panic!("{how}");
    }
    let copied = copied(client, table);
    let rows = copied.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!((found.rows, found.bytes), (rows as u64, copied.len() as u64), "{table}: {found:?}");
    found
}

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

/// A heap by another name: whoever writes it, it is the same text.
#[test]
fn another_access_method_is_written_as_copy_writes_it() {
    let cluster = cluster_with_generators();
    let mut client = cluster.client(APP);
    run(
        &mut client,
        "CREATE ACCESS METHOD another TYPE TABLE HANDLER heap_tableam_handler;
             CREATE TABLE stored_otherwise (n int, text text) USING another;
             INSERT INTO stored_otherwise SELECT n, 'text ' || n FROM generate_series(1, 5000) AS n",
    );
    let found = assert_same_text(&mut client, "stored_otherwise");
    assert_eq!(found.rows, 5000);
    assert_eq!(found.encoder == "copy", found.reason.is_some(), "{found:?}");
}

/// Where row security hides rows it is COPY that applies it; a superuser sees them all.
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
    match try_check(&mut cluster.client_as("owner", APP), "guarded") {
        Ok(by_owner) => {
            by_owner.assert_copy("the owner");
            assert_eq!((by_owner.rows, by_owner.differs_at), (10, None));
        }
        // Of COPY in a session like pg_dump's, which wants all rows or none.
        Err(message) => assert!(message.contains("row-level security"), "{message}"),
    }
}

// --- Encodings -----------------------------------------------------------------------------------------------------------

/// Every byte but zero that an encoding of one byte has, alone and in pairs.
fn single_bytes(encoding: &str, wrong: &[u8]) -> String {
    let wrong: Vec<String> = wrong.iter().map(u8::to_string).collect();
    format!(
        "CREATE TABLE characters AS SELECT convert_from(decode(repeat(lpad(to_hex(code), 2, '0'), times), 'hex'), '{encoding}') AS c \
         FROM generate_series(1, 255) AS code, generate_series(1, 2) AS times WHERE code <> ALL ('{{{}}}'::int[])",
        wrong.join(",")
    )
}

/// Characters of one, two and three bytes.
const JAPANESE: &str = "CREATE TABLE characters AS \
    SELECT convert_from(decode(hex, 'hex'), 'EUC_JP') AS c FROM ( \
        SELECT to_hex(code) FROM generate_series(1, 127) AS code WHERE code >= 16 \
        UNION ALL SELECT to_hex(lead) || to_hex(trail) FROM generate_series(176, 195) AS lead, unnest('{161,192,220,254}'::int[]) AS trail \
        UNION ALL SELECT '8e' || to_hex(kana) FROM generate_series(177, 221) AS kana \
        UNION ALL SELECT '8f' || to_hex(lead) || 'b1' FROM generate_series(176, 190) AS lead) AS codes (hex)";

/// What no check would let in today: single bytes of characters of several, too long forms, surrogates, ends that are missing.
const NO_UTF8: &str = "CREATE TABLE characters AS SELECT convert_from(decode(hex, 'hex'), 'SQL_ASCII') AS c \
    FROM unnest('{80,bf,c0,c1,c3,e6,e6bc,f0,f09f,f09f98,f5,fe,ff,c080,eda080,f4908080,c3a9,e6bca2,f09f9880,c35c,e65c5c,f05c5c5c,c309}'::text[]) AS hex";

/// Makes a database in an encoding and compares the tables of characters.sql there.
fn try_encoding(cluster: &Cluster, encoding: &str, characters: &str) {
    let database = encoding.to_lowercase();
    let create = format!(
        "CREATE DATABASE {database} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    cluster.sql("postgres", &create);
    support::install(cluster, &database);
    cluster.sql(&database, &format!("SET client_encoding = '{encoding}'; {characters}; {CHARACTERS}"));
    compare_characters(cluster, &database);
}

/// With psql, which takes the database's encoding for its own, as pg_dump does: a client in UTF-8 cannot have all of them.
fn compare_characters(cluster: &Cluster, database: &str) {
    for table in ["public.characters", "public.strings", "public.labels", "public.halves"] {
        let copied = cluster.psql(database, &format!("COPY {table} TO STDOUT"));
        assert!(
            copied.status.success(),
            "{table} in {database}: {}",
            String::from_utf8_lossy(&copied.stderr)
        );
        let rows = copied.stdout.iter().filter(|&&byte| byte == b'\n').count();
        assert!(rows > 0, "{table} in {database}");
        let expected = format!("direct|||{rows}|{}", copied.stdout.len());
        let check = format!(
            "SELECT encoder, reason, differs_at, rows, bytes FROM walwarden.check_encoder('{table}')"
        );
        assert_eq!(cluster.sql(database, &check), expected, "{table} in {database}");
    }
}

#[test]
fn every_encoding_is_written_as_copy_writes_it() {
    let cluster = quiet().start();
    try_encoding(&cluster, "LATIN1", &single_bytes("LATIN1", &[]));
    try_encoding(&cluster, "SQL_ASCII", &single_bytes("SQL_ASCII", &[]));
    try_encoding(&cluster, "WIN1252", &single_bytes("WIN1252", &[]));
    try_encoding(&cluster, "KOI8R", &single_bytes("KOI8R", &[]));
    try_encoding(&cluster, "UTF8", JAPANESE);
    try_encoding(&cluster, "EUC_JP", JAPANESE);
    try_encoding(&cluster, "EUC_JIS_2004", "CREATE TABLE characters AS SELECT 'ascii' AS c");
    // Newer versions do without it.
    if cluster.sql("postgres", "SELECT pg_char_to_encoding('MULE_INTERNAL') >= 0") == "t" {
        try_encoding(&cluster, "MULE_INTERNAL", JAPANESE);
    }
}

/// Bytes that are no characters came in when they were not looked at, or when the database had another encoding.
#[test]
fn bytes_that_are_no_characters_are_written_as_copy_writes_them() {
    let cluster = quiet().start();
    try_encoding(&cluster, "SQL_ASCII", NO_UTF8);
    for encoding in ["UTF8", "EUC_JP", "EUC_TW"] {
        let now = format!(
            "UPDATE pg_database SET encoding = pg_char_to_encoding('{encoding}') WHERE datname = 'sql_ascii'"
        );
        cluster.sql("postgres", &now);
        assert_eq!(cluster.sql("sql_ascii", "SHOW server_encoding"), encoding);
        compare_characters(&cluster, "sql_ascii");
    }
}

// --- Backups -------------------------------------------------------------------------------------------------------------

/// Which encoder a manifest names for each table.
fn encoders(manifest: &Value) -> Vec<(String, String)> {
    let tables = manifest["tables"].as_array().expect("tables").iter();
    let mut encoders: Vec<_> = tables
        .map(|table| {
            let name = format!("{}.{}", text(table, "schema"), text(table, "name"));
            (name, text(table, "encoder").to_owned())
        })
        .collect();
    encoders.sort();
    encoders
}

/// Makes a backup with this encoder, which the database's sessions have by ALTER DATABASE.
fn backup_with(site: &Site, encoder: &str) -> LocalBackup {
    site.sql(&format!("ALTER DATABASE {APP} SET walwarden.encoder = '{encoder}'"));
    LocalBackup::of(&site.cluster, back_up(&site.cluster, APP, "jobs => 2"))
}

/// A table of every type and one of its arrays, in the schema kinds.
const TABLE_OF_EACH_KIND: &str = "
    CREATE SCHEMA kinds;
    DO $$
    DECLARE
        kind record;
    BEGIN
        FOR kind IN SELECT row_number() OVER (ORDER BY type) AS number, * FROM gen.kind LOOP
            EXECUTE format('CREATE TABLE kinds.scalars_%1$s (v %2$s);
                INSERT INTO kinds.scalars_%1$s SELECT CASE WHEN n %% 31 <> 0 THEN %3$s END FROM gen.rows(500);
                INSERT INTO kinds.scalars_%1$s SELECT value::%2$s FROM gen.special WHERE type = %2$L AND length(value) < 1000;
                CREATE TABLE kinds.arrays_%1$s (v %2$s[]);
                INSERT INTO kinds.arrays_%1$s %4$s',
                kind.number, kind.type, kind.expression, gen.arrays_of(kind.type, 'kinds.scalars_' || kind.number));
        END LOOP;
    END $$;";

/// The same pieces with the same SHA-256 whoever encoded them, the manifest says who did, and they restore.
#[test]
fn both_encoders_make_the_same_backup() {
    let site = Site::local(quiet());
    site.sql(&(set_seed() + VALUES + TABLES + TABLE_OF_EACH_KIND));
    let direct = backup_with(&site, "auto");
    let copied = backup_with(&site, "copy");
    let [direct_manifest, copied_manifest] = [&direct, &copied].map(LocalBackup::read_manifest);

    let (ours, theirs) = (pieces(&direct_manifest), pieces(&copied_manifest));
    assert!(ours.iter().any(|table| table.2.len() > 1), "no table is cut");
    assert!(ours.iter().flat_map(|table| &table.2).all(|piece| text(piece, "sha256").len() == 64));
    for (one, other) in ours.iter().zip(&theirs) {
        assert_eq!(one, other);
    }
    assert_eq!(ours.len(), theirs.len());

    let by_copy = encoders(&copied_manifest);
    assert!(by_copy.len() > 300, "{} tables", by_copy.len());
    assert_eq!(by_copy.iter().find(|table| table.1 != "copy"), None);
    let ordinary = encoders(&direct_manifest);
    let by_us = ordinary
        .iter()
        .filter(|table| table.0.starts_with("shape.") && !WITHOUT_COLUMNS.contains(&table.0.as_str()));
    assert_eq!(by_us.clone().find(|table| table.1 != "direct"), None);
    assert!(by_us.count() > 150);

    restore(&site.cluster, Archive::File(&direct.archive), "restored", &["--jobs=2"]);
    assert_same_database(&site.cluster, APP, "restored");
}

#[test]
fn an_unknown_encoder_is_refused() {
    let site = Site::local(quiet());
    assert_eq!(site.sql("SHOW walwarden.encoder"), "auto");
    for wrong in ["fast", "direct", "", "on"] {
        for set in [
            format!("SET walwarden.encoder = '{wrong}'"),
            format!("ALTER DATABASE {APP} SET walwarden.encoder = '{wrong}'"),
            format!("ALTER SYSTEM SET walwarden.encoder = '{wrong}'"),
        ] {
            let refused = site.cluster.try_sql(APP, &set).expect_err(&set);
            assert!(
                refused.contains("invalid value for parameter \"walwarden.encoder\""),
                "{set}: {refused}"
            );
        }
    }
    // And for the whole server, where no database says otherwise.
    site.sql("ALTER SYSTEM SET walwarden.encoder = 'copy'");
    site.sql("SELECT pg_reload_conf()");
    site.await_true(
        "the setting",
        support::site::PATIENCE,
        "SELECT current_setting('walwarden.encoder') = 'copy'",
    );
    let backup = LocalBackup::make(&site.cluster, APP);
    assert_eq!(encoders(&backup.read_manifest()), [("public.customer".to_owned(), "copy".to_owned())]);
}

// --- Limits --------------------------------------------------------------------------------------------------------------

/// Two columns whose line, without its end, has `length` bytes.
fn line_of(length: u64) -> String {
    let half = length / 2;
    format!("repeat('x', {half}) AS one, repeat('y', {}) AS other", length - half - 1)
}

/// The longest line that COPY writes: enlargeStringInfo() in stringinfo.c makes place for less than MaxAllocSize with the end
/// of the line and a zero.
const LONGEST_LINE: u64 = 0x3fff_fffd;

/// Values that are nearly too long.
#[test]
#[ignore = "takes several gigabytes of memory: make encoder-test"]
fn the_longest_values_are_written_as_copy_writes_them() {
    let cluster = quiet().start();
    cluster.create_database(APP);
    support::install(&cluster, APP);
    let mut client = cluster.client(APP);
    for (values, bytes) in [
        (r"repeat(E'\\\n\t', 100000000)".to_owned(), 600_000_001),
        ("repeat('plain', 200000000)".to_owned(), 1_000_000_001),
        ("decode(repeat('00ff5c0a', 100000000), 'hex')".to_owned(), 800_000_004),
        (r#"to_jsonb(repeat('"', 200000000))"#.to_owned(), 600_000_003),
        ("ARRAY[repeat('\"', 200000000)]".to_owned(), 600_000_005),
        (line_of(LONGEST_LINE), LONGEST_LINE + 1),
    ] {
        run(
            &mut client,
            &format!("DROP TABLE IF EXISTS long; CREATE UNLOGGED TABLE long AS SELECT {values}"),
        );
        let found = check(&mut client, "long");
        println!("{values}: {} bytes", found.bytes);
        found.assert_direct(&values);
        assert_eq!((found.rows, found.bytes, found.differs_at), (1, bytes, None), "{values}");
    }
}

/// Where COPY fails because its text would be too long, a backup fails as well, whichever encoder it takes.
#[test]
#[ignore = "takes several gigabytes of memory: make encoder-test"]
fn values_that_are_too_long_for_copy_fail() {
    let site = Site::local(quiet());
    for values in [
        r"repeat(E'\n', 600000000)".to_owned(),
        "decode(repeat('00ff5c0a', 150000000), 'hex')".to_owned(),
        line_of(LONGEST_LINE + 1),
    ] {
        site.sql(&format!(
            "SET client_min_messages = warning; DROP TABLE IF EXISTS long; CREATE TABLE long AS SELECT {values}"
        ));
        let message = try_check(&mut site.cluster.client(APP), "long").expect_err(&values);
        assert!(is_too_long(&message), "{values}: {message}");
        for encoder in ["auto", "copy"] {
            site.sql(&format!("ALTER DATABASE {APP} SET walwarden.encoder = '{encoder}'"));
            let row = await_end(&site.cluster, APP, &run_now(&site.cluster, APP, ""));
            assert_eq!(text(&row, "state"), "failed", "{encoder}, {values}: {row:#}");
            assert!(is_too_long(&row.to_string()), "{encoder}, {values}: {row:#}");
        }
    }
}

/// What our encoder says of a text of 1 GiB, and what the server does (stringinfo.c, mcxt.c).
fn is_too_long(message: &str) -> bool {
    [
        "longer than COPY can write",
        "out of memory",
        "string buffer exceeds",
        "invalid memory alloc request size",
    ]
    .iter()
    .any(|part| message.contains(part))
}
