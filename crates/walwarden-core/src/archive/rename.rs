//! A database under another name, in the statements that pg_dump wrote for it.

use super::toc::{Toc, desc};
use super::token::{Token, token, unquoted};

/// Names the database of an archive otherwise, in the entries that make it and set its properties, comment, label and
/// privileges. pg_restore -C then makes it under that name.
pub fn rename_database(toc: &mut Toc, name: &[u8]) {
    let Some(old) =
        toc.entries.iter().find(|entry| entry.desc == desc::DATABASE).map(|entry| entry.tag.clone())
    else {
        return;
    };
    let tagged = |name: &[u8]| [b"DATABASE ".as_slice(), name].concat();
    for entry in &mut toc.entries {
        let about_it = entry.tag.strip_prefix(b"DATABASE ").is_some_and(|name| is_called(name, b'"', &old));
        if entry.desc == desc::DATABASE || entry.desc == desc::DATABASE_PROPERTIES {
            entry.tag = name.to_vec();
        } else if about_it && entry.namespace.is_none() {
            entry.tag = tagged(&quoted(name));
        } else {
            continue;
        }
        for text in [&mut entry.definition, &mut entry.drop_statement].into_iter().flatten() {
            *text = renamed(text, &old, name);
        }
    }
    toc.header.database = Some(name.to_vec());
}

/// A name as an identifier that needs no looking up whether it is a keyword: always in quotes.
pub(super) fn quoted(name: &[u8]) -> Vec<u8> {
    doubled(name, b'"')
}

/// In quotes, those within doubled.
pub(super) fn doubled(text: &[u8], quote: u8) -> Vec<u8> {
    let mut out = vec![quote];
    for &byte in text {
        if byte == quote {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(quote);
    out
}

/// Whether a word in quotes, or without, is this name. One that is no text in the archive's encoding, because a database of
/// another encoding gave it, is what pg_dump has spoiled on purpose (fmtIdEnc in string_utils.c): so that it cannot be compared,
/// and stands for the name wherever that is due.
fn is_called(word: &[u8], quote: u8, name: &[u8]) -> bool {
    unquoted(word, quote) == name || (!word.is_ascii() && !name.is_ascii())
}

/// The statements with the name after each word DATABASE, and of each `datname = `, replaced. Strings are passed over,
/// but for those that a `datname = ` is compared with.
fn renamed(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + new.len());
    let mut rest = text;
    let mut after_database = false;
    let mut after_datname = false;
    while !rest.is_empty() {
        let (kind, length) = token(rest);
        let (word, later) = rest.split_at(length);
        rest = later;
        match kind {
            Token::Identifier if after_database && is_called(word, b'"', old) => {
                out.extend_from_slice(&quoted(new));
            }
            Token::String if after_datname && is_called(word, b'\'', old) => {
                out.extend_from_slice(&doubled(new, b'\''));
            }
            _ => out.extend_from_slice(word),
        }
        match kind {
            Token::Space => {}
            Token::Other if after_datname && word == b"=" => {}
            _ => {
                after_database = kind == Token::Identifier && word.eq_ignore_ascii_case(b"DATABASE");
                after_datname = kind == Token::Identifier && word.eq_ignore_ascii_case(b"datname");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::tests::samples::{entry, toc};
    use proptest::prelude::*;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn every_statement_about_the_database_names_the_new_one() {
        for (before, after) in [
            (
                "CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'shop';\n",
                "CREATE DATABASE \"new \"\" one\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'shop';\n",
            ),
            (
                "ALTER DATABASE shop SET search_path TO 'shop', 'DATABASE shop';\nALTER ROLE shop IN DATABASE shop SET a TO 'it''s';\n",
                "ALTER DATABASE \"new \"\" one\" SET search_path TO 'shop', 'DATABASE shop';\n\
                 ALTER ROLE shop IN DATABASE \"new \"\" one\" SET a TO 'it''s';\n",
            ),
            (
                "UPDATE pg_catalog.pg_database SET datistemplate = false WHERE datname = 'shop';",
                "UPDATE pg_catalog.pg_database SET datistemplate = false WHERE datname = 'new \" one';",
            ),
            (
                "COMMENT ON DATABASE shop IS 'the DATABASE shop';",
                "COMMENT ON DATABASE \"new \"\" one\" IS 'the DATABASE shop';",
            ),
            ("GRANT ALL ON DATABASE shop TO shop;", "GRANT ALL ON DATABASE \"new \"\" one\" TO shop;"),
            ("DROP DATABASE shops;", "DROP DATABASE shops;"),
        ] {
            assert_eq!(text(&renamed(before.as_bytes(), b"shop", b"new \" one")), after);
        }
        let quoted_old = renamed(b"GRANT CONNECT ON DATABASE \"a\"\" b\" TO x;", b"a\" b", b"c'd");
        assert_eq!(text(&quoted_old), "GRANT CONNECT ON DATABASE \"c'd\" TO x;");
        assert_eq!(
            text(&renamed(b"WHERE datname = 'o''clock'", b"o'clock", b"c'd")),
            "WHERE datname = 'c''d'"
        );
    }

    #[test]
    fn entries_of_the_database_are_renamed_and_no_others() {
        let of = |desc: &str, namespace, tag: &str, definition: &str| {
            let mut entry = entry(1, desc, namespace, tag);
            entry.definition = Some(definition.as_bytes().to_vec());
            entry
        };
        let mut toc = toc(vec![
            of("DATABASE", None, "shop", "CREATE DATABASE shop;"),
            of("DATABASE PROPERTIES", None, "shop", "ALTER DATABASE shop SET a TO 'b';"),
            of("ACL", None, "DATABASE shop", "GRANT ALL ON DATABASE shop TO x;"),
            of("COMMENT", None, "DATABASE \"shop\"", "COMMENT ON DATABASE shop IS 'x';"),
            of("TABLE", Some("shop"), "DATABASE shop", "CREATE TABLE shop.\"DATABASE shop\" ();"),
            of("FUNCTION", Some("public"), "f()", "CREATE FUNCTION f() AS 'DATABASE shop'"),
        ]);
        let untouched = toc.entries[4..].to_vec();
        rename_database(&mut toc, b"other");
        let seen: Vec<_> = toc.entries[..4]
            .iter()
            .map(|entry| (text(&entry.tag), text(entry.definition.as_deref().unwrap())))
            .collect();
        let expected = [
            ("other", "CREATE DATABASE \"other\";"),
            ("other", "ALTER DATABASE \"other\" SET a TO 'b';"),
            ("DATABASE \"other\"", "GRANT ALL ON DATABASE \"other\" TO x;"),
            ("DATABASE \"other\"", "COMMENT ON DATABASE \"other\" IS 'x';"),
        ];
        assert_eq!(seen, expected.map(|(tag, text)| (tag.to_owned(), text.to_owned())));
        assert_eq!(toc.entries[4..], untouched);
        assert_eq!(toc.header.database.as_deref(), Some(b"other".as_slice()));
    }

    #[test]
    fn a_name_that_pg_dump_has_spoiled_is_replaced_too() {
        let spoiled = b"CREATE DATABASE \"Gr\x8d \x8d e\" WITH LOCALE = 'C'; ALTER ROLE database IN DATABASE \"Gr\x8d e\" SET a TO 'b';";
        assert_eq!(
            text(&renamed(spoiled, b"Gr\xc3\xb6e", b"x")),
            "CREATE DATABASE \"x\" WITH LOCALE = 'C'; ALTER ROLE database IN DATABASE \"x\" SET a TO 'b';"
        );
    }

    proptest! {
        #[test]
        fn nothing_is_lost_where_nothing_is_renamed(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(renamed(&text, b"a name that is not in it", b"other"), text);
        }
    }
}
