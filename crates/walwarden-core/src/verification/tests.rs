//! Good archives are found good, and whatever is changed is found.

use proptest::prelude::*;

use super::*;
use crate::archive::tests::samples::{Block, COMPRESSIONS, assemble, newlines, toc_of};
use crate::archive::{BlockIndex, Compression, FormatVersion};
use crate::error::Result;
use crate::manifest::sample;
use crate::manifest::{Archive, LargeObjects, Manifest, Part, Piece, Sha256Sum, Table, Totals};

fn blocks() -> Vec<Block> {
    let rows = |from: u32, to: u32| (from..to).flat_map(|n| format!("{n}\trow {n}\n").into_bytes()).collect();
    vec![
        Block::Table(11, vec![rows(0, 3000), rows(3000, 3001), rows(3001, 9000)]),
        Block::Table(12, vec![]),
        Block::Table(13, vec![b"one\n".to_vec()]),
        Block::LargeObjects(20, vec![(7, vec![b"some data\n".to_vec()]), (9, vec![])]),
    ]
}

fn manifest_of(bytes: &[u8], compression: Compression, blocks: &[Block], index: &[BlockIndex]) -> Manifest {
    let mut manifest = sample::manifest();
    let part = |offset: usize, end: usize| Part {
        offset: offset as u64,
        size: (end - offset) as u64,
        sha256: Sha256Sum::of(&bytes[offset..end]),
    };
    let middle = bytes.len() / 2;
    manifest.archive = Archive {
        size: bytes.len() as u64,
        sha256: Sha256Sum::of(bytes),
        compression: compression.name(),
        format_version: "1.16".to_owned(),
        parts: vec![part(0, middle), part(middle, bytes.len())],
        encryption: None,
        ..manifest.archive
    };
    manifest.tables = index.iter().map(table_of).collect();
    let sum = |number: fn(&Table) -> u64| manifest.tables.iter().map(number).sum();
    manifest.totals = Totals {
        tables: manifest.tables.len() as u64,
        rows: sum(|table| table.rows),
        raw_bytes: sum(|table| table.raw_bytes),
    };
    let objects = blocks.iter().filter_map(|block| match block {
        Block::LargeObjects(_, objects) => Some(objects),
        Block::Table(..) => None,
    });
    let objects: Vec<_> = objects.flatten().collect();
    manifest.large_objects = LargeObjects {
        count: objects.len() as u64,
        raw_bytes: objects.iter().flat_map(|(_, pieces)| pieces).map(|piece| piece.len() as u64).sum(),
        left_out: false,
    };
    manifest
}

fn table_of(block: &BlockIndex) -> Table {
    let pieces: Vec<Piece> = block
        .pieces
        .iter()
        .map(|piece| Piece {
            offset: piece.offset,
            length: piece.length,
            raw_length: piece.raw_length,
            rows: piece.rows,
            sha256: Sha256Sum(piece.sha256),
        })
        .collect();
    Table {
        schema: "s".to_owned(),
        name: format!("t{}", block.dump_id),
        oid: 16384,
        dump_id: block.dump_id,
        rows: pieces.iter().map(|piece| piece.rows).sum(),
        raw_bytes: pieces.iter().map(|piece| piece.raw_length).sum(),
        block_offset: block.offset,
        encoder: None,
        pieces,
    }
}

fn sample(compression: Compression) -> (Vec<u8>, Manifest) {
    let blocks = blocks();
    let (bytes, index) = assemble(&toc_of(FormatVersion::V1_16, compression, &blocks), compression, &blocks);
    let manifest = manifest_of(&bytes, compression, &blocks, &index);
    (bytes, manifest)
}

fn verify(bytes: &[u8], manifest: &Manifest) -> Result<()> {
    verify_archive(bytes, manifest, &Seen::default())
}

#[test]
fn good_archives_are_good() {
    for compression in COMPRESSIONS {
        let (bytes, manifest) = sample(compression);
        let seen = Seen::default();
        verify_archive(&bytes[..], &manifest, &seen).unwrap();
        assert_eq!((seen.bytes(), seen.tables(), seen.rows()), (bytes.len() as u64, 3, 9001));
    }
    assert_eq!(newlines(b"a\nb\n"), 2);
}

#[test]
fn what_the_manifest_says_otherwise_is_named() {
    let (bytes, manifest) = sample(Compression::Zstd { level: 1 });
    type Damage = (fn(&mut Manifest), &'static str);
    let damages: [Damage; 14] = [
        (|m| m.archive.size -= 1, "It has more than"),
        (|m| m.archive.size += 1, "bytes instead of"),
        (|m| m.archive.sha256 = Sha256Sum::ZERO, "The whole has another SHA-256"),
        (|m| m.archive.parts[1].sha256 = Sha256Sum::ZERO, "The part at bytes"),
        (|m| m.archive.format_version = "1.15".to_owned(), "Its format is 1.16 instead of 1.15."),
        (|m| m.archive.compression = "lz4".to_owned(), "Its compression is zstd instead of lz4."),
        (|m| m.tables[0].pieces[1].sha256 = Sha256Sum::ZERO, "The piece of table \"s\".\"t11\" at bytes"),
        (|m| m.tables[0].pieces[1].rows += 1, "Piece 2 of table \"s\".\"t11\" has 1 rows instead of 2."),
        (|m| m.tables[2].rows = 2, "Table \"s\".\"t13\" has 1 rows instead of 2."),
        (|m| m.tables[1].block_offset += 1, "The block of table \"s\".\"t12\" begins at byte"),
        (|m| m.tables[1].name = "other".to_owned(), "Entry 12 of its table of contents, \"s\".\"t12\""),
        (|m| m.tables.truncate(2), "Entry 13 of its table of contents"),
        (|m| m.tables.push(m.tables[1].clone()), "is missing in its table of contents"),
        (|m| m.large_objects.count = 3, "It has 2 large objects of 10 bytes instead of 3 of 10."),
    ];
    for (damage, place) in damages {
        let mut damaged = manifest.clone();
        damage(&mut damaged);
        let error = verify(&bytes, &damaged).unwrap_err();
        assert_eq!(error.class, ErrorClass::StorageCorrupt);
        let detail = error.detail.unwrap();
        assert!(detail.contains(place), "{detail} should say {place}");
    }
}

/// As someone would who can make all checksums anew, but not the rows.
#[test]
fn rows_are_counted_whatever_the_checksums_say() {
    for compression in COMPRESSIONS {
        let blocks = vec![Block::Table(11, vec![b"a\nb\nc\n".to_vec()])];
        let toc = toc_of(FormatVersion::V1_16, compression, &blocks);
        let (_, index) = assemble(&toc, compression, &blocks);
        let fewer = vec![Block::Table(11, vec![b"a\nb c\n".to_vec()])];
        let (bytes, index_of_fewer) = assemble(&toc, compression, &fewer);
        let mut manifest = manifest_of(&bytes, compression, &fewer, &index_of_fewer);
        verify(&bytes, &manifest).unwrap();
        manifest.tables[0].pieces[0].rows = index[0].pieces[0].rows;
        manifest.tables[0].rows = 3;
        let detail = verify(&bytes, &manifest).unwrap_err().detail.unwrap();
        assert!(detail.contains("has 2 rows instead of 3"), "{detail}");
    }
}

proptest! {
    #[test]
    fn every_flipped_bit_is_found(which in 0..COMPRESSIONS.len(), place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (mut bytes, manifest) = sample(COMPRESSIONS[which]);
        let place = place.index(bytes.len());
        bytes[place] ^= 1_u8 << bit;
        prop_assert!(verify(&bytes, &manifest).is_err());
    }

    #[test]
    fn every_cut_and_every_addition_is_found(which in 0..COMPRESSIONS.len(), place in any::<prop::sample::Index>()) {
        let (mut bytes, manifest) = sample(COMPRESSIONS[which]);
        prop_assert!(verify(&bytes[..place.index(bytes.len())], &manifest).is_err());
        bytes.push(0);
        prop_assert!(verify(&bytes, &manifest).is_err());
    }
}
