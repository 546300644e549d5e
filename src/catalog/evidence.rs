//! What the tables hold for an evidence bundle, a little at a time.

use crate::pg::sql;
use chrono::{DateTime, Utc};
use uuid::Uuid;
use walwarden_core::audit::{Checkpoint, SignedNote};
use walwarden_core::evidence::Keys;
use walwarden_core::key::{PublicKey, SIGNATURE_LENGTH};
use walwarden_core::manifest::Sha256Sum;
use walwarden_core::signature::rotation::SignedRotation;
use walwarden_core::{Error, Result};

/// A checkpoint that was signed here.
pub struct Signed {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// As it lies in storage.
    pub note: SignedNote,
}

/// A manifest with the signature that lies beside it.
pub struct Manifest {
    /// The storage that has it.
    pub storage: String,
    /// Its exact text.
    pub body: String,
    /// By the key of its time.
    pub signature: [u8; SIGNATURE_LENGTH],
}

/// An entry, exactly.
pub struct Body {
    /// Its number.
    pub seq: u64,
    /// Its body.
    pub body: String,
    /// Its hash as stored.
    pub hash: Sha256Sum,
}

/// The keys of this database, the oldest first, and the statements by which they followed each other.
pub fn keys() -> Result<Keys> {
    let rows = sql::query(
        "SELECT public_key, statement, pg_catalog.encode(signature, 'hex') FROM walwarden.key ORDER BY number",
        &[],
    )?;
    let mut keys = Keys { history: Vec::new(), rotations: Vec::new() };
    for row in &rows {
        keys.history.push(PublicKey::from_pem(&row.text(0)?)?);
        if let (Some(statement), Some(signature)) = (row.get(1), row.get(2)) {
            let signature = hex::decode(signature).map_err(|_| Error::internal("a signature is not hex"))?;
            keys.rotations.push(SignedRotation::read(statement.as_bytes(), &signature)?);
        }
    }
    Ok(keys)
}

/// The checkpoints of a database, in the order in which they were made. Those from before an adoption are of another.
pub fn checkpoints(database: Uuid) -> Result<Vec<Signed>> {
    let rows = sql::query("SELECT note FROM walwarden.checkpoint ORDER BY epoch, size", &[])?;
    let mut all = Vec::new();
    for row in &rows {
        let note = SignedNote::parse(row.text(0)?.as_bytes())?;
        let checkpoint = Checkpoint::parse(&note.text)?;
        if checkpoint.database == database {
            all.push(Signed { checkpoint, note });
        }
    }
    Ok(all)
}

/// The entries of a job, in order.
pub fn of_job(job: Uuid) -> Result<Vec<Body>> {
    let rows = sql::query(
        "SELECT seq, body, pg_catalog.encode(hash, 'hex') FROM walwarden.audit WHERE job_id = $1::uuid ORDER BY seq",
        &[Some(&job.to_string())],
    )?;
    rows.iter().map(|row| Ok(Body { seq: row.parse(0)?, body: row.text(1)?, hash: row.parse(2)? })).collect()
}

/// The first and the last entry of a time, as far as a checkpoint covers them.
pub fn of_time(from: DateTime<Utc>, to: DateTime<Utc>, covered: u64) -> Result<Option<(u64, u64)>> {
    let row = sql::query_one(
        "SELECT pg_catalog.min(seq), pg_catalog.max(seq) FROM walwarden.audit \
         WHERE at >= $1::timestamptz AND at < $2::timestamptz AND seq <= $3::bigint",
        &[
            Some(&crate::pg::clock::to_text(from)),
            Some(&crate::pg::clock::to_text(to)),
            Some(&covered.to_string()),
        ],
    )?;
    let Some(row) = row else { return Ok(None) };
    Ok(row.parse_nullable(0)?.zip(row.parse_nullable(1)?))
}

/// The bytes of these entries with a newline behind each.
pub fn size(first: u64, last: u64) -> Result<u64> {
    sql::query_one(
        "SELECT coalesce(pg_catalog.sum(pg_catalog.length(pg_catalog.convert_to(body, 'UTF8')) + 1), 0)::bigint \
         FROM walwarden.audit WHERE seq BETWEEN $1::bigint AND $2::bigint",
        &[Some(&first.to_string()), Some(&last.to_string())],
    )?
    .ok_or_else(|| Error::internal("the size of audit entries could not be read"))?
    .parse(0)
}

/// The backups that these entries say were completed, in order.
pub fn completed(first: u64, last: u64) -> Result<Vec<Uuid>> {
    let rows = sql::query(
        "SELECT DISTINCT job_id FROM walwarden.audit \
         WHERE seq BETWEEN $1::bigint AND $2::bigint AND event IN ('backup.completed', 'backup.partial') AND job_id IS NOT NULL \
         ORDER BY job_id",
        &[Some(&first.to_string()), Some(&last.to_string())],
    )?;
    rows.iter().map(|row| row.parse(0)).collect()
}

/// The manifests of a backup, of storages that have the same one the first only.
pub fn manifests(job: Uuid) -> Result<Vec<Manifest>> {
    let rows = sql::query(
        "SELECT storage, body, pg_catalog.encode(signature, 'hex') FROM walwarden.manifest WHERE job_id = $1::uuid ORDER BY storage",
        &[Some(&job.to_string())],
    )?;
    let mut different: Vec<Manifest> = Vec::new();
    for row in &rows {
        let body = row.text(1)?;
        if different.iter().any(|other| other.body == body) {
            continue;
        }
        let mut signature = [0; SIGNATURE_LENGTH];
        hex::decode_to_slice(row.text(2)?, &mut signature)
            .map_err(|_| Error::internal("the signature of a manifest does not have 64 bytes"))?;
        different.push(Manifest { storage: row.text(0)?, body, signature });
    }
    Ok(different)
}

/// Whether there is such a job, and whether it has ended.
pub fn is_finished(job: Uuid) -> Result<Option<bool>> {
    sql::query_one(
        "SELECT finalized_at IS NOT NULL FROM walwarden.job WHERE id = $1::uuid",
        &[Some(&job.to_string())],
    )?
    .map(|row| row.flag(0))
    .transpose()
}

/// The one storage of this database; None where there are several.
pub fn only_storage() -> Result<Option<String>> {
    let rows = sql::query("SELECT name FROM walwarden.storage ORDER BY name LIMIT 2", &[])?;
    match rows.as_slice() {
        [only] => only.text(0).map(Some),
        _ => Ok(None),
    }
}

/// A storage that has the backup of this job.
pub fn storage_with(job: Uuid) -> Result<Option<String>> {
    sql::query_one(
        "SELECT storage FROM walwarden.backup_copy WHERE backup = $1::uuid AND state IN ('stored', 'retained_by_lock') \
         ORDER BY storage LIMIT 1",
        &[Some(&job.to_string())],
    )?
    .map(|row| row.text(0))
    .transpose()
}
