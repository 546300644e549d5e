//! `walwarden.checkpoint`: the checkpoints that were signed here.

use crate::pg::sql;
use walwarden_core::audit::Checkpoint;
use walwarden_core::manifest::Sha256Sum;
use walwarden_core::{Error, Result};

/// Keep one; the one that was kept before if there is one over as many entries. Gives the note that counts.
pub fn keep(checkpoint: &Checkpoint, note: &str, key_id: &str) -> Result<String> {
    let (epoch, size) = (checkpoint.epoch.to_string(), checkpoint.size.to_string());
    let root = checkpoint.root.to_string();
    sql::run(
        "INSERT INTO walwarden.checkpoint (epoch, size, root, note, key_id) \
         VALUES ($1::bigint, $2::bigint, pg_catalog.decode($3, 'hex'), $4, $5) ON CONFLICT (epoch, size) DO NOTHING",
        &[Some(&epoch), Some(&size), Some(&root), Some(note), Some(key_id)],
    )?;
    let (kept, kept_root) = find(checkpoint.epoch, checkpoint.size)?
        .ok_or_else(|| Error::internal("a checkpoint is gone right after it was kept"))?;
    if kept_root == checkpoint.root {
        return Ok(kept);
    }
    Err(Error::internal(format!(
        "the audit chain is not the one whose checkpoint over {size} entries was signed here"
    )))
}

/// The note over so many entries, and its tree head.
pub fn find(epoch: u64, size: u64) -> Result<Option<(String, Sha256Sum)>> {
    sql::query_one(
        "SELECT note, pg_catalog.encode(root, 'hex') FROM walwarden.checkpoint \
         WHERE epoch = $1::bigint AND size = $2::bigint",
        &[Some(&epoch.to_string()), Some(&size.to_string())],
    )?
    .map(|row| Ok((row.text(0)?, row.parse(1)?)))
    .transpose()
}
