//! The checkpoints of a database's audit chain, as a storage has them.

use std::collections::BTreeMap;

use bytes::Bytes;
use walwarden_core::audit::{AuditObject, note};
use walwarden_core::{ErrorClass, Result};

use crate::layout::Layout;
use crate::store::Store;

impl Store {
    /// Epochs and sizes of the checkpoints behind this one, or of all, in order.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn checkpoints(&self, layout: &Layout, after: Option<(u64, u64)>) -> Result<Vec<(u64, u64)>> {
        let folder = layout.checkpoints();
        let objects = match after {
            Some((epoch, size)) => {
                let key = layout.audit_key(&AuditObject::Checkpoint { epoch, size });
                self.list_after(&folder, &key).await?
            }
            None => self.list(&folder).await?,
        };
        let places = objects.iter().filter_map(|object| match layout.audit_object(&object.key)? {
            AuditObject::Checkpoint { epoch, size } => Some((epoch, size)),
            AuditObject::Entries { .. } => None,
        });
        Ok(places.collect())
    }

    /// The notes of these checkpoints, as they lie there. None for one that is not there.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn checkpoint_notes(
        &self,
        layout: &Layout,
        places: &[(u64, u64)],
    ) -> Result<BTreeMap<(u64, u64), Option<Bytes>>> {
        let mut notes = BTreeMap::new();
        for (epoch, size) in places {
            let key = layout.audit_key(&AuditObject::Checkpoint { epoch: *epoch, size: *size });
            let note = self.get_if_there(&key, note::MAX_LENGTH as u64).await?;
            notes.insert((*epoch, *size), note);
        }
        Ok(notes)
    }

    /// Writes an object of the audit chain. One that is there already with the same bytes is fine: an earlier attempt was cut off.
    ///
    /// # Errors
    /// `StorageConflict` if it is there with other bytes.
    pub async fn put_audit_object(&self, layout: &Layout, object: &AuditObject, bytes: Bytes) -> Result<()> {
        let key = layout.audit_key(object);
        match self.put_new(&key, bytes.clone()).await {
            Err(conflict) if conflict.class == ErrorClass::StorageConflict => {
                let there = self.get_if_there(&key, bytes.len() as u64).await?;
                if there.is_some_and(|there| there == bytes) { Ok(()) } else { Err(conflict) }
            }
            outcome => outcome,
        }
    }

    async fn get_if_there(&self, key: &str, most: u64) -> Result<Option<Bytes>> {
        match self.get_at_most(key, most).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.class == ErrorClass::StorageNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
