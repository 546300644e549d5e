//! The text that `COPY ... TO` writes, made from the bytes of a tuple as they lie in the heap.
//!
//! Everything here is pure: bytes in, bytes out. What only a server knows (time zones, labels of enums, its own shortest
//! floats) comes from a [`Server`]. Whatever is not exactly understood gives [`None`], and the caller asks the type's own
//! output function, as COPY does with every value. Numbers are read as a little-endian machine stores them.

mod array;
mod date_time;
mod digits;
mod escape;
mod hexadecimal;
mod interval;
mod jsonb;
mod network;
mod numeric;
mod sink;
mod tuple;
mod varlena;
mod zone;

#[cfg(test)]
mod tests;

pub use array::Element;
pub use escape::{Ended, escape};
pub use sink::{Sink, is_long, write_in_parts};
pub use tuple::{Alignment, Attribute, Length, Tuple};
pub use varlena::Varlena;
pub use zone::{UtcOffsets, Validity};

/// What a NULL looks like.
pub const NULL: &[u8] = b"\\N";

/// What only a running server can say.
pub trait Server {
    /// As float4out writes it with `extra_float_digits` above 0.
    fn float4(&mut self, value: f32, text: &mut Vec<u8>);
    /// As float8out writes it with `extra_float_digits` above 0.
    fn float8(&mut self, value: f64, text: &mut Vec<u8>);
    /// The label of an enum's value; None if there is no such value.
    fn label(&mut self, value: u32) -> Option<&[u8]>;
    /// Seconds east of Greenwich in the session's time zone at a time, in seconds since 1970-01-01 00:00 UTC.
    fn utc_offset(&mut self, time: i64) -> Option<i32>;
}

/// A type that we write ourselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// boolout
    Bool,
    /// int2out
    Int2,
    /// int4out
    Int4,
    /// int8out
    Int8,
    /// oidout
    Oid,
    /// float4out
    Float4,
    /// float8out
    Float8,
    /// numeric_out
    Numeric,
    /// textout, varcharout, bpcharout, json_out: the bytes as they are
    Text,
    /// nameout: up to the first zero byte
    Name,
    /// charout
    Char,
    /// byteaout with `bytea_output` hex
    Bytea,
    /// uuid_out
    Uuid,
    /// date_out with the date style ISO
    Date,
    /// time_out
    Time,
    /// timestamp_out with the date style ISO
    Timestamp,
    /// timestamptz_out with the date style ISO
    TimestampTz,
    /// interval_out with the interval style postgres
    Interval {
        /// Whether the extremes stand for infinity, from PostgreSQL 17 on.
        has_infinity: bool,
    },
    /// jsonb_out
    Jsonb,
    /// inet_out
    Inet,
    /// cidr_out
    Cidr,
    /// enum_out
    Enum,
    /// array_out of one dimension
    Array(Box<Element>),
}

impl Kind {
    /// Whether values are stored with a header that tells their length.
    pub fn is_varlena(&self) -> bool {
        match self {
            Self::Numeric
            | Self::Text
            | Self::Bytea
            | Self::Jsonb
            | Self::Inet
            | Self::Cidr
            | Self::Array(_) => true,
            Self::Bool
            | Self::Int2
            | Self::Int4
            | Self::Int8
            | Self::Oid
            | Self::Float4
            | Self::Float8
            | Self::Name
            | Self::Char
            | Self::Uuid
            | Self::Date
            | Self::Time
            | Self::Timestamp
            | Self::TimestampTz
            | Self::Interval { .. }
            | Self::Enum => false,
        }
    }

    /// Append a value as a field of COPY's text format. `value` is what is stored, without a header and not compressed.
    /// On None, `text` may hold a part of it.
    #[inline]
    pub fn write_field(&self, value: &[u8], server: &mut dyn Server, text: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Text | Self::Name => {
                escape(value, text);
            }
            Self::Bytea => {
                // The backslash is doubled.
                text.push(b'\\');
                hexadecimal::bytea(value, text);
            }
            Self::Jsonb => jsonb::write::<true>(value, text)?,
            Self::Enum => {
                escape(server.label(native(value).map(u32::from_le_bytes)?)?, text);
            }
            Self::Char => {
                escape(&character(value)?, text);
            }
            Self::Array(element) => element.write_field(value, server, text)?,
            // What these write has no byte that means anything to COPY.
            _ => self.write(value, server, text)?,
        }
        Some(())
    }

    /// Append a value as its type's output function writes it.
    fn write(&self, value: &[u8], server: &mut dyn Server, text: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Bool => text.push(if native::<1>(value)? == [0] { b'f' } else { b't' }),
            Self::Int2 => digits::integer(i16::from_le_bytes(native(value)?), text),
            Self::Int4 => digits::integer(i32::from_le_bytes(native(value)?), text),
            Self::Int8 => digits::integer(i64::from_le_bytes(native(value)?), text),
            Self::Oid => digits::integer(u32::from_le_bytes(native(value)?), text),
            Self::Float4 => server.float4(f32::from_le_bytes(native(value)?), text),
            Self::Float8 => server.float8(f64::from_le_bytes(native(value)?), text),
            Self::Numeric => numeric::write(value, text)?,
            Self::Text | Self::Name => text.extend_from_slice(up_to_zero(value)),
            Self::Char => text.extend_from_slice(up_to_zero(&character(value)?)),
            Self::Bytea => hexadecimal::bytea(value, text),
            Self::Uuid => hexadecimal::uuid(&native(value)?, text),
            Self::Date => date_time::date(i32::from_le_bytes(native(value)?), text)?,
            Self::Time => date_time::time(i64::from_le_bytes(native(value)?), text)?,
            Self::Timestamp => date_time::timestamp(i64::from_le_bytes(native(value)?), text)?,
            Self::TimestampTz => {
                date_time::timestamp_with_zone(i64::from_le_bytes(native(value)?), server, text)?;
            }
            Self::Interval { has_infinity } => interval::write(&native(value)?, *has_infinity, text)?,
            Self::Jsonb => jsonb::write::<false>(value, text)?,
            Self::Inet => network::write(value, false, text)?,
            Self::Cidr => network::write(value, true, text)?,
            Self::Enum => text.extend_from_slice(server.label(native(value).map(u32::from_le_bytes)?)?),
            // An array's elements are no arrays.
            Self::Array(_) => return None,
        }
        Some(())
    }
}

/// The bytes of a value whose length its type tells.
fn native<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

/// A "char" of ASCII: the others are not written alike by all versions.
fn character(value: &[u8]) -> Option<[u8; 1]> {
    native::<1>(value).filter(|[byte]| byte.is_ascii())
}

/// What a function sees that takes a text up to its zero byte.
fn up_to_zero(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == 0).next().unwrap_or_default()
}
