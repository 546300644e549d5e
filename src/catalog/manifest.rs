//! `walwarden.manifest`: signed manifests as they were read back from storage.

use crate::pg::sql;
use uuid::Uuid;
use walwarden_core::Result;

/// Keep the manifest of a backup as a storage has it.
pub fn insert(backup: Uuid, storage: &str, body: &str, signature: &[u8], key_id: &str) -> Result<()> {
    sql::run(
        "INSERT INTO walwarden.manifest (job_id, storage, body, signature, key_id) \
         VALUES ($1::uuid, $2, $3, pg_catalog.decode($4, 'hex'), $5) ON CONFLICT (job_id, storage) DO NOTHING",
        &[Some(&backup.to_string()), Some(storage), Some(body), Some(&hex::encode(signature)), Some(key_id)],
    )?;
    Ok(())
}
