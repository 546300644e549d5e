//! Archives made up for tests.

use std::io::Read;

use crate::archive::statement::TERMINATOR;
use crate::archive::{
    ArchiveHeader, ArchiveReader, Assembler, BlockIndex, BlockStart, Compression, DataOffset, FormatVersion,
    LocalTime, PieceEncoder, Section, Toc, TocEntry,
};
use crate::error::Result;

pub(crate) const VERSIONS: [FormatVersion; 3] =
    [FormatVersion::V1_14, FormatVersion::V1_15, FormatVersion::V1_16];

/// Levels that work in different ways: zlib-rs has its own one for level 1, zstd for those below 0 and around 3, 7 and 13.
pub(crate) const COMPRESSIONS: [Compression; 10] = [
    Compression::None,
    Compression::Gzip { level: 1 },
    Compression::Gzip { level: 6 },
    Compression::Gzip { level: 9 },
    Compression::Lz4,
    Compression::Zstd { level: -7 },
    Compression::Zstd { level: 1 },
    Compression::Zstd { level: 3 },
    Compression::Zstd { level: 7 },
    Compression::Zstd { level: 13 },
];

/// Those of [`COMPRESSIONS`] that an archive of this version can have.
pub(crate) fn compressions_of(version: FormatVersion) -> impl Iterator<Item = Compression> {
    COMPRESSIONS.into_iter().filter(move |compression| {
        version > FormatVersion::V1_14 || matches!(compression, Compression::None | Compression::Gzip { .. })
    })
}

pub(crate) fn entry(dump_id: i32, desc: &str, namespace: Option<&str>, tag: &str) -> TocEntry {
    TocEntry {
        dump_id,
        had_dumper: false,
        catalog_oid: 1259,
        oid: 16384,
        tag: tag.into(),
        desc: desc.into(),
        section: Section::PreData,
        definition: Some(b"CREATE".to_vec()),
        drop_statement: None,
        copy_statement: None,
        namespace: namespace.map(Into::into),
        tablespace: None,
        table_access_method: None,
        relkind: 0,
        owner: Some(b"postgres".to_vec()),
        dependencies: Vec::new(),
        data_offset: DataOffset::NO_DATA,
    }
}

pub(crate) fn table_data(dump_id: i32, namespace: &str, tag: &str) -> TocEntry {
    TocEntry {
        had_dumper: true,
        section: Section::Data,
        definition: None,
        data_offset: DataOffset::NOT_SET,
        ..entry(dump_id, "TABLE DATA", Some(namespace), tag)
    }
}

pub(crate) fn blobs(dump_id: i32) -> TocEntry {
    TocEntry { desc: b"BLOBS".to_vec(), namespace: None, ..table_data(dump_id, "", "BLOBS") }
}

pub(crate) fn header(version: FormatVersion, compression: Compression) -> ArchiveHeader {
    let created =
        LocalTime { second: 1, minute: 2, hour: 3, day: 4, month: 5, year: 126, daylight_saving: -1 };
    let mut header = ArchiveHeader::new(version, compression, created).unwrap();
    header.database = Some(b"d\xe9".to_vec());
    header
}

pub(crate) fn toc(entries: Vec<TocEntry>) -> Toc {
    Toc { header: header(FormatVersion::V1_16, Compression::None), entries }
}

/// What a block holds: a table's pieces with their row counts, or large objects with theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    Table(i32, Vec<Vec<u8>>),
    LargeObjects(i32, Vec<(u32, Vec<Vec<u8>>)>),
}

pub(crate) fn toc_of(version: FormatVersion, compression: Compression, blocks: &[Block]) -> Toc {
    let entries = blocks.iter().map(|block| match block {
        Block::Table(dump_id, _) => table_data(*dump_id, "s", &format!("t{dump_id}")),
        Block::LargeObjects(dump_id, _) => blobs(*dump_id),
    });
    let entries = std::iter::once(entry(1, "ENCODING", None, "ENCODING")).chain(entries).collect();
    Toc { header: header(version, compression), entries }
}

pub(crate) fn newlines(text: &[u8]) -> u64 {
    text.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// An archive of these blocks, as leader and copiers would make it.
pub(crate) fn assemble(toc: &Toc, compression: Compression, blocks: &[Block]) -> (Vec<u8>, Vec<BlockIndex>) {
    let mut encoder = PieceEncoder::new(compression);
    let mut assembler = Assembler::new(compression);
    let mut archive = assembler.start(toc).unwrap();
    let mut index = Vec::new();
    let mut put_pieces = |assembler: &mut Assembler, archive: &mut Vec<u8>, pieces: &[Vec<u8>]| {
        for piece in pieces {
            let before = archive.len();
            for rows in piece.chunks(1000) {
                encoder.write(rows, archive).unwrap();
            }
            let summary = encoder.finish(newlines(piece), archive).unwrap();
            assembler.piece_bytes((archive.len() - before) as u64).unwrap();
            assembler.end_piece(&summary).unwrap();
        }
    };
    for block in blocks {
        match block {
            Block::Table(dump_id, pieces) => {
                archive.extend(assembler.begin_table(*dump_id).unwrap());
                put_pieces(&mut assembler, &mut archive, pieces);
                let (end, block) = assembler.end_table().unwrap();
                archive.extend(end);
                index.push(block);
            }
            Block::LargeObjects(dump_id, objects) => {
                archive.extend(assembler.begin_large_objects(*dump_id).unwrap());
                for (oid, pieces) in objects {
                    archive.extend(assembler.begin_large_object(*oid).unwrap());
                    put_pieces(&mut assembler, &mut archive, pieces);
                    archive.extend(assembler.end_large_object().unwrap());
                }
                archive.extend(assembler.end_large_objects().unwrap());
            }
        }
        assert_eq!(assembler.offset(), archive.len() as u64);
    }
    assert_eq!(assembler.finish().unwrap(), archive.len() as u64);
    (archive, index)
}

/// An archive's content, each table's and large object's as one text; terminators are part of it.
pub(crate) fn content(archive: impl Read) -> Result<(Toc, Vec<Block>)> {
    let mut reader = ArchiveReader::new(archive);
    let toc = reader.read_toc()?;
    let mut blocks = Vec::new();
    while let Some(start) = reader.next_block()? {
        match start {
            BlockStart::TableData { dump_id } => {
                blocks.push(Block::Table(dump_id, vec![reader.plaintext()?.read_all(1 << 26)?]));
            }
            BlockStart::LargeObjects { dump_id } => {
                let mut objects = Vec::new();
                while let Some(oid) = reader.next_large_object()? {
                    objects.push((oid, vec![reader.plaintext()?.read_all(1 << 26)?]));
                }
                blocks.push(Block::LargeObjects(dump_id, objects));
            }
        }
    }
    Ok((toc, blocks))
}

/// The same blocks as [`content`] shows them.
pub(crate) fn as_content(blocks: &[Block]) -> Vec<Block> {
    let whole = |pieces: &[Vec<u8>], end: &[u8]| vec![[pieces.concat().as_slice(), end].concat()];
    let convert = |block: &Block| match block {
        Block::Table(dump_id, pieces) => Block::Table(*dump_id, whole(pieces, TERMINATOR)),
        Block::LargeObjects(dump_id, objects) => Block::LargeObjects(
            *dump_id,
            objects.iter().map(|(oid, pieces)| (*oid, whole(pieces, b""))).collect(),
        ),
    };
    blocks.iter().map(convert).collect()
}

/// Rows of text that compress a little.
pub(crate) fn rows(count: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut rows = Vec::new();
    for number in 0..count {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        rows.extend_from_slice(format!("{number}\trow {state}\t\\N\n").as_bytes());
    }
    rows
}

/// Tables and large objects of every interesting shape.
pub(crate) fn blocks() -> Vec<Block> {
    vec![
        Block::Table(5, vec![rows(40_000), rows(1), vec![b'x'; 700_000]]),
        Block::Table(6, vec![]),
        Block::Table(7, vec![vec![], b"\n\n".to_vec(), vec![]]),
        Block::LargeObjects(
            9,
            vec![
                (1, vec![rows(10), rows(30_000)]),
                (0x8000_0000, vec![]),
                (u32::MAX, vec![vec![0; 300_000]]),
            ],
        ),
        Block::LargeObjects(10, vec![]),
    ]
}
