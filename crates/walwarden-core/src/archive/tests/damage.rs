//! Damaged and hostile archives: an error or another content, never a panic, a hang or much memory.

use super::samples::{Block, VERSIONS, assemble, content, rows, toc_of};
use crate::archive::primitive::int;
use crate::archive::statement::TERMINATOR;
use crate::archive::{ArchiveReader, Compression, FormatVersion, MAX_CHUNK_LENGTH};
use crate::error::ErrorClass;

fn small_blocks() -> Vec<Block> {
    vec![
        Block::Table(2, vec![rows(12), rows(3)]),
        Block::Table(3, vec![]),
        Block::LargeObjects(4, vec![(70_000, vec![b"large".to_vec()]), (u32::MAX, vec![])]),
    ]
}

fn small_archive(version: FormatVersion, compression: Compression) -> Vec<u8> {
    let blocks = small_blocks();
    assemble(&toc_of(version, compression, &blocks), compression, &blocks).0
}

/// One of each algorithm.
const ALL: [Compression; 4] =
    [Compression::None, Compression::Gzip { level: 6 }, Compression::Lz4, Compression::Zstd { level: 3 }];

/// Deflate's stored blocks end their three header bits with up to seven that mean nothing. Each piece ends
/// with one, and so does each stream. Only a digest sees a flip there; the content is the same.
const PADDING_BITS: usize = 7;

/// How many flips of one bit leave the content as it was, in what follows the first `from` bytes.
fn unseen_flips(archive: &[u8], from: usize) -> usize {
    let whole = content(archive).unwrap();
    let mut unseen = 0;
    let mut damaged = archive.to_vec();
    for place in from..archive.len() {
        for bit in 0..8 {
            damaged[place] ^= 1 << bit;
            match content(&damaged[..]) {
                Ok(read) => unseen += usize::from(read == whole),
                Err(error) => assert_eq!(error.class, ErrorClass::Archive, "byte {place} bit {bit}"),
            }
            damaged[place] ^= 1 << bit;
        }
    }
    unseen
}

#[test]
fn any_flipped_bit_is_seen() {
    for version in VERSIONS {
        let archive = small_archive(version, Compression::None);
        assert_eq!(unseen_flips(&archive, 0), 0, "{version:?}");
        // Three pieces and four streams.
        let archive = small_archive(version, Compression::Gzip { level: 6 });
        assert!(unseen_flips(&archive, 0) <= 7 * PADDING_BITS, "{version:?}");
    }
}

#[test]
fn flipped_bits_of_compressed_data_are_errors() {
    for compression in ALL {
        let blocks = [Block::Table(2, vec![rows(20), rows(3)])];
        let toc = toc_of(FormatVersion::V1_16, compression, &blocks);
        let (archive, _) = assemble(&toc, compression, &blocks);
        let whole = content(&archive[..]).unwrap();
        let data_begin = toc.encode().len() + 6;
        // Nothing but the stream's own checksums, which plain text and the frame of the terminator lack.
        let data_end = match compression {
            Compression::None => data_begin,
            Compression::Gzip { .. } => archive.len(),
            Compression::Lz4 => archive.len() - 5 - 4 - TERMINATOR.len(),
            Compression::Zstd { .. } => archive.len() - 5 - TERMINATOR.len(),
        };
        for place in data_begin..data_end {
            for bit in 0..8 {
                let mut damaged = archive.clone();
                damaged[place] ^= 1 << bit;
                if let Ok(read) = content(&damaged[..]) {
                    assert!(read == whole, "{compression}: byte {place} bit {bit} made other rows");
                }
            }
        }
    }
}

#[test]
fn a_cut_archive_is_refused_unless_cut_between_blocks() {
    for compression in ALL {
        let archive = small_archive(FormatVersion::V1_16, compression);
        let whole = content(&archive[..]).unwrap();
        let mut complete_blocks = 0;
        for end in 0..archive.len() {
            match content(&archive[..end]) {
                Ok(read) => {
                    assert_eq!(read.1, whole.1[..complete_blocks]);
                    complete_blocks += 1;
                }
                Err(error) => assert_eq!(error.class, ErrorClass::Archive),
            }
        }
        assert_eq!(complete_blocks, 3, "before each block");
    }
}

#[test]
fn an_error_tells_the_place() {
    let archive = small_archive(FormatVersion::V1_16, Compression::None);
    let error = content(&archive[..100]).unwrap_err();
    assert_eq!(error.detail.as_deref(), Some("it ends too early, at byte 100"));
    let error = content(&b"-- a plain dump"[..]).unwrap_err();
    assert_eq!(error.detail.as_deref(), Some("it does not begin as a pg_dump archive, before byte 5"));
}

/// The begin of an archive up to its data, then `data`.
fn with_data(compression: Compression, data: &[&[u8]]) -> Vec<u8> {
    let toc = toc_of(FormatVersion::V1_16, compression, &[Block::Table(2, vec![])]);
    [toc.encode(), data.concat()].concat()
}

#[test]
fn hostile_chunk_lengths_are_refused() {
    for length in [-1, i32::MIN, MAX_CHUNK_LENGTH as i32 + 1, i32::MAX] {
        let archive = with_data(Compression::None, &[&[1], &int(2), &int(length), b"data"]);
        let error = content(&archive[..]).unwrap_err();
        assert!(error.detail.unwrap().contains("a chunk has the length"), "{length}");
    }
    // Allowed, but not there: only what is there takes memory.
    let archive = with_data(Compression::None, &[&[1], &int(2), &int(MAX_CHUNK_LENGTH as i32), b"data"]);
    let mut reader = ArchiveReader::new(&archive[..]);
    reader.read_toc().unwrap();
    reader.next_block().unwrap();
    let mut chunk = Vec::new();
    assert!(reader.next_chunk(&mut chunk).is_err());
    assert!(chunk.capacity() < 1 << 20);
}

#[test]
fn a_hostile_count_of_entries_reserves_no_memory() {
    let toc = toc_of(FormatVersion::V1_16, Compression::None, &[]);
    let mut bytes = toc.encode();
    let count_at =
        Vec::len(&crate::archive::Toc { header: toc.header.clone(), entries: vec![] }.encode()) - 5;
    bytes[count_at..count_at + 5].copy_from_slice(&int(i32::MAX));
    assert!(content(&bytes[..]).is_err());
    bytes[count_at..count_at + 5].copy_from_slice(&int(-1));
    assert!(content(&bytes[..]).unwrap_err().detail.unwrap().contains("-1 entries"));
}

#[test]
fn malformed_blocks_are_refused() {
    for data in [[&[2u8][..], &int(2)], [&[0], &int(2)], [&[1], &int(0)], [&[1], &int(-5)]] {
        assert_eq!(content(&with_data(Compression::None, &data)[..]).unwrap_err().class, ErrorClass::Archive);
    }
}

#[test]
fn two_entries_of_one_number_are_refused() {
    let mut toc = toc_of(FormatVersion::V1_16, Compression::None, &[Block::Table(2, vec![])]);
    toc.entries[0].dump_id = 2;
    assert!(content(&toc.encode()[..]).unwrap_err().detail.unwrap().contains("two entries"));
}

fn zlib(text: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_pg_restore_cannot_read_is_refused() {
    let gzip = Compression::Gzip { level: 6 };
    let stream = zlib(b"text");
    let block = |stream: &[u8]| {
        let chunk = int(stream.len() as i32);
        with_data(gzip, &[&[1], &int(2), if stream.is_empty() { &[] } else { &chunk }, stream, &int(0)])
    };
    assert!(content(&block(&stream)[..]).is_ok());
    for (broken, expected) in [
        // pg_restore would never end.
        ([stream.clone(), stream.clone()].concat(), "goes on after its end"),
        ([stream.as_slice(), b"\0"].concat(), "goes on after its end"),
        (vec![], "ends too early"),
        (stream[..stream.len() - 1].to_vec(), "ends too early"),
        ([&stream[..stream.len() - 1], &[stream[stream.len() - 1] ^ 1]].concat(), "is damaged"),
        // A preset dictionary.
        ([0x78, 0xbb, 1, 2, 3, 4, 5].to_vec(), "is damaged"),
    ] {
        let error = content(&block(&broken)[..]).unwrap_err();
        assert!(error.detail.as_ref().unwrap().contains(expected), "{error}");
    }
}

#[test]
fn what_pg_restore_drops_of_zstd_is_refused() {
    let frame = |text: &[u8]| {
        let mut frame = vec![0; 100];
        let length = zstd_safe::compress(frame.as_mut_slice(), text, 3).unwrap();
        frame.truncate(length);
        frame
    };
    let (one, two) = (frame(b"one"), frame(b"two"));
    let (begin, end) = one.split_at(7);
    let read = |chunks: &[&[u8]]| {
        let mut stream = Vec::new();
        for chunk in chunks {
            stream.extend_from_slice(&int(chunk.len() as i32));
            stream.extend_from_slice(chunk);
        }
        let archive = with_data(Compression::Zstd { level: 3 }, &[&[1], &int(2), &stream, &int(0)]);
        content(&archive[..])
    };
    let text = |text: &[u8]| vec![Block::Table(2, vec![text.to_vec()])];
    assert_eq!(read(&[]).unwrap().1, text(b""));
    assert_eq!(read(&[&one, &two]).unwrap().1, text(b"onetwo"));
    assert_eq!(read(&[begin, end, &two]).unwrap().1, text(b"onetwo"));
    for (chunks, expected) in [
        (&[one.as_slice(), begin] as &[&[u8]], "ends too early"),
        (&[begin], "ends too early"),
        (&[&[one.as_slice(), &two].concat()], "ends before its chunk does"),
        (&[begin, &[end, &two].concat()], "ends before its chunk does"),
        (&[&[one.as_slice(), b"\n"].concat()], "ends before its chunk does"),
        (&[&one, b"text"], "is damaged"),
    ] {
        let error = read(chunks).unwrap_err();
        assert!(error.detail.as_ref().unwrap().contains(expected), "{error}");
    }
}

#[test]
fn frames_as_pg_dump_writes_them_to_lz4_are_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;

    // More than one block, which refers to the one before it.
    let text = rows(20_000);
    let frame = |info: FrameInfo| {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&text).unwrap();
        encoder.finish().unwrap()
    };
    let pg_dumps = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Linked);
    let all = FrameInfo::new()
        .block_size(BlockSize::Max256KB)
        .block_mode(BlockMode::Independent)
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(text.len() as u64));
    let stream = [frame(pg_dumps), frame(all.clone())].concat();
    let read = |stream: &[u8]| {
        let chunk = int(stream.len() as i32);
        let archive = with_data(Compression::Lz4, &[&[1], &int(2), &chunk, stream, &int(0)]);
        content(&archive[..])
    };
    assert!(read(&stream).unwrap().1 == [Block::Table(2, vec![[text.as_slice(), &text].concat()])]);

    let one = frame(all);
    for end in 1..one.len() {
        // A cut after the first frame's header or block must not pass for its end.
        if end % 97 == 0 || end < 100 || one.len() - end < 100 {
            let error = read(&one[..end]).unwrap_err();
            assert!(error.detail.as_ref().unwrap().contains("ends too early"), "{error}");
        }
    }
    let last = one.len() - 1;
    for (place, expected) in [
        (0, "does not go on with an LZ4 frame"),
        (4, "does not go on with an LZ4 frame"),
        (6, "the header of a compressed frame"),
        (14, "the header of a compressed frame"),
        (100, "a compressed block does not match"),
        (last, "the content of a compressed frame"),
    ] {
        let mut damaged = one.clone();
        damaged[place] ^= 0x80;
        let error = read(&damaged).unwrap_err();
        assert!(error.detail.as_ref().unwrap().contains(expected), "{place}: {error}");
    }
    assert!(read(&[&one, b"\n".as_slice()].concat()).is_err());
}

#[test]
fn content_beyond_the_limit_is_refused() {
    let bomb = zlib(&vec![0; 10_000_000]);
    let chunk = int(bomb.len() as i32);
    let archive = with_data(Compression::Gzip { level: 6 }, &[&[1], &int(2), &chunk, &bomb, &int(0)]);
    let mut reader = ArchiveReader::new(&archive[..]);
    reader.read_toc().unwrap();
    reader.next_block().unwrap();
    let error = reader.plaintext().unwrap().read_all(1_000_000).unwrap_err();
    assert!(error.detail.unwrap().contains("more than 1000000 bytes"));
}

#[test]
fn an_unknown_compression_is_refused() {
    let mut toc = toc_of(FormatVersion::V1_16, Compression::None, &[Block::Table(2, vec![])]).encode();
    toc[11] = 9;
    assert!(content(&toc[..]).unwrap_err().detail.unwrap().contains("its compression algorithm is 9"));
}

#[test]
fn an_unsupported_version_is_named() {
    let mut archive = small_archive(FormatVersion::V1_16, Compression::None);
    archive[6] = 17;
    assert!(content(&archive[..]).unwrap_err().detail.unwrap().contains("1.17 is not supported"));
}
