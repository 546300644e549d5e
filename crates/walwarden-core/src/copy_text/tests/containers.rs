use super::scalars::numeric;
use super::{all_kinds, field};
use crate::copy_text::{Element, Kind};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A value with a header of four bytes.
fn with_header(value: &[u8]) -> Vec<u8> {
    [&((value.len() as u32 + 4) << 2).to_le_bytes()[..], value].concat()
}

/// convertJsonb in jsonb_util.c, for whole numbers.
fn jsonb(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Array(_) | Value::Object(_) => container(value, &mut out),
        scalar => {
            out.extend((0x4000_0000_u32 | 0x1000_0000 | 1).to_le_bytes());
            children(&[scalar], &mut out);
        }
    }
    out
}

fn container(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.extend((0x4000_0000 | items.len() as u32).to_le_bytes());
            children(&items.iter().collect::<Vec<_>>(), out);
        }
        Value::Object(map) => {
            out.extend((0x2000_0000 | map.len() as u32).to_le_bytes());
            let keys: Vec<Value> = map.keys().cloned().map(Value::String).collect();
            children(&keys.iter().chain(map.values()).collect::<Vec<_>>(), out);
        }
        _ => unreachable!("only containers come here"),
    }
}

fn children(items: &[&Value], out: &mut Vec<u8>) {
    let entries = out.len();
    out.resize(entries + 4 * items.len(), 0);
    let base = out.len();
    for (index, item) in items.iter().enumerate() {
        let start = out.len();
        let kind = match item {
            Value::String(text) => {
                out.extend(text.as_bytes());
                0
            }
            Value::Number(number) => {
                out.resize(out.len().next_multiple_of(4), 0);
                out.extend(with_header(&numeric(number.as_i64().unwrap(), 0, false)));
                0x1000_0000
            }
            Value::Bool(false) => 0x2000_0000,
            Value::Bool(true) => 0x3000_0000,
            Value::Null => 0x4000_0000,
            Value::Array(_) | Value::Object(_) => {
                out.resize(out.len().next_multiple_of(4), 0);
                container(item, out);
                0x5000_0000
            }
        };
        let entry = if index % 32 == 0 {
            0x8000_0000 | (out.len() - base) as u32
        } else {
            (out.len() - start) as u32
        };
        out[entries + 4 * index..][..4].copy_from_slice(&(kind | entry).to_le_bytes());
    }
}

/// COPY's escapes, undone.
fn unescaped(field: &str) -> String {
    let mut text = String::new();
    let mut chars = field.chars();
    while let Some(char) = chars.next() {
        text.push(if char == '\\' { chars.next().unwrap() } else { char });
    }
    text
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = "[a-c\"\\\\\\x01\\x08\\t\\n\\x0b\\x0c\\ré/]{0,6}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-100_000_i64..100_000).prop_map(|number| json!(number)),
        text.prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 200, 70, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..70).prop_map(Value::Array),
            proptest::collection::btree_map(text, inner, 0..70)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_document_comes_back(value in any_json()) {
        let text = field(&Kind::Jsonb, &jsonb(&value)).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&unescaped(&text)).unwrap(), value);
    }

    #[test]
    fn a_broken_document_is_none_of_ours(value in any_json(), at: prop::sample::Index, byte: u8) {
        let mut stored = jsonb(&value);
        let at = at.index(stored.len());
        stored[at] = byte;
        // Whether it is refused or not: it must not panic.
        let mut text = Vec::new();
        let _ = Kind::Jsonb.write_field(&stored, &mut super::TestServer, &mut text);
    }

    #[test]
    fn an_array_of_numbers(values in proptest::collection::vec(proptest::option::of(any::<i32>()), 1..40), lower in -2_i32..3) {
        let stored = array(&values.iter().map(|value| value.map(|value| value.to_le_bytes().to_vec())).collect::<Vec<_>>(), lower);
        let list: Vec<String> = values.iter().map(|value| value.map_or("NULL".to_owned(), |value| value.to_string())).collect();
        let bounds = if lower == 1 { String::new() } else { format!("[{lower}:{}]=", lower + values.len() as i32 - 1) };
        prop_assert_eq!(field(&of(&Kind::Int4), &stored).unwrap(), format!("{bounds}{{{}}}", list.join(",")));
    }
}

#[test]
fn documents_look_as_postgresql_writes_them() {
    for (value, text) in [
        (json!(null), "null"),
        (json!("a\"b"), r#""a\\"b""#),
        (json!({}), "{}"),
        (json!([]), "[]"),
        (
            json!({"a": [1, -2, {"b": true}], "c": "\\ \n \u{1} \u{b} \u{7f} /"}),
            "{\"a\": [1, -2, {\"b\": true}], \"c\": \"\\\\\\\\ \\\\n \\\\u0001 \\\\u000b \u{7f} /\"}",
        ),
    ] {
        assert_eq!(field(&Kind::Jsonb, &jsonb(&value)).as_deref(), Some(text));
    }
}

#[test]
fn a_deep_document_is_left_to_the_server() {
    let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    assert!(field(&Kind::Jsonb, &jsonb(&nested(100))).is_some());
    assert!(field(&Kind::Jsonb, &jsonb(&nested(500))).is_none());
}

/// The array type of this element type.
fn of(element: &Kind) -> Kind {
    let is_it = |kind: &Kind| matches!(kind, Kind::Array(of) if of.kind == *element);
    all_kinds().into_iter().find(is_it).unwrap()
}

/// Elements as they are stored, aligned to four bytes; without the header of the array itself.
fn array(elements: &[Option<Vec<u8>>], lower: i32) -> Vec<u8> {
    let has_nulls = elements.iter().any(Option::is_none);
    let mut nulls = vec![0_u8; if has_nulls { elements.len().div_ceil(8) } else { 0 }];
    let data = (24 + nulls.len()).next_multiple_of(8);
    let mut out = vec![0; 4];
    out.extend(1_u32.to_le_bytes());
    out.extend((if has_nulls { data as u32 } else { 0 }).to_le_bytes());
    out.extend(7_u32.to_le_bytes());
    out.extend((elements.len() as u32).to_le_bytes());
    out.extend(lower.to_le_bytes());
    for (index, _) in elements.iter().enumerate().filter(|(_, element)| has_nulls && element.is_some()) {
        nulls[index / 8] |= 1 << (index % 8);
    }
    out.extend(nulls);
    out.resize(data, 0);
    for element in elements.iter().flatten() {
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend(element);
    }
    out.split_off(4)
}

#[test]
fn elements_are_quoted_where_they_need_it() {
    let texts = ["a", "", "null", "a b", "a,b", "{", "\"", "\\", "a\\\"b", "\n", "\x0b", "\x01", "é"];
    let stored: Vec<_> = texts.iter().map(|text| Some(with_header(text.as_bytes()))).collect();
    assert_eq!(
        field(&of(&Kind::Text), &array(&stored, 1)).unwrap(),
        "{a,\"\",\"null\",\"a b\",\"a,b\",\"{\",\"\\\\\"\",\"\\\\\\\\\",\"a\\\\\\\\\\\\\"b\",\"\\n\",\"\\v\",\x01,é}"
    );
    let bytes = array(&[Some(with_header(&[0xde, 0xad]))], 1);
    assert_eq!(field(&of(&Kind::Bytea), &bytes).unwrap(), "{\"\\\\\\\\xdead\"}");
    let days = array(&[Some((-730_120_i32).to_le_bytes().to_vec()), Some(0_i32.to_le_bytes().to_vec())], 1);
    assert_eq!(field(&of(&Kind::Date), &days).unwrap(), "{\"0001-12-31 BC\",2000-01-01}");
}

#[test]
fn other_arrays_are_left_to_the_server() {
    let empty = [0_u32.to_le_bytes(), 0_u32.to_le_bytes(), 7_u32.to_le_bytes()].concat();
    assert_eq!(field(&of(&Kind::Int4), &empty).as_deref(), Some("{}"));
    let of_another_type = [0_u32.to_le_bytes(), 0_u32.to_le_bytes(), 8_u32.to_le_bytes()].concat();
    assert_eq!(field(&of(&Kind::Int4), &of_another_type), None);
    let mut of_two_dimensions = array(&[Some(vec![0; 4])], 1);
    of_two_dimensions[0] = 2;
    assert_eq!(field(&of(&Kind::Int4), &of_two_dimensions), None);
    let Kind::Array(element) = of(&Kind::Int4) else { panic!("an array") };
    let nested = Kind::Array(Box::new(Element { kind: Kind::Array(element.clone()), ..*element }));
    assert_eq!(field(&nested, &array(&[Some(vec![0; 4])], 1)), None);
}
