//! A checkpoint and the entries it is over, into one storage: the entries first, so that whoever has a checkpoint has them.

use crate::catalog::storage::Storage;
use crate::catalog::{anchor, audit};
use crate::worker::installed::while_installed;
use crate::worker::io::Io;
use crate::worker::remains::open_stored;
use bytes::Bytes;
use walwarden_core::audit::{AuditObject, Checkpoint};
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::Layout;

/// An object of entries is closed when it has so many bytes.
const OBJECT_SIZE: usize = 8 << 20;
/// How many entries are read at a time.
const BATCH: u64 = 1000;

/// Put the entries behind `exported_to`, and then the checkpoint. What was put is noted object by object.
pub fn put(
    io: &Io,
    layout: &Layout,
    storage: &Storage,
    mut exported_to: u64,
    checkpoint: &Checkpoint,
    note: &str,
) -> Result<()> {
    let store = open_stored(&storage.url, &storage.options)?;
    let Checkpoint { epoch, size, .. } = *checkpoint;
    while exported_to < size {
        let (lines, to) = read(exported_to, size)?;
        let object = AuditObject::Entries { epoch, from: exported_to + 1, to };
        let (store, place) = (store.clone(), layout.clone());
        io.run(async move { store.put_audit_object(&place, &object, Bytes::from(lines)).await })?;
        while_installed(|| anchor::note_exported(&storage.name, to))?;
        exported_to = to;
    }
    let (object, note) = (AuditObject::Checkpoint { epoch, size }, Bytes::from(note.to_owned()));
    let layout = layout.clone();
    io.run(async move { store.put_audit_object(&layout, &object, note).await })
}

/// Entries behind one, a body a line, and the number of the last of them.
fn read(after: u64, last: u64) -> Result<(String, u64)> {
    let mut lines = String::new();
    let mut to = after;
    while to < last && lines.len() < OBJECT_SIZE {
        let bodies = while_installed(|| audit::bodies(to, last, BATCH))?
            .ok_or_else(|| Error::new(ErrorClass::Terminated, "the extension was dropped"))?;
        for body in &bodies {
            lines.push_str(body);
            lines.push('\n');
        }
        to += bodies.len() as u64;
    }
    Ok((lines, to))
}
