//! `walwarden.manifest`: signed manifests as they were read back from storage.

use crate::pg::sql;
use uuid::Uuid;
use walwarden_core::Result;

/// Keep the manifest of a job.
pub fn insert(job: Uuid, body: &str, signature: &[u8]) -> Result<()> {
    sql::run(
        "INSERT INTO walwarden.manifest (job_id, body, signature) VALUES ($1::uuid, $2, pg_catalog.decode($3, 'hex'))",
        &[Some(&job.to_string()), Some(body), Some(&hex::encode(signature))],
    )?;
    Ok(())
}
