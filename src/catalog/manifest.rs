//! `walwarden.manifest`: signed manifests as they were read back from storage.

use crate::pg::sql;
use uuid::Uuid;
use walwarden_core::Result;

/// Keep the manifest of a backup as a storage has it.
pub fn insert(backup: Uuid, storage: &str, body: &str, signature: &[u8]) -> Result<()> {
    sql::run(
        "INSERT INTO walwarden.manifest (job_id, storage, body, signature) \
         VALUES ($1::uuid, $2, $3, pg_catalog.decode($4, 'hex')) ON CONFLICT (job_id, storage) DO NOTHING",
        &[Some(&backup.to_string()), Some(storage), Some(body), Some(&hex::encode(signature))],
    )?;
    Ok(())
}
