//! One table of a backup, made anew beside the original: by one loader in one transaction, so that it is there with all its
//! rows or not at all. Only its own pieces are fetched.

use super::hands::Hands;
use super::{contents, loaders};
use crate::catalog::job::{ArchiveFacts, Job};
use crate::catalog::task::TableOrder;
use crate::pg::transaction::transaction;
use crate::pg::{clock, server};
use crate::worker::io::Io;
use crate::worker::progress::{Phase, set_phase};
use crate::worker::subject::Subject;
use crate::worker::work::Work;
use std::sync::atomic::Ordering::Relaxed;
use uuid::Uuid;
use walwarden_core::archive::{LoadPlan, TableEntries, TableLoad, Toc};
use walwarden_core::{Error, ErrorClass, Result};

/// The restore of one table.
pub struct TableRestore {
    backup: Uuid,
    order: TableOrder,
    hands: Hands,
}

impl TableRestore {
    /// Of the backup that this job made.
    pub fn new(io: Io, backup: Uuid, order: TableOrder) -> Self {
        Self { backup, order, hands: Hands::new(io) }
    }
}

impl Work for TableRestore {
    fn run(&mut self, job: &Job) -> Result<()> {
        let (segment, subject) =
            super::begin(job, &self.hands.io, self.backup, self.order.identity_file.as_deref(), 1)?;
        require_encoding(&subject)?;
        let toc = contents::read_toc(&self.hands.io, &subject)?;
        let TableOrder { table, into, .. } = &self.order;
        let found = transaction(|| contents::find_table(&toc, &subject, table))?;

        let definitions = definitions(&toc, &found)?;
        let plan = LoadPlan::of(&toc, &subject.manifest, |table| found.rows.contains(&table.dump_id))?;
        let counters = segment.counters();
        counters.tables_total.store(plan.tables.len() as u64, Relaxed);
        // Partitions become one table.
        let facts = subject.facts_of(|table| found.rows.contains(&table.dump_id), false);
        let facts = ArchiveFacts { tables: 1, ..facts };
        counters.estimated_bytes.store(facts.raw_bytes, Relaxed);
        counters.copying_since.store(clock::now().timestamp_micros(), Relaxed);
        set_phase(&segment, Phase::Loading);
        let load = TableLoad {
            role: job.requested_by.clone(),
            schema: into.schema.clone(),
            name: into.name.clone(),
            definitions,
            indexes: found.keys,
        };
        loaders::load_table(&mut self.hands, &subject, toc.header.algorithm(), plan, load, &segment)?;
        subject.complete(job.id, &facts)
    }

    fn stop(&mut self, error: Error) -> Error {
        self.hands.stop();
        error
    }
}

/// The statement that makes the table, then those of the tables whose columns it inherits, and of theirs.
fn definitions(toc: &Toc, table: &TableEntries) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut wanted = vec![table.clone()];
    while let Some(table) = wanted.pop() {
        let entry = toc.entries.iter().find(|entry| entry.dump_id == table.table);
        found.extend(entry.and_then(|entry| entry.definition.clone()));
        for parent in &table.parents {
            wanted.push(toc.table(&parent.schema, &parent.name)?);
        }
    }
    Ok(found)
}

/// Names and rows are loaded as they are.
fn require_encoding(subject: &Subject) -> Result<()> {
    let (theirs, ours) = (&subject.manifest.database.encoding, server::encoding());
    if *theirs == ours {
        return Ok(());
    }
    Err(Error::new(ErrorClass::WrongState, "the backup is in another encoding than this database")
        .detail(format!("The backup is in {theirs}, this database in {ours}."))
        .hint("Restore the whole backup with walwarden.restore(), or read the table with walwarden.read_table()."))
}
