//! The reader and the assembler refuse what comes at the wrong time.

use super::samples::{Block, blobs, table_data, toc, toc_of};
use crate::archive::{
    ArchiveReader, Assembler, Compression, DataOffset, FormatVersion, OffsetState, PieceSummary,
};
use crate::error::{ErrorClass, Result};

fn refused<T: std::fmt::Debug>(result: Result<T>) {
    assert_eq!(result.unwrap_err().class, ErrorClass::Internal);
}

const EMPTY_PIECE: PieceSummary =
    PieceSummary { raw_length: 0, rows: 0, adler32: 1, length: 0, sha256: [0; 32] };

#[test]
fn the_assembler_keeps_its_order() {
    let toc = toc(vec![table_data(2, "s", "t"), table_data(3, "s", "u"), blobs(4)]);
    let mut assembler = Assembler::new(Compression::None);
    refused(assembler.begin_table(2));
    refused(assembler.piece_bytes(1));
    refused(assembler.finish());
    assembler.start(&toc).unwrap();
    refused(assembler.start(&toc));
    refused(assembler.end_table());
    refused(assembler.end_piece(&EMPTY_PIECE));
    refused(assembler.begin_large_object(1));
    // Not the next ones of the table of contents.
    refused(assembler.begin_table(3));
    refused(assembler.begin_large_objects(2));
    refused(assembler.begin_large_objects(4));
    refused(assembler.finish());
    assembler.begin_table(2).unwrap();
    refused(assembler.begin_table(3));
    refused(assembler.begin_large_object(1));
    refused(assembler.end_large_object());
    refused(assembler.finish());
    assembler.end_table().unwrap();
    refused(assembler.begin_table(2));
    assembler.begin_table(3).unwrap();
    assembler.end_table().unwrap();
    assembler.begin_large_objects(4).unwrap();
    refused(assembler.begin_large_object(0));
    assembler.begin_large_object(9).unwrap();
    refused(assembler.end_large_objects());
    refused(assembler.end_table());
    assembler.end_large_object().unwrap();
    assembler.end_large_objects().unwrap();
    assembler.finish().unwrap();
    refused(assembler.finish());
    refused(assembler.begin_table(5));
}

#[test]
fn a_piece_must_have_gone_out_as_it_says() {
    let toc = toc(vec![table_data(2, "s", "t")]);
    let mut assembler = Assembler::new(Compression::None);
    assembler.start(&toc).unwrap();
    assembler.begin_table(2).unwrap();
    let piece = PieceSummary { raw_length: 5, rows: 1, length: 10, ..EMPTY_PIECE };
    refused(assembler.end_piece(&piece));
    assembler.piece_bytes(9).unwrap();
    refused(assembler.end_piece(&piece));
    refused(assembler.end_table());
    assembler.piece_bytes(1).unwrap();
    assembler.end_piece(&piece).unwrap();
    assembler.end_piece(&EMPTY_PIECE).unwrap();
    refused(assembler.end_piece(&PieceSummary { raw_length: 1, ..EMPTY_PIECE }));
    refused(assembler.piece_bytes(u64::MAX));
    let (_, index) = assembler.end_table().unwrap();
    assert_eq!(index.pieces.len(), 1);
}

#[test]
fn the_table_of_contents_must_fit() {
    let blocks = [Block::Table(2, vec![])];
    let gzip = Compression::Gzip { level: 6 };
    refused(Assembler::new(gzip).start(&toc_of(FormatVersion::V1_14, Compression::None, &blocks)));

    let mut with_offset = toc_of(FormatVersion::V1_14, gzip, &blocks);
    with_offset.entries[1].data_offset = DataOffset { state: OffsetState::Set, position: 77 };
    refused(Assembler::new(gzip).start(&with_offset));
    with_offset.clear_offsets();
    Assembler::new(gzip).start(&with_offset).unwrap();

    let mut unknown = toc_of(FormatVersion::V1_14, gzip, &blocks);
    unknown.entries[1].desc = b"NEW DATA".to_vec();
    assert_eq!(Assembler::new(gzip).start(&unknown).unwrap_err().class, ErrorClass::Archive);
}

#[test]
fn the_reader_keeps_its_order() {
    let blocks = [Block::Table(2, vec![b"row\n".to_vec()]), Block::LargeObjects(3, vec![(5, vec![])])];
    let toc = toc_of(FormatVersion::V1_16, Compression::None, &blocks);
    let (archive, _) = super::samples::assemble(&toc, Compression::None, &blocks);
    let mut reader = ArchiveReader::new(&archive[..]);
    refused(reader.next_block());
    refused(reader.skip_block());
    refused(reader.plaintext().map(|_| ()));
    reader.read_toc().unwrap();
    refused(reader.read_toc());
    refused(reader.next_large_object());
    refused(reader.next_chunk(&mut Vec::new()));
    refused(reader.read_payload(&mut [0]));
    reader.next_block().unwrap();
    refused(reader.next_block());
    refused(reader.next_large_object());
    refused(reader.read_payload(&mut []));
    let mut plaintext = reader.plaintext().unwrap();
    refused(plaintext.read_some(&mut []));
    assert_eq!(plaintext.read_all(100).unwrap(), b"row\n\\.\n\n\n");
    assert_eq!(plaintext.read_some(&mut [0]).unwrap(), 0, "the end stays the end");
    reader.next_block().unwrap();
    refused(reader.read_payload(&mut [0]));
    assert_eq!(reader.next_large_object().unwrap(), Some(5));
    refused(reader.next_large_object());
    assert!(!reader.next_chunk(&mut Vec::new()).unwrap());
    assert_eq!(reader.next_large_object().unwrap(), None);
    assert_eq!(reader.next_block().unwrap(), None);
}
