//! `check_encoder()`: a table of the user's own, written both ways.

use crate::encoding::{Written, write_by_copy, write_directly};
use crate::error::report;
use crate::pg::direct_copy::{self, DirectTable, Way};
use crate::pg::text::{self, Text};
use crate::pg::{locks, sql};
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use walwarden_core::archive::Blocks;
use walwarden_core::encoder::Encoder;
use walwarden_core::{Error, ErrorClass, Result as CoreResult};

/// So many blocks are compared at a time.
const BLOCKS_AT_ONCE: u32 = 1000;

/// The COPY statement of a table, as pg_dump writes it (dumpTableData_copy in pg_dump.c).
const STATEMENT: &str = "SELECT pg_catalog.format('COPY %I.%I %s TO stdout', n.nspname, c.relname, \
            (SELECT '(' || pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')' \
             FROM pg_catalog.pg_attribute AS a \
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')) \
     FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1::oid";

/// Write a table both ways, and say whether they differ and where. In SQL the function sets what pg_dump's session sets.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the columns of a result")]
pub fn check_encoder(
    relation: Option<Oid>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(encoder, Text),
            name!(reason, Option<Text>),
            name!(rows, i64),
            name!(bytes, i64),
            name!(differs_at, Option<Text>),
        ),
    >,
    ErrorReport,
> {
    super::job::required("relation", relation)
        .and_then(check)
        .map(|row| TableIterator::once(row))
        .map_err(report)
}

type Row = (Text, Option<Text>, i64, i64, Option<Text>);

fn check(relation: Oid) -> CoreResult<Row> {
    let oid = relation.to_u32();
    locks::lock_table(oid);
    let statement = sql::query_one(STATEMENT, &[Some(&oid.to_string())])?
        .ok_or_else(|| Error::new(ErrorClass::NotFound, format!("there is no relation with the oid {oid}")))?
        .text(0)?;
    let statement = text::to_server(&statement).into_bytes();
    match direct_copy::open(oid, &statement)? {
        Way::Copy(reason) => {
            let written = write_by_copy(&statement, Blocks::ALL)?;
            Ok(row(Encoder::Copy, Some(reason), &written, None))
        }
        Way::Direct(mut table) => {
            let compared = compare(&mut table, &statement);
            table.close();
            let (written, difference) = compared?;
            Ok(row(Encoder::Direct, None, &written, difference))
        }
    }
}

fn row(encoder: Encoder, reason: Option<&str>, written: &Written, difference: Option<Blocks>) -> Row {
    let difference = difference.map(|Blocks { first, end }| Text(format!("blocks {first} to {}", end - 1)));
    (
        Text::from(encoder.name()),
        reason.map(Text::from),
        written.rows as i64,
        written.bytes as i64,
        difference,
    )
}

/// All of the table both ways, up to the first block that differs.
fn compare(table: &mut DirectTable, statement: &[u8]) -> CoreResult<(Written, Option<Blocks>)> {
    let mut written = Written::default();
    let count = table.blocks();
    for first in (0..count).step_by(BLOCKS_AT_ONCE as usize) {
        let blocks = Blocks { first, end: count.min(first + BLOCKS_AT_ONCE) };
        let direct = write_directly(table, blocks)?;
        if direct != write_by_copy(statement, blocks)? {
            return Ok((written, Some(narrowed(table, statement, blocks)?)));
        }
        written.rows += direct.rows;
        written.bytes += direct.bytes;
    }
    Ok((written, None))
}

/// The first block that differs of some that do.
fn narrowed(table: &mut DirectTable, statement: &[u8], mut blocks: Blocks) -> CoreResult<Blocks> {
    while blocks.end - blocks.first > 1 {
        let middle = blocks.first + (blocks.end - blocks.first) / 2;
        let half = Blocks { first: blocks.first, end: middle };
        let is_in_half = write_directly(table, half)? != write_by_copy(statement, half)?;
        blocks = if is_in_half { half } else { Blocks { first: middle, end: blocks.end } };
    }
    Ok(blocks)
}
