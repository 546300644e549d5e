//! Values of every type, and arrays of them.

use crate::check::{check, difference, run};
use crate::support::site::APP;
use crate::{cluster_with_generators, set_seed, wanted_values};
use walwarden_testkit::postgres::Client;

/// As many rows as a table has before it is emptied for the next ones: some hundred megabytes.
const ROWS_OF_A_BATCH: u64 = 500_000;

/// A type, and how its values are made.
struct Kind {
    name: String,
    expression: String,
    rows: u64,
    /// What makes arrays out of the values of a table.
    arrays: String,
}

/// What is filled with values, and how they are counted.
struct Table {
    name: &'static str,
    values: &'static str,
}

const TABLES: [Table; 2] = [
    Table { name: "scalars", values: "count(*)" },
    Table { name: "arrays", values: "coalesce(sum(cardinality(v)), 0)::int8" },
];

/// What was tried of a type, as values or as arrays of them.
#[derive(Default)]
struct Tally {
    values: u64,
    bytes: u64,
    differences: Vec<String>,
}

/// The types of a family in gen.kind.
fn kinds_of(client: &mut Client, family: &str) -> Vec<Kind> {
    let query = "SELECT type, expression, share, gen.arrays_of(type, 'scalars') AS arrays \
                 FROM gen.kind WHERE family = $1 ORDER BY type";
    let rows = client.query(query, &[&family]).expect("gen.kind");
    assert!(!rows.is_empty(), "there is no family {family}");
    rows.iter()
        .map(|row| Kind {
            name: row.get("type"),
            expression: row.get("expression"),
            rows: (wanted_values() as f64 * row.get::<_, f64>("share")).ceil() as u64,
            arrays: row.get("arrays"),
        })
        .collect()
}

/// What a session may have set that the text of a type depends on.
fn sessions_of(name: &str) -> &'static [&'static str] {
    match name {
        "bytea" => &["SET bytea_output = hex", "SET bytea_output = escape"],
        "timestamptz" | "tstzrange" | "gen.moment" => &[
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

    /// Checks one of the tables in each kind of session, and adds what was found. Values count once, whatever the sessions.
    fn check_table(&self, client: &mut Client, table: &Table, tally: &mut Tally) {
        let Table { name, values } = table;
        let counts =
            client.query_one(&format!("SELECT count(*), {values} FROM {name}"), &[]).expect("counts");
        let [rows, values] =
            [0, 1].map(|column| u64::try_from(counts.get::<_, i64>(column)).expect("a count"));
        for session in sessions_of(&self.name) {
            run(client, session);
            let found = check(client, name);
            let what = format!("{name} of {}, {session}", self.name);
            found.assert_direct(&what);
            match difference(client, name, &found) {
                Some(how) => tally.differences.push(format!("{what}: {how}")),
                // Where there is one, the rest was not looked at.
                None => assert_eq!(found.rows, rows, "{what}"),
            }
            tally.bytes += found.bytes;
        }
        tally.values += values;
    }

    /// Tries as many values as were asked for, and arrays of them.
    fn try_out(&self, client: &mut Client) -> [Tally; 2] {
        let mut tallies = [Tally::default(), Tally::default()];
        run(client, &self.create_tables());
        let mut left = self.rows;
        while left > 0 {
            let rows = left.min(ROWS_OF_A_BATCH);
            run(client, &self.fill_tables(rows));
            for (table, tally) in TABLES.iter().zip(&mut tallies) {
                self.check_table(client, table, tally);
            }
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
        for (tally, suffix) in kind.try_out(&mut client).into_iter().zip(["", "[]"]) {
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
