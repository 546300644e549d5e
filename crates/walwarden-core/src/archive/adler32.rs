//! Adler-32 of a whole from the Adler-32 of its parts.

/// The largest prime below 65536 (RFC 1950).
const BASE: u64 = 65521;

/// The Adler-32 of two texts one after the other, from the checksum of each and the second one's length in
/// bytes.
///
/// Adler-32 is `A = 1 + sum of bytes` and `B = sum of all values of A`, both modulo [`BASE`] (RFC 1950).
/// After the first text the second adds its bytes to A (its own A counts the 1 again), and to B its own B
/// plus the excess of the first A over the initial 1 once per byte. zlib has the same as adler32_combine.
pub fn adler32_combine(first: u32, second: u32, second_length: u64) -> u32 {
    let (a1, b1) = (u64::from(first & 0xffff), u64::from(first >> 16));
    let (a2, b2) = (u64::from(second & 0xffff), u64::from(second >> 16));
    // Adding BASE before each subtraction keeps the terms positive.
    let a = (a1 + a2 + BASE - 1) % BASE;
    let b = (b1 + b2 + (second_length % BASE) * ((a1 + BASE - 1) % BASE)) % BASE;
    // Both are below 65521, so they fit.
    ((b as u32) << 16) | a as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn adler32(bytes: &[u8]) -> u32 {
        simd_adler32::adler32(&bytes)
    }

    #[test]
    fn of_long_texts_of_the_largest_bytes() {
        let all = vec![0xff; 1_000_000];
        for split in [0, 1, 65520, 65521, 65522, 500_000, 1_000_000] {
            let (first, second) = all.split_at(split);
            assert_eq!(adler32_combine(adler32(first), adler32(second), second.len() as u64), adler32(&all));
        }
    }

    #[test]
    fn of_more_bytes_than_32_bits_count() {
        // 5 GiB of zeros leave A as it is and add A - 1 to B for each.
        let zeros = |length: u64| (((length % BASE) as u32) << 16) | 1;
        assert_eq!(adler32_combine(zeros(7), zeros(5 << 30), 5 << 30), zeros(7 + (5 << 30)));
    }

    proptest! {
        #[test]
        fn combined_is_the_same_as_computed_at_once(
            first in prop::collection::vec(any::<u8>(), 0..5000),
            second in prop::collection::vec(any::<u8>(), 0..5000),
        ) {
            let whole = [first.as_slice(), second.as_slice()].concat();
            prop_assert_eq!(
                adler32_combine(adler32(&first), adler32(&second), second.len() as u64),
                adler32(&whole)
            );
        }
    }
}
