//! Pieces: their chunks, their digests, and that they join to one stream.

use std::io::Read;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::samples::{Block, COMPRESSIONS, assemble, blocks, rows, toc_of};
use crate::archive::statement::TERMINATOR;
use crate::archive::{ArchiveReader, CHUNK_LENGTH, Compression, FormatVersion, PieceEncoder, PieceSummary};

fn encode(encoder: &mut PieceEncoder, text: &[u8], step: usize) -> (Vec<u8>, PieceSummary) {
    let mut out = Vec::new();
    for part in text.chunks(step) {
        encoder.write(part, &mut out).unwrap();
        // Only whole chunks are given away.
        chunks(&out);
    }
    let summary = encoder.finish(3, &mut out).unwrap();
    (out, summary)
}

fn chunks(mut framed: &[u8]) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    while let Some((&[0, a, b, c, d], rest)) = framed.split_first_chunk() {
        let (chunk, rest) = rest.split_at(u32::from_le_bytes([a, b, c, d]) as usize);
        assert!(!chunk.is_empty() && chunk.len() <= CHUNK_LENGTH);
        chunks.push(chunk);
        framed = rest;
    }
    assert!(framed.is_empty());
    chunks
}

fn payload(framed: &[u8]) -> Vec<u8> {
    chunks(framed).concat()
}

/// A chunk is short only where the compression ends something: the piece, and with zstd a frame, which must end there.
#[test]
fn chunks_are_full_and_end_with_frames() {
    let text = rows(100_000);
    for compression in COMPRESSIONS {
        let (framed, _) = encode(&mut PieceEncoder::new(compression), &text, 5000);
        let payload = payload(&framed);
        let mut ends = vec![payload.len()];
        if let Compression::Zstd { .. } = compression {
            ends = Vec::new();
            while ends.last() != Some(&payload.len()) {
                let start = ends.last().copied().unwrap_or(0);
                ends.push(start + zstd_safe::find_frame_compressed_size(&payload[start..]).unwrap());
            }
            assert!(ends.len() > 1, "more than a frame");
        }
        let mut end = 0;
        let mut short = Vec::new();
        for chunk in chunks(&framed) {
            end += chunk.len();
            if chunk.len() < CHUNK_LENGTH || ends.contains(&end) {
                short.push(end);
            }
        }
        assert_eq!(short, ends, "{compression}");
    }
}

#[test]
fn a_summary_tells_what_went_out() {
    let text = rows(50_000);
    for compression in COMPRESSIONS {
        let (framed, summary) = encode(&mut PieceEncoder::new(compression), &text, 700);
        assert_eq!(summary.raw_length, text.len() as u64);
        assert_eq!(summary.rows, 3);
        assert_eq!(summary.length, framed.len() as u64);
        let adler32 = match compression {
            Compression::Gzip { .. } => simd_adler32::adler32(&text.as_slice()),
            _ => 1,
        };
        assert_eq!(summary.adler32, adler32);
        assert_eq!(summary.sha256, <[u8; 32]>::from(Sha256::digest(&framed)));
        if compression == Compression::None {
            assert_eq!(payload(&framed), text);
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_how_rows_arrive() {
    // More than zstd compresses at once, and exactly as much.
    let long = rows(100_000);
    assert!(long.len() > 2 << 20);
    for text in [long[..1 << 20].to_vec(), long] {
        for compression in COMPRESSIONS {
            let mut encoder = PieceEncoder::new(compression);
            let whole = encode(&mut encoder, &text, text.len());
            assert!(decompressed(compression, &payload(&whole.0)) == text);
            for step in [9973, 65_536, 300_000] {
                assert!(encode(&mut encoder, &text, step) == whole, "{compression} {step}");
            }
        }
    }
}

/// The text of a piece, by another way than the reader's.
fn decompressed(compression: Compression, payload: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match compression {
        Compression::None => text.extend_from_slice(payload),
        Compression::Gzip { .. } => {
            // An empty last block ends what a piece leaves open.
            let closed = [payload, &[3, 0]].concat();
            flate2::read::DeflateDecoder::new(closed.as_slice()).read_to_end(&mut text).unwrap();
        }
        Compression::Lz4 => {
            let mut frame = payload;
            lz4_flex::frame::FrameDecoder::new(&mut frame).read_to_end(&mut text).unwrap();
            // A piece is one frame.
            assert!(frame.is_empty());
        }
        Compression::Zstd { .. } => {
            let mut frame = vec![0; 1 << 20];
            let mut rest = payload;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(zstd_safe::find_frame_compressed_size(rest).unwrap());
                let length = zstd_safe::decompress(frame.as_mut_slice(), now).unwrap();
                text.extend_from_slice(&frame[..length]);
                rest = later;
            }
        }
    }
    text
}

/// Text that is appended to the encoder's own buffer, a value of many slices at once among it, and compressed now and then.
#[test]
fn text_put_where_it_is_compressed_gives_the_same_piece() {
    let text = rows(60_000);
    let (small, large) = text.split_at(text.len() / 2);
    for compression in COMPRESSIONS {
        let mut encoder = PieceEncoder::new(compression);
        let whole = encode(&mut encoder, &text, 5000);
        let mut out = Vec::new();
        let mut compressed = 0;
        for (number, part) in small.chunks(40_000).chain([large]).enumerate() {
            encoder.text().extend_from_slice(part);
            // Some slices may wait until there is more text behind them.
            for _ in 0..number % 3 {
                compressed += encoder.compress(&mut out).unwrap();
            }
            assert!(compressed as u64 <= encoder.raw_length());
        }
        assert_eq!(encoder.raw_length(), text.len() as u64);
        while encoder.is_full() {
            assert!(encoder.compress(&mut out).unwrap() > 0);
        }
        assert_eq!(encoder.compress(&mut out).unwrap(), 0);
        let summary = encoder.finish(3, &mut out).unwrap();
        assert!((out, summary) == whole, "{compression}");
    }
}

#[test]
fn an_empty_piece_is_nothing() {
    for compression in COMPRESSIONS {
        let mut encoder = PieceEncoder::new(compression);
        for _ in 0..2 {
            let (framed, summary) = encode(&mut encoder, b"", 1);
            assert_eq!(framed, b"");
            assert_eq!((summary.raw_length, summary.length, summary.adler32), (0, 0, 1));
            assert_eq!(summary.sha256, <[u8; 32]>::from(Sha256::digest(b"")));
        }
    }
}

#[test]
fn an_encoder_starts_anew_after_each_piece() {
    let (one, other) = (rows(20_000), rows(3));
    for compression in COMPRESSIONS {
        let mut encoder = PieceEncoder::new(compression);
        let first = encode(&mut encoder, &one, 5000);
        encoder.write(&one, &mut Vec::new()).unwrap();
        encoder.reset();
        assert_eq!(
            encode(&mut encoder, &other, 5000),
            encode(&mut PieceEncoder::new(compression), &other, 5000)
        );
        assert_eq!(encode(&mut encoder, &one, 5000), first);
    }
}

/// Lengths at which a chunk or batch is exactly full.
#[test]
fn at_the_limits_of_chunks() {
    for compression in COMPRESSIONS {
        let mut encoder = PieceEncoder::new(compression);
        for length in
            [1, 65_535, 65_536, 65_537, CHUNK_LENGTH - 1, CHUNK_LENGTH, CHUNK_LENGTH + 1, 2 * CHUNK_LENGTH]
        {
            // Bytes that do not compress, so that the payload crosses the limits too.
            let text: Vec<u8> = Sha256Stream::new().take(length).collect();
            let (framed, _) = encode(&mut encoder, &text, length);
            assert!(decompressed(compression, &payload(&framed)) == text, "{compression} {length}");
        }
    }
}

/// The levels whose own tables would be too large.
#[test]
fn the_highest_levels() {
    let text = rows(20_000);
    for level in [19, 20, 22] {
        let compression = Compression::Zstd { level };
        let (framed, _) = encode(&mut PieceEncoder::new(compression), &text, 100_000);
        let payload = payload(&framed);
        assert!(decompressed(compression, &payload) == text, "level {level}");
    }
}

/// Levels below 0 shorten letters that repeat nothing, which zstd's own do not.
#[test]
fn the_fastest_levels_compress_text() {
    let text = rows(20_000);
    let length = |level| {
        let compression = Compression::Zstd { level };
        let (framed, _) = encode(&mut PieceEncoder::new(compression), &text, 100_000);
        assert!(decompressed(compression, &payload(&framed)) == text, "level {level}");
        framed.len()
    };
    let usual = length(1);
    for level in -7..=-1 {
        assert!(length(level) < usual * 3 / 2, "level {level}: {} bytes, at level 1 {usual}", length(level));
    }
}

/// Flushes that end near a chunk's end, where zlib runs out of room in the middle of its marker.
#[test]
fn flushes_at_the_end_of_a_chunk() {
    let noise: Vec<u8> = Sha256Stream::new().take(CHUNK_LENGTH).collect();
    for level in [1, 2, 6] {
        let compression = Compression::Gzip { level };
        let mut encoder = PieceEncoder::new(compression);
        let mut lasts = std::collections::BTreeSet::new();
        for length in (CHUNK_LENGTH - 120..CHUNK_LENGTH).step_by(3) {
            let (framed, _) = encode(&mut encoder, &noise[..length], length);
            let payload = payload(&framed);
            lasts.insert(payload.len() % CHUNK_LENGTH);
            assert!(decompressed(compression, &payload) == noise[..length], "level {level}, {length} bytes");
        }
        assert!(lasts.len() > 30, "the ends are spread: {lasts:?}");
    }
}

/// Frames that end near a chunk's end and exactly there: pg_restore would drop what follows them in the chunk.
#[test]
fn frames_end_where_their_chunk_ends() {
    let noise: Vec<u8> = Sha256Stream::new().take(2 * CHUNK_LENGTH).collect();
    for compression in [-7, 1, 3].map(|level| Compression::Zstd { level }) {
        let mut encoder = PieceEncoder::new(compression);
        let mut lasts = std::collections::BTreeSet::new();
        for length in (2 * CHUNK_LENGTH - 60)..2 * CHUNK_LENGTH {
            let (framed, _) = encode(&mut encoder, &noise[..length], length);
            let payload = payload(&framed);
            lasts.insert(payload.len() % CHUNK_LENGTH);
            assert!(decompressed(compression, &payload) == noise[..length], "{compression}, {length} bytes");
        }
        assert!(lasts.contains(&0), "a chunk is exactly full: {lasts:?}");
    }
}

/// Bytes without a pattern, the same every time.
struct Sha256Stream {
    block: [u8; 32],
    used: usize,
}

impl Sha256Stream {
    fn new() -> Self {
        Self { block: Sha256::digest(b"seed").into(), used: 0 }
    }
}

impl Iterator for Sha256Stream {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.used == 32 {
            self.block = Sha256::digest(self.block).into();
            self.used = 0;
        }
        self.used += 1;
        Some(self.block[self.used - 1])
    }
}

/// The stored bytes of the first block.
fn stored_stream(archive: &[u8]) -> Vec<u8> {
    let mut reader = ArchiveReader::new(archive);
    reader.read_toc().unwrap();
    reader.next_block().unwrap();
    let (mut stream, mut chunk) = (Vec::new(), Vec::new());
    while reader.next_chunk(&mut chunk).unwrap() {
        stream.extend_from_slice(&chunk);
    }
    stream
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pieces_are_one_zlib_stream(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..6),
        repeats in 1..200usize,
        level in 1..=9,
    ) {
        let pieces: Vec<Vec<u8>> = pieces.into_iter().map(|piece| piece.repeat(repeats)).collect();
        let compression = Compression::Gzip { level };
        let blocks = [Block::Table(2, pieces.clone())];
        let toc = toc_of(FormatVersion::V1_15, compression, &blocks);
        let (archive, _) = assemble(&toc, compression, &blocks);
        let stream = stored_stream(&archive);
        let mut decoder = flate2::read::ZlibDecoder::new(stream.as_slice());
        let mut text = Vec::new();
        decoder.read_to_end(&mut text).unwrap();
        prop_assert!(text == [pieces.concat().as_slice(), TERMINATOR].concat());
        prop_assert_eq!(decoder.total_in(), stream.len() as u64);
    }
}

#[test]
fn the_index_points_at_the_pieces() {
    let blocks = blocks();
    for compression in COMPRESSIONS {
        let toc = toc_of(FormatVersion::V1_16, compression, &blocks);
        let (archive, index) = assemble(&toc, compression, &blocks);
        let mut seen = 0;
        for (block, expected) in index.iter().zip(&blocks) {
            let Block::Table(dump_id, texts) = expected else { continue };
            let at = block.offset as usize;
            assert_eq!(archive[at], 1);
            assert_eq!(archive[at + 2..at + 6], dump_id.to_le_bytes());
            let texts = texts.iter().filter(|text| !text.is_empty());
            assert_eq!(block.pieces.len(), texts.clone().count());
            for (piece, text) in block.pieces.iter().zip(texts) {
                let framed = &archive[piece.offset as usize..][..piece.length as usize];
                assert_eq!(piece.sha256, <[u8; 32]>::from(Sha256::digest(framed)));
                assert_eq!(piece.raw_length, text.len() as u64);
                assert!(decompressed(compression, &payload(framed)) == *text);
                seen += 1;
            }
        }
        assert_eq!(seen, 4);
    }
}
