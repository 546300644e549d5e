//! What stands around the pieces of one compressed stream, so that they are one stream to pg_restore.
//!
//! gzip: pg_restore reads exactly one zlib stream per block and would loop for ever on a second one. So the
//! stream is spliced: a zlib header, the pieces as raw deflate that ends on a byte boundary, a last deflate
//! block and the checksum of the whole.
//!
//! zstd and lz4: a block is any number of frames, so nothing stands around the pieces but a last frame, in a chunk of its
//! own, for the text that ends a table.

use super::compression::Compression;
use super::lz4_format;
use super::primitive::{int, length};

/// Deflate with a 32 KiB window, default level, no dictionary (RFC 1950).
const ZLIB_HEADER: [u8; 2] = [0x78, 0x9c];

/// Begins a zstd frame that names its content's length in one byte and has no checksum: magic number and frame
/// header descriptor (RFC 8878, 3.1.1).
const ZSTD_FRAME_HEADER: [u8; 5] = [0x28, 0xb5, 0x2f, 0xfd, 0x20];

/// The framed chunk a stream begins with, if any.
pub(super) fn opening(compression: Compression, out: &mut Vec<u8>) {
    match compression {
        Compression::None | Compression::Lz4 | Compression::Zstd { .. } => {}
        Compression::Gzip { .. } => put_chunk(out, &ZLIB_HEADER),
    }
}

/// The framed chunk a stream ends with: `tail` as its last plaintext. `adler32` is of the whole plaintext,
/// with the tail. The Int 0 that ends the chunks follows.
pub(super) fn closing(compression: Compression, tail: &[u8], adler32: u32, out: &mut Vec<u8>) {
    match compression {
        Compression::None | Compression::Lz4 | Compression::Zstd { .. } if tail.is_empty() => {}
        Compression::None => put_chunk(out, tail),
        Compression::Gzip { .. } => {
            let mut last = stored_last_block(tail);
            last.extend_from_slice(&adler32.to_be_bytes());
            put_chunk(out, &last);
        }
        Compression::Lz4 => put_chunk(out, &stored_lz4_frame(tail)),
        Compression::Zstd { .. } => put_chunk(out, &raw_zstd_frame(tail)),
    }
    out.extend_from_slice(&int(0));
}

/// The last deflate block, stored as it is (RFC 1951, 3.2.4): the pieces before it end on a byte boundary, so
/// the block's three header bits fill one byte. The tail is far below a stored block's limit of 65535 bytes.
fn stored_last_block(tail: &[u8]) -> Vec<u8> {
    let stored_length = tail.len() as u16;
    let mut block = vec![1];
    block.extend_from_slice(&stored_length.to_le_bytes());
    block.extend_from_slice(&(!stored_length).to_le_bytes());
    block.extend_from_slice(tail);
    block
}

/// An LZ4 frame with the tail stored as it is, in one block.
fn stored_lz4_frame(tail: &[u8]) -> Vec<u8> {
    let mut frame = lz4_format::header(lz4_format::INDEPENDENT_BLOCKS).to_vec();
    frame.extend_from_slice(&(tail.len() as u32 | lz4_format::STORED).to_le_bytes());
    frame.extend_from_slice(tail);
    frame.extend_from_slice(&lz4_format::END_MARK);
    frame
}

/// A zstd frame with the tail stored as it is, in one raw block, its last (RFC 8878, 3.1.1.2). The tail is below
/// 256 bytes.
fn raw_zstd_frame(tail: &[u8]) -> Vec<u8> {
    let mut frame = ZSTD_FRAME_HEADER.to_vec();
    frame.push(tail.len() as u8);
    let [a, b, c, _] = ((tail.len() as u32) << 3 | 1).to_le_bytes();
    frame.extend_from_slice(&[a, b, c]);
    frame.extend_from_slice(tail);
    frame
}

fn put_chunk(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&length(payload.len()));
    out.extend_from_slice(payload);
}
