//! Every target on its seeds, on damaged seeds and on noise. The numbers are the same each time: what fails once fails again.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use walwarden_fuzz::{all, seeds};

/// Inputs a target gets for each seed, and of noise; WALWARDEN_FUZZ_TRIES says another number.
const TRIES: usize = 1000;

/// Numbers that look random (xorshift64*), always the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        if limit == 0 { 0 } else { (self.next() % limit as u64) as usize }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// What parsers trip over.
const DICTIONARY: [&[u8]; 16] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\\",
    b"\"",
    b"-1",
    b"18446744073709551616",
    b"99999999999999999999999",
    b"\xe2\x80\x94 ",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"/../",
];

fn damaged(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(bytes.len() + 1);
        match numbers.below(7) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            2 if at < bytes.len() => bytes[at] = numbers.next() as u8,
            3 => bytes.truncate(at),
            4 => {
                let end = (at + numbers.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let word = DICTIONARY[numbers.below(DICTIONARY.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            _ => {
                let from = numbers.below(other.len() + 1);
                let end = (from + numbers.below(64)).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn every_target_stands_damage_and_noise() {
    let mut numbers = Numbers(0x5eed);
    let tries =
        std::env::var("WALWARDEN_FUZZ_TRIES").ok().and_then(|tries| tries.parse().ok()).unwrap_or(TRIES);
    for (name, target) in all() {
        let seeds = seeds(name).expect("seeds");
        assert!(!seeds.is_empty(), "{name} has seeds");
        let shown = |bytes: &[u8]| println!("{name}: {}", bytes.escape_ascii());
        for (number, seed) in seeds.iter().enumerate() {
            shown(&seed[..seed.len().min(300)]);
            target(seed);
            for _ in 0..tries {
                let other = &seeds[(number + 1) % seeds.len()];
                let bytes = damaged(seed, other, &mut numbers);
                target(&bytes);
            }
        }
        target(b"");
        for _ in 0..tries {
            let length = numbers.below(200);
            let noise = numbers.bytes(length);
            target(&noise);
        }
    }
}

#[test]
fn the_programs_of_cargo_fuzz_are_the_targets() {
    let mut programs: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz_targets"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().replace(".rs", ""))
        .collect();
    programs.sort();
    let mut targets: Vec<&str> = all().iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(programs, targets);
}
