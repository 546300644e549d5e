//! The encoding: golden bytes, round trips, and what is refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::canonical::{MAX_DEPTH, decode, encode};
use super::*;
use crate::archive::TableName;
use crate::error::ErrorClass;
use crate::job::Depth;

const GOLDEN: &[u8] = include_bytes!("golden/manifest-v1.json");

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn golden_bytes() {
    // A change here is a change of the format: stored manifests must stay readable, signatures valid.
    assert_eq!(text(&to_canonical_bytes(&sample::manifest()).unwrap()), text(GOLDEN));
    assert_eq!(parse(GOLDEN).unwrap(), sample::manifest());
}

#[test]
fn what_is_absent_is_left_out() {
    let bytes = to_canonical_bytes(&sample::smallest()).unwrap();
    let text = text(&bytes);
    assert!(!text.contains("null"), "{text}");
    assert!(!text.contains("globals"), "{text}");
    assert!(!text.contains("\"schedule\""), "{text}");
    assert_eq!(parse(&bytes).unwrap(), sample::smallest());
}

#[test]
fn integers_beyond_53_bits_are_text_or_refused() {
    let mut manifest = sample::manifest();
    manifest.database.system_identifier = u64::MAX;
    manifest.snapshot.lsn = Lsn(u64::MAX);
    manifest.audit_head.seq = (1 << 53) - 1;
    let bytes = to_canonical_bytes(&manifest).unwrap();
    assert!(text(&bytes).contains("\"system_identifier\":\"18446744073709551615\""));
    assert!(text(&bytes).contains("\"seq\":9007199254740991"));
    assert_eq!(parse(&bytes).unwrap(), manifest);

    for seq in [1 << 53, (1 << 53) + 1, 1 << 60, u64::MAX] {
        manifest.audit_head.seq = seq;
        let error = to_canonical_bytes(&manifest).unwrap_err();
        assert_eq!(error.class, ErrorClass::Internal);
        assert!(error.detail.unwrap().contains("larger than 2^53-1"));
    }
}

#[test]
fn a_manifest_that_contradicts_itself_is_neither_written_nor_read() {
    let mut manifest = sample::manifest();
    manifest.totals.rows += 1;
    assert_eq!(to_canonical_bytes(&manifest).unwrap_err().class, ErrorClass::Internal);
    let bytes = serde_json_canonicalizer::to_vec(&manifest).unwrap();
    let error = parse(&bytes).unwrap_err();
    assert_eq!(error.class, ErrorClass::Archive);
    assert!(error.detail.unwrap().contains("the total of rows is 1000001"));
}

#[test]
fn times_that_cannot_be_written_are_refused() {
    let mut manifest = sample::manifest();
    manifest.finished_at = chrono::DateTime::<chrono::Utc>::MAX_UTC;
    assert_eq!(to_canonical_bytes(&manifest).unwrap_err().class, ErrorClass::Internal);
}

#[test]
fn nul_is_refused_and_a_backslash_is_not() {
    let mut manifest = sample::manifest();
    manifest.database.name = r"\u0000".to_owned();
    let bytes = to_canonical_bytes(&manifest).unwrap();
    assert_eq!(parse(&bytes).unwrap(), manifest);

    manifest.database.name = "\0".to_owned();
    let error = to_canonical_bytes(&manifest).unwrap_err();
    assert!(error.detail.unwrap().contains("U+0000"));
    let bytes = serde_json_canonicalizer::to_vec(&manifest).unwrap();
    assert!(parse(&bytes).unwrap_err().detail.unwrap().contains("U+0000"));
}

/// Why a changed golden text is refused.
fn refusal(from: &str, to: &str) -> String {
    let golden = text(GOLDEN);
    assert!(golden.contains(from), "{from}");
    let error = parse(golden.replacen(from, to, 1).as_bytes()).unwrap_err();
    assert_eq!(error.class, ErrorClass::Archive, "{from} -> {to}");
    error.detail.unwrap()
}

#[test]
fn only_the_canonical_bytes_are_read() {
    for (from, to) in [
        ("{\"archive\"", "{ \"archive\""),
        ("\"version\":1}", "\"version\":1 }"),
        ("\"oid\":16384", "\"oid\":16384.0"),
        ("\"oid\":16384", "\"oid\":1.6384e4"),
        ("\"seq\":42", "\"seq\":42e0"),
        ("\"rows\":0", "\"rows\":-0"),
        ("\"key_id\":\"2", "\"key_id\":\"\\u0032"),
        ("org/default", "org\\/default"),
        ("\"enabled\":true", "\"enabled\":true,\"enabled\":true"),
        ("{\"name\":\"plpgsql\",\"version\":\"1.0\"}", "{\"version\":\"1.0\",\"name\":\"plpgsql\"}"),
        ("\"key_id\"", "\"a\":1,\"key_id\""),
        ("\"name\":\"plpgsql\"", "\"name\":\"x\",\"name\":\"plpgsql\""),
    ] {
        refusal(from, to);
    }
    for (before, after) in [("", "\n"), ("\n", ""), ("\u{feff}", ""), ("", " {}"), ("", "\0")] {
        let error = parse(format!("{before}{}{after}", text(GOLDEN)).as_bytes()).unwrap_err();
        assert_eq!(error.class, ErrorClass::Archive);
    }
}

#[test]
fn the_refusal_says_where() {
    // An unknown field in the wrong place in the order of keys.
    let why = refusal("\"key_id\"", "\"a\":1,\"key_id\"");
    assert!(why.contains("canonical form of RFC 8785, from byte "), "{why}");
    let why = refusal("\"size\":1234", "\"size\":-1");
    assert!(why.contains("line 1 column"), "{why}");
    let why = refusal("\"system_identifier\":\"7", "\"system_identifier\":\"07");
    assert!(why.contains("not an integer of 64 bits"), "{why}");
    let why = refusal("000000Z\",\"requested_by", "000Z\",\"requested_by");
    assert!(why.contains("six fractional digits"), "{why}");
}

#[test]
fn unknown_fields_are_passed_over_when_canonical() {
    let newer = text(GOLDEN).replacen("\"key_id\"", "\"keep_until\":\"later\",\"key_id\"", 1);
    assert_eq!(parse(newer.as_bytes()).unwrap(), sample::manifest());
    for (from, to) in [
        ("\"key_id\"", "\"keep_until\":null,\"key_id\""),
        ("\"key_id\"", "\"keep_until\":0.5,\"key_id\""),
        ("\"key_id\"", "\"keep_until\":9007199254740992,\"key_id\""),
        ("\"key_id\"", "\"keep_until\":1,\"keep_until\":1,\"key_id\""),
        ("\"key_id\"", "\"keep_until\": 1,\"key_id\""),
    ] {
        refusal(from, to);
    }
}

#[test]
fn another_format_is_refused_by_name_and_version() {
    let why = refusal("\"version\":1}", "\"version\":2}");
    assert!(why.contains("format version 2"), "{why}");
    let why = refusal("walwarden-manifest", "something-else");
    assert!(why.contains("something-else"), "{why}");
    // Also when nothing else is as in version 1.
    let error = parse(br#"{"format":{"name":"walwarden-manifest","version":7}}"#).unwrap_err();
    assert!(error.detail.unwrap().contains("format version 7"));
    assert!(error.hint.is_some());
    for nothing in [&b""[..], b"{}", b"[]", b"null", b"\xff", b"{\"format\":1}"] {
        assert_eq!(parse(nothing).unwrap_err().class, ErrorClass::Archive);
    }
}

#[test]
fn rfc_8785_section_3_2_3_sorts_keys_by_utf_16() {
    let value = json!({
        "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
        "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control",
        "\u{f6}": "Latin Small Letter O With Diaeresis"
    });
    let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
                    \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
                    \"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
    assert_eq!(encode(&value).unwrap(), expected);
    assert_eq!(decode(expected.as_bytes()).unwrap(), value);
}

#[test]
fn what_the_encoding_excludes() {
    for value in [
        json!(null),
        json!([1, null]),
        json!(0.5),
        json!(1.0),
        json!(9_007_199_254_740_992_u64),
        json!(-9_007_199_254_740_992_i64),
        json!({ "a": [{ "b": "\0" }] }),
        json!({ "\0": 1 }),
    ] {
        assert_eq!(encode(&value).unwrap_err().class, ErrorClass::Internal, "{value}");
        assert_eq!(decode(value.to_string().as_bytes()).unwrap_err().class, ErrorClass::Archive, "{value}");
    }
    let why = encode(&json!({ "a": [1, { "b": 0.5 }] })).unwrap_err().detail.unwrap();
    assert!(why.contains("a: [1] b: the number 0.5"), "{why}");
    for value in [json!(9_007_199_254_740_991_u64), json!(-9_007_199_254_740_991_i64), json!(""), json!({})] {
        assert_eq!(decode(encode(&value).unwrap().as_bytes()).unwrap(), value);
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(decode(nested(MAX_DEPTH + 1).as_bytes()).is_ok());
    for depth in [MAX_DEPTH + 2, 200, 100_000] {
        assert!(decode(nested(depth).as_bytes()).is_err());
    }
}

/// What readers of JSON disagree about, or fall over.
const HOSTILE: [&str; 22] = [
    r#""\ud800""#,
    r#""\udc00""#,
    r#""\ud800\ud800""#,
    r#""\ud800x""#,
    r#""\udc00\ud800""#,
    r#""\u00e9""#,
    r#""\uD83D\uDE00""#,
    r#""\x41""#,
    "\"\t\"",
    "\"\u{1}\"",
    r#"{"a":1,"a":1}"#,
    r#"{"a":1,"\u0061":2}"#,
    r#"{"a":{"b":1,"b":1}}"#,
    "1e400",
    "-0",
    "01",
    "+1",
    "NaN",
    "Infinity",
    "[1,]",
    "[1]/**/",
    "'a'",
];

#[test]
fn hostile_json_is_refused() {
    for hostile in HOSTILE {
        assert_eq!(decode(hostile.as_bytes()).unwrap_err().class, ErrorClass::Archive, "{hostile}");
        // The same in a manifest, in a field that this version does not know and in one that it does.
        refusal("\"key_id\"", &format!("\"keep\":{hostile},\"key_id\""));
        refusal("\"name\":\"plpgsql\"", &format!("\"name\":{hostile}"));
    }
    for depth in [MAX_DEPTH + 2, 127, 128, 129, 100_000] {
        let nested = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(decode(nested.as_bytes()).unwrap_err().class, ErrorClass::Archive, "{depth}");
        refusal("\"key_id\"", &format!("\"keep\":{nested},\"key_id\""));
        // Never closed.
        assert!(decode("[".repeat(depth).as_bytes()).is_err());
        assert!(parse(&b"{\"a\":".repeat(depth)).is_err());
    }
    let not_utf_8: [&[u8]; 4] = [b"\xed\xa0\x80", b"\"\xed\xa0\x80\"", b"\"\xc0\xaf\"", b"\xff\xfe{\0}\0"];
    for bytes in not_utf_8.into_iter().chain([&b"\xef\xbb\xbf{}"[..], b"{}\0"]) {
        assert_eq!(decode(bytes).unwrap_err().class, ErrorClass::Archive, "{bytes:?}");
        assert_eq!(parse(bytes).unwrap_err().class, ErrorClass::Archive, "{bytes:?}");
    }
}

fn arb_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        "[^\0]*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[^\0]{0,6}", inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn arb_piece()(gap in 0_u64..100, length in 0_u64..1_000_000, raw_length in 0_u64..1 << 40,
        rows in 0_u64..1 << 40, sum: [u8; 32]) -> (u64, Piece) {
        (gap, Piece { offset: 0, length, raw_length, rows, sha256: Sha256Sum(sum) })
    }
}

prop_compose! {
    /// Consistent manifests: offsets and sums are made to fit.
    fn arb_manifest()(
        names in prop::collection::vec("[^\0]{0,12}", 4),
        tables in prop::collection::vec(("[^\0]{1,8}", prop::collection::vec(arb_piece(), 0..5), 0_u64..1 << 40), 0..6),
        system_identifier: u64, lsn: u64, seq in 0_u64..1 << 53, micros in 0_i64..250_000_000_000_000_000,
        uuid: u128, part_size in 100_000_u64..1_000_000, with_globals: bool, scheduled: bool,
    ) -> Manifest {
        let mut manifest = if scheduled { sample::manifest() } else { sample::smallest() };
        manifest.database.name = names[0].clone();
        manifest.organization = names[1].clone();
        manifest.job.requested_by = names[2].clone();
        manifest.server_version.text = names[3].clone();
        manifest.database.system_identifier = system_identifier;
        manifest.snapshot.lsn = Lsn(lsn);
        manifest.audit_head.seq = seq;
        manifest.finished_at = chrono::DateTime::from_timestamp_micros(micros).unwrap();
        manifest.job.id = uuid::Uuid::from_u128(uuid);
        if !with_globals { manifest.globals = None; }

        let mut end = 0;
        manifest.tables = (1..).zip(tables).map(|(dump_id, (name, pieces, rows))| {
            let block_offset = end;
            let pieces: Vec<Piece> = pieces.into_iter().map(|(gap, mut piece)| {
                piece.offset = end + gap;
                end = piece.offset + piece.length;
                piece
            }).collect();
            let sum = |number: fn(&Piece) -> u64| pieces.iter().map(number).sum();
            let (rows, raw_bytes) = if pieces.is_empty() { (rows, rows) } else {
                (sum(|piece| piece.rows), sum(|piece| piece.raw_length))
            };
            let schema = names[0].clone();
            Table { schema, name, oid: 16_384, dump_id, rows, raw_bytes, block_offset, encoder: None, pieces }
        }).collect();
        manifest.totals = Totals {
            tables: manifest.tables.len() as u64,
            rows: manifest.tables.iter().map(|table| table.rows).sum(),
            raw_bytes: manifest.tables.iter().map(|table| table.raw_bytes).sum(),
        };
        manifest.archive.size = end;
        manifest.archive.parts = (0..end).step_by(part_size as usize).map(|offset| {
            Part { offset, size: part_size.min(end - offset), sha256: Sha256Sum::of(&offset.to_le_bytes()) }
        }).collect();
        manifest
    }
}

proptest! {
    #[test]
    fn values_read_back_and_encode_alike(value in arb_value()) {
        let canonical = encode(&value).unwrap();
        prop_assert_eq!(&decode(canonical.as_bytes()).unwrap(), &value);
        prop_assert_eq!(encode(&decode(canonical.as_bytes()).unwrap()).unwrap(), canonical);
    }

    #[test]
    fn manifests_read_back_and_encode_alike(manifest in arb_manifest()) {
        let bytes = to_canonical_bytes(&manifest).unwrap();
        let again = parse(&bytes).unwrap();
        prop_assert_eq!(&again, &manifest);
        prop_assert_eq!(to_canonical_bytes(&again).unwrap(), bytes);
    }

    /// A flipped byte is refused or changes what is read: no two texts mean the same.
    #[test]
    fn no_other_bytes_mean_the_same(at in 0..GOLDEN.len(), flip in 1_u8..=255) {
        let mut bytes = GOLDEN.to_vec();
        bytes[at] ^= flip;
        if let Ok(other) = parse(&bytes) {
            prop_assert!(other != sample::manifest());
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = decode(&bytes);
    }
}

#[test]
fn what_was_left_out_is_said_and_comes_back() {
    let mut manifest = sample::manifest();
    assert!(!text(&to_canonical_bytes(&manifest).unwrap()).contains("filter"));
    manifest.filter.exclude_table_data.push("public.\"Log\"".to_owned());
    manifest.tables_without_data.push(TableName { schema: "public".into(), name: "Log".into() });
    manifest.large_objects.left_out = true;
    let bytes = to_canonical_bytes(&manifest).unwrap();
    let said = text(&bytes);
    assert!(said.contains(r#""filter":{"exclude_table_data":["public.\"Log\""]}"#), "{said}");
    assert!(said.contains(r#""large_objects":{"count":2,"left_out":true,"raw_bytes":4096}"#), "{said}");
    assert!(said.contains(r#""tables_without_data":[{"name":"Log","schema":"public"}]"#), "{said}");
    assert_eq!(parse(&bytes).unwrap(), manifest);
}

#[test]
fn what_a_schedule_was_given_stands_beside_its_name() {
    let mut manifest = sample::manifest();
    manifest.schedules.truncate(1);
    let definition = &mut manifest.schedules[0].definition;
    definition.backup.jobs = Some(2);
    definition.backup.max_rate = Some(1 << 50);
    definition.verify_depth = Depth::Manifest;
    definition.restore_test_cron = Some("0 6 * * 0".to_owned());
    definition.smoke = Some("SELECT 1".to_owned());
    let bytes = to_canonical_bytes(&manifest).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let expected = r#"{"cron":"0 2 * * *","enabled":true,"jobs":2,"max_rate":1125899906842624,"name":"nightly","restore_test_cron":"0 6 * * 0","smoke":"SELECT 1","storages":["s3-main"],"time_zone":"Europe/Berlin","verify_depth":"manifest"}"#;
    assert!(text.contains(expected), "{text}");
    assert_eq!(parse(&bytes).unwrap(), manifest);
}

#[test]
fn encryption_stands_beside_what_it_describes() {
    let manifest = sample::encrypted();
    let bytes = to_canonical_bytes(&manifest).unwrap();
    assert_eq!(parse(&bytes).unwrap(), manifest);
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let plain = serde_json::to_value(sample::manifest()).unwrap();
    for object in ["archive", "globals"] {
        for field in ["size", "sha256"] {
            assert_eq!(json[object][field], plain[object][field], "{object}.{field} is of the plain bytes");
        }
        assert_eq!(json[object]["encryption"]["format"], "age");
        assert!(plain[object].get("encryption").is_none());
    }
    assert_eq!(json["archive"]["parts"], serde_json::json!([]));
    assert_eq!(json["archive"]["encryption"]["parts"].as_array().unwrap().len(), 2);
    assert!(json["globals"]["encryption"].get("parts").is_none());
}
