//! What is written reads back.

use proptest::prelude::*;

use super::samples::{
    COMPRESSIONS, VERSIONS, as_content, assemble, blocks, compressions_of, content, header, toc_of,
};
use crate::archive::{
    Algorithm, ArchiveReader, BlockStart, Compression, DataOffset, FormatVersion, OffsetState, Section, Toc,
    TocEntry,
};
use crate::error::{ErrorClass, Result};

#[test]
fn every_version_and_compression() {
    let blocks = blocks();
    for version in VERSIONS {
        for compression in compressions_of(version) {
            let toc = toc_of(version, compression, &blocks);
            let (archive, index) = assemble(&toc, compression, &blocks);
            let (read_toc, read_blocks) = content(&archive[..]).unwrap();
            assert_eq!(read_toc, toc);
            assert!(read_blocks == as_content(&blocks), "{version:?} {compression}");
            assert_eq!(index.iter().map(|block| block.dump_id).collect::<Vec<_>>(), [5, 6, 7]);
        }
    }
}

#[test]
fn a_source_that_gives_single_bytes() {
    struct Trickle<'a>(&'a [u8], bool);
    impl std::io::Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }
    let blocks: Vec<_> = blocks().into_iter().skip(1).take(2).collect();
    for compression in COMPRESSIONS {
        let toc = toc_of(FormatVersion::V1_16, compression, &blocks);
        let (archive, _) = assemble(&toc, compression, &blocks);
        assert_eq!(content(Trickle(&archive, false)).unwrap().1, as_content(&blocks));
    }
}

#[test]
fn blocks_are_skipped() {
    let blocks = blocks();
    let toc = toc_of(FormatVersion::V1_14, Compression::None, &blocks);
    let (archive, _) = assemble(&toc, Compression::None, &blocks);
    let mut reader = ArchiveReader::new(&archive[..]);
    reader.read_toc().unwrap();
    let mut seen = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        seen.push(block);
        reader.skip_block().unwrap();
    }
    assert_eq!(
        seen,
        [
            BlockStart::TableData { dump_id: 5 },
            BlockStart::TableData { dump_id: 6 },
            BlockStart::TableData { dump_id: 7 },
            BlockStart::LargeObjects { dump_id: 9 },
            BlockStart::LargeObjects { dump_id: 10 },
        ]
    );
    assert_eq!(reader.position(), archive.len() as u64);
}

#[test]
fn a_block_skipped_halfway() {
    let blocks = blocks();
    let toc = toc_of(FormatVersion::V1_16, Compression::Gzip { level: 1 }, &blocks);
    let (archive, _) = assemble(&toc, Compression::Gzip { level: 1 }, &blocks);
    let mut reader = ArchiveReader::new(&archive[..]);
    reader.read_toc().unwrap();
    reader.next_block().unwrap();
    reader.plaintext().unwrap().read_some(&mut [0; 10]).unwrap();
    assert!(reader.next_block().is_err(), "the block has not ended");
    reader.skip_block().unwrap();
    assert_eq!(reader.next_block().unwrap(), Some(BlockStart::TableData { dump_id: 6 }));
}

#[test]
fn the_compression_is_set_as_the_version_says() {
    let mut header = header(FormatVersion::V1_14, Compression::None);
    let level = |header: &crate::archive::ArchiveHeader| {
        let bytes = Toc { header: header.clone(), entries: vec![] }.encode();
        bytes[11..16].to_vec()
    };
    assert_eq!(level(&header), [0, 0, 0, 0, 0]);
    assert_eq!(header.algorithm(), Algorithm::None);
    header.set_compression(Compression::Gzip { level: 6 }).unwrap();
    assert_eq!(level(&header), [1, 1, 0, 0, 0], "pg_dump's default is -1");
    assert_eq!(header.algorithm(), Algorithm::Gzip);
    header.set_compression(Compression::Gzip { level: 9 }).unwrap();
    assert_eq!(level(&header), [0, 9, 0, 0, 0]);
    assert!(header.set_compression(Compression::Gzip { level: 10 }).is_err());

    for version in [FormatVersion::V1_15, FormatVersion::V1_16] {
        let mut header = super::samples::header(version, Compression::None);
        for compression in COMPRESSIONS {
            header.set_compression(compression).unwrap();
            assert_eq!(header.algorithm(), compression.algorithm());
            let bytes = Toc { header: header.clone(), entries: vec![] }.encode();
            assert_eq!(bytes[11], compression.algorithm().code());
        }
    }
}

#[test]
fn an_old_version_refuses_what_it_cannot_say() {
    let mut header = header(FormatVersion::V1_14, Compression::None);
    let before = header.clone();
    for compression in COMPRESSIONS {
        if compressions_of(FormatVersion::V1_14).any(|known| known == compression) {
            continue;
        }
        let error = header.set_compression(compression).unwrap_err();
        assert_eq!(error.class, ErrorClass::InvalidInput);
        assert!(error.message.contains(&compression.name()) && error.message.contains("1.14"));
        assert!(error.hint.unwrap().contains("PostgreSQL 16"));
        assert_eq!(header, before);
    }
}

fn read_back(toc: &Toc) -> Result<Toc> {
    ArchiveReader::new(toc.encode().as_slice()).read_toc()
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

prop_compose! {
    fn any_entry()(
        flags in (any::<bool>(), 0..4usize, 0..3usize, any::<u64>()),
        oids in (any::<u32>(), any::<u32>()),
        names in (bytes(), bytes()),
        texts in prop::collection::vec(prop::option::of(bytes()), 7),
        relkind in 0..256i32,
        dependencies in prop::collection::vec(any::<i32>(), 0..6),
    ) -> TocEntry {
        let (had_dumper, section, state, position) = flags;
        let [definition, drop_statement, copy_statement, namespace, tablespace, table_access_method, owner] =
            texts.try_into().unwrap();
        TocEntry {
            dump_id: 0,
            had_dumper,
            catalog_oid: oids.0,
            oid: oids.1,
            tag: names.0,
            desc: names.1,
            section: [Section::None, Section::PreData, Section::Data, Section::PostData][section],
            definition,
            drop_statement,
            copy_statement,
            namespace,
            tablespace,
            table_access_method,
            relkind,
            owner,
            dependencies,
            data_offset: DataOffset {
                state: [OffsetState::NotSet, OffsetState::Set, OffsetState::NoData][state],
                position,
            },
        }
    }
}

fn any_toc() -> impl Strategy<Value = Toc> {
    (
        prop::collection::vec(any_entry(), 0..8),
        0..3usize,
        any::<prop::sample::Index>(),
        prop::option::of(bytes()),
    )
        .prop_map(|(mut entries, version, compression, database)| {
            let version = VERSIONS[version];
            for (entry, number) in entries.iter_mut().zip(1..) {
                entry.dump_id = number;
                if version < FormatVersion::V1_16 {
                    entry.relkind = 0;
                }
            }
            let compressions: Vec<Compression> = compressions_of(version).collect();
            let mut header = header(version, *compression.get(&compressions));
            header.database = database;
            Toc { header, entries }
        })
}

proptest! {
    #[test]
    fn any_toc_is_read_back(toc in any_toc()) {
        prop_assert_eq!(read_back(&toc).unwrap(), toc);
    }

    /// What is accepted has one encoding only, damaged or not.
    #[test]
    fn a_damaged_toc_is_refused_or_written_back_unchanged(
        toc in any_toc(),
        place in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut bytes = toc.encode();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        let mut reader = ArchiveReader::new(&bytes[..]);
        if let Ok(read) = reader.read_toc() {
            let length = reader.position() as usize;
            prop_assert!(read != toc);
            prop_assert_eq!(&read.encode()[..], &bytes[..length]);
        }
    }
}
