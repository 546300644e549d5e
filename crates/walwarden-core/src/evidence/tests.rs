//! The texts of a bundle; whole bundles are tried in walwarden-verify.

use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::DateTime;
use proptest::prelude::*;
use uuid::Uuid;

use super::consistency::ConsistencyProof;
use super::log::{EntriesName, pieces, rotation_in};
use super::member::Form;
use super::*;
use crate::audit::event::KeyAction;
use crate::audit::{Entry, Event, Head};
use crate::error::ErrorClass;
use crate::key::SigningKey;
use crate::manifest::Sha256Sum;
use crate::signature::rotation::KeyRotation;

fn arb_member() -> impl Strategy<Value = Member> {
    let form = prop::sample::select(Form::ALL.to_vec());
    let id = "[0-9a-f]{16}";
    prop_oneof![
        prop::sample::select(vec![
            Member::Readme,
            Member::Script,
            Member::About,
            Member::KeyHistory,
            Member::AllowedSigners,
            Member::VerifierKeys,
            Member::Entries,
            Member::Sums,
        ]),
        id.prop_map(Member::Key),
        id.prop_map(Member::MinisignKey),
        any::<u32>().prop_map(Member::Rotation),
        any::<u32>().prop_map(Member::RotationSignature),
        (any::<u128>(), 1..u32::MAX).prop_map(|(job, number)| Member::Manifest(Uuid::from_u128(job), number)),
        (any::<u128>(), 1..u32::MAX, form.clone()).prop_map(|(job, number, form)| Member::ManifestSignature(
            Uuid::from_u128(job),
            number,
            form
        )),
        any::<(u64, u64)>().prop_map(|(epoch, size)| Member::Checkpoint(epoch, size)),
        any::<u64>().prop_map(Member::Inclusion),
        any::<((u64, u64), (u64, u64))>().prop_map(|(from, to)| Member::Consistency(from, to)),
        form.prop_map(Member::SumsSignature),
    ]
}

proptest! {
    #[test]
    fn names_of_members_read_back(member in arb_member()) {
        let name = member.to_string();
        prop_assert_eq!(name.parse::<Member>(), Ok(member));
        let file = name.rsplit('/').next().unwrap();
        prop_assert!(file.len() <= 100, "a name has 100 bytes in a tar file, and its folders 155");
    }

    #[test]
    fn any_text_is_a_name_or_none(name in ".{0,60}", bytes: Vec<u8>) {
        if let Ok(member) = name.parse::<Member>() {
            prop_assert_eq!(member.to_string(), name.clone());
        }
        let _ = ConsistencyProof::parse(&bytes);
        let _ = About::parse(&bytes);
    }

    #[test]
    fn consistency_proofs_read_back(from: (u64, u64), to: (u64, u64), hashes in prop::collection::vec(any::<[u8; 32]>(), 0..65)) {
        let proof = ConsistencyProof { from, to, hashes: hashes.into_iter().map(Sha256Sum).collect() };
        let text = proof.to_text();
        prop_assert_eq!(ConsistencyProof::parse(text.as_bytes()).unwrap(), proof);
        for damaged in [text.replacen('\n', "\n\n", 1), text.replacen("from ", "from 0", 1), text.trim_end().to_owned(), format!("{text}AAAA\n")] {
            prop_assert!(ConsistencyProof::parse(damaged.as_bytes()).is_err());
        }
    }
}

#[test]
fn other_spellings_are_no_names() {
    for name in [
        "",
        ".",
        "..",
        "/README.txt",
        "./README.txt",
        "readme.txt",
        "keys/",
        "keys/../README.txt",
        "keys/0123456789ABCDEF.pem",
        "keys/0123456789abcde.pem",
        "keys/rotation-1.json",
        "manifests/0198a5d2-7c00-7000-8000-000000000001.1.manifest.json",
        "manifests/0198A5D2-7c00-7000-8000-000000000001.manifest.json",
        "manifests/0198a5d2-7c00-7000-8000-000000000001.manifest.json.SIG",
        "checkpoints/1-1",
        "proofs/1.tlog-proof",
        "proofs/+0000000000000000001.tlog-proof",
        "SHA256SUMS.asc",
    ] {
        assert!(name.parse::<Member>().is_err(), "{name}");
    }
}

#[test]
fn what_a_bundle_is_about_reads_back() {
    let at = |micros| DateTime::from_timestamp_micros(micros).unwrap();
    let database = Uuid::from_u128(7);
    for (scope, text) in [
        (Scope::Job(Uuid::from_u128(8)), r#"{"job":"00000000-0000-0000-0000-000000000008"}"#),
        (
            Scope::Time { from: at(0), to: at(1_786_672_800_000_001) },
            r#"{"time":{"from":"1970-01-01T00:00:00.000000Z","to":"2026-08-14T02:00:00.000001Z"}}"#,
        ),
    ] {
        let about = About::new(database, "default", scope, "21fe31dfa154a261".to_owned());
        let expected = format!(
            "{{\"database\":\"{database}\",\"format\":{{\"name\":\"walwarden-evidence\",\"version\":1}},\
             \"key_id\":\"21fe31dfa154a261\",\"organization\":\"default\",\"scope\":{text}}}"
        );
        assert_eq!(about.to_text().unwrap(), expected);
        assert_eq!(About::parse(expected.as_bytes()).unwrap(), about);
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("evidence", "manifest"),
            ("{\"d", "{ \"d"),
            ("\"key_id\"", "\"k\""),
        ] {
            let error = About::parse(expected.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert_eq!(error.class, ErrorClass::Archive);
        }
    }
}

#[test]
fn belief_goes_with_the_statements_and_never_back() {
    let key = |seed: u8| SigningKey::generate([seed; 32]);
    let step = |old: u8, new: u8| {
        let rotation =
            KeyRotation { old: key(old).public(), new: key(new).public(), at: DateTime::UNIX_EPOCH };
        rotation.sign(&key(old)).unwrap()
    };
    let statements = [step(2, 3), step(1, 2), step(3, 1), step(8, 9)];
    let believed = |seed: u8| {
        let mut seeds: Vec<u8> = trusted_with(&[key(seed).public()], &statements)
            .iter()
            .map(|public| (1..10).find(|seed| key(*seed).public() == *public).unwrap())
            .collect();
        seeds.sort_unstable();
        seeds
    };
    assert_eq!(believed(1), [1, 2, 3]);
    assert_eq!(believed(8), [8, 9]);
    assert_eq!(believed(9), [9]);
    assert_eq!(trusted_with(&[key(2).public()], &[step(1, 2)]), [key(2).public()]);
}

#[test]
fn an_entry_tells_of_a_rotation() {
    let key = |seed: u8| SigningKey::generate([seed; 32]);
    let rotation = KeyRotation { old: key(1).public(), new: key(2).public(), at: DateTime::UNIX_EPOCH }
        .sign(&key(1))
        .unwrap();
    let event = |action| Event::Key(action);
    let mut entry = Entry::following(&Head::EMPTY, DateTime::UNIX_EPOCH, 1, event(KeyAction::Rotated), "x");
    entry.detail.insert("statement".to_owned(), rotation.statement.as_str().into());
    entry.detail.insert("signature".to_owned(), BASE64_STANDARD.encode(rotation.signature).into());
    assert_eq!(rotation_in(entry.body().unwrap().as_bytes()), Some(rotation));
    entry.detail.insert("signature".to_owned(), BASE64_STANDARD.encode([0; 64]).into());
    assert_eq!(rotation_in(entry.body().unwrap().as_bytes()), None, "the old key did not sign it");
    entry.event = event(KeyAction::Replaced).to_string();
    assert_eq!(rotation_in(entry.body().unwrap().as_bytes()), None);
    assert_eq!(rotation_in(b""), None);
}

#[test]
fn the_log_of_an_epoch_goes_on_from_the_one_before() {
    let name = |epoch, from, to| EntriesName { epoch, from, to };
    // Set back to 80 after 100; then to 60, before any object of epoch 2.
    let objects = [name(1, 1, 50), name(1, 51, 100), name(2, 51, 90), name(2, 91, 95), name(3, 51, 70)];
    assert_eq!(pieces(&objects, 1), [(name(1, 1, 50), 50), (name(1, 51, 100), 100)]);
    assert_eq!(pieces(&objects, 2), [(name(1, 1, 50), 50), (name(2, 51, 90), 90), (name(2, 91, 95), 95)]);
    assert_eq!(pieces(&objects, 3), [(name(1, 1, 50), 50), (name(3, 51, 70), 70)]);
    // In the middle of an object.
    let objects = [name(1, 1, 50), name(1, 51, 100), name(4, 81, 90)];
    assert_eq!(pieces(&objects, 4), [(name(1, 1, 50), 50), (name(1, 51, 100), 80), (name(4, 81, 90), 90)]);
    assert_eq!(pieces(&objects, 5), pieces(&objects, 4), "an epoch without objects of its own");
    assert_eq!(pieces(&[], 1), []);
}
