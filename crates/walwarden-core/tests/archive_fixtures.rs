//! Archives that stock pg_dump made are read, edited and written as they should be.
#![allow(clippy::unwrap_used, reason = "the helpers of these tests fail as the tests do")]

use std::collections::BTreeMap;

use walwarden_core::Result;
use walwarden_core::archive::statement::TERMINATOR;
use walwarden_core::archive::{
    Algorithm, ArchiveReader, Assembler, BlockStart, Compression, FormatVersion, OffsetState, PieceEncoder,
    Section, Toc, TocEntry, leave_out_extension, wait_for_descendants,
};

const NONE: [&[u8]; 2] =
    [include_bytes!("fixtures/pg15-none.dump"), include_bytes!("fixtures/pg18-none.dump")];
const GZIP: [&[u8]; 2] =
    [include_bytes!("fixtures/pg15-gzip.dump"), include_bytes!("fixtures/pg18-gzip.dump")];
const LZ4: &[u8] = include_bytes!("fixtures/pg18-lz4.dump");
const ZSTD: &[u8] = include_bytes!("fixtures/pg18-zstd.dump");

fn all() -> impl Iterator<Item = &'static [u8]> {
    NONE.into_iter().chain(GZIP).chain([LZ4, ZSTD])
}

fn read_toc(archive: &[u8]) -> Toc {
    ArchiveReader::new(archive).read_toc().unwrap()
}

fn named<'a>(toc: &'a Toc, desc: &str, tag: &str) -> &'a TocEntry {
    let is_named = |entry: &&TocEntry| entry.desc == desc.as_bytes() && entry.tag == tag.as_bytes();
    toc.entries.iter().find(is_named).unwrap()
}

/// A table's plaintext or the large objects'.
#[derive(Debug, PartialEq)]
enum Content {
    Table(Vec<u8>),
    LargeObjects(BTreeMap<u32, Vec<u8>>),
}

struct Block {
    dump_id: i32,
    offset: u64,
    content: Content,
}

fn read_blocks(archive: &[u8]) -> Vec<Block> {
    try_read_blocks(archive).unwrap()
}

fn try_read_blocks(archive: &[u8]) -> Result<Vec<Block>> {
    const LIMIT: usize = 1 << 20;
    let mut reader = ArchiveReader::new(archive);
    reader.read_toc()?;
    let mut blocks = Vec::new();
    loop {
        let offset = reader.position();
        let (dump_id, content) = match reader.next_block()? {
            None => return Ok(blocks),
            Some(BlockStart::TableData { dump_id }) => {
                (dump_id, Content::Table(reader.plaintext()?.read_all(LIMIT)?))
            }
            Some(BlockStart::LargeObjects { dump_id }) => {
                let mut objects = BTreeMap::new();
                while let Some(oid) = reader.next_large_object()? {
                    objects.insert(oid, reader.plaintext()?.read_all(LIMIT)?);
                }
                (dump_id, Content::LargeObjects(objects))
            }
        };
        blocks.push(Block { dump_id, offset, content });
    }
}

#[test]
fn a_table_of_contents_is_written_back_byte_for_byte() {
    for archive in all() {
        let mut reader = ArchiveReader::new(archive);
        let toc = reader.read_toc().unwrap();
        assert!(toc.entries.len() > 50);
        assert!(toc.encode() == archive[..reader.position() as usize]);
    }
}

#[test]
fn headers_say_what_they_are() {
    for (archives, algorithm) in [(NONE, Algorithm::None), (GZIP, Algorithm::Gzip)] {
        for (archive, (version, server)) in
            archives.into_iter().zip([(FormatVersion::V1_14, "15."), (FormatVersion::V1_16, "18.")])
        {
            let header = read_toc(archive).header;
            assert_eq!((header.version(), header.algorithm()), (version, algorithm));
            assert_eq!(header.database.as_deref(), Some(b"fixture".as_slice()));
            assert!(header.server_version.unwrap().starts_with(server.as_bytes()));
        }
    }
    for (archive, algorithm) in [(LZ4, Algorithm::Lz4), (ZSTD, Algorithm::Zstd)] {
        let header = read_toc(archive).header;
        assert_eq!((header.version(), header.algorithm()), (FormatVersion::V1_16, algorithm));
    }
}

#[test]
fn setting_the_compression_gives_pg_dumps_own_header() {
    for (none, gzip) in NONE.into_iter().zip(GZIP) {
        let mut toc = read_toc(none);
        toc.header.set_compression(Compression::Gzip { level: 6 }).unwrap();
        let mut expected = gzip[..16].to_vec();
        if toc.header.version() == FormatVersion::V1_14 {
            // pg_dump 15 writes 6 for an explicit -Z6, and -1 for its default, which is the same.
            assert_eq!(expected[11..16], [0, 6, 0, 0, 0]);
            expected[11..16].copy_from_slice(&[1, 1, 0, 0, 0]);
        } else {
            expected.truncate(12);
        }
        assert_eq!(toc.encode()[..expected.len()], expected);
    }
    for (compression, archive) in [(Compression::Lz4, LZ4), (Compression::Zstd { level: 3 }, ZSTD)] {
        let mut toc = read_toc(NONE[1]);
        toc.header.set_compression(compression).unwrap();
        assert_eq!(toc.encode()[..12], archive[..12]);
    }
}

#[test]
fn every_entry_with_data_has_its_block_in_order() {
    for archive in all() {
        let toc = read_toc(archive);
        let blocks = read_blocks(archive);
        let with_data = toc.entries.iter().filter(|entry| entry.had_dumper);
        assert!(with_data.clone().map(|entry| entry.dump_id).eq(blocks.iter().map(|block| block.dump_id)));
        for (entry, block) in with_data.zip(&blocks) {
            if entry.data_offset.state == OffsetState::Set {
                assert_eq!(entry.data_offset.position, block.offset);
            }
            match &block.content {
                Content::Table(text) => assert!(entry.is_table_data() && text.ends_with(TERMINATOR)),
                Content::LargeObjects(_) => assert_eq!(entry.desc, b"BLOBS"),
            }
        }
    }
}

#[test]
fn compressed_and_plain_data_are_the_same() {
    let [old, new] = NONE;
    for (none, compressed) in [(old, &GZIP[..1]), (new, &[GZIP[1], LZ4, ZSTD])] {
        let plain = read_blocks(none);
        for archive in compressed {
            let read = read_blocks(archive);
            assert!(plain.iter().map(|block| &block.content).eq(read.iter().map(|block| &block.content)));
        }
        let objects: BTreeMap<u32, usize> = plain
            .iter()
            .filter_map(|block| match &block.content {
                Content::LargeObjects(objects) => Some(objects.iter().map(|(oid, data)| (*oid, data.len()))),
                Content::Table(_) => None,
            })
            .flatten()
            .collect();
        assert_eq!(objects, BTreeMap::from([(70_001, 14), (70_002, 0), (3_000_000_000, 4000)]));
    }
}

#[test]
fn post_data_of_a_parent_waits_for_its_descendants() {
    for archive in NONE {
        let mut toc = read_toc(archive);
        let before = toc.clone();
        wait_for_descendants(&mut toc);
        let table = |tag| named(&before, "TABLE", tag).dump_id;
        let index = named(&toc, "INDEX", "sale_n_idx");
        for leaf in ["sale_1_north", "sale_1_other", "sale_2"] {
            assert!(index.dependencies.contains(&table(leaf)), "{leaf}");
        }
        assert!(!index.dependencies.contains(&table("sale_1")), "it has no data of its own");
        for (entry, old) in toc.entries.iter().zip(&before.entries) {
            assert!(entry.dependencies.starts_with(&old.dependencies));
            assert!(entry.section == Section::PostData || entry == old);
        }
    }
}

#[test]
fn an_extension_that_is_not_there_leaves_everything() {
    for archive in NONE {
        let mut toc = read_toc(archive);
        assert!(leave_out_extension(&mut toc, b"walwarden").entries.is_empty());
        assert_eq!(toc, read_toc(archive));
    }
}

#[test]
fn damage_anywhere_is_survived() {
    for archive in all() {
        // A step that is no divisor of anything, so that every kind of byte is hit.
        for place in (0..archive.len()).step_by(13) {
            let mut damaged = archive.to_vec();
            damaged[place] ^= 0x81;
            let _ = try_read_blocks(&damaged);
            let _ = try_read_blocks(&archive[..place]);
        }
    }
}

/// Splits after newlines into about so many parts.
fn split(text: &[u8], parts: usize) -> Vec<&[u8]> {
    let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let mut pieces = Vec::new();
    let mut rest = text;
    for lines in lines.chunks(lines.len().div_ceil(parts).max(1)) {
        let (piece, later) = rest.split_at(lines.iter().map(|line| line.len()).sum());
        pieces.push(piece);
        rest = later;
    }
    pieces
}

#[test]
fn a_dump_assembled_anew_has_the_same_content() {
    for archive in NONE {
        for compression in ["none", "gzip:1", "gzip:9", "lz4", "zstd:-7", "zstd:1", "zstd:22"] {
            let compression = Compression::parse(compression).unwrap();
            let mut toc = read_toc(archive);
            if toc.header.version() == FormatVersion::V1_14
                && matches!(compression, Compression::Lz4 | Compression::Zstd { .. })
            {
                continue;
            }
            toc.header.set_compression(compression).unwrap();
            wait_for_descendants(&mut toc);
            let blocks = read_blocks(archive);
            let rebuilt = assemble(&toc, compression, &blocks);
            assert_eq!(read_toc(&rebuilt), toc);
            let read = read_blocks(&rebuilt);
            assert!(read.iter().map(|block| &block.content).eq(blocks.iter().map(|block| &block.content)));
        }
    }
}

fn assemble(toc: &Toc, compression: Compression, blocks: &[Block]) -> Vec<u8> {
    let mut assembler = Assembler::new(compression);
    let mut encoder = PieceEncoder::new(compression);
    let mut archive = assembler.start(toc).unwrap();
    let mut put = |assembler: &mut Assembler, archive: &mut Vec<u8>, piece: &[u8]| {
        let before = archive.len();
        encoder.write(piece, archive).unwrap();
        let summary = encoder.finish(0, archive).unwrap();
        assembler.piece_bytes((archive.len() - before) as u64).unwrap();
        assembler.end_piece(&summary).unwrap();
    };
    for block in blocks {
        match &block.content {
            Content::Table(text) => {
                archive.extend(assembler.begin_table(block.dump_id).unwrap());
                for piece in split(text.strip_suffix(TERMINATOR).unwrap(), 3) {
                    put(&mut assembler, &mut archive, piece);
                }
                archive.extend(assembler.end_table().unwrap().0);
            }
            Content::LargeObjects(objects) => {
                archive.extend(assembler.begin_large_objects(block.dump_id).unwrap());
                for (oid, data) in objects {
                    archive.extend(assembler.begin_large_object(*oid).unwrap());
                    put(&mut assembler, &mut archive, data);
                    archive.extend(assembler.end_large_object().unwrap());
                }
                archive.extend(assembler.end_large_objects().unwrap());
            }
        }
    }
    assert_eq!(assembler.finish().unwrap(), archive.len() as u64);
    archive
}
