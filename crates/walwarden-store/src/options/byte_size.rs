//! Sizes as people write them in PostgreSQL's settings: a whole number and a unit that is a power of 1024.

/// The number of bytes in `text`: digits and optionally B, kB, MB, GB (or KiB, MiB, GiB), in any case.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" | "kib" => 1 << 10,
        "mb" | "mib" => 1 << 20,
        "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn units_are_powers_of_1024() {
        for (text, bytes) in
            [("16MB", 16 << 20), ("16 MiB", 16 << 20), ("5242880", 5 << 20), ("1gb", 1 << 30), ("8kB", 8192)]
        {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for text in
            ["", "MB", "-1MB", "1.5MB", "1TB", "99999999999999999999", "18446744073709551615GB", "1 M B"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
