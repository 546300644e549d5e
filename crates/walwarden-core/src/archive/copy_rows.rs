//! Rows read from COPY's text format, as pg_dump writes it (copyfromparse.c: CopyReadLineText, CopyReadAttributesText).

use std::ffi::CStr;
use std::ops::Range;

use super::reader::MAX_CHUNK_LENGTH;
use crate::error::{Error, ErrorClass, Result};

/// The longest row, in bytes of COPY text: below it PostgreSQL itself stays.
const MAX_ROW_LENGTH: usize = MAX_CHUNK_LENGTH as usize;
/// How much is read at once, at least.
const READ_BYTES: usize = 64 << 10;

/// Reads rows of text that comes in pieces of any length. It ends with the text, or with the line `\.` that ends a table's
/// block; then nothing but empty lines may follow.
pub struct CopyRows<F> {
    read: F,
    columns: usize,
    max_row_length: usize,
    /// Text that was read, and where in it the next row begins.
    input: Vec<u8>,
    start: usize,
    /// Up to where no end of the row was found.
    searched: usize,
    at_end: bool,
    /// The fields of the present row, each with a zero byte behind it.
    text: Vec<u8>,
    fields: Vec<Option<Range<usize>>>,
    rows: u64,
}

/// A row. It lives until the next one is read.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    text: &'a [u8],
    fields: &'a [Option<Range<usize>>],
}

impl<'a> Row<'a> {
    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether it is the row of a table without columns.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// A field's value; None is NULL, and no field.
    pub fn field(&self, index: usize) -> Option<&'a [u8]> {
        self.fields.get(index)?.clone().and_then(|range| self.text.get(range))
    }

    /// The same as a C string: no value holds a zero byte.
    pub fn c_string(&self, index: usize) -> Option<&'a CStr> {
        let range = self.fields.get(index)?.clone()?;
        CStr::from_bytes_with_nul(self.text.get(range.start..=range.end)?).ok()
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let Self { text, fields } = *self;
        fields.iter().map(move |range| range.clone().and_then(|range| text.get(range)))
    }
}

impl<F: FnMut(&mut [u8]) -> Result<usize>> CopyRows<F> {
    /// A reader of rows with so many fields. `read` gives some bytes of the text; 0 is its end.
    pub fn new(columns: usize, read: F) -> Self {
        Self {
            read,
            columns,
            max_row_length: MAX_ROW_LENGTH,
            input: Vec::new(),
            start: 0,
            searched: 0,
            at_end: false,
            text: Vec::new(),
            fields: Vec::with_capacity(columns),
            rows: 0,
        }
    }

    /// Reads the next row, or finds the end. All of the text was read then.
    ///
    /// # Errors
    /// `Archive` if the text is not such rows, and those of the reading.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        let Some(line) = self.next_line()? else {
            return Ok(None);
        };
        if self.input[line.clone()] == *b"\\." {
            self.expect_end()?;
            return Ok(None);
        }
        self.split(line)?;
        self.rows += 1;
        Ok(Some(Row { text: &self.text, fields: &self.fields }))
    }

    /// The next line's place in the input, without its newline.
    fn next_line(&mut self) -> Result<Option<Range<usize>>> {
        loop {
            if let Some(end) = self.find_newline() {
                let line = self.start..end;
                self.start = end + 1;
                self.searched = self.start;
                return Ok(Some(line));
            }
            let pending = self.input.len() - self.start;
            if pending > self.max_row_length {
                return Err(self.damaged(format!("it is longer than {} bytes", self.max_row_length)));
            }
            if self.fill()? == 0 {
                return if pending == 0 { Ok(None) } else { Err(self.damaged("the text ends in it")) };
            }
        }
    }

    /// A newline behind a backslash is one of the row's.
    fn find_newline(&mut self) -> Option<usize> {
        loop {
            let rest = &self.input[self.searched..];
            let Some(found) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\\')) else {
                self.searched = self.input.len();
                return None;
            };
            let at = self.searched + found;
            if self.input[at] == b'\n' {
                return Some(at);
            }
            // `\.` ends the data only as a whole line, which is looked at later.
            if at + 1 >= self.input.len() {
                self.searched = at;
                return None;
            }
            self.searched = at + 2;
        }
    }

    /// Reads more; 0 is the end.
    fn fill(&mut self) -> Result<usize> {
        if self.at_end {
            return Ok(0);
        }
        self.input.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let before = self.input.len();
        // A long row is read in steps that grow, or it would be moved over and over.
        self.input.resize(before + READ_BYTES.max(before), 0);
        let result = (self.read)(&mut self.input[before..]);
        let length = result.as_ref().map_or(0, |length| (*length).min(self.input.len() - before));
        self.input.truncate(before + length);
        self.at_end = length == 0;
        result.map(|_| length)
    }

    /// Behind `\.` pg_dump writes two newlines.
    fn expect_end(&mut self) -> Result<()> {
        loop {
            if self.input[self.start..].iter().any(|byte| *byte != b'\n') {
                return Err(Error::new(ErrorClass::Archive, "could not read the rows of a table")
                    .detail("The text goes on after its end."));
            }
            self.start = self.input.len();
            self.searched = self.start;
            if self.fill()? == 0 {
                return Ok(());
            }
        }
    }

    /// Takes a line apart into the fields.
    fn split(&mut self, line: Range<usize>) -> Result<()> {
        self.text.clear();
        self.fields.clear();
        let line = &self.input[line];
        if self.columns == 0 {
            return if line.is_empty() {
                Ok(())
            } else {
                Err(self.damaged("it has fields, the table no columns"))
            };
        }
        let mut rest = Some(line);
        while let Some(field) = rest {
            let begin = self.text.len();
            let length = unescape(field, &mut self.text);
            let end = self.text.len();
            self.text.push(0);
            self.fields.push((field[..length] != *b"\\N").then_some(begin..end));
            rest = field.get(length + 1..);
        }
        if self.fields.len() != self.columns {
            let seen = format!("it has {} fields, the table {} columns", self.fields.len(), self.columns);
            return Err(self.damaged(seen));
        }
        let has_zero = |range: &Option<Range<usize>>| {
            range.clone().and_then(|range| self.text.get(range)).is_some_and(|value| value.contains(&0))
        };
        if self.fields.iter().any(has_zero) {
            return Err(self.damaged("a value has a zero byte"));
        }
        Ok(())
    }

    fn damaged(&self, seen: impl std::fmt::Display) -> Error {
        // Not what the row holds: it is a user's data.
        Error::new(ErrorClass::Archive, "could not read the rows of a table")
            .detail(format!("In the row after {} others, {seen}.", self.rows))
    }
}

/// Appends the value of the field that `text` begins with, and gives the length of the field's text: up to the next tab.
fn unescape(text: &[u8], value: &mut Vec<u8>) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let plain = rest.iter().position(|byte| matches!(byte, b'\t' | b'\\')).unwrap_or(rest.len());
        value.extend_from_slice(&rest[..plain]);
        at += plain;
        if text.get(at) != Some(&b'\\') {
            return at;
        }
        let Some(&escaped) = text.get(at + 1) else {
            // A lone backslash at the end says nothing.
            return at + 1;
        };
        at += 2;
        value.push(match escaped {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'0'..=b'7' => {
                let (number, digits) = number(escaped - b'0', &text[at..], 2, 8);
                at += digits;
                number
            }
            b'x' => match number(0, &text[at..], 2, 16) {
                (_, 0) => b'x',
                (number, digits) => {
                    at += digits;
                    number
                }
            },
            other => other,
        });
    }
}

/// Goes on with a number: its lowest byte, and how many digits it took.
fn number(first: u8, text: &[u8], max_digits: usize, base: u8) -> (u8, usize) {
    let digits = text.iter().take(max_digits).map_while(|&byte| char::from(byte).to_digit(base.into()));
    digits.fold((first, 0), |(number, count), digit| {
        (number.wrapping_mul(base).wrapping_add(digit as u8), count + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Fields = Vec<Option<Vec<u8>>>;

    /// All rows of a text that comes in pieces of so many bytes.
    fn rows(columns: usize, text: &[u8], step: usize) -> Result<Vec<Fields>> {
        let mut rest = text;
        let mut reader = CopyRows::new(columns, |buffer: &mut [u8]| {
            let length = step.min(rest.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            rest = &rest[length..];
            Ok(length)
        });
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row()? {
            for index in 0..row.len() {
                assert_eq!(row.c_string(index).map(CStr::to_bytes), row.field(index));
            }
            rows.push(row.iter().map(|field| field.map(<[u8]>::to_vec)).collect());
        }
        assert!(reader.next_row().unwrap().is_none(), "the end stays the end");
        assert!(rest.is_empty(), "all of the text was read");
        Ok(rows)
    }

    /// As CopyAttributeOutText of copyto.c does it.
    fn escaped(value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for &byte in value {
            match byte {
                0x08 => out.extend(b"\\b"),
                0x0c => out.extend(b"\\f"),
                b'\n' => out.extend(b"\\n"),
                b'\r' => out.extend(b"\\r"),
                b'\t' => out.extend(b"\\t"),
                0x0b => out.extend(b"\\v"),
                b'\\' => out.extend(b"\\\\"),
                _ => out.push(byte),
            }
        }
        out
    }

    fn line(fields: &Fields) -> Vec<u8> {
        let fields: Vec<Vec<u8>> = fields
            .iter()
            .map(|field| field.as_ref().map_or_else(|| b"\\N".to_vec(), |value| escaped(value)))
            .collect();
        [fields.join(&b'\t'), b"\n".to_vec()].concat()
    }

    fn one(text: &[u8]) -> Option<Vec<u8>> {
        let mut found = rows(1, &[text, b"\n"].concat(), 3).unwrap();
        assert_eq!(found.len(), 1);
        found.remove(0).remove(0)
    }

    #[test]
    fn escapes_are_those_of_postgresql() {
        for (text, value) in [
            (&b""[..], &b""[..]),
            (b"\\b\\f\\n\\r\\t\\v\\\\", b"\x08\x0c\n\r\t\x0b\\"),
            (b"\\101\\60x\\1018", b"A0xA8"),
            (b"\\777", b"\xff"),
            (b"\\x41\\x4g\\x414\\xg\\x", b"A\x04gA4xgx"),
            (b"\\a\\N\\.\\8\\\"", b"aN.8\""),
            (b"a\\\nb", b"a\nb"),
            (b"a\\\tb", b"a\tb"),
            (b"\\\\N", b"\\N"),
            (b"\\\\.", b"\\."),
            (b"\\Nx", b"Nx"),
            (b"\xff\xfe", b"\xff\xfe"),
        ] {
            assert_eq!(one(text).as_deref(), Some(value), "{}", text.escape_ascii());
        }
        assert_eq!(one(b"\\N"), None);
    }

    #[test]
    fn rows_end_with_the_text_or_its_terminator() {
        let two = vec![vec![Some(b"1".to_vec()), None], vec![Some(vec![]), Some(vec![])]];
        for end in [&b""[..], b"\\.\n\n\n", b"\\.\n"] {
            for step in [1, 2, 100] {
                assert_eq!(rows(2, &[b"1\t\\N\n\t\n", end].concat(), step).unwrap(), two);
            }
        }
        assert_eq!(rows(1, b"\\.\n\n\n", 1).unwrap(), Vec::<Fields>::new());
        assert_eq!(rows(1, b"", 1).unwrap(), Vec::<Fields>::new());
        assert_eq!(rows(0, b"\n\n\\.\n\n\n", 1).unwrap(), vec![Fields::new(), vec![]]);
    }

    #[test]
    fn what_is_no_row_is_an_error() {
        for (columns, text) in [
            (1, &b"a"[..]),
            (1, b"a\nb"),
            (1, b"a\\"),
            (1, b"a\\\n"),
            (1, b"\\."),
            (1, b"a\tb\n"),
            (2, b"a\n"),
            (2, b"\n"),
            (0, b"a\n"),
            (1, b"\\.\nx\n"),
            (1, b"a\\000b\n"),
            (1, b"a\0b\n"),
        ] {
            let error = rows(columns, text, 2).unwrap_err();
            assert_eq!(error.class, ErrorClass::Archive, "{}", text.escape_ascii());
        }
        assert!(rows(1, b"a\nbc", 9).unwrap_err().detail.unwrap().contains("after 1 others"));
    }

    #[test]
    fn a_row_that_is_too_long_is_an_error_and_so_is_what_reading_gives() {
        let mut endless = CopyRows::new(1, |buffer: &mut [u8]| {
            buffer.fill(b'x');
            Ok(buffer.len())
        });
        endless.max_row_length = 1 << 20;
        assert_eq!(endless.next_row().unwrap_err().class, ErrorClass::Archive);
        let mut broken = CopyRows::new(1, |_: &mut [u8]| Err(Error::new(ErrorClass::Storage, "no")));
        assert_eq!(broken.next_row().unwrap_err().class, ErrorClass::Storage);
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(
            (columns, table) in (1..5_usize).prop_flat_map(|columns| {
                let byte = prop_oneof![Just(b'\\'), Just(b'\n'), Just(b'\t'), Just(b'.'), Just(b'N'), 1..=255_u8];
                let field = proptest::option::of(proptest::collection::vec(byte, 0..12));
                let row = proptest::collection::vec(field, columns);
                (Just(columns), proptest::collection::vec(row, 0..20))
            }),
            step in 1..200_usize,
        ) {
            let text: Vec<u8> = table.iter().flat_map(line).collect();
            prop_assert_eq!(&rows(columns, &text, step).unwrap(), &table);
            let ended = [text.as_slice(), b"\\.\n\n\n"].concat();
            prop_assert_eq!(&rows(columns, &ended, step).unwrap(), &table);
        }

        #[test]
        fn garbage_does_no_harm(text in proptest::collection::vec(any::<u8>(), 0..300), columns in 0..3_usize) {
            let mut rest = text.as_slice();
            let mut reader = CopyRows::new(columns, |buffer: &mut [u8]| {
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                rest = &rest[length..];
                Ok(length)
            });
            while let Ok(Some(row)) = reader.next_row() {
                prop_assert_eq!(row.len(), columns);
            }
        }
    }
}
