use crate::copy_text::{
    Alignment, Attribute, Kind, Length, Sink, Tuple, UtcOffsets, Validity, Varlena, is_long, write_in_parts,
};
use crate::error::Result;
use proptest::prelude::*;

/// The header of a tuple with so many columns; NULL where `nulls` says so.
fn header(nulls: &[bool]) -> Vec<u8> {
    let has_nulls = nulls.contains(&true);
    let bitmap = if has_nulls { nulls.len().div_ceil(8) } else { 0 };
    let length = (23 + bitmap).next_multiple_of(8);
    let mut out = vec![0; length];
    out[18..20].copy_from_slice(&(nulls.len() as u16).to_le_bytes());
    out[20] = u8::from(has_nulls);
    out[22] = length as u8;
    for (index, _) in nulls.iter().enumerate().filter(|(_, is_null)| has_nulls && !**is_null) {
        out[23 + index / 8] |= 1 << (index % 8);
    }
    out
}

fn any_column() -> impl Strategy<Value = (Attribute, Option<Vec<u8>>)> {
    let attribute = |length, alignment| Attribute { length, alignment };
    let value = prop_oneof![
        (prop_oneof![
            Just((1, Alignment::Char)),
            Just((2, Alignment::Short)),
            Just((4, Alignment::Int)),
            Just((8, Alignment::Double)),
            Just((16, Alignment::Char))
        ])
        .prop_flat_map(move |(length, alignment): (u16, _)| {
            (
                Just(attribute(Length::Fixed(length), alignment)),
                proptest::collection::vec(any::<u8>(), usize::from(length)),
            )
        }),
        proptest::collection::vec(any::<u8>(), 0..120).prop_map(move |value| {
            let short = [&[((value.len() + 1) << 1 | 1) as u8][..], &value].concat();
            (attribute(Length::Varlena, Alignment::Int), short)
        }),
        (
            proptest::collection::vec(any::<u8>(), 0..300),
            prop_oneof![Just(Alignment::Int), Just(Alignment::Double)]
        )
            .prop_map(move |(value, alignment)| {
                let long = [&(((value.len() + 4) as u32) << 2).to_le_bytes()[..], &value].concat();
                (attribute(Length::Varlena, alignment), long)
            }),
        proptest::collection::vec(1_u8.., 0..9).prop_map(move |mut value| {
            value.push(0);
            (attribute(Length::CString, Alignment::Char), value)
        }),
    ];
    (value, any::<bool>()).prop_map(|((attribute, value), is_null)| (attribute, (!is_null).then_some(value)))
}

proptest! {
    #[test]
    fn a_tuple_comes_apart(columns in proptest::collection::vec(any_column(), 0..40)) {
        let mut stored = header(&columns.iter().map(|(_, value)| value.is_none()).collect::<Vec<_>>());
        let start = stored.len();
        for (attribute, value) in &columns {
            let Some(value) = value else { continue };
            let is_short = attribute.length == Length::Varlena && value[0] & 1 == 1;
            if !is_short {
                let offset = stored.len() - start;
                stored.resize(start + offset.next_multiple_of(attribute.alignment as usize), 0);
            }
            stored.extend(value);
        }
        let mut tuple = Tuple::of(&stored).unwrap();
        prop_assert_eq!(tuple.count(), columns.len());
        for (attribute, value) in &columns {
            prop_assert_eq!(tuple.next(*attribute).unwrap(), value.as_deref());
        }
    }

    #[test]
    fn a_damaged_tuple_is_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), columns in proptest::collection::vec(any_column(), 0..10)) {
        if let Some(mut tuple) = Tuple::of(&bytes) {
            for (attribute, _) in columns {
                if let Some(Some(value)) = tuple.next(attribute) {
                    let _ = Varlena::of(value);
                }
            }
        }
    }

    #[test]
    fn known_offsets_are_those_of_the_zone(times in proptest::collection::vec(-50_i64..150, 1..60)) {
        // Changes at every multiple of ten up to a hundred.
        let offset = |time: i64| i32::try_from(time.clamp(-20, 100).div_euclid(10)).unwrap();
        let mut asked = 0;
        let mut offsets = UtcOffsets::default();
        for time in times {
            let found = offsets.at(time, |time| {
                asked += 1;
                let until = if time >= 100 { i64::MAX } else { time.clamp(-20, 100).div_euclid(10) * 10 + 10 };
                Some(Validity { offset: offset(time), until })
            });
            prop_assert_eq!(found, Some(offset(time)));
        }
    }
}

#[test]
fn what_is_known_is_not_asked_again() {
    let mut asked = 0;
    let mut offsets = UtcOffsets::default();
    for time in [5, 6, 9, 5, 12, 7] {
        offsets.at(time, |time| {
            asked += 1;
            Some(Validity { offset: 0, until: time / 10 * 10 + 10 })
        });
    }
    assert_eq!(asked, 2);
}

#[test]
fn headers_of_values() {
    assert_eq!(Varlena::of(&[0x07, b'a', b'b']), Some(Varlena::Plain(b"ab")));
    assert_eq!(Varlena::of(&[0x18, 0, 0, 0, b'a', b'b']), Some(Varlena::Plain(b"ab")));
    assert_eq!(Varlena::of(&[0x1a, 0, 0, 0, 0, 0]), Some(Varlena::Toasted));
    let pointer = [&[1, 18][..], &[0; 16]].concat();
    assert_eq!(Varlena::of(&pointer), Some(Varlena::Toasted));
    for broken in [&[][..], &[0x01], &[0x01, 2], &[0x07, b'a'], &[0x04, 0, 0, 0], &[0x18, 0, 0]] {
        assert_eq!(Varlena::of(broken), None, "{broken:?}");
    }
}

/// Passes everything on at once.
#[derive(Default)]
struct Parts {
    text: Vec<u8>,
    passed: Vec<u8>,
    longest: usize,
}

impl Sink for Parts {
    fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    fn pass_on(&mut self) -> Result<()> {
        self.longest = self.longest.max(self.text.len());
        self.passed.append(&mut self.text);
        Ok(())
    }

    fn written(&self) -> u64 {
        (self.passed.len() + self.text.len()) as u64
    }
}

#[test]
fn a_long_value_is_written_in_parts() {
    let value: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8 + 1).collect();
    let with_zero = [&value[..700_000], &[0], &value[..]].concat();
    for (kind, value) in [(Kind::Text, &value), (Kind::Bytea, &value), (Kind::Text, &with_zero)] {
        assert!(is_long(&kind, value));
        let mut parts = Parts::default();
        write_in_parts(&kind, value, &mut parts).unwrap();
        parts.pass_on().unwrap();
        let mut whole = Vec::new();
        kind.write_field(value, &mut super::TestServer, &mut whole).unwrap();
        assert!(parts.passed == whole);
        assert!(parts.longest < 200_000, "{}", parts.longest);
    }
}
