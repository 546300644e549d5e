//! The list of pieces a backup consists of, as the leader sends it to its copiers.

use super::wire::{WireReader, put_bytes};
use crate::error::Result;

/// Begins an encoded plan; the last byte is the encoding's version.
const MAGIC: &[u8; 5] = b"WWPP\x01";

/// The least an encoded piece takes: its entry and its statement's length.
const MIN_PIECE_LENGTH: usize = 8;

/// One piece to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPiece {
    /// The TOC entry its rows belong to.
    pub dump_id: i32,
    /// The COPY statement that yields them, in the database's encoding.
    pub statement: Vec<u8>,
}

/// All pieces of a backup in archive order. A piece is known by its place in this list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PiecePlan {
    /// The pieces; those of one table are neighbours, in the order of its pages.
    pub pieces: Vec<PlannedPiece>,
}

impl PiecePlan {
    /// The plan as bytes: magic, u32 count, then i32 entry and statement for each piece.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.encode_to(&mut out)?;
        Ok(out)
    }

    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(MAGIC);
        let count = u32::try_from(self.pieces.len())
            .map_err(|_| crate::error::Error::internal("could not encode a plan of so many pieces"))?;
        out.extend_from_slice(&count.to_le_bytes());
        for piece in &self.pieces {
            out.extend_from_slice(&piece.dump_id.to_le_bytes());
            put_bytes(out, &piece.statement)?;
        }
        Ok(())
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = WireReader::new(bytes, "a plan of pieces");
        let magic: [u8; 5] = reader.array()?;
        if magic != *MAGIC {
            return Err(reader.malformed(format!("it begins with \"{}\"", magic.escape_ascii())));
        }
        let count = reader.u32()? as usize;
        // Before memory is reserved for them.
        if count > reader.remaining() / MIN_PIECE_LENGTH {
            return Err(reader.malformed(format!("{count} pieces are announced in {} bytes", bytes.len())));
        }
        let mut pieces = Vec::with_capacity(count);
        for _ in 0..count {
            let dump_id = reader.i32()?;
            pieces.push(PlannedPiece { dump_id, statement: reader.bytes()?.to_vec() });
        }
        reader.end()?;
        Ok(Self { pieces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_these() {
        let plan = PiecePlan { pieces: vec![PlannedPiece { dump_id: 258, statement: b"COPY".to_vec() }] };
        let bytes = plan.encode().unwrap();
        assert_eq!(bytes, b"WWPP\x01\x01\0\0\0\x02\x01\0\0\x04\0\0\0COPY");
        assert_eq!(PiecePlan::decode(&bytes).unwrap(), plan);
    }

    #[test]
    fn a_hostile_count_is_refused() {
        assert!(PiecePlan::decode(b"WWPP\x01\xff\xff\xff\xff").is_err());
        assert!(PiecePlan::decode(b"WWPP\x01\x01\0\0\0\x01\0\0\0\xff\xff\xff\xff").is_err());
        assert!(PiecePlan::decode(b"WWPP\x02\0\0\0\0").is_err(), "another version");
        assert!(PiecePlan::decode(b"WWPP\x01\0\0\0\0x").is_err(), "something follows");
    }

    proptest! {
        #[test]
        fn decodes_what_was_encoded(
            pieces in prop::collection::vec((any::<i32>(), prop::collection::vec(any::<u8>(), 0..50)), 0..20),
            cut in any::<prop::sample::Index>(),
        ) {
            let pieces = pieces.into_iter().map(|(dump_id, statement)| PlannedPiece { dump_id, statement });
            let plan = PiecePlan { pieces: pieces.collect() };
            let bytes = plan.encode().unwrap();
            prop_assert_eq!(PiecePlan::decode(&bytes).unwrap(), plan);
            prop_assert!(PiecePlan::decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = PiecePlan::decode(&bytes);
            let _ = PiecePlan::decode(&[MAGIC.as_slice(), &bytes].concat());
        }
    }
}
