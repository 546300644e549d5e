//! Cutting a text to what a receiver takes, after escaping it.

/// What stands where something was cut off.
const ELLIPSIS: char = '…';

/// `text` with each character replaced by `escape`, cut so that `measure` of it is `most` at the longest; never inside a
/// character's replacement. Control characters but for the line feed are spaces.
pub fn clip(text: &str, most: usize, measure: fn(&str) -> usize, escape: fn(char, &mut String)) -> String {
    let mut clipped = String::new();
    let mut used = 0;
    // How long it was, and what it measured, when there was still room for the ellipsis.
    let mut fallback = 0;
    let room = most.saturating_sub(measure(ELLIPSIS.encode_utf8(&mut [0; 4])));
    let mut piece = String::new();
    for character in text.trim().chars() {
        piece.clear();
        escape(if character.is_control() && character != '\n' { ' ' } else { character }, &mut piece);
        used += measure(&piece);
        if used > most {
            clipped.truncate(fallback);
            clipped.push(ELLIPSIS);
            return clipped;
        }
        clipped.push_str(&piece);
        if used <= room {
            fallback = clipped.len();
        }
    }
    clipped
}

/// Characters, as Slack counts.
pub fn characters(text: &str) -> usize {
    text.chars().count()
}

/// Units of UTF-16: where it is not said what is counted, the most that it can be.
pub fn utf16(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Bytes in a JSON string.
pub fn json_bytes(text: &str) -> usize {
    let escaped = |c: char| if matches!(c, '"' | '\\' | '\n') { 2 } else { c.len_utf8() };
    text.chars().map(escaped).sum()
}

/// As it is.
pub fn plain(character: char, into: &mut String) {
    into.push(character);
}
