//! What the targets begin with: one or more inputs that they read, to be damaged.

use walwarden_core::audit::note::{KEY_NAME, sign};
use walwarden_core::audit::proof::Levels;
use walwarden_core::audit::{Checkpoint, TlogProof, leaf_hash};
use walwarden_core::error::Result;
use walwarden_core::key::SigningKey;
use walwarden_core::manifest;
use walwarden_core::message::LeaderMessage;
use walwarden_core::signature::rotation::KeyRotation;
use walwarden_core::signature::{minisign, sshsig};

const MANIFEST: &[u8] = include_bytes!("../../crates/walwarden-core/src/manifest/golden/manifest-v1.json");
const ARCHIVES: [&[u8]; 3] = [
    include_bytes!("../../crates/walwarden-core/tests/fixtures/pg15-gzip.dump"),
    include_bytes!("../../crates/walwarden-core/tests/fixtures/pg18-lz4.dump"),
    include_bytes!("../../crates/walwarden-core/tests/fixtures/pg18-zstd.dump"),
];
const ENTRY: &str = concat!(
    r#"{"actor":"walwarden leader","at":"2026-08-14T02:00:12.345678Z","#,
    r#""detail":{"size_bytes":9000000,"storage":"s3-main","verified":true},"epoch":1,"event":"backup.completed","#,
    r#""job":"0198a5d2-7c00-7000-8000-000000000001","#,
    r#""prev":"2f4cb6916fa42005660d363b5da123f6afda6e64f0297462c1e61352215d5ac9","seq":42}"#,
);

/// The seeds of a target; none where it has no better begin than nothing.
///
/// # Errors
/// When one of them cannot be made.
pub fn seeds(target: &str) -> Result<Vec<Vec<u8>>> {
    let key = SigningKey::generate([7; 32]);
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let database = manifest::parse(MANIFEST)?.database.id;
    let tree = Levels::new((0..7_u8).map(|number| leaf_hash(&[number])));
    let checkpoint = Checkpoint { database, epoch: 1, size: 7, root: tree.root(7)? };
    let note = sign(&checkpoint.to_text(), KEY_NAME, &key)?;
    let proof = TlogProof { extra: None, index: 3, hashes: tree.inclusion(3, 7)?, checkpoint: note.clone() };
    Ok(match target {
        "manifest" => vec![MANIFEST.to_vec()],
        "canonical_json" => {
            let times = texts(&["2026-08-14T02:00:12.345678Z", r#"{"a":[1,true,"é"],"b":{}}"#]);
            [vec![MANIFEST.to_vec()], times].concat()
        }
        "entry" => texts(&[ENTRY]),
        "note" => vec![note.to_text().into_bytes()],
        "checkpoint" => vec![note.text.into_bytes()],
        "tlog_proof" => vec![proof.to_text().into_bytes()],
        "evidence" => {
            let files = [
                ("keys/history".to_owned(), format!("{}\n", key.public().key_id())),
                (format!("keys/{}.pem", key.public().key_id()), key.public().to_pem()?),
                ("entries.jsonl".to_owned(), format!("{ENTRY}\n")),
                (format!("checkpoints/{:010}-{:020}", 1, 7), note.to_text()),
                (format!("proofs/{:020}.tlog-proof", 4), proof.to_text()),
            ];
            let text: String =
                files.iter().map(|(name, text)| format!("{name}\n{}\n{text}", text.len())).collect();
            let consistency = "walwarden/consistency-proof@v1\nfrom 1 4\nto 1 4\n".to_owned();
            vec![text.into_bytes(), consistency.into_bytes()]
        }
        "names" => texts(&[
            "keys/0123456789abcdef.pem",
            "manifests/0198a5d2-7c00-7000-8000-000000000001.2.manifest.json.minisig",
            "proofs/00000000000000000004.tlog-proof",
            "audit/entries/0000000001/00000000000000000001-00000000000000000042.jsonl",
            "org/default/db/0198a5d2-7c00-7000-8000-000000000001/backup/2026/08/14/0198a5d2-7c00-7000-8000-000000000001.manifest.json",
        ]),
        "key_pem" => vec![key.to_pem()?.as_bytes().to_vec(), key.public().to_pem()?.into_bytes()],
        "signatures" => {
            let message = b"message";
            let minisig = minisign::signature_file(&key, &key.sign(message), "comment")?;
            let sshsig = sshsig::signature_file(&key, message)?;
            vec![minisig.into_bytes(), sshsig.into_bytes(), key.sign(message).to_vec()]
        }
        "signer" => {
            let list = b"\x0c\0\0\0\x01\0\0\0\x33\0\0\0\x0bssh-ed25519\0\0\0\x20";
            let answer = [&list[..], &key.public().to_bytes(), b"\0\0\0\x01x"].concat();
            [
                vec![answer, key.sign(b"message").to_vec()],
                texts(&["unix:/run/agent 0123456789abcdef", "command:/bin/sign a b"]),
            ]
            .concat()
        }
        "rotation" => {
            let new = SigningKey::generate([8; 32]).public();
            let at = chrono::DateTime::UNIX_EPOCH;
            let signed = KeyRotation { old: key.public(), new, at }.sign(&key)?;
            vec![[signed.statement.as_bytes(), &signed.signature].concat()]
        }
        "cron" => texts(&[
            "*/15 2-4 1,15 * MON-FRI\nEurope/Berlin",
            "@daily\nUTC",
            "every 90 minutes\nAsia/Kolkata",
            "H 2 * * *",
        ]),
        "patterns" => texts(&[
            "public.*",
            "\"Odd\"\"name\".t?[a-z]*|x",
            r#"{"schemas":["a*"],"exclude_tables":["b.c"]}"#,
        ]),
        "archive" => ARCHIVES.iter().map(|archive| archive.to_vec()).collect(),
        "copy_rows" => texts(&["\u{2}1\ta\\tb\n\\N\t\\x41\n\\.\n"]),
        // A numeric, an array of two numbers, a document, and a tuple of a number and a text.
        "copy_text" => vec![
            b"\x81\x80\x0c\x00\x22\x0d".to_vec(),
            b"\x01\0\0\0\0\0\0\0\x17\0\0\0\x02\0\0\0\x01\0\0\0\x05\0\0\0\x06\0\0\0".to_vec(),
            b"\x01\0\0\x20\x01\0\0\x80\x01\0\0\0ab".to_vec(),
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\x02\x08\x18\0\x07\0\0\0\x09abc".to_vec(),
        ],
        "statement" => {
            texts(&["COPY public.t (a, \"b\"\"c\") TO stdout;", "COPY public.t (a) FROM stdin;\n"])
        }
        "messages" => vec![
            LeaderMessage::Done.encode()?,
            b"\x01\x01".to_vec(),
            b"\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
        ],
        "compression" => texts(&["zstd:3", "gzip:6", "none", "lz4"]),
        "globals" => texts(&["\\restrict abc\nCREATE ROLE a;\n\\unrestrict abc\n"]),
        "storage" => texts(&[
            "s3://bucket/prefix\n{\"region\":\"eu-central-1\",\"part_size\":\"16MB\"}",
            "file:///var/backups\n{}",
            "az://account/container\n{}",
            "gs://bucket\n{}",
        ]),
        "webhook" => {
            texts(&["https://hooks.example/x?y=z\n*.example, 10.0.0.0/8", "http://[::1]:8080/\n::1/128"])
        }
        _ => Vec::new(),
    })
}
