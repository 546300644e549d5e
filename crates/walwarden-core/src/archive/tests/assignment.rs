//! An archive's bytes do not depend on which copier encoded which piece, nor on how many copiers there were.

use proptest::prelude::*;

use super::samples::{Block, COMPRESSIONS, as_content, content, newlines, toc_of};
use crate::archive::{Assembler, Compression, FormatVersion, PieceEncoder, PieceSummary};

/// The tables of a plan, each with its pieces.
type Plan = Vec<Vec<Vec<u8>>>;

/// One piece's framed chunks.
type Encoded = (Vec<u8>, PieceSummary);

/// A copier: an encoder that goes from piece to piece.
struct Copier {
    encoder: PieceEncoder,
    /// In which portions COPY's rows come to it.
    portion: usize,
}

impl Copier {
    fn new(compression: Compression, portion: usize) -> Self {
        Self { encoder: PieceEncoder::new(compression), portion }
    }

    fn encode(&mut self, piece: &[u8]) -> Encoded {
        let mut framed = Vec::new();
        for portion in piece.chunks(self.portion) {
            self.encoder.write(portion, &mut framed).unwrap();
        }
        let summary = self.encoder.finish(newlines(piece), &mut framed).unwrap();
        (framed, summary)
    }

    /// A piece that is given up halfway, as by an error that is tried again.
    fn abandon(&mut self, piece: &[u8]) {
        self.encoder.write(&piece[..piece.len() / 2], &mut Vec::new()).unwrap();
        self.encoder.reset();
    }
}

/// Encodes the pieces in the order `order` says, each by the copier that `choices` says.
fn encode_all(
    pieces: &[&[u8]],
    order: &[usize],
    choices: &[prop::sample::Index],
    copiers: &mut [Copier],
) -> Vec<Encoded> {
    let mut encoded = vec![None; pieces.len()];
    for (&number, choice) in order.iter().zip(choices) {
        let copier = &mut copiers[choice.index(copiers.len())];
        if choice.index(7) == 0 {
            copier.abandon(pieces[number]);
        }
        encoded[number] = Some(copier.encode(pieces[number]));
    }
    encoded.into_iter().map(Option::unwrap).collect()
}

/// The archive of a plan whose pieces are encoded already.
fn assemble(plan: &[Block], compression: Compression, encoded: &[Encoded]) -> Vec<u8> {
    let mut assembler = Assembler::new(compression);
    let mut archive = assembler.start(&toc_of(FormatVersion::V1_16, compression, plan)).unwrap();
    let mut encoded = encoded.iter();
    for block in plan {
        let Block::Table(dump_id, pieces) = block else { continue };
        archive.extend(assembler.begin_table(*dump_id).unwrap());
        for (framed, summary) in encoded.by_ref().take(pieces.len()) {
            archive.extend_from_slice(framed);
            assembler.piece_bytes(framed.len() as u64).unwrap();
            assembler.end_piece(summary).unwrap();
        }
        archive.extend(assembler.end_table().unwrap().0);
    }
    assembler.finish().unwrap();
    archive
}

/// A piece's rows: made of few or many words, so that some compress well, and sometimes longer than a chunk,
/// than what zstd compresses at once and than a block of lz4.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![3 => 0..2000usize, 2 => 2000..200_000usize, 1 => 200_000..700_000usize];
    (length, any::<u32>(), 1..32u32).prop_map(|(length, seed, bits)| {
        let mut state = seed;
        let mut rows = Vec::with_capacity(length + 40);
        while rows.len() < length {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            rows.extend_from_slice(format!("{}\tword {:x}\n", rows.len(), state >> bits).as_bytes());
        }
        rows
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    prop::collection::vec(prop::collection::vec(piece(), 0..6), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn bytes_do_not_depend_on_copiers(
        plan in plan(),
        orders in prop::collection::vec(any::<u64>(), 24),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 24),
        portions in prop::collection::vec(1000..300_000usize, 8),
    ) {
        let tables: Vec<Block> =
            (2..).zip(plan).map(|(dump_id, pieces)| Block::Table(dump_id, pieces)).collect();
        let pieces: Vec<&[u8]> = tables
            .iter()
            .flat_map(|table| match table {
                Block::Table(_, pieces) => pieces.as_slice(),
                Block::LargeObjects(..) => &[],
            })
            .map(Vec::as_slice)
            .collect();
        let mut shuffled: Vec<usize> = (0..pieces.len()).collect();
        shuffled.sort_by_key(|&number| orders[number]);
        for compression in COMPRESSIONS {
            // One copier, in order, with a new encoder for each piece.
            let alone: Vec<Encoded> =
                pieces.iter().map(|piece| Copier::new(compression, 65_536).encode(piece)).collect();
            let archive = assemble(&tables, compression, &alone);
            prop_assert!(content(&archive[..]).unwrap().1 == as_content(&tables), "{} reads back", compression);
            for count in 1..=8 {
                let mut copiers: Vec<Copier> =
                    portions[..count].iter().map(|&portion| Copier::new(compression, portion)).collect();
                let encoded = encode_all(&pieces, &shuffled, &choices, &mut copiers);
                prop_assert!(encoded == alone, "{} by {} copiers", compression, count);
                prop_assert!(assemble(&tables, compression, &encoded) == archive);
            }
        }
    }
}
