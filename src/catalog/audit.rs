//! `walwarden.audit`: appending to the chain, and reading it back for its check.

use crate::pg::process::with_signals_blocked;
use crate::pg::{clock, server, sql};
use chrono::DateTime;
use uuid::Uuid;
use walwarden_core::audit::anchoring::Lost;
use walwarden_core::audit::{
    Anchor, ChainReport, ChainVerifier, Columns, Entry, Head, Problem, Reading, Row,
};
use walwarden_core::manifest::Sha256Sum;
use walwarden_core::{Error, ErrorClass, Result};

/// How many entries are read at a time. By their numbers, not by LIMIT: a planner that has no statistics yet sorts all of the rest for
/// each batch.
const BATCH: u64 = 10_000;
/// How many threads read entries at most.
const MOST_READERS: usize = 4;
/// For fewer entries a thread does not pay.
const FEWEST_A_READER: usize = 500;

/// Append one entry; `detail` is a JSON object. Waits for whoever is appending in another transaction.
pub fn append(event: &str, job: Option<Uuid>, actor: &str, detail: &str) -> Result<u64> {
    let row = sql::query_one(
        "SELECT seq, pg_catalog.encode(hash, 'hex'), epoch, \
         CASE WHEN at > '-infinity' THEN (extract(epoch FROM at) * 1000000)::bigint END \
         FROM walwarden.audit_head FOR UPDATE",
        &[],
    )?
    .ok_or_else(head_is_missing)?;
    let detail: serde_json::Value = serde_json::from_str(detail)
        .map_err(|cause| Error::internal(format!("the detail of an audit entry is not JSON: {cause}")))?;
    let serde_json::Value::Object(detail) = detail else {
        return Err(Error::internal("the detail of an audit entry is not a JSON object"));
    };
    // Time in the chain never goes backwards, whatever the clock does.
    let previous = DateTime::from_timestamp_micros(row.parse_nullable(3)?.unwrap_or(0)).unwrap_or_default();
    let now = clock::now().max(previous);
    let mut entry = Entry::following(&head_of(&row, 0)?, now, row.parse(2)?, event.parse()?, actor);
    entry.job = job;
    entry.detail = detail;
    let sealed = entry.seal()?;
    let (seq, hash) = (sealed.seq.to_string(), sealed.hash.to_string());
    let job = job.map(|id| id.to_string());
    sql::run(
        "INSERT INTO walwarden.audit (seq, at, job_id, event, actor, body, hash) \
         VALUES ($1::bigint, $2::timestamptz, $3::uuid, $4, $5, $6, pg_catalog.decode($7, 'hex'))",
        &[
            Some(&seq),
            Some(&entry.at),
            job.as_deref(),
            Some(event),
            Some(actor),
            Some(&sealed.body),
            Some(&hash),
        ],
    )?;
    sql::run(
        "UPDATE walwarden.audit_head SET seq = $1::bigint, at = $2::timestamptz, hash = pg_catalog.decode($3, 'hex')",
        &[Some(&seq), Some(&entry.at), Some(&hash)],
    )?;
    Ok(sealed.seq)
}

/// Who acts: the session's own user, or walwarden in its own processes.
pub fn actor() -> String {
    if crate::worker::is_worker() { "walwarden".to_owned() } else { server::session_user() }
}

/// The newest entry; seq 0 before the first.
pub fn head() -> Result<Head> {
    let row = sql::query_one("SELECT seq, pg_catalog.encode(hash, 'hex') FROM walwarden.audit_head", &[])?;
    head_of(&row.ok_or_else(head_is_missing)?, 0)
}

/// Where the chain stands.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// The newest entry.
    pub head: Head,
    /// The epoch.
    pub epoch: u64,
}

/// Where the chain stands.
pub fn standing() -> Result<Standing> {
    let row =
        sql::query_one("SELECT seq, pg_catalog.encode(hash, 'hex'), epoch FROM walwarden.audit_head", &[])?
            .ok_or_else(head_is_missing)?;
    Ok(Standing { head: head_of(&row, 0)?, epoch: row.parse(2)? })
}

/// The hashes of the entries behind one and up to another, at most so many as are read at a time.
///
/// # Errors
/// `Internal` where one of them is missing.
pub fn hashes(after: u64, to: u64) -> Result<Vec<Sha256Sum>> {
    consecutive("pg_catalog.encode(hash, 'hex')", after, to.min(after.saturating_add(BATCH)))?
        .iter()
        .map(|row| row.parse(1))
        .collect()
}

/// The bodies of at most so many entries behind one and up to another, in order.
///
/// # Errors
/// `Internal` where one of them is missing.
pub fn bodies(after: u64, to: u64, most: u64) -> Result<Vec<String>> {
    consecutive("body", after, to.min(after.saturating_add(most)))?.iter().map(|row| row.text(1)).collect()
}

/// The numbers of the entries behind one and up to another, and something of each.
fn consecutive(what: &str, after: u64, to: u64) -> Result<Vec<sql::Row>> {
    let rows = sql::query(
        &format!(
            "SELECT seq, {what} FROM walwarden.audit WHERE seq > $1::bigint AND seq <= $2::bigint ORDER BY seq"
        ),
        &[Some(&after.to_string()), Some(&to.to_string())],
    )?;
    let mut expected = after;
    for row in &rows {
        expected += 1;
        if row.parse::<u64>(0)? != expected {
            return Err(is_missing(expected));
        }
    }
    if expected < to { Err(is_missing(expected + 1)) } else { Ok(rows) }
}

/// Entries from now on are of this epoch. Waits for whoever is appending.
pub fn begin_epoch(epoch: u64) -> Result<()> {
    sql::run("UPDATE walwarden.audit_head SET epoch = $1::bigint", &[Some(&epoch.to_string())])?;
    Ok(())
}

/// The entries that were lost when this database was set back, as the chain itself says.
pub fn losses() -> Result<Vec<(u64, Lost)>> {
    let rows =
        sql::query("SELECT seq, body FROM walwarden.audit WHERE event = 'chain.rollback' ORDER BY seq", &[])?;
    // What cannot be read is no excuse, and is told as the problem of its entry.
    let read = |row: &sql::Row| {
        let entry = Entry::from_body(row.text(1).ok()?.as_bytes()).ok()?;
        Some((row.parse(0).ok()?, Lost::from_detail(&entry.detail)?))
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// Check every entry against its hash, its link, its columns and the head, and the chain against what is known of it from outside; a
/// batch in memory at a time.
pub fn verify(anchors: impl IntoIterator<Item = Anchor>) -> Result<ChainReport> {
    verify_with(ChainVerifier::new(anchors), i64::MIN)
}

/// The same for so many of the newest entries, from the one before them on, which is believed.
pub fn verify_newest(count: u64) -> Result<ChainReport> {
    let before = sql::query_one(
        "SELECT a.seq, pg_catalog.encode(a.hash, 'hex') FROM walwarden.audit AS a \
         WHERE a.seq = (SELECT h.seq FROM walwarden.audit_head AS h) - $1::bigint",
        &[Some(&count.to_string())],
    )?;
    match before {
        Some(row) => verify_with(ChainVerifier::behind(&head_of(&row, 0)?), row.parse(0)?),
        None => verify([]),
    }
}

fn verify_with(mut verifier: ChainVerifier, mut after: i64) -> Result<ChainReport> {
    let mut problems = Vec::new();
    let head = loop {
        // The head behind them, and the next one where there are more, as one snapshot has it: an entry that is appended meanwhile is
        // none that is missing. Put in order here: PostgreSQL would sort their bodies, too, on disk.
        let to = after.saturating_add(BATCH as i64);
        let rows = sql::query(
            "SELECT a.seq, a.body, pg_catalog.encode(a.hash, 'hex'), \
             pg_catalog.to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), a.job_id, a.event, a.actor, NULL, NULL \
             FROM walwarden.audit AS a WHERE a.seq > $1::bigint AND a.seq <= $2::bigint \
             UNION ALL \
             SELECT h.seq, NULL, pg_catalog.encode(h.hash, 'hex'), NULL, NULL, NULL, NULL, 'head', \
                    (SELECT pg_catalog.min(e.seq) FROM walwarden.audit AS e WHERE e.seq > $2::bigint) \
             FROM walwarden.audit_head AS h",
            &[Some(&after.to_string()), Some(&to.to_string())],
        )?;
        let (heads, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.get(7).is_some());
        let mut entries: Vec<(i64, sql::Row)> =
            rows.into_iter().map(|row| Ok((row.parse(0)?, row))).collect::<Result<_>>()?;
        entries.sort_unstable_by_key(|(seq, _)| *seq);
        for ((seq, row), reading) in entries.iter().zip(read_side_by_side(&entries)?) {
            problems.extend(check_row(&mut verifier, *seq, row, reading)?);
        }
        let head = heads.first().ok_or_else(head_is_missing)?;
        match head.parse_nullable::<i64>(8)? {
            Some(next) => after = next.saturating_sub(1),
            None => break Head { seq: head.parse(0)?, hash: head.parse(2)? },
        }
    };
    let mut report = verifier.finish(Some(&head));
    problems.append(&mut report.problems);
    report.problems = problems;
    Ok(report)
}

/// Read the bodies of some entries, on as many threads as there are processors to run them.
fn read_side_by_side(rows: &[(i64, sql::Row)]) -> Result<Vec<Reading>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_READERS);
    let share = rows.len().div_ceil(threads).max(FEWEST_A_READER);
    let read = |rows: &[(i64, sql::Row)]| -> Vec<Reading> {
        rows.iter().map(|(_, row)| Reading::of(row.get(1).unwrap_or_default().as_bytes())).collect()
    };
    let mut shares = rows.chunks(share);
    let own = shares.next().unwrap_or_default();
    with_signals_blocked(|| {
        std::thread::scope(|scope| {
            let others: Vec<_> = shares.map(|share| scope.spawn(move || read(share))).collect();
            let mut readings = read(own);
            for other in others {
                readings
                    .extend(other.join().map_err(|_| Error::internal("reading the audit chain panicked"))?);
            }
            Ok(readings)
        })
    })
}

fn check_row(
    verifier: &mut ChainVerifier,
    seq: i64,
    row: &sql::Row,
    reading: Reading,
) -> Result<Vec<Problem>> {
    // What somebody has made NULL agrees with no body.
    let text = |column| row.get(column).unwrap_or_default();
    let hash = hex::decode(text(2)).map_err(|_| Error::internal("a hash is not hex"))?;
    let columns = Columns { at: text(3), job: row.parse_nullable(4)?, event: text(5), actor: text(6) };
    let row = Row { seq, body: text(1).as_bytes(), hash: Some(&hash), columns: Some(columns) };
    Ok(verifier.push_read(&row, reading))
}

/// Its columns begin at `first`.
fn head_of(row: &sql::Row, first: usize) -> Result<Head> {
    let hash: Sha256Sum = row.parse(first + 1)?;
    Ok(Head { seq: row.parse(first)?, hash })
}

fn is_missing(seq: u64) -> Error {
    Error::new(ErrorClass::Internal, format!("entry {seq} of the audit chain is missing"))
        .hint("See walwarden.verify_audit_chain().")
}

fn head_is_missing() -> Error {
    Error::internal("walwarden.audit_head has no row")
}
