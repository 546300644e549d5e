//! The chunks of a piece: payload behind its length, as pg_restore reads it (pg_backup_custom.c:
//! _CustomReadFunc).

use sha2::{Digest, Sha256};

use super::primitive::length;

/// Bytes of payload in every chunk of a piece but its last.
pub const CHUNK_LENGTH: usize = 256 * 1024;

/// The chunk being filled, and what was given away before it.
pub(super) struct Chunk {
    payload: Box<[u8]>,
    /// Payload bytes so far.
    filled: usize,
    given: Given,
}

/// All chunks given away.
struct Given {
    /// Their bytes.
    length: u64,
    digest: Sha256,
}

impl Given {
    /// One more chunk.
    fn put(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&length(payload.len()));
        out.extend_from_slice(payload);
        let framed = &out[start..];
        self.digest.update(framed);
        self.length += framed.len() as u64;
    }
}

impl Chunk {
    pub(super) fn new() -> Self {
        Self {
            payload: vec![0; CHUNK_LENGTH].into_boxed_slice(),
            filled: 0,
            given: Given { length: 0, digest: Sha256::new() },
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled == CHUNK_LENGTH
    }

    /// Where payload goes next; empty only if the chunk is full.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.payload[self.filled..]
    }

    /// Says that so many bytes were put into the room.
    pub(super) fn filled(&mut self, length: usize) {
        self.filled += length;
    }

    /// Gives the chunk away, unless it is empty: a chunk of length 0 would end the block.
    pub(super) fn emit(&mut self, out: &mut Vec<u8>) {
        if self.filled == 0 {
            return;
        }
        self.given.put(&self.payload[..self.filled], out);
        self.filled = 0;
    }

    /// Gives `payload` away as chunks of its own, without filling any of them here first.
    pub(super) fn emit_all(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.emit(out);
        for payload in payload.chunks(CHUNK_LENGTH) {
            self.given.put(payload, out);
        }
    }

    pub(super) fn emit_if_full(&mut self, out: &mut Vec<u8>) {
        if self.is_full() {
            self.emit(out);
        }
    }

    /// Takes `payload` as it is.
    pub(super) fn fill_from(&mut self, mut payload: &[u8], out: &mut Vec<u8>) {
        while !payload.is_empty() {
            let taken = payload.len().min(CHUNK_LENGTH - self.filled);
            let (now, later) = payload.split_at(taken);
            self.room()[..taken].copy_from_slice(now);
            self.filled += taken;
            payload = later;
            self.emit_if_full(out);
        }
    }

    /// The length in bytes and the digest of all that was given away; starts anew.
    pub(super) fn finish(&mut self) -> (u64, [u8; 32]) {
        let sha256 = self.given.digest.finalize_reset().into();
        (std::mem::take(&mut self.given.length), sha256)
    }

    /// Forgets all payload.
    pub(super) fn clear(&mut self) {
        self.filled = 0;
        self.given.length = 0;
        self.given.digest.reset();
    }
}
