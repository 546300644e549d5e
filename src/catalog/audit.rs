//! `walwarden.audit`: appending to the chain, and reading it back for its check.

use crate::pg::{clock, server, sql};
use chrono::DateTime;
use uuid::Uuid;
use walwarden_core::audit::{ChainReport, ChainVerifier, Columns, Entry, Head, Problem, Row};
use walwarden_core::manifest::Sha256Sum;
use walwarden_core::{Error, Result};

/// How many entries are read at a time.
const BATCH: usize = 10_000;

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

/// Check every entry against its hash, its link, its columns and the head; a batch in memory at a time.
pub fn verify() -> Result<ChainReport> {
    verify_with(ChainVerifier::new([]), i64::MIN)
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
        None => verify(),
    }
}

fn verify_with(mut verifier: ChainVerifier, mut after: i64) -> Result<ChainReport> {
    let mut problems = Vec::new();
    let head = loop {
        // The head with them, as one snapshot has both: an entry that is appended meanwhile is none that is missing.
        let rows = sql::query(
            "SELECT a.seq, a.body, pg_catalog.encode(a.hash, 'hex'), \
             pg_catalog.to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), a.job_id, a.event, a.actor, \
             h.seq, pg_catalog.encode(h.hash, 'hex') \
             FROM walwarden.audit_head AS h \
             LEFT JOIN LATERAL (SELECT * FROM walwarden.audit AS e WHERE e.seq > $1::bigint ORDER BY e.seq LIMIT $2::bigint) AS a \
                    ON true \
             ORDER BY a.seq",
            &[Some(&after.to_string()), Some(&BATCH.to_string())],
        )?;
        for row in rows.iter().filter(|row| row.get(0).is_some()) {
            after = row.parse(0)?;
            problems.extend(check_row(&mut verifier, after, row)?);
        }
        if rows.len() < BATCH {
            break head_of(rows.last().ok_or_else(head_is_missing)?, 7)?;
        }
    };
    let mut report = verifier.finish(Some(&head));
    problems.append(&mut report.problems);
    report.problems = problems;
    Ok(report)
}

fn check_row(verifier: &mut ChainVerifier, seq: i64, row: &sql::Row) -> Result<Vec<Problem>> {
    let (body, at, event, actor) = (row.text(1)?, row.text(3)?, row.text(5)?, row.text(6)?);
    let hash = hex::decode(row.text(2)?).map_err(|_| Error::internal("a hash is not hex"))?;
    let columns = Columns { at: &at, job: row.parse_nullable(4)?, event: &event, actor: &actor };
    Ok(verifier.push(&Row { seq, body: body.as_bytes(), hash: Some(&hash), columns: Some(columns) }))
}

/// Its columns begin at `first`.
fn head_of(row: &sql::Row, first: usize) -> Result<Head> {
    let hash: Sha256Sum = row.parse(first + 1)?;
    Ok(Head { seq: row.parse(first)?, hash })
}

fn head_is_missing() -> Error {
    Error::internal("walwarden.audit_head has no row")
}
