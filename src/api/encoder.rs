//! `check_encoder()`: a table of the user's own, written both ways.

use crate::encoding::{Written, write_by_copy, write_directly};
use crate::error::report;
use crate::pg::direct_copy::{self, DirectTable, Way};
use crate::pg::text::{self, Text};
use crate::pg::{locks, sql};
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::time::Duration;
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
            name!(direct_ms, Option<f64>),
            name!(copy_ms, Option<f64>),
        ),
    >,
    ErrorReport,
> {
    super::job::required("relation", relation).and_then(check).map(TableIterator::once).map_err(report)
}

type Row = (Text, Option<Text>, i64, i64, Option<Text>, Option<f64>, Option<f64>);

/// A table as far as it was written both ways.
#[derive(Default)]
struct Comparison {
    rows: u64,
    bytes: u64,
    direct: Duration,
    copy: Duration,
    difference: Option<Blocks>,
}

fn check(relation: Oid) -> CoreResult<Row> {
    let oid = relation.to_u32();
    locks::lock_table(oid);
    let statement = sql::query_one(STATEMENT, &[Some(&oid.to_string())])?
        .ok_or_else(|| Error::new(ErrorClass::NotFound, format!("there is no relation with the oid {oid}")))?
        .text(0)?;
    let statement = text::to_server(&statement).into_bytes();
    match direct_copy::open(oid, &statement)? {
        Way::Copy(reason) => {
            let (Written { rows, bytes, .. }, time) = write_by_copy(&statement, Blocks::ALL)?;
            let (encoder, reason) = (Text::from(Encoder::Copy.name()), Some(Text::from(reason)));
            Ok((encoder, reason, rows as i64, bytes as i64, None, None, Some(milliseconds(time))))
        }
        Way::Direct(mut table) => {
            let compared = compare(&mut table, &statement);
            table.close();
            let Comparison { rows, bytes, direct, copy, difference } = compared?;
            let place =
                difference.map(|Blocks { first, end }| Text(format!("blocks {first} to {}", end - 1)));
            let (direct, copy) = (Some(milliseconds(direct)), Some(milliseconds(copy)));
            Ok((Text::from(Encoder::Direct.name()), None, rows as i64, bytes as i64, place, direct, copy))
        }
    }
}

/// To a microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// All of the table both ways, up to the first block that differs.
fn compare(table: &mut DirectTable, statement: &[u8]) -> CoreResult<Comparison> {
    let mut comparison = Comparison::default();
    let count = table.blocks();
    for first in (0..count).step_by(BLOCKS_AT_ONCE as usize) {
        let blocks = Blocks { first, end: count.min(first + BLOCKS_AT_ONCE) };
        let (direct, direct_time) = write_directly(table, blocks)?;
        let (by_copy, copy_time) = write_by_copy(statement, blocks)?;
        if direct != by_copy {
            comparison.difference = Some(narrowed(table, statement, blocks)?);
            break;
        }
        comparison.rows += direct.rows;
        comparison.bytes += direct.bytes;
        comparison.direct += direct_time;
        comparison.copy += copy_time;
    }
    Ok(comparison)
}

/// The first block that differs of some that do.
fn narrowed(table: &mut DirectTable, statement: &[u8], mut blocks: Blocks) -> CoreResult<Blocks> {
    while blocks.end - blocks.first > 1 {
        let middle = blocks.first + (blocks.end - blocks.first) / 2;
        let half = Blocks { first: blocks.first, end: middle };
        let is_in_half = write_directly(table, half)?.0 != write_by_copy(statement, half)?.0;
        blocks = if is_in_half { half } else { Blocks { first: middle, end: blocks.end } };
    }
    Ok(blocks)
}
