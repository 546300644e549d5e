//! Tables that lie in shared buffers, written by both in turn in one backend: `check_encoder()`.

use crate::DATABASE;
use crate::table::Table;
use std::io::Read as _;
use std::time::Instant;
use walwarden_core::archive::{Compression, PieceEncoder};
use walwarden_testkit::Cluster;
use walwarden_testkit::postgres::Client;

/// What stands in the table's first column, the type, an expression for its values, and about how many bytes a value takes.
const TYPES: [(&str, &str, &str, u64); 34] = [
    ("boolean", "boolean", "n % 3 = 0", 1),
    ("smallint", "smallint", "n % 65536 - 32768", 2),
    ("integer", "integer", "hashint8(n)", 4),
    ("bigint", "bigint", "hashint8extended(n, 0)", 8),
    ("oid", "oid", "n", 4),
    ("real", "real", "random()", 4),
    ("double precision", "double precision", "random() * 1000", 8),
    ("numeric", "numeric(12, 2)", "(hashint8(n) / 100.0)", 10),
    ("numeric, 30 digits", "numeric", "hashint8extended(n, 0)::numeric * 1000000007 / 1000", 20),
    ("text, short", "text", "'entry ' || n", 14),
    ("text, 1 kB", "text", "repeat(md5(n::text), 32)", 1024),
    ("text, 1 kB, a line break in each 40 bytes", "text", "repeat(md5(n::text) || E',a;b:c\\n', 25)", 1000),
    ("varchar", "varchar(40)", "md5(n::text)", 33),
    ("character", "character(84)", "md5(n::text)", 85),
    ("name", "name", "md5(n::text)", 64),
    ("\"char\"", "\"char\"", "chr((n % 90 + 33)::integer)", 1),
    ("bytea, 256 bytes", "bytea", "decode(repeat(md5(n::text), 16), 'hex')", 256),
    ("uuid", "uuid", "md5(n::text)::uuid", 16),
    ("date", "date", "date '1990-01-01' + (n % 20000)::integer", 4),
    ("time", "time", "time '00:00' + n * interval '1.234567 s'", 8),
    ("timestamp", "timestamp", "timestamp '2001-01-01' + n * interval '97.531 s'", 8),
    ("timestamptz", "timestamptz", "timestamptz '2001-01-01 00:00+00' + n * interval '97.531 s'", 8),
    ("interval", "interval", "n * interval '1 hour 3.5 seconds'", 16),
    ("json", "json", "json_build_object('id', n, 'name', 'customer ' || n, 'tags', '[1, 2, 3]'::json)", 70),
    (
        "jsonb",
        "jsonb",
        "jsonb_build_object('id', n, 'name', 'customer ' || n, 'price', n * 1.5, 'tags', '[true, null, \"x\"]'::jsonb)",
        110,
    ),
    ("inet", "inet", "('10.' || n % 256 || '.' || n / 256 % 256 || '.1')::inet", 7),
    ("cidr", "cidr", "('10.' || n % 256 || '.' || n / 256 % 256 || '.0/24')::cidr", 7),
    ("enum", "mood", "(enum_range(NULL::mood))[n % 3 + 1]", 4),
    ("integer[3]", "integer[]", "ARRAY[n, n + 1, n + 2]", 37),
    ("text[2]", "text[]", "ARRAY['x' || n, 'hello world']", 54),
    ("a domain over numeric", "money_of_ours", "(hashint8(n) / 100.0)", 10),
    ("text of 6 kB, compressed", "text", "repeat(md5(n::text) || ' and more ', 150)", 300),
    ("not known to walwarden: money", "money", "(n % 100000)::money", 8),
    ("not known to walwarden: tsvector", "tsvector", "to_tsvector('simple', 'entry number ' || n)", 50),
];

const OF_TYPES: &str =
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE DOMAIN money_of_ours AS numeric(12, 2)";

/// Levels of zstd: the default, and the fastest.
const LEVELS: [i32; 2] = [1, -7];
/// A row and the pointer to it.
const ROW_OVERHEAD: u64 = 28;

/// Each type.
pub fn measure(cluster: &Cluster, megabytes: u64, rounds: usize) -> Table {
    cluster.sql(DATABASE, OF_TYPES);
    let mut client = cluster.client(DATABASE);
    let mut table = Table::new(&HEAD);
    for (what, of_type, expression, size) in TYPES {
        eprintln!("{what}");
        let rows = (megabytes << 20) / (4 * size + ROW_OVERHEAD);
        let make = format!(
            "DROP TABLE IF EXISTS probe; \
             CREATE UNLOGGED TABLE probe (a {of_type}, b {of_type}, c {of_type}, d {of_type}); \
             INSERT INTO probe SELECT v, v, v, v FROM (SELECT ({expression})::{of_type} AS v \
                FROM generate_series(1::bigint, {rows}) AS n OFFSET 0) AS s; \
             VACUUM (FREEZE, ANALYZE) probe"
        );
        make.split("; ").for_each(|statement| run(&mut client, statement));
        table.cells(&compare(&mut client, "probe", rounds).cells(what));
    }
    run(&mut client, "DROP TABLE probe");
    table
}

/// Each table that there is; and what it takes to compress its text, as a copier does.
pub fn measure_tables(cluster: &Cluster, rounds: usize) -> Table {
    cluster.sql(DATABASE, "VACUUM (FREEZE, ANALYZE)");
    let mut client = cluster.client(DATABASE);
    let query = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1";
    let names: Vec<String> =
        client.query(query, &[]).expect("the tables").iter().map(|row| row.get(0)).collect();
    let columns =
        LEVELS.map(|level| [format!("zstd:{level}, ns a row"), format!("direct and zstd:{level} ÷ COPY")]);
    let columns: Vec<&str> = HEAD.into_iter().chain(columns.iter().flatten().map(String::as_str)).collect();
    let mut table = Table::new(&columns);
    for name in names {
        eprintln!("{name}");
        let runs = compare(&mut client, &name, rounds);
        let text = text_of(&mut client, &name);
        let (direct, copy) = (runs.of_a_row(|run| run.0), runs.of_a_row(|run| run.1));
        let mut cells = runs.cells(&format!("`{name}`"));
        for level in LEVELS {
            let of_a_row = compress(&text, level, rounds) * 1e9 / runs.rows as f64;
            cells.extend([format!("{of_a_row:.0}"), format!("{:.2}", (direct + of_a_row) / copy)]);
        }
        table.cells(&cells);
    }
    table
}

fn text_of(client: &mut Client, table: &str) -> Vec<u8> {
    let mut text = Vec::new();
    let copy = format!("COPY {table} TO STDOUT");
    client.copy_out(&copy).expect("its text").read_to_end(&mut text).expect("its text");
    text
}

/// How many seconds it takes to make a table's text a piece of an archive, with its SHA-256.
fn compress(text: &[u8], level: i32, rounds: usize) -> f64 {
    median((0..rounds).map(|_| {
        let mut encoder = PieceEncoder::new(Compression::Zstd { level });
        let mut out = Vec::new();
        let began = Instant::now();
        for part in text.chunks(64 << 10) {
            encoder.write(part, &mut out).expect("a piece");
            out.clear();
        }
        encoder.finish(0, &mut out).expect("a piece");
        began.elapsed().as_secs_f64()
    }))
}

const HEAD: [&str; 6] = ["", "rows", "text", "direct, ns a row", "COPY, ns a row", "direct ÷ COPY"];

/// How long each took.
struct Runs {
    rows: i64,
    size: String,
    milliseconds: Vec<(f64, f64)>,
}

impl Runs {
    fn of_a_row(&self, milliseconds: fn(&(f64, f64)) -> f64) -> f64 {
        median(self.milliseconds.iter().map(milliseconds)) * 1e6 / self.rows as f64
    }

    fn cells(&self, what: &str) -> Vec<String> {
        vec![
            what.to_owned(),
            self.rows.to_string(),
            self.size.clone(),
            format!("{:.0}", self.of_a_row(|run| run.0)),
            format!("{:.0}", self.of_a_row(|run| run.1)),
            spread(self.milliseconds.iter().map(|run| run.0 / run.1).collect()),
        ]
    }
}

/// Once for the caches, and then as often as is wanted.
fn compare(client: &mut Client, name: &str, rounds: usize) -> Runs {
    let query = format!(
        "SELECT encoder, rows, pg_size_pretty(bytes), differs_at, direct_ms, copy_ms FROM walwarden.check_encoder('{name}')"
    );
    let mut milliseconds = Vec::new();
    let (mut rows, mut size) = (0, String::new());
    for round in 0..=rounds {
        let row = client.query_one(&query, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(row.get::<_, String>(0), "direct", "{name}");
        assert_eq!(row.get::<_, Option<String>>(3), None, "{name} differs");
        (rows, size) = (row.get(1), row.get(2));
        if round > 0 {
            milliseconds.push((row.get(4), row.get(5)));
        }
    }
    Runs { rows, size, milliseconds }
}

fn run(client: &mut Client, statement: &str) {
    client.batch_execute(statement).unwrap_or_else(|e| panic!("{statement}: {e:?}"));
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The middle one, and how far they lie apart.
pub fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    format!("{:.2} ({:.2}–{:.2})", values[values.len() / 2], values[0], values[values.len() - 1])
}
