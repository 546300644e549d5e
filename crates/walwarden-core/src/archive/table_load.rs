//! One table of an archive, as it is made anew under another name.

use super::wire::{WireReader, put_bytes, put_count};
use crate::error::Result;

/// The table that a loader makes before it loads rows into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableLoad {
    /// The role that it will belong to.
    pub role: String,
    /// The schema it is made in.
    pub schema: String,
    /// Its name there.
    pub name: String,
    /// pg_dump's CREATE TABLE of it, then of the tables whose columns it inherits.
    pub definitions: Vec<Vec<u8>>,
    /// pg_dump's statements for its indexes, primary key, unique and exclusion constraints.
    pub indexes: Vec<Vec<u8>>,
}

impl TableLoad {
    /// As bytes.
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) -> Result<()> {
        for text in [&self.role, &self.schema, &self.name] {
            put_bytes(out, text.as_bytes())?;
        }
        for list in [&self.definitions, &self.indexes] {
            put_count(out, list.len())?;
            for statement in list {
                put_bytes(out, statement)?;
            }
        }
        Ok(())
    }

    /// Reads what [`Self::encode_to`] wrote, and leaves what follows.
    pub(crate) fn decode(reader: &mut WireReader<'_>) -> Result<Self> {
        let (role, schema, name) = (reader.text()?, reader.text()?, reader.text()?);
        let mut list = || -> Result<Vec<Vec<u8>>> {
            let mut list = Vec::new();
            for _ in 0..reader.u32()? {
                list.push(reader.bytes()?.to_vec());
            }
            Ok(list)
        };
        Ok(Self { role, schema, name, definitions: list()?, indexes: list()? })
    }
}
