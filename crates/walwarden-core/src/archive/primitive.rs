//! The archive's primitive values as bytes: Int, Str and Offset (pg_backup_archiver.c: WriteInt, WriteStr,
//! WriteOffset). Reading them is [`super::source`]'s part.

/// Bytes of an Int: the sign, then four bytes of magnitude, the smallest first.
pub(super) const INT_LENGTH: usize = 5;

/// An Int as bytes.
pub(super) const fn int(value: i32) -> [u8; INT_LENGTH] {
    let [a, b, c, d] = value.unsigned_abs().to_le_bytes();
    [(value < 0) as u8, a, b, c, d]
}

/// A chunk's or string's length as an Int.
///
/// Lengths above `i32::MAX` cannot be written; no caller has them, because chunks are [`super::CHUNK_LENGTH`]
/// long and strings come from archives, where they are bounded.
pub(super) const fn length(length: usize) -> [u8; INT_LENGTH] {
    int(if length > i32::MAX as usize { i32::MAX } else { length as i32 })
}

/// An Oid as bytes: pg_dump passes it to WriteInt, which takes an int.
pub(super) const fn oid(oid: u32) -> [u8; INT_LENGTH] {
    int(oid.cast_signed())
}

/// Appends an Int.
pub(super) fn put_int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&int(value));
}

/// Appends a Str; NULL and the empty string differ.
pub(super) fn put_string(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => put_int(out, -1),
        Some(bytes) => {
            out.extend_from_slice(&length(bytes.len()));
            out.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_are_sign_and_magnitude() {
        assert_eq!(int(0), [0, 0, 0, 0, 0]);
        assert_eq!(int(258), [0, 2, 1, 0, 0]);
        assert_eq!(int(-1), [1, 1, 0, 0, 0]);
        assert_eq!(int(i32::MIN), [1, 0, 0, 0, 0x80]);
    }

    #[test]
    fn high_oids_become_negative_ints() {
        assert_eq!(oid(0x7fff_ffff), [0, 0xff, 0xff, 0xff, 0x7f]);
        assert_eq!(oid(0x8000_0000), [1, 0, 0, 0, 0x80]);
        assert_eq!(oid(u32::MAX), [1, 1, 0, 0, 0]);
    }

    #[test]
    fn null_and_empty_differ() {
        let mut out = Vec::new();
        put_string(&mut out, None);
        put_string(&mut out, Some(b""));
        put_string(&mut out, Some(b"ab"));
        assert_eq!(out, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'a', b'b']);
    }
}
