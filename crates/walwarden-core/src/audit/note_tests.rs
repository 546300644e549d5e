//! Notes and checkpoints: the example of the specification, what is written reads back, and hostile ones.

use proptest::prelude::*;
use uuid::Uuid;

use super::note::*;
use super::*;
use crate::error::ErrorClass;
use crate::key::{PublicKey, SigningKey};
use crate::manifest::Sha256Sum;

/// The example of c2sp.org/signed-note, with its verifier key.
const EXAMPLE: &str = "This is an example message.\n\n\
    \u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
const EXAMPLE_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

fn key(number: u8) -> SigningKey {
    SigningKey::generate([number; 32])
}

fn checkpoint() -> Checkpoint {
    let database = Uuid::from_u128(0x0198_a5d2_7c00_7000_8000_0000_0000_0001);
    Checkpoint { database, epoch: 1, size: 4711, root: leaf_hash(b"root") }
}

fn note() -> String {
    sign(&checkpoint().to_text(), KEY_NAME, &key(1)).unwrap().to_text()
}

#[test]
fn the_example_of_the_specification() {
    let note = SignedNote::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(note.text, "This is an example message.\n");
    assert_eq!(note.to_text(), EXAMPLE);
    let raw = hex::decode("e932791ae6e7a840a46164c904786426d5e7821dd8b29a00d61cae72afdd4da4").unwrap();
    let key = PublicKey::from_bytes(&raw.try_into().unwrap()).unwrap();
    let [line] = &note.signatures[..] else { panic!("one signature") };
    assert_eq!(line.key_hash, key_hash("example.com/foo", &key));
    assert_eq!(verifier_key("example.com/foo", &key), EXAMPLE_KEY);
    key.verify_strict(note.text.as_bytes(), &line.signature).unwrap();
}

#[test]
fn the_bytes_of_a_checkpoint() {
    // A change here is a change of the format: checkpoints in storage must stay readable.
    let text = "walwarden/0198a5d2-7c00-7000-8000-000000000001/1\n4711\n\
                PAb5plclr2BSYfY2ZyyWINQJcx2JpFHXRV/pxK4WeCk=\n";
    let root = "3c06f9a65725af605261f636672c9620d409731d89a451d7455fe9c4ae167829";
    assert_eq!(checkpoint().root.to_string(), root, "printf '\\0root' | sha256sum");
    assert_eq!(checkpoint().to_text(), text);
    assert_eq!(Checkpoint::parse(text).unwrap(), checkpoint());
    let note = SignedNote::parse(note().as_bytes()).unwrap();
    assert_eq!(note.text, text);
    assert_eq!(note.signatures[0].name, "walwarden");
    assert_eq!(note.verify(&[key(2).public(), key(1).public()]).unwrap(), &key(1).public());
}

#[test]
fn a_signature_made_elsewhere() {
    let text = checkpoint().to_text();
    let signature = key(1).sign(text.as_bytes());
    let note = compose(&text, KEY_NAME, &key(1).public(), signature).unwrap();
    assert_eq!(note, sign(&text, KEY_NAME, &key(1)).unwrap());
    // Whether it is right is seen when it is verified.
    let wrong = compose(&text, KEY_NAME, &key(2).public(), signature).unwrap();
    assert_eq!(wrong.verify(&[key(2).public()]).unwrap_err().class, ErrorClass::StorageCorrupt);
}

#[test]
fn what_has_no_place_in_a_note_is_not_written() {
    for (text, name) in [
        ("", KEY_NAME),
        ("no newline", KEY_NAME),
        ("tab\there\n", KEY_NAME),
        ("carriage return\r\n", KEY_NAME),
        ("nul\0\n", KEY_NAME),
        (&format!("{}\n", "x".repeat(MAX_LENGTH)), KEY_NAME),
        ("text\n", ""),
        ("text\n", "two words"),
        ("text\n", "no\u{a0}break"),
        ("text\n", "a+b"),
        ("text\n", "a\nb"),
    ] {
        assert_eq!(sign(text, name, &key(1)).unwrap_err().class, ErrorClass::Internal, "{text:.20} {name}");
    }
    let odd = "\n\n\u{2014} walwarden AAAAAAA=\n\n";
    let note = sign(odd, KEY_NAME, &key(1)).unwrap();
    let again = SignedNote::parse(note.to_text().as_bytes()).unwrap();
    assert_eq!(again, note, "text may look like anything");
    again.verify(&[key(1).public()]).unwrap();
}

#[test]
fn unknown_signers_are_passed_over_and_known_ones_must_be_right() {
    let text = checkpoint().to_text();
    let line = |number| sign(&text, KEY_NAME, &key(number)).unwrap().signatures.remove(0);
    let witness =
        NoteSignature { name: "witness.example".to_owned(), key_hash: [1; 4], signature: vec![9; 72] };
    let mut note = SignedNote { text: text.clone(), signatures: vec![witness, line(2), line(3), line(1)] };
    let keys = [key(1).public(), key(3).public()];
    assert_eq!(note.verify(&keys).unwrap(), &key(3).public(), "the first of the lines");
    assert_eq!(SignedNote::parse(note.to_text().as_bytes()).unwrap(), note);

    // Another name is another key.
    let foreign = sign(&text, "walwarden.example", &key(1)).unwrap();
    assert_eq!(foreign.verify(&keys).unwrap_err().class, ErrorClass::Key);
    assert_eq!(note.verify(&[]).unwrap_err().class, ErrorClass::Key);
    assert_eq!(note.verify(&[key(4).public()]).unwrap_err().class, ErrorClass::Key);

    // One bad line of a known key, and no good line helps.
    note.signatures[3].signature[10] ^= 1;
    assert_eq!(note.verify(&keys).unwrap_err().class, ErrorClass::StorageCorrupt);
    note.verify(&[key(3).public()]).unwrap();
    note.signatures[3].signature = vec![1];
    assert_eq!(note.verify(&keys).unwrap_err().class, ErrorClass::StorageCorrupt);
}

#[test]
fn sixteen_signatures_are_read_and_seventeen_are_not() {
    let text = checkpoint().to_text();
    let lines: String = (1..=17)
        .map(|number| {
            let note = sign(&text, KEY_NAME, &key(number)).unwrap().to_text();
            note[text.len() + 1..].to_owned()
        })
        .collect();
    let all = format!("{text}\n{lines}");
    let why = SignedNote::parse(all.as_bytes()).unwrap_err().detail.unwrap();
    assert!(why.contains("more than 16"), "{why}");
    let sixteen = all.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    let note = SignedNote::parse(sixteen.as_bytes()).unwrap();
    assert_eq!(note.signatures.len(), 16);
    assert_eq!(note.verify(&[key(16).public()]).unwrap(), &key(16).public());
    let flood = format!("{text}\n{}", lines.repeat(500));
    assert!(SignedNote::parse(flood.as_bytes()).is_err());
}

#[test]
fn hostile_notes_are_refused() {
    let note = note();
    let line = note.rsplit_once("\n\n").unwrap().1.to_owned();
    let encoded = line.trim_end().rsplit_once(' ').unwrap().1.to_owned();
    let last = encoded.len() - 2;
    let after_last = char::from(encoded.as_bytes()[last] + 1);
    for (from, to) in [
        ("\n\n", "\n"),
        ("\n\n", "\r\n\r\n"),
        ("4711", "47\t11"),
        ("4711", "47\u{1}11"),
        ("4711", "47\x0011"),
        (&line, ""),
        (&line, "\n"),
        (&line, line.trim_end()),
        (&line, &format!("{line}\n")),
        (&line, &format!("{line} ")),
        (&line, &format!("{line}{line}")),
        (&line, &format!("{line}{line}{line}")),
        (&line, &line.replace('\n', "\r\n")),
        (&line, &format!("{line}unsigned words\n")),
        ("\u{2014} ", "- "),
        ("\u{2014} ", "\u{2014}"),
        ("\u{2014} ", "\u{2014}  "),
        ("\u{2014} ", "\u{2013} "),
        ("\u{2014} ", "\u{feff}\u{2014} "),
        ("\u{2014} walwarden ", "\u{2014} "),
        ("\u{2014} walwarden ", "\u{2014} wal+warden "),
        ("\u{2014} walwarden ", "\u{2014} wal\u{2003}warden "),
        ("\u{2014} walwarden ", "\u{2014} walwarden  "),
        ("\u{2014} walwarden ", "\u{2014} walwarden\u{7f} "),
        (&encoded, ""),
        (&encoded, "AAAA"),
        (&encoded, "AAAAAA=="),
        (&encoded, "!"),
        (&encoded, &encoded[1..]),
        (&encoded, encoded.trim_end_matches('=')),
        (&encoded, &format!("{encoded}=")),
        (&encoded, &format!("{encoded} ")),
        (&encoded, &format!("{encoded} more")),
        // The last digit carries bits that no byte has.
        (&encoded, &format!("{}{after_last}=", &encoded[..last])),
    ] {
        assert!(note.contains(from), "{from:?}");
        let hostile = note.replacen(from, to, 1);
        assert_ne!(hostile, note, "{from:?} -> {to:?}");
        let error = SignedNote::parse(hostile.as_bytes()).err();
        assert_eq!(error.map(|error| error.class), Some(ErrorClass::Archive), "{from:?} -> {to:?}");
    }
    for hostile in [&b""[..], b"\n", b"\n\n", b"\n\n\n", b"\0", b"\xff\xfe", b"text\n", b"\xe2\x80\x94"] {
        assert_eq!(SignedNote::parse(hostile).unwrap_err().class, ErrorClass::Archive);
    }
    let mut latin = note.clone().into_bytes();
    latin[0] = 0xe9;
    assert_eq!(SignedNote::parse(&latin).unwrap_err().class, ErrorClass::Archive);
    let huge = format!("{}\n{note}", "x".repeat(MAX_LENGTH));
    let why = SignedNote::parse(huge.as_bytes()).unwrap_err().detail.unwrap();
    assert!(why.contains("too long"), "{why}");
}

#[test]
fn every_flipped_bit_of_a_note_is_found() {
    let note = note();
    for at in 0..note.len() * 8 {
        let mut bytes = note.clone().into_bytes();
        bytes[at / 8] ^= 1 << (at % 8);
        let sound = SignedNote::parse(&bytes).and_then(|note| note.verify(&[key(1).public()]).map(|_| ()));
        assert!(sound.is_err(), "bit {at}");
    }
}

#[test]
fn hostile_checkpoints_are_refused() {
    let text = checkpoint().to_text();
    let root = text.lines().nth(2).unwrap().to_owned();
    for (from, to) in [
        ("walwarden/", "walwarden//"),
        ("walwarden/", "Walwarden/"),
        ("walwarden/", "\u{feff}walwarden/"),
        ("walwarden/", " walwarden/"),
        ("walwarden/", "/"),
        ("0198a5d2-", "0198A5D2-"),
        ("0198a5d2-", "0198a5d2"),
        ("0198a5d2-", "{0198a5d2-"),
        ("0198a5d2-7c00-7000-8000-000000000001", ""),
        ("/1\n", "\n"),
        ("/1\n", "/\n"),
        ("/1\n", "/01\n"),
        ("/1\n", "/+1\n"),
        ("/1\n", "/-1\n"),
        ("/1\n", "/1/2\n"),
        ("/1\n", "/1 \n"),
        ("/1\n", "/18446744073709551616\n"),
        ("/1\n", "/1\r\n"),
        ("\n4711\n", "\n"),
        ("4711", ""),
        ("4711", "04711"),
        ("4711", "+4711"),
        ("4711", "-4711"),
        ("4711", "4711.0"),
        ("4711", "4e3"),
        ("4711", "0x10"),
        ("4711", " 4711"),
        ("4711", "\u{664}\u{667}"),
        ("4711", "18446744073709551616"),
        (&root, ""),
        (&root, "AAAA"),
        (&root, &root.replace('=', "")),
        (&root, &root.replace('=', "==")),
        (&root, &root.replace("Ck=", "Cl=")),
        (&root, &root.replace('/', "_")),
        (&root, &format!("{root}\nextension")),
        (&root, &format!("{root}\n")),
        (&root, &format!("AAAA{root}")),
        (&format!("{root}\n"), &root),
    ] {
        assert!(text.contains(from), "{from:?}");
        let hostile = text.replacen(from, to, 1);
        assert_ne!(hostile, text, "{from:?} -> {to:?}");
        let error = Checkpoint::parse(&hostile).err();
        assert_eq!(error.map(|error| error.class), Some(ErrorClass::Archive), "{from:?} -> {to:?}");
    }
    for hostile in ["", "\n", "\n\n\n", "walwarden/\n", "\0"] {
        assert_eq!(Checkpoint::parse(hostile).unwrap_err().class, ErrorClass::Archive);
    }
}

proptest! {
    #[test]
    fn checkpoints_read_back(database: u128, epoch: u64, size: u64, root: [u8; 32], seed: [u8; 32]) {
        let checkpoint = Checkpoint { database: Uuid::from_u128(database), epoch, size, root: Sha256Sum(root) };
        let key = SigningKey::generate(seed);
        let note = sign(&checkpoint.to_text(), KEY_NAME, &key).unwrap();
        let again = SignedNote::parse(note.to_text().as_bytes()).unwrap();
        again.verify(&[key.public()]).unwrap();
        prop_assert_eq!(Checkpoint::parse(&again.text).unwrap(), checkpoint);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes: Vec<u8>, text in "([a-z/0-9]{0,9}\n|\n|\u{2014} [a-z+]{0,5} ?[A-Za-z0-9+/=]{0,16}\n?){0,8}",
    ) {
        let _ = SignedNote::parse(&bytes);
        let _ = Checkpoint::parse(&text);
        if let Ok(note) = SignedNote::parse(text.as_bytes()) {
            prop_assert_eq!(note.to_text(), text);
        }
    }
}
