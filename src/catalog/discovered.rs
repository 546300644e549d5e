//! `walwarden.discovered`: backups that were found in storage, of this database and others.

use crate::catalog::backup::Backup;
use crate::catalog::storage;
use crate::pg::{clock, sql};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use walwarden_core::manifest::Manifest;
use walwarden_core::{Error, Result};

/// One look through a storage.
#[derive(Debug, Clone)]
pub struct Discovery<'a> {
    /// Name of the storage.
    pub storage: &'a str,
    /// The key by which manifests are believed, PEM.
    pub public_key: &'a str,
    /// When it began.
    pub at: DateTime<Utc>,
}

impl Discovery<'_> {
    /// Keep a backup that can be believed, in place of what was known of it.
    pub fn keep(&self, manifest_key: &str, manifest: &Manifest, body: &[u8], signature: &[u8]) -> Result<()> {
        sql::run(
            "INSERT INTO walwarden.discovered (job, storage, manifest_key, body, signature, public_key, database, \
                                               database_id, snapshot_at, tables, rows, size_bytes, server_version, \
                                               discovered_at) \
             VALUES ($1::uuid, $2, $3, pg_catalog.decode($4, 'hex'), pg_catalog.decode($5, 'hex'), $6, $7, $8::uuid, \
                     $9::timestamptz, $10::bigint, $11::bigint, $12::bigint, $13, $14::timestamptz) \
             ON CONFLICT (job) DO UPDATE SET (storage, manifest_key, body, signature, public_key, database, database_id, \
                                              snapshot_at, tables, rows, size_bytes, server_version, discovered_at) = \
                 ROW (excluded.storage, excluded.manifest_key, excluded.body, excluded.signature, excluded.public_key, \
                      excluded.database, excluded.database_id, excluded.snapshot_at, excluded.tables, excluded.rows, \
                      excluded.size_bytes, excluded.server_version, excluded.discovered_at)",
            &[
                Some(&manifest.job.id.to_string()),
                Some(self.storage),
                Some(manifest_key),
                Some(&hex::encode(body)),
                Some(&hex::encode(signature)),
                Some(self.public_key),
                Some(&manifest.database.name),
                Some(&manifest.database.id.to_string()),
                Some(&clock::to_text(manifest.snapshot.taken_at)),
                Some(&manifest.totals.tables.to_string()),
                Some(&manifest.totals.rows.to_string()),
                Some(&manifest.archive.stored().size.to_string()),
                Some(&manifest.server_version.text),
                Some(&clock::to_text(self.at)),
            ],
        )?;
        Ok(())
    }

    /// Forget what an earlier look with the same key had found good in this storage, and this one has not.
    pub fn forget_others(&self) -> Result<()> {
        sql::run(
            "DELETE FROM walwarden.discovered WHERE storage = $1 AND public_key = $2 AND discovered_at < $3::timestamptz",
            &[Some(self.storage), Some(self.public_key), Some(&clock::to_text(self.at))],
        )?;
        Ok(())
    }
}

/// The backup that a job made, if it was discovered.
pub fn find(job: Uuid) -> Result<Option<Backup>> {
    let Some(row) = sql::query_one(
        "SELECT storage, manifest_key, pg_catalog.encode(body, 'hex'), public_key \
           FROM walwarden.discovered WHERE job = $1::uuid",
        &[Some(&job.to_string())],
    )?
    else {
        return Ok(None);
    };
    Ok(Some(Backup {
        storage: storage::find(&row.text(0)?)?,
        manifest_key: row.text(1)?,
        manifest: hex::decode(row.text(2)?).map_err(|_| Error::internal("a manifest is not hex"))?,
        public_key: Some(row.text(3)?),
        is_discovered: true,
    }))
}
