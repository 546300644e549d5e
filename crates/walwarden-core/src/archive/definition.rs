//! What the definitions of an archive's entries say that their dependencies do not: which table inherits, which one a
//! foreign key or an index is of.
//!
//! pg_dump qualifies every name, and writes its keywords in capitals, which an identifier without quotes cannot have.

use super::token::{Token, unquoted, words};

/// A name with its schema, in the archive's encoding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QualifiedName {
    /// The schema.
    pub schema: Vec<u8>,
    /// The name in it.
    pub name: Vec<u8>,
}

/// The words of a definition that stand in no parentheses, and where they lead to.
struct Reader<'a, I: Iterator<Item = (Token, &'a [u8])>> {
    words: std::iter::Peekable<I>,
}

fn reader(definition: &[u8]) -> Reader<'_, impl Iterator<Item = (Token, &[u8])>> {
    Reader { words: words(definition).peekable() }
}

impl<'a, I: Iterator<Item = (Token, &'a [u8])>> Reader<'a, I> {
    /// Goes behind the next such word that is outside of parentheses.
    fn find(&mut self, wanted: &[u8]) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.words.next()? {
                (Token::Identifier, word) if depth == 0 && word == wanted => return Some(()),
                (Token::Other, b"(") => depth += 1,
                (Token::Other, b")") => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Goes behind this word if it is the next one.
    fn accept(&mut self, wanted: &[u8]) -> Option<()> {
        self.words.next_if(|(_, word)| *word == wanted).map(|_| ())
    }

    fn identifier(&mut self) -> Option<Vec<u8>> {
        let (_, word) = self.words.next_if(|(kind, _)| *kind == Token::Identifier)?;
        Some(unquoted(word, b'"'))
    }

    fn qualified(&mut self) -> Option<QualifiedName> {
        let schema = self.identifier()?;
        self.accept(b".")?;
        Some(QualifiedName { schema, name: self.identifier()? })
    }
}

/// The tables that a table inherits from.
pub(super) fn inherits(definition: &[u8]) -> Vec<QualifiedName> {
    let mut reader = reader(definition);
    let mut parents = Vec::new();
    if reader.find(b"INHERITS").and_then(|()| reader.accept(b"(")).is_some() {
        while let Some(parent) = reader.qualified() {
            parents.push(parent);
            if reader.accept(b",").is_none() {
                break;
            }
        }
    }
    parents
}

/// The table that a foreign key refers to.
pub(super) fn references(definition: &[u8]) -> Option<QualifiedName> {
    let mut reader = reader(definition);
    reader.find(b"REFERENCES")?;
    reader.qualified()
}

/// The table that an index is of.
pub(super) fn indexed(definition: &[u8]) -> Option<QualifiedName> {
    let mut reader = reader(definition);
    reader.find(b"ON")?;
    let _ = reader.accept(b"ONLY");
    reader.qualified()
}

/// The two indexes of an INDEX ATTACH: the partitioned one and the one that becomes its part.
pub(super) fn attached(definition: &[u8]) -> Option<[QualifiedName; 2]> {
    let mut reader = reader(definition);
    reader.find(b"INDEX")?;
    let whole = reader.qualified()?;
    reader.accept(b"ATTACH")?;
    reader.accept(b"PARTITION")?;
    Some([whole, reader.qualified()?])
}

/// The schema that an extension is made in.
pub(super) fn extension_schema(definition: &[u8]) -> Option<Vec<u8>> {
    let mut reader = reader(definition);
    reader.find(b"SCHEMA")?;
    reader.identifier()
}

/// The word that says what an `ADD CONSTRAINT` adds: `PRIMARY`, `UNIQUE`, `EXCLUDE`, `NOT`, ...
pub(super) fn constraint_kind(definition: &[u8]) -> Option<&[u8]> {
    let mut reader = reader(definition);
    reader.find(b"ADD")?;
    reader.accept(b"CONSTRAINT")?;
    reader.identifier()?;
    reader.words.next().map(|(_, word)| word)
}

/// Whether a definition names this object, with its schema.
pub(super) fn names(definition: &[u8], schema: &[u8], name: &[u8]) -> bool {
    let is = |(kind, word): &(Token, &[u8]), wanted: &[u8]| {
        *kind == Token::Identifier && (*word == wanted || unquoted(word, b'"') == wanted)
    };
    let mut words = words(definition).peekable();
    while let Some(first) = words.next() {
        if is(&first, schema)
            && words.next_if(|(_, word)| *word == b".").is_some()
            && words.peek().is_some_and(|second| is(second, name))
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: &str, name: &str) -> QualifiedName {
        QualifiedName { schema: schema.into(), name: name.into() }
    }

    #[test]
    fn parents_are_found_and_nothing_that_looks_like_them() {
        for (definition, parents) in [
            ("CREATE TABLE b.kid (\n    y integer\n)\nINHERITS (a.par);\n", vec![name("a", "par")]),
            (
                "CREATE TABLE b.kid (\n)\nINHERITS (a.\"P, \"\"a\", \"B.c\".d)\nWITH (fillfactor='10');\n",
                vec![name("a", "P, \"a"), name("B.c", "d")],
            ),
            ("CREATE TABLE b.t (\n    n text DEFAULT '\nINHERITS (a.par)'::text\n);\n", vec![]),
            ("CREATE TABLE b.\"INHERITS (a.par)\" (\n    \"INHERITS\" a.par\n);\n", vec![]),
            ("CREATE TABLE b.inherits (\n    inherits integer\n);\n", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(inherits(definition.as_bytes()), parents, "{definition}");
        }
    }

    #[test]
    fn the_tables_of_foreign_keys_and_indexes_are_found() {
        let key = b"ALTER TABLE ONLY b.\"REFERENCES\"\n    ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES a.\"T\"(\"REFERENCES\") ON DELETE CASCADE;";
        assert_eq!(references(key), Some(name("a", "T")));
        assert_eq!(references(b"ALTER TABLE b.t ADD CONSTRAINT c CHECK (a);"), None);
        let index = b"CREATE UNIQUE INDEX \"ON\" ON ONLY a.t USING btree (b) WHERE (c = 'ON x.y'::text);\n";
        assert_eq!(indexed(index), Some(name("a", "t")));
        assert_eq!(indexed(b"CREATE INDEX i ON a.t USING gist (b);"), Some(name("a", "t")));
        let attach = b"ALTER INDEX a.\"I\" ATTACH PARTITION b.i1;\n";
        assert_eq!(attached(attach), Some([name("a", "I"), name("b", "i1")]));
        assert_eq!(
            extension_schema(b"CREATE EXTENSION IF NOT EXISTS x WITH SCHEMA \"e s\";\n").unwrap(),
            b"e s"
        );
    }

    #[test]
    fn kinds_of_constraints_are_told_apart() {
        for (text, kind) in [
            ("ALTER TABLE ONLY a.t\n    ADD CONSTRAINT \"x y\" PRIMARY KEY (i);\n", Some("PRIMARY")),
            ("ALTER TABLE ONLY a.t\n    ADD CONSTRAINT x EXCLUDE USING gist (i WITH =);\n", Some("EXCLUDE")),
            ("ALTER TABLE a.t\n    ADD CONSTRAINT x NOT NULL i NOT VALID;\n", Some("NOT")),
            ("CREATE INDEX i ON a.t USING btree (i);\n", None),
        ] {
            assert_eq!(constraint_kind(text.as_bytes()), kind.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn a_name_is_found_only_as_a_whole() {
        let policy =
            b"CREATE POLICY p ON a.par USING ((x IN ( SELECT kid.y\n   FROM b.kid, \"B\".\"K \"\"d\")));\n";
        for (schema, table, found) in [
            ("a", "par", true),
            ("b", "kid", true),
            ("B", "K \"d", true),
            ("b", "ki", false),
            ("a", "pa", false),
            ("kid", "y", true),
            ("p", "ON", false),
        ] {
            assert_eq!(names(policy, schema.as_bytes(), table.as_bytes()), found, "{schema}.{table}");
        }
    }
}
