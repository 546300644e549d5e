//! A table as it was in a backup, as rows of a query. Nothing is restored: its pieces are fetched and read.
//!
//! The function runs with its caller's rights, for reading values calls what the caller's types say, domains' checks among
//! them; only where the backup is, is looked up with those of the extension's owner.

use super::job::{required, to_core};
use crate::catalog::backup;
use crate::error::report;
use crate::identity;
use crate::pg::record_set::{self, Columns, RecordSet};
use crate::pg::role::as_owner_of;
use crate::pg::sql;
use crate::pg::text::{Conversion, Text};
use crate::worker::io::Io;
use crate::worker::pieces::Source;
use crate::worker::restore::{find_table, read_toc};
use crate::worker::subject::{self, Subject};
use pgrx::AnyElement;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::collections::HashSet;
use uuid::Uuid;
use walwarden_core::archive::{
    Algorithm, ArchiveReader, CopyRows, LoadPlan, LoadedPiece, LoadedTable, TableName, Toc, statement,
};
use walwarden_core::{Error, ErrorClass, Result as CoreResult};

/// The rows of a table of a backup, in the columns that the caller names.
#[pg_extern(sql = false)]
pub fn read_table(
    job: Option<pgrx::Uuid>,
    table: Option<Text>,
    identity_file: Option<Text>,
    call: pg_sys::FunctionCallInfo,
) -> Result<(), ErrorReport> {
    read(job, table, identity_file, Columns::Listed, call).map_err(report)
}

/// The same in the columns of a row type.
#[pg_extern(sql = false)]
pub fn read_table_as(
    job: Option<pgrx::Uuid>,
    table: Option<Text>,
    _row_type: Option<AnyElement>,
    identity_file: Option<Text>,
    call: pg_sys::FunctionCallInfo,
) -> Result<(), ErrorReport> {
    read(job, table, identity_file, Columns::OfType, call).map_err(report)
}

fn read(
    job: Option<pgrx::Uuid>,
    table: Option<Text>,
    identity_file: Option<Text>,
    columns: Columns,
    call: pg_sys::FunctionCallInfo,
) -> CoreResult<()> {
    let job = to_core(required("job", job)?);
    let table = required("table", table)?;
    let identity_file = identity_file.map(|file| file.0);
    let function = record_set::function_of(call);
    as_owner_of(function, || identity::require_may_name(identity_file.as_deref()))?;
    let into = RecordSet::begin(call, columns)?;
    read_into(job, &table.0, identity_file.as_deref(), function, into)
}

fn read_into(
    job: Uuid,
    table: &str,
    identity_file: Option<&str>,
    function: pg_sys::Oid,
    into: RecordSet,
) -> CoreResult<()> {
    let io = Io::start_in_session()?;
    let (table, subject) = as_owner_of(function, || {
        let table = named(table)?;
        let mut subject = subject::prove(&io, job, backup::find(job, None)?)?;
        subject.require_archive(&io)?;
        subject.require_unlocked(&io, identity_file)?;
        Ok((table, subject))
    })?;
    let toc = read_toc(&io, &subject)?;
    let encoding = &subject.manifest.database.encoding;
    let conversion = Conversion::from(encoding)?;
    let rows = entries_of(&toc, &subject, &table)?;
    let plan = LoadPlan::of(&toc, &subject.manifest, |table| rows.contains(&table.dump_id))?;
    let source = Source { io: &io, archive: subject.archive()?.clone() };
    let mut reading = Reading { source, algorithm: toc.header.algorithm(), conversion, into };
    reading.read(&plan)
}

/// A name as users give it.
fn named(table: &str) -> CoreResult<TableName> {
    let name = sql::query_one("SELECT walwarden._table_name($1)::text", &[Some(table)])?
        .ok_or_else(|| Error::internal("a name could not be read"))?
        .text(0)?;
    serde_json::from_str(&name).map_err(|cause| Error::internal(format!("a name could not be read: {cause}")))
}

/// The entries of its rows. Also of a table that an extension makes, which has no definition in the archive.
fn entries_of(toc: &Toc, subject: &Subject, table: &TableName) -> CoreResult<HashSet<i32>> {
    match find_table(toc, subject, table) {
        Ok(found) => Ok(found.rows.into_iter().collect()),
        Err(error) if error.class == ErrorClass::WrongState => {
            let tables = subject.manifest.tables.iter();
            let rows: HashSet<i32> = tables
                .filter(|one| one.schema == table.schema && one.name == table.name)
                .map(|one| one.dump_id)
                .collect();
            if rows.is_empty() { Err(error) } else { Ok(rows) }
        }
        Err(error) => Err(error),
    }
}

struct Reading<'a> {
    source: Source<'a>,
    algorithm: Algorithm,
    conversion: Conversion,
    into: RecordSet,
}

impl Reading<'_> {
    fn read(&mut self, plan: &LoadPlan) -> CoreResult<()> {
        let mut batches = plan.batches.iter();
        let source = self.source.clone();
        source.for_each_batch(
            || batches.next(),
            |batch, bytes| {
                batch.pieces.iter().try_for_each(|piece| {
                    let table = plan.table(piece)?;
                    self.read_piece(table, piece, source.intact(table, batch, piece, bytes)?)
                })
            },
        )
    }

    fn read_piece(&mut self, table: &LoadedTable, piece: &LoadedPiece, bytes: &[u8]) -> CoreResult<()> {
        let columns = statement::columns_of(&table.statement)?;
        let places = self.places(table, &columns)?;
        let mut reader = ArchiveReader::of_piece(bytes, self.algorithm);
        let mut plaintext = reader.plaintext()?;
        let (mut rows, mut raw_length) = (0, 0);
        let mut copied = CopyRows::new(columns.len(), |buffer: &mut [u8]| {
            let length = plaintext.read_some(buffer)?;
            raw_length += length as u64;
            Ok(length)
        });
        while let Some(row) = copied.next_row()? {
            let conversion = &self.conversion;
            self.into.put(|index| {
                let place = places.get(index).copied().flatten()?;
                row.c_string(place).map(|value| conversion.convert(value))
            });
            rows += 1;
        }
        drop(copied);
        self.source.require_all(table, piece, rows, raw_length)
    }

    /// For each column that is wanted, its place among those of the backup.
    fn places(&self, table: &LoadedTable, columns: &[Vec<u8>]) -> CoreResult<Vec<Option<usize>>> {
        let names: Vec<String> = columns.iter().map(|name| self.conversion.read(name)).collect();
        let place = |wanted: Option<&str>| {
            let Some(wanted) = wanted else { return Ok(None) };
            match names.iter().position(|name| name == wanted) {
                None if !self.into.lists_its_columns() => Ok(None),
                None => Err(Error::new(
                    ErrorClass::NotFound,
                    format!("table {} has no column \"{wanted}\" in the backup", table.name),
                )
                .detail(format!("It has {}.", names.join(", ")))
                .hint("Generated columns have no values in a backup.")),
                found => Ok(found),
            }
        };
        let places: Vec<Option<usize>> = self.into.columns().map(place).collect::<CoreResult<_>>()?;
        if !columns.is_empty() && places.iter().all(Option::is_none) {
            return Err(Error::new(
                ErrorClass::NotFound,
                format!("table {} has none of these columns in the backup", table.name),
            )
            .detail(format!("It has {}.", names.join(", ")))
            .hint("Give the row type of a table like it, such as NULL::public.users."));
        }
        Ok(places)
    }
}
