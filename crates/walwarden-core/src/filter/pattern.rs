//! A pattern of pg_dump's as the regular expressions that PostgreSQL matches with names.
//!
//! The translation is that of patternToSQLRegex in src/fe_utils/string_utils.c, for a pg_dump whose locale is C: outside
//! of double quotes ASCII letters become small, `*` is any text, `?` any character, a dot separates schema and name, and
//! whatever else means something in a regular expression keeps its meaning, but for `$` and `[]`.

/// Characters that a regular expression gives a meaning, and that have none in double quotes.
const SPECIAL: &str = "|*+?()[]{}.^$\\";

/// A pattern of a relation's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationPattern {
    /// What its schema's name must match; None for the relations that are found without naming a schema.
    pub schema: Option<String>,
    /// What its name must match.
    pub name: String,
}

/// The regular expression for names of schemas.
///
/// # Errors
/// A sentence that says why it is no pattern.
pub(super) fn of_schema(pattern: &str) -> Result<String, &'static str> {
    let parts = parts(pattern)?;
    match <[String; 1]>::try_from(parts) {
        Ok([name]) => Ok(name),
        Err(_) => Err("A schema's name has no dot, unless it is in double quotes."),
    }
}

/// The regular expressions for names of relations.
///
/// # Errors
/// A sentence that says why it is no pattern.
pub(super) fn of_relation(pattern: &str) -> Result<RelationPattern, &'static str> {
    let mut parts = parts(pattern)?;
    let name = parts.pop().ok_or(EMPTY)?;
    match parts.len() {
        0 => Ok(RelationPattern { schema: None, name }),
        1 => Ok(RelationPattern { schema: parts.pop(), name }),
        2 => Err("It names a database; a backup is of the database that it is made in."),
        _ => Err(
            "It has too many dots: one separates schema and name; in double quotes a dot is a part of the name.",
        ),
    }
}

const EMPTY: &str = "It is empty, or one of its names is.";

/// One regular expression for each part between dots.
fn parts(pattern: &str) -> Result<Vec<String>, &'static str> {
    if pattern.contains('\0') {
        return Err("It has a zero byte.");
    }
    let mut parts = Vec::new();
    let mut part = Part::default();
    let mut in_quotes = false;
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if in_quotes && rest.next_if_eq(&'"').is_some() => part.put('"'),
            '"' => in_quotes = !in_quotes,
            // Never its own meaning: it may stand in a name, and the end is anchored anyway.
            '$' => part.put_escaped('$'),
            _ if in_quotes && SPECIAL.contains(c) => part.put_escaped(c),
            _ if in_quotes => part.put(c),
            '*' => part.put_text(".*"),
            '?' => part.put('.'),
            '.' => parts.push(std::mem::take(&mut part).end()?),
            // The type of an array rather than the beginning of a set.
            '[' if rest.peek() == Some(&']') => part.put_escaped('['),
            _ => part.put(c.to_ascii_lowercase()),
        }
    }
    if in_quotes {
        return Err("A double quote is not closed.");
    }
    parts.push(part.end()?);
    Ok(parts)
}

/// What is between two dots.
#[derive(Default)]
struct Part(String);

impl Part {
    fn put(&mut self, c: char) {
        self.0.push(c);
    }

    fn put_text(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn put_escaped(&mut self, c: char) {
        self.0.push('\\');
        self.0.push(c);
    }

    /// The whole name must match, whatever alternatives there are.
    fn end(self) -> Result<String, &'static str> {
        if self.0.is_empty() { Err(EMPTY) } else { Ok(format!("^({})$", self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn relation(pattern: &str) -> (Option<String>, String) {
        let RelationPattern { schema, name } = of_relation(pattern).unwrap();
        (schema, name)
    }

    #[test]
    fn is_translated_as_the_manual_says() {
        // psql's reference page, "Patterns", and pg_dump's.
        let table = [
            ("users", None, "^(users)$"),
            ("FOO", None, "^(foo)$"),
            ("\"FOO\"", None, "^(FOO)$"),
            ("FOO\"foo\"BAR", None, "^(foofoobar)$"),
            ("\"FOO\"\"BAR\"", None, "^(FOO\"BAR)$"),
            ("A\"weird\"\" name\"", None, "^(aweird\" name)$"),
            ("int*", None, "^(int.*)$"),
            ("*int*", None, "^(.*int.*)$"),
            ("t?", None, "^(t.)$"),
            ("foo*.*bar*", Some("^(foo.*)$"), "^(.*bar.*)$"),
            ("detroit.emp*", Some("^(detroit)$"), "^(emp.*)$"),
            ("*.*", Some("^(.*)$"), "^(.*)$"),
            ("(east|west)*gsm", None, "^((east|west).*gsm)$"),
            ("[0-9]", None, "^([0-9])$"),
            ("[A-Z]+", None, "^([a-z]+)$"),
            ("(ts_*)?", None, "^((ts_.*).)$"),
            ("R+|", None, "^(r+|)$"),
            ("\"foo*.\"bar", None, "^(foo\\*\\.bar)$"),
            ("\"a.b\".\"c.d\"", Some("^(a\\.b)$"), "^(c\\.d)$"),
            ("\"MixedCaseName\"", None, "^(MixedCaseName)$"),
            ("$user", None, "^(\\$user)$"),
            ("\"$user\"", None, "^(\\$user)$"),
            ("text[]", None, "^(text\\[])$"),
            ("\"text[]\"", None, "^(text\\[\\])$"),
            ("\"|*+?()[]{}.^$\\\"", None, "^(\\|\\*\\+\\?\\(\\)\\[\\]\\{\\}\\.\\^\\$\\\\)$"),
            ("a_b%", None, "^(a_b%)$"),
            ("Straße*", None, "^(straße.*)$"),
            // Only ASCII letters become small: pg_dump runs in the C locale.
            ("ÄRGER", None, "^(Ärger)$"),
            ("--table", None, "^(--table)$"),
            ("two words", None, "^(two words)$"),
            ("a\\.b", Some("^(a\\)$"), "^(b)$"),
        ];
        for (pattern, schema, name) in table {
            assert_eq!(relation(pattern), (schema.map(str::to_owned), name.to_owned()), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (pattern, why) in [
            ("", "empty"),
            ("\"\"", "empty"),
            ("public.", "empty"),
            (".users", "empty"),
            ("a..b", "empty"),
            ("\"users", "not closed"),
            ("\"users\"\"", "not closed"),
            ("shop.public.users", "names a database"),
            ("a.b.c.d", "too many dots"),
            ("us\0ers", "zero byte"),
        ] {
            let error = of_relation(pattern).unwrap_err();
            assert!(error.contains(why), "{pattern}: {error}");
        }
        assert_eq!(of_schema("Sales_*"), Ok("^(sales_.*)$".to_owned()));
        assert_eq!(of_schema("\"a.b\""), Ok("^(a\\.b)$".to_owned()));
        assert!(of_schema("shop.public").unwrap_err().contains("no dot"));
        assert!(of_schema("").unwrap_err().contains("empty"));
    }

    /// A name in double quotes, as quote_ident writes it.
    fn quoted(name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// What a regular expression that escapes everything stands for.
    fn literal(regex: &str) -> Option<String> {
        let inside = regex.strip_prefix("^(")?.strip_suffix(")$")?;
        let mut text = String::new();
        let mut rest = inside.chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => text.push(rest.next()?),
                _ if SPECIAL.contains(c) => return None,
                _ => text.push(c),
            }
        }
        Some(text)
    }

    proptest! {
        #[test]
        fn a_quoted_name_is_that_name_and_nothing_else(schema in "[^\0]{1,20}", name in "[^\0]{1,20}") {
            let found = of_relation(&format!("{}.{}", quoted(&schema), quoted(&name))).unwrap();
            prop_assert_eq!(literal(&found.name), Some(name.clone()));
            prop_assert_eq!(found.schema.as_deref().and_then(literal), Some(schema));
            prop_assert_eq!(of_schema(&quoted(&name)).ok().as_deref().and_then(literal), Some(name));
        }

        #[test]
        fn a_plain_name_may_be_written_in_capitals(name in "[A-Za-z_][A-Za-z0-9_]{0,20}") {
            let found = of_relation(&name).unwrap();
            prop_assert_eq!(found, RelationPattern { schema: None, name: format!("^({})$", name.to_lowercase()) });
        }

        #[test]
        fn no_text_is_too_odd(pattern in "[\"a*?.$\\[\\]\\\\(|ÄA ]{0,30}") {
            if let Ok(found) = of_relation(&pattern) {
                for regex in found.schema.iter().chain([&found.name]) {
                    prop_assert!(regex.starts_with("^(") && regex.ends_with(")$") && regex.len() > 4);
                }
            }
        }
    }
}
