//! What stands around the pieces of one compressed stream, so that they are one stream to pg_restore.
//!
//! gzip: pg_restore reads exactly one zlib stream per block and would loop for ever on a second one. So the
//! stream is spliced: a zlib header, the pieces as raw deflate that ends on a byte boundary, a last deflate
//! block and the checksum of the whole.

use super::compression::Compression;
use super::primitive::{int, length};

/// Deflate with a 32 KiB window, default level, no dictionary (RFC 1950).
const ZLIB_HEADER: [u8; 2] = [0x78, 0x9c];

/// The framed chunk a stream begins with, if any.
pub(super) fn opening(compression: Compression, out: &mut Vec<u8>) {
    match compression {
        Compression::None => {}
        Compression::Gzip { .. } => put_chunk(out, &ZLIB_HEADER),
    }
}

/// The framed chunk a stream ends with: `tail` as its last plaintext. `adler32` is of the whole plaintext,
/// with the tail. The Int 0 that ends the chunks follows.
pub(super) fn closing(compression: Compression, tail: &[u8], adler32: u32, out: &mut Vec<u8>) {
    match compression {
        Compression::None if tail.is_empty() => {}
        Compression::None => put_chunk(out, tail),
        Compression::Gzip { .. } => {
            let mut last = stored_last_block(tail);
            last.extend_from_slice(&adler32.to_be_bytes());
            put_chunk(out, &last);
        }
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

fn put_chunk(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&length(payload.len()));
    out.extend_from_slice(payload);
}
