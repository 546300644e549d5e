//! The rows of one table after the other: straight from the heap where that is possible, else by COPY.

use super::outlet::Outlet;
use crate::encoding;
use crate::pg::copy_out::copy_out;
use crate::pg::direct_copy::{self, DirectTable, Way};
use crate::pg::{locks, random};
use walwarden_core::Result;
use walwarden_core::archive::{Blocks, PlannedTable};
use walwarden_core::encoder::{Encoder, sample};

/// Reads tables. It stays with one until it comes to another: pieces of a table follow each other, and its scan has buffers
/// to keep.
pub struct Rows {
    copier: usize,
    is_direct: bool,
    /// Whether something of what was written directly was compared with COPY.
    has_compared: bool,
    table: Option<Table>,
}

struct Table {
    oid: u32,
    /// None where COPY does it.
    direct: Option<Box<DirectTable>>,
}

impl Rows {
    /// Of the copier with this number; `is_direct` says whether a table may be read without COPY.
    pub fn new(copier: usize, is_direct: bool) -> Self {
        Self { copier, is_direct, has_compared: false, table: None }
    }

    /// The copier's number.
    pub fn copier(&self) -> usize {
        self.copier
    }

    /// This table is next.
    pub fn come_to(&mut self, table: &PlannedTable) -> Result<()> {
        if self.table.as_ref().is_some_and(|present| present.oid == table.oid) {
            return Ok(());
        }
        self.leave();
        let mut direct = None;
        if self.is_direct {
            locks::lock_table(table.oid);
            if let Way::Direct(table) = direct_copy::open(table.oid, &table.statement)? {
                direct = Some(table);
            }
        }
        self.table = Some(Table { oid: table.oid, direct });
        Ok(())
    }

    /// Write these blocks of the table; gives the number of rows, and who wrote them.
    pub fn write(
        &mut self,
        table: &PlannedTable,
        blocks: Blocks,
        outlet: &mut Outlet<'_>,
    ) -> Result<(u64, Encoder)> {
        if let Some(direct) = self.direct() {
            return Ok((direct.write(blocks, outlet)?, Encoder::Direct));
        }
        let statement = encoding::statement(&table.statement, blocks)?;
        let count = copy_out(&statement, &mut |row| outlet.row(row))?;
        Ok((count, Encoder::Copy))
    }

    /// Have a part of what was written directly written by COPY, too; of the first piece there is, a block at least.
    ///
    /// # Errors
    /// `Internal` where they differ.
    pub fn compare_sample(&mut self, table: &PlannedTable, blocks: Blocks) -> Result<()> {
        let at_least = u32::from(!self.has_compared);
        let Some(direct) = self.direct() else { return Ok(()) };
        let blocks = Blocks { end: blocks.end.min(direct.blocks()), ..blocks };
        let Some(sample) = sample(blocks, at_least, random::number()) else { return Ok(()) };
        encoding::require_same(direct, &table.statement, sample)?;
        self.has_compared = true;
        Ok(())
    }

    /// Close the table that is open. Its lock goes too, unless it is the first copier's, which has it for all of them.
    pub fn leave(&mut self) {
        let Some(Table { oid, direct }) = self.table.take() else { return };
        if let Some(direct) = direct {
            direct.close();
        }
        if self.copier > 0 {
            locks::unlock_table(oid);
        }
    }

    fn direct(&mut self) -> Option<&mut DirectTable> {
        self.table.as_mut()?.direct.as_deref_mut()
    }
}
