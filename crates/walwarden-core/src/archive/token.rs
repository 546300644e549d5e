//! The words of the statements that pg_dump wrote.

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Space,
    /// In quotes or not.
    Identifier,
    String,
    Other,
}

/// What the text begins with, and how long that is. A string with backslashes, `E'...'`, is one whose quotes are doubled
/// all the same: pg_dump writes it so (appendStringLiteral in string_utils.c).
pub(super) fn token(text: &[u8]) -> (Token, usize) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'$' || *byte >= 0x80;
    match text {
        [b'"', ..] => (Token::Identifier, in_quotes(text, b'"')),
        [b'\'', ..] => (Token::String, in_quotes(text, b'\'')),
        [first, ..] if first.is_ascii_whitespace() => {
            (Token::Space, text.iter().take_while(|byte| byte.is_ascii_whitespace()).count())
        }
        [first, ..] if is_word(first) => {
            (Token::Identifier, text.iter().take_while(|byte| is_word(byte)).count())
        }
        _ => (Token::Other, 1),
    }
}

/// The words of a text but for the space between them.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = (Token, &[u8])> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (kind, length) = token(rest);
            let (word, later) = rest.split_at(length);
            rest = later;
            if kind != Token::Space {
                return Some((kind, word));
            }
        }
        None
    })
}

/// The length of what begins with a quote and ends with the next one that is not doubled.
fn in_quotes(text: &[u8], quote: u8) -> usize {
    let mut index = 1;
    while index < text.len() {
        if text[index] == quote {
            if text.get(index + 1) != Some(&quote) {
                return index + 1;
            }
            index += 1;
        }
        index += 1;
    }
    text.len()
}

/// An identifier or string without its quotes.
pub(super) fn unquoted(word: &[u8], quote: u8) -> Vec<u8> {
    match word {
        [first, inner @ .., last] if *first == quote && *last == quote => {
            let mut name = Vec::with_capacity(inner.len());
            let mut bytes = inner.iter();
            while let Some(&byte) = bytes.next() {
                name.push(byte);
                if byte == quote {
                    bytes.next();
                }
            }
            name
        }
        _ => word.to_vec(),
    }
}
