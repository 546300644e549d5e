//! The manifest of a backup, from what its steps found out.

use super::archive::{Assembled, Contents};
use super::copiers::Snapshot as TakenSnapshot;
use super::copies::Form;
use super::prepare::Prepared;
use crate::catalog::audit;
use crate::catalog::job::{self, Job};
use crate::pg::transaction::transaction;
use crate::pg::{server, text};
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use walwarden_core::archive::{Compression, TableName, TocEntry, desc};
use walwarden_core::filter::Filter;
use walwarden_core::manifest::{
    Archive, AuditHead, Database, Encryption, Extension, Format, LargeObjects, Lsn, Manifest, ManifestJob,
    Part, Piece, ScheduleEntry, ServerVersion, Sha256Sum, Snapshot, StoredObject, Table, Tools, Totals,
    to_canonical_bytes,
};
use walwarden_core::{Error, Result, release};
use walwarden_store::{self as stored, Plain, Recipients};

/// Everything a manifest is made of.
pub struct Facts<'a> {
    /// The job.
    pub job: &'a Job,
    /// The database.
    pub prepared: &'a Prepared,
    /// The moment it shows.
    pub snapshot: &'a TakenSnapshot,
    /// Its table of contents.
    pub contents: &'a Contents,
    /// Its blocks.
    pub assembled: &'a Assembled,
    /// How its blocks are compressed.
    pub compression: Compression,
    /// Its globals before any encryption.
    pub globals: Plain,
    /// What of the database it holds.
    pub filter: &'a Filter,
    /// The key that will sign it.
    pub key_id: String,
    /// When all data was stored.
    pub finished_at: DateTime<Utc>,
}

/// The canonical bytes of the manifest of one copy.
pub fn build(facts: &Facts<'_>, form: &Form<'_>) -> Result<Vec<u8>> {
    let Facts { job, prepared, snapshot, contents, assembled, .. } = facts;
    let Form { keys, sent, recipients, .. } = form;
    let header = &contents.toc.header;
    // Names are converted from the database's encoding, which needs a transaction.
    let (head, started_at, tables, tables_without_data, pg_dump) = transaction(|| {
        let tables = tables(contents, assembled)?;
        let without_data = tables_without_data(contents, &snapshot.without_rows);
        let pg_dump = readable(header.dump_version.as_deref());
        Ok((audit::head()?, job::started_at(job.id)?, tables, without_data, pg_dump))
    })?;
    let part =
        |part: &stored::Part| Part { offset: part.offset, size: part.size, sha256: Sha256Sum(part.sha256) };
    let parts: Vec<Part> = sent.uploaded.parts.iter().map(part).collect();
    let manifest = Manifest {
        format: Format::current(),
        walwarden_version: release::VERSION.to_owned(),
        job: ManifestJob {
            id: job.id,
            schedule: job.schedule.clone(),
            trigger: job.trigger,
            requested_by: job.requested_by.clone(),
            queued_at: job.queued_at,
            started_at,
        },
        organization: prepared.organization.clone(),
        database: Database {
            id: prepared.identity.id,
            name: prepared.database_name.clone(),
            oid: server::database_oid(),
            system_identifier: server::system_identifier(),
            encoding: server::encoding(),
        },
        server_version: ServerVersion { text: server::version(), number: server::version_number() },
        tools: Tools { pg_dump },
        extensions: prepared
            .extensions
            .iter()
            .map(|(name, version)| Extension { name: name.clone(), version: version.clone() })
            .collect(),
        snapshot: Snapshot { lsn: Lsn(snapshot.lsn), taken_at: snapshot.at },
        archive: Archive {
            key: keys.archive.clone(),
            size: sent.plain.size,
            sha256: Sha256Sum(sent.plain.sha256),
            compression: facts.compression.name(),
            format_version: format!("1.{}", header.version().minor()),
            encryption: encryption(*recipients, sent.uploaded.size, sent.uploaded.sha256, parts.clone()),
            parts: if recipients.is_some() { Vec::new() } else { parts },
        },
        globals: Some(StoredObject {
            key: form.globals.key.clone(),
            size: facts.globals.size,
            sha256: Sha256Sum(facts.globals.sha256),
            encryption: encryption(*recipients, form.globals.size, form.globals.sha256, Vec::new()),
        }),
        tables,
        filter: facts.filter.clone(),
        tables_without_data,
        large_objects: LargeObjects {
            count: assembled.large_objects,
            raw_bytes: assembled.large_object_bytes,
            left_out: facts.filter.has_includes(),
        },
        totals: Totals {
            tables: assembled.blocks.len() as u64,
            rows: assembled.rows(),
            raw_bytes: assembled.table_bytes(),
        },
        schedules: prepared
            .schedules
            .iter()
            .map(|schedule| ScheduleEntry {
                name: schedule.name.clone(),
                enabled: schedule.enabled,
                definition: schedule.definition.clone(),
            })
            .collect(),
        audit_head: AuditHead { seq: head.seq, hash: head.hash },
        key_id: facts.key_id.clone(),
        finished_at: facts.finished_at,
    };
    to_canonical_bytes(&manifest)
}

/// What an object is in storage, if it is encrypted.
pub fn encryption(
    recipients: Option<&Recipients>,
    size: u64,
    sha256: [u8; 32],
    parts: Vec<Part>,
) -> Option<Encryption> {
    recipients.map(|recipients| Encryption {
        format: Encryption::AGE.to_owned(),
        recipients: recipients.names(),
        size,
        sha256: Sha256Sum(sha256),
        parts,
    })
}

fn tables(contents: &Contents, assembled: &Assembled) -> Result<Vec<Table>> {
    let entries: HashMap<i32, &TocEntry> =
        contents.toc.entries.iter().map(|entry| (entry.dump_id, entry)).collect();
    assembled
        .blocks
        .iter()
        .map(|block| {
            let entry = entries
                .get(&block.dump_id)
                .ok_or_else(|| Error::internal(format!("block {} has no entry", block.dump_id)))?;
            Ok(Table {
                schema: readable(entry.namespace.as_deref()),
                name: readable(Some(&entry.tag)),
                oid: entry.oid,
                dump_id: block.dump_id,
                rows: block.pieces.iter().map(|piece| piece.rows).sum(),
                raw_bytes: block.pieces.iter().map(|piece| piece.raw_length).sum(),
                block_offset: block.offset,
                encoder: Some(assembled.encoder(block.dump_id)),
                pieces: block
                    .pieces
                    .iter()
                    .map(|piece| Piece {
                        offset: piece.offset,
                        length: piece.length,
                        raw_length: piece.raw_length,
                        rows: piece.rows,
                        sha256: Sha256Sum(piece.sha256),
                    })
                    .collect(),
            })
        })
        .collect()
}

/// In the order of the archive. What an extension makes has no definition in it.
fn tables_without_data(contents: &Contents, oids: &[u32]) -> Vec<TableName> {
    let oids: HashSet<u32> = oids.iter().copied().collect();
    let is_one = |entry: &&TocEntry| entry.desc == desc::TABLE && oids.contains(&entry.oid);
    let entries = contents.toc.entries.iter().filter(is_one);
    entries
        .map(|entry| TableName {
            schema: readable(entry.namespace.as_deref()),
            name: readable(Some(&entry.tag)),
        })
        .collect()
}

/// Names for people and programs; the archive itself has their exact bytes. In a database in SQL_ASCII a name may be
/// no text at all: what cannot be read is replaced.
fn readable(bytes: Option<&[u8]>) -> String {
    bytes.map(text::from_server_lossy).unwrap_or_default()
}
