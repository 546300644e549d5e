//! Text between the database's encoding and Rust's UTF-8.
//!
//! pgrx's own `&str` and `String` panic in a database whose encoding is not UTF-8 as soon as a value is not ASCII;
//! every text argument, result and parameter of walwarden goes through here instead.

use crate::error::raise;
use pgrx::callconv::{ArgAbi, BoxRet};
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{FromDatum, IntoDatum};
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use walwarden_core::{Error, Result};

/// A `text` argument or result, in UTF-8 on our side whatever the database's encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl From<String> for Text {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

const UTF8: i32 = pg_sys::pg_enc::PG_UTF8 as i32;

/// Bytes in the database's encoding as UTF-8. Raises an error when they have no such form, as they may in SQL_ASCII.
pub fn from_server(bytes: &[u8]) -> String {
    String::from_utf8(to_utf8(bytes)).unwrap_or_else(|_| {
        raise(
            Error::invalid("text is not valid in any encoding walwarden can read")
                .detail("The database's encoding is SQL_ASCII and the bytes are not UTF-8."),
        )
    })
}

/// The same for showing, and for names of roles and databases: their catalogs are shared by all databases, so what a
/// database of another encoding wrote there may be no text at all in this one's. Never raises; what has no form in UTF-8
/// becomes U+FFFD, or `?` where the database could not store that. Must run inside a transaction.
pub fn from_server_lossy(bytes: &[u8]) -> String {
    if bytes.is_ascii() || database_is_utf8() {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (done, converted) = convert_beginning(rest, database_encoding(), UTF8);
        text.push_str(&String::from_utf8_lossy(&converted));
        rest = rest.get(done..).unwrap_or_default();
        if !rest.is_empty() {
            text.push('?');
            rest = &rest[1..];
        }
    }
    text
}

/// As much of `bytes` as the conversion between two encodings takes: how many bytes that was, and what they became. A
/// conversion that does not exist takes nothing. The conversion reports failure instead of raising it (`noError`).
fn convert_beginning(bytes: &[u8], from: i32, to: i32) -> (usize, Vec<u8>) {
    let mut source = bytes.to_vec();
    source.push(0);
    // MAX_CONVERSION_GROWTH is 4.
    let mut target = vec![0u8; 4 * bytes.len() + 1];
    let (Ok(length), Ok(room)) = (i32::try_from(bytes.len()), i32::try_from(target.len())) else {
        return (0, Vec::new());
    };
    // SAFETY: source is zero-terminated and `length` bytes long; target has room for any conversion of it; with noError
    // the function returns how many bytes it converted.
    let converted = unsafe {
        let procedure = pg_sys::FindDefaultConversionProc(from, to);
        if procedure == pg_sys::InvalidOid {
            return (0, Vec::new());
        }
        pg_sys::pg_do_encoding_conversion_buf(
            procedure,
            from,
            to,
            source.as_mut_ptr(),
            length,
            target.as_mut_ptr(),
            room,
            true,
        )
    };
    let end = target.iter().position(|b| *b == 0).unwrap_or(0);
    target.truncate(end);
    (usize::try_from(converted).unwrap_or(0), target)
}

fn to_utf8(bytes: &[u8]) -> Vec<u8> {
    let Ok(length) = i32::try_from(bytes.len()) else { return bytes.to_vec() };
    if bytes.is_ascii() {
        return bytes.to_vec();
    }
    // SAFETY: the pointer and length describe `bytes`; the result is either the same pointer or a palloc'd,
    // zero-terminated string that lives until the memory context goes, longer than this function.
    unsafe {
        let source = bytes.as_ptr().cast::<std::os::raw::c_char>();
        let converted = pg_sys::pg_server_to_any(source, length, UTF8);
        if std::ptr::eq(converted, source) {
            bytes.to_vec()
        } else {
            CStr::from_ptr(converted).to_bytes().to_vec()
        }
    }
}

/// From the encoding of another database to that of this one.
#[derive(Debug, Clone, Copy)]
pub struct Conversion {
    from: Option<i32>,
}

impl Conversion {
    /// From the encoding with this name.
    ///
    /// # Errors
    /// `InvalidInput` for a name that PostgreSQL does not know.
    pub fn from(name: &str) -> Result<Self> {
        let c_name = CString::new(name).unwrap_or_default();
        // By way of the SQL function: the C function that it calls has another name from PostgreSQL 18 on.
        // SAFETY: it takes a name and reads it no further than its zero byte.
        let from = unsafe {
            let name = pg_sys::Datum::from(c_name.as_ptr());
            pgrx::direct_function_call(pg_sys::PG_char_to_encoding, &[Some(name)])
        };
        let Some(from) = from.filter(|from: &i32| *from >= 0) else {
            return Err(Error::invalid(format!("encoding \"{name}\" is not known")));
        };
        Ok(Self { from: (from != database_encoding()).then_some(from) })
    }

    /// A text, in this database's encoding. Raises PostgreSQL's error where it has no form in it.
    pub fn convert<'a>(&self, text: &'a CStr) -> Cow<'a, CStr> {
        let (Some(from), Ok(length)) = (self.from, i32::try_from(text.count_bytes())) else {
            return Cow::Borrowed(text);
        };
        // SAFETY: the pointer and length describe `text`; the result is either the same pointer or a palloc'd,
        // zero-terminated string that lives until the memory context goes, and is copied at once.
        unsafe {
            let converted = pg_sys::pg_any_to_server(text.as_ptr(), length, from);
            if std::ptr::eq(converted, text.as_ptr()) {
                Cow::Borrowed(text)
            } else {
                Cow::Owned(CStr::from_ptr(converted).to_owned())
            }
        }
    }
}

/// UTF-8 in the database's encoding, as a C string; what the encoding cannot say becomes `?`.
pub fn to_server(text: &str) -> CString {
    let plain: Vec<u8> = text.bytes().filter(|b| *b != 0).collect();
    let converted =
        if plain.is_ascii() || database_is_utf8() { plain } else { convert_or_question_marks(text) };
    CString::new(converted).unwrap_or_default()
}

/// Whether text needs no conversion at all.
fn database_is_utf8() -> bool {
    [UTF8, pg_sys::pg_enc::PG_SQL_ASCII as i32].contains(&database_encoding())
}

fn database_encoding() -> i32 {
    // SAFETY: reads a process global that is set before any extension code runs.
    unsafe { pg_sys::GetDatabaseEncoding() }
}

fn convert_or_question_marks(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut buffer = [0u8; 4];
    for character in text.chars().filter(|c| *c != '\0') {
        let bytes = character.encode_utf8(&mut buffer).as_bytes();
        if bytes.is_ascii() {
            out.extend_from_slice(bytes);
        } else {
            match convert_beginning(bytes, UTF8, database_encoding()) {
                (done, converted) if done == bytes.len() => out.extend_from_slice(&converted),
                _ => out.push(b'?'),
            }
        }
    }
    out
}

impl FromDatum for Text {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        // SAFETY: the caller passes a text datum; its bytes are copied before anything can free them.
        let bytes = unsafe { <&[u8]>::from_datum(datum, is_null) }?.to_vec();
        Some(Self(from_server(&bytes)))
    }
}

impl IntoDatum for Text {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        to_server(&self.0).as_bytes().into_datum()
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}

// SAFETY: the SQL type is text, and the impls above read and write text datums.
unsafe impl SqlTranslatable for Text {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Text);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("TEXT"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("TEXT")));
}

// SAFETY: unboxes by FromDatum; a null argument never reaches a strict function.
unsafe impl<'fcx> ArgAbi<'fcx> for Text {
    unsafe fn unbox_arg_unchecked(arg: pgrx::callconv::Arg<'_, 'fcx>) -> Self {
        // SAFETY: the argument's SQL type is text, by SqlTranslatable.
        match unsafe { arg.unbox_arg_using_from_datum() } {
            Some(text) => text,
            None => raise(Error::invalid("an argument that is required must not be null")),
        }
    }

    unsafe fn unbox_nullable_arg(arg: pgrx::callconv::Arg<'_, 'fcx>) -> pgrx::nullable::Nullable<Self> {
        // SAFETY: the argument's SQL type is text, by SqlTranslatable.
        unsafe { arg.unbox_arg_using_from_datum().into() }
    }
}

// SAFETY: boxes a text datum allocated in the current memory context, as every text result is.
unsafe impl BoxRet for Text {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut pgrx::callconv::FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: the datum is of the function's declared result type.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}
