//! Bytes as PostgreSQL stores them, and the text it makes of them. tests/encoder/ compares with a server.

use super::{Alignment, Element, Kind, Length, Server};
use proptest::prelude::*;

mod containers;
mod scalars;
mod storage;

/// A server with a time zone that changes every million seconds, and one enum.
pub(super) struct TestServer;

pub(super) fn offset_of_test_server(time: i64) -> i32 {
    i32::try_from(time.div_euclid(1_000_000).rem_euclid(7)).unwrap() * 3000 - 7200
}

impl Server for TestServer {
    fn float4(&mut self, value: f32, text: &mut Vec<u8>) {
        text.extend_from_slice(value.to_string().as_bytes());
    }

    fn float8(&mut self, value: f64, text: &mut Vec<u8>) {
        text.extend_from_slice(value.to_string().as_bytes());
    }

    fn label(&mut self, value: u32) -> Option<&[u8]> {
        match value {
            1 => Some(b"plain"),
            2 => Some(b"with, \"all\" \\ of\tit"),
            _ => None,
        }
    }

    fn utc_offset(&mut self, time: i64) -> Option<i32> {
        Some(offset_of_test_server(time))
    }
}

/// The field that COPY would write.
pub(super) fn field(kind: &Kind, value: &[u8]) -> Option<String> {
    let mut text = b"before".to_vec();
    kind.write_field(value, &mut TestServer, &mut text)?;
    Some(String::from_utf8(text.strip_prefix(b"before").unwrap().to_vec()).unwrap())
}

pub(super) fn all_kinds() -> Vec<Kind> {
    let scalars = [
        Kind::Bool,
        Kind::Int2,
        Kind::Int4,
        Kind::Int8,
        Kind::Oid,
        Kind::Float4,
        Kind::Float8,
        Kind::Numeric,
        Kind::Text,
        Kind::Name,
        Kind::Char,
        Kind::Bytea,
        Kind::Uuid,
        Kind::Date,
        Kind::Time,
        Kind::Timestamp,
        Kind::TimestampTz,
        Kind::Interval { has_infinity: true },
        Kind::Interval { has_infinity: false },
        Kind::Jsonb,
        Kind::Inet,
        Kind::Cidr,
        Kind::Enum,
    ];
    let arrays = scalars.clone().map(|kind| {
        let length = match &kind {
            kind if kind.is_varlena() => Length::Varlena,
            Kind::Bool | Kind::Char => Length::Fixed(1),
            Kind::Int2 => Length::Fixed(2),
            Kind::Name => Length::Fixed(64),
            Kind::Uuid | Kind::Interval { .. } => Length::Fixed(16),
            Kind::Int4 | Kind::Oid | Kind::Float4 | Kind::Date | Kind::Enum => Length::Fixed(4),
            _ => Length::Fixed(8),
        };
        Kind::Array(Box::new(Element { kind, oid: 7, length, alignment: Alignment::Int, delimiter: b',' }))
    });
    scalars.into_iter().chain(arrays).collect()
}

proptest! {
    /// Whatever is stored: no panic, and no byte that ends a field or a row.
    #[test]
    fn hostile_bytes_make_a_field_or_none(value in proptest::collection::vec(any::<u8>(), 0..80)) {
        for kind in all_kinds() {
            let mut text = Vec::new();
            if kind.write_field(&value, &mut TestServer, &mut text).is_some() {
                prop_assert!(!text.iter().any(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0)), "{kind:?}: {text:?}");
            }
        }
    }
}
