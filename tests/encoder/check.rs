//! A table written both ways: how `check_encoder()` says that, and how it is made to name the row that differs.

use std::io::Read as _;
use walwarden_testkit::postgres::Client;

/// Rows that are looked at one by one for the one that is written differently.
const SUSPECTS: usize = 3000;
/// The table of one of them.
const SUSPECT: &str = "public.suspect";
/// How much of a row is shown.
const SHOWN: usize = 1000;

/// What `check_encoder()` says of a table.
#[derive(Debug)]
pub struct Check {
    pub encoder: String,
    pub reason: Option<String>,
    pub rows: u64,
    pub bytes: u64,
    pub differs_at: Option<String>,
}

/// Has both encoders write a table, which is named as in SQL. An error of the server is returned as its message.
pub fn try_check(client: &mut Client, table: &str) -> Result<Check, String> {
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
pub fn run(client: &mut Client, script: &str) {
    if let Err(error) = client.batch_execute(script) {
        let message = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
        panic!("{message}\nin: {script}");
    }
}

pub fn check(client: &mut Client, table: &str) -> Check {
    try_check(client, table).unwrap_or_else(|e| panic!("{table}: {e}"))
}

impl Check {
    pub fn assert_direct(&self, what: &str) {
        assert_eq!((self.encoder.as_str(), &self.reason), ("direct", &None), "{what}");
    }

    /// By COPY, and with a reason.
    pub fn assert_copy(&self, what: &str) {
        assert_eq!(self.encoder, "copy", "{what}");
        assert!(self.reason.as_ref().is_some_and(|reason| !reason.is_empty()), "{what}: no reason");
    }
}

/// What COPY writes of a table in this session, as it is in the server.
pub fn copied(client: &mut Client, table: &str) -> Vec<u8> {
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
            "DROP TABLE IF EXISTS {SUSPECT}; CREATE UNLOGGED TABLE {SUSPECT} AS SELECT * FROM {table} WHERE ctid = '{ctid}'"
        );
        run(client, &alone);
        if check(client, SUSPECT).differs_at.is_some() {
            let bytes = copied(client, SUSPECT);
            let shown = bytes[..bytes.len().min(SHOWN)].escape_ascii();
            return format!("the row {ctid}, which COPY writes in {} bytes: {shown}", bytes.len());
        }
    }
    "no row of them differs alone".to_owned()
}

/// Nothing, or what is different in a table.
pub fn difference(client: &mut Client, table: &str, check: &Check) -> Option<String> {
    let blocks = check.differs_at.as_ref()?;
    Some(format!("{table} {blocks}: {}", differing_row(client, table, blocks)))
}

/// The settings of `pg_dump`'s sessions that COPY's text depends on.
pub const AS_PG_DUMP: &str =
    "SET DateStyle = ISO; SET IntervalStyle = postgres; SET extra_float_digits = 3; SET search_path = ''";

/// Both encoders wrote the same, and it is as long as what COPY sends to a client.
pub fn assert_same_text(client: &mut Client, table: &str) -> Check {
    let found = check(client, table);
    if let Some(how) = difference(client, table, &found) {
        panic!("{how}");
    }
    let copied = copied(client, table);
    let rows = copied.iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!((found.rows, found.bytes), (rows as u64, copied.len() as u64), "{table}: {found:?}");
    found
}
