//! inet and cidr (network.c, inet_net_ntop.c).

use super::digits::integer;
use std::io::Write;
use std::ops::Range;

/// PGSQL_AF_INET and PGSQL_AF_INET6 (inet.h), on the systems that we know.
const V4: u8 = 2;
const V6: u8 = 3;

/// As inet_out or cidr_out: family, length of the mask, address.
pub(super) fn write(value: &[u8], is_cidr: bool, text: &mut Vec<u8>) -> Option<()> {
    let [family, bits, address @ ..] = value else { return None };
    let whole = match *family {
        V4 => {
            write_v4(address.try_into().ok()?, text);
            32
        }
        V6 => {
            write_v6(address.try_into().ok()?, text);
            128
        }
        _ => return None,
    };
    if *bits > whole {
        return None;
    }
    if *bits != whole || is_cidr {
        text.push(b'/');
        integer(*bits, text);
    }
    Some(())
}

fn write_v4(address: &[u8; 4], text: &mut Vec<u8>) {
    for (index, byte) in address.iter().enumerate() {
        if index > 0 {
            text.push(b'.');
        }
        integer(*byte, text);
    }
}

/// inet_net_ntop_ipv6: the longest run of at least two zero words becomes `::`.
fn write_v6(address: &[u8; 16], text: &mut Vec<u8>) {
    let (pairs, _) = address.as_chunks::<2>();
    let mut words = [0; 8];
    words.iter_mut().zip(pairs).for_each(|(word, pair)| *word = u16::from_be_bytes(*pair));
    let zeros = longest_zeros(&words);
    for (index, word) in words.iter().enumerate() {
        if zeros.contains(&index) {
            if index == zeros.start {
                text.push(b':');
            }
            continue;
        }
        if index != 0 {
            text.push(b':');
        }
        if index == 6 && holds_v4(&zeros, &words) {
            let [.., a, b, c, d] = *address;
            write_v4(&[a, b, c, d], text);
            return;
        }
        // Writing into a Vec does not fail.
        let _ = write!(text, "{word:x}");
    }
    if zeros.end == words.len() && !zeros.is_empty() {
        text.push(b':');
    }
}

/// The first of the longest runs of zeros, if it is longer than one; else an empty one.
fn longest_zeros(words: &[u16; 8]) -> Range<usize> {
    let mut best = 0..0;
    let mut start = None;
    for (index, word) in words.iter().enumerate() {
        if *word != 0 {
            start = None;
            continue;
        }
        let run = *start.get_or_insert(index)..index + 1;
        if run.len() > best.len() {
            best = run;
        }
    }
    if best.len() < 2 { 0..0 } else { best }
}

/// Whether the last four bytes are shown as an address of version 4.
fn holds_v4(zeros: &Range<usize>, words: &[u16; 8]) -> bool {
    let [.., sixth, _, last] = words;
    zeros.start == 0
        && (zeros.len() == 6
            || (zeros.len() == 7 && *last != 0x0001)
            || (zeros.len() == 5 && *sixth == 0xffff))
}
