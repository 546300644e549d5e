//! What stands around the blocks of an LZ4 frame (lz4/doc/lz4_Frame_format.md, 1.6.4).

use twox_hash::XxHash32;

/// Begins every frame.
pub(super) const MAGIC: [u8; 4] = 0x184d_2204u32.to_le_bytes();

/// The version of the format, in the two high bits of the flags.
pub(super) const VERSION: u8 = 0b0100_0000;
/// No block refers to one before it.
pub(super) const INDEPENDENT_BLOCKS: u8 = 0b0010_0000;
/// Each block has a checksum.
pub(super) const BLOCK_CHECKSUMS: u8 = 0b0001_0000;
/// The header names the content's length.
pub(super) const CONTENT_LENGTH: u8 = 0b0000_1000;
/// The frame ends with a checksum of its content.
pub(super) const CONTENT_CHECKSUM: u8 = 0b0000_0100;

/// In a block's length: it is stored as it is.
pub(super) const STORED: u32 = 1 << 31;

/// In place of a block's length: the frame's end.
pub(super) const END_MARK: [u8; 4] = [0; 4];

/// Bytes of content in every block of our frames but the last, and its code in their headers. A reader needs
/// memory for two blocks: half a MiB in pg_restore.
pub(super) const BLOCK_LENGTH: usize = 256 * 1024;
const BLOCK_LENGTH_CODE: u8 = 5 << 4;

/// The header of a frame of ours with these flags besides the version.
pub(super) fn header(flags: u8) -> [u8; 7] {
    let descriptor = [VERSION | flags, BLOCK_LENGTH_CODE];
    let [a, b, c, d] = MAGIC;
    [a, b, c, d, descriptor[0], descriptor[1], header_checksum(&descriptor)]
}

/// The second byte of the descriptor's checksum.
pub(super) fn header_checksum(descriptor: &[u8]) -> u8 {
    checksum(descriptor).to_le_bytes()[1]
}

/// The checksum of all parts of a frame.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    XxHash32::oneshot(0, bytes)
}

/// The same of bytes that come one after the other.
pub(super) fn running_checksum() -> XxHash32 {
    XxHash32::with_seed(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_these() {
        assert_eq!(header(INDEPENDENT_BLOCKS), [0x04, 0x22, 0x4d, 0x18, 0x60, 0x50, 0xfb]);
        assert_eq!(header(INDEPENDENT_BLOCKS | CONTENT_CHECKSUM), [0x04, 0x22, 0x4d, 0x18, 0x64, 0x50, 0x08]);
    }
}
