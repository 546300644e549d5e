//! The last step: the page in ASCII, and nothing in it that cannot be seen.

use std::fmt::Write;

/// What is no ASCII becomes a character reference, so that the page means the same in whatever encoding it is stored and sent.
/// Control characters, and those that turn the direction of writing around or take no room, become `[U+202E]` and the like: a
/// reference could not bring the former, and the latter make a text look like another.
pub fn seal(html: &str) -> String {
    let mut sealed = String::with_capacity(html.len() + html.len() / 8);
    for character in html.chars() {
        match character {
            '\n' | '\t' => sealed.push(character),
            // Writing to a String does not fail.
            hidden if is_hidden(hidden) => drop(write!(sealed, "[U+{:04X}]", u32::from(hidden))),
            plain if plain.is_ascii() => sealed.push(plain),
            other => drop(write!(sealed, "&#x{:x};", u32::from(other))),
        }
    }
    sealed
}

/// Joiners stay: scripts need them.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
        // Noncharacters (Unicode 23.7).
        || matches!(character, '\u{fdd0}'..='\u{fdef}') || u32::from(character) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_ascii_and_nothing_hidden() {
        assert_eq!(seal("a\tb\nc"), "a\tb\nc");
        assert_eq!(seal("Größe – 大"), "Gr&#xf6;&#xdf;e &#x2013; &#x5927;");
        assert_eq!(
            seal("\r\u{0}\u{1b}\u{85}\u{202e}\u{feff}"),
            "[U+000D][U+0000][U+001B][U+0085][U+202E][U+FEFF]"
        );
        assert_eq!(seal("👩\u{200d}🚀"), "&#x1f469;&#x200d;&#x1f680;");
        assert_eq!(seal("\u{10ffff}"), "[U+10FFFF]");
    }
}
