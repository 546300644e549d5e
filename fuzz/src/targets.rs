//! What is tried.

use chrono::DateTime;
use walwarden_core::archive::{
    ArchiveReader, BlockStart, Compression, CopyRows, leave_out_extension, rename_database, statement,
    wait_for_descendants,
};
use walwarden_core::audit::note::{KEY_NAME, key_hash};
use walwarden_core::audit::{AuditObject, Checkpoint, Entry, SignedNote, TlogProof, leaf_hash};
use walwarden_core::copy_text::{Alignment, Attribute, Element, Kind, Length, Server, Tuple, Varlena};
use walwarden_core::discovery::ManifestKey;
use walwarden_core::error::Result;
use walwarden_core::evidence::consistency::ConsistencyProof;
use walwarden_core::evidence::log::rotation_in;
use walwarden_core::evidence::{About, Collected, Member, examine};
use walwarden_core::filter::Filter;
use walwarden_core::globals::without_meta_commands;
use walwarden_core::key::{PublicKey, SigningKey};
use walwarden_core::manifest::{self, Sha256Sum, canonical, timestamp};
use walwarden_core::message::{CopierMessage, LeaderMessage};
use walwarden_core::schedule::Cron;
use walwarden_core::signature::rotation::SignedRotation;
use walwarden_core::signature::signer_setting::{self, SignerSetting};
use walwarden_core::signature::{agent, check};
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{Location, StorageOptions};

/// A name, and what is called with any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// No decompressed block takes more memory here.
const LARGEST_BLOCK: usize = 1 << 22;

/// Every target.
pub const fn all() -> &'static [Target] {
    &[
        ("manifest", manifest),
        ("canonical_json", canonical_json),
        ("entry", entry),
        ("note", note),
        ("checkpoint", checkpoint),
        ("tlog_proof", tlog_proof),
        ("evidence", evidence),
        ("names", names),
        ("key_pem", key_pem),
        ("signatures", signatures),
        ("signer", signer),
        ("rotation", rotation),
        ("cron", cron),
        ("patterns", patterns),
        ("archive", archive),
        ("copy_rows", copy_rows),
        ("copy_text", copy_text),
        ("statement", copy_statement),
        ("messages", messages),
        ("compression", compression),
        ("globals", globals),
        ("storage", storage),
        ("webhook", webhook),
    ]
}

/// Calls the target of this name; the programs of cargo-fuzz do.
pub fn run(name: &str, data: &[u8]) {
    let target = all().iter().find(|(known, _)| *known == name);
    assert!(target.is_some(), "there is no target {name}");
    if let Some((_, call)) = target {
        call(data);
    }
}

fn text(data: &[u8], call: impl FnOnce(&str)) {
    if let Ok(text) = str::from_utf8(data) {
        call(text);
    }
}

/// The first line of some text, and the rest.
fn two_texts(data: &[u8], call: impl FnOnce(&str, &str)) {
    text(data, |text| {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        call(first, rest);
    });
}

fn manifest(data: &[u8]) {
    if let Ok(read) = manifest::parse(data) {
        // Fields of newer versions are passed over, so only what has none comes out the same.
        let written = manifest::to_canonical_bytes(&read);
        assert!(written.is_ok_and(|written| manifest::parse(&written).is_ok_and(|again| again == read)));
    }
}

fn canonical_json(data: &[u8]) {
    if let Ok(value) = canonical::decode(data) {
        assert!(canonical::encode(&value).is_ok_and(|text| text.as_bytes() == data));
    }
    text(data, |text| {
        if let Some(time) = timestamp::parse(text) {
            assert_eq!(timestamp::format(time), text);
        }
        if let Ok(sum) = text.parse::<Sha256Sum>() {
            assert_eq!(sum.to_string(), text);
        }
    });
}

fn entry(data: &[u8]) {
    let _ = rotation_in(data);
    if let Ok(entry) = Entry::from_body(data)
        && let Ok(sealed) = entry.seal()
    {
        assert_eq!((sealed.body.as_bytes(), sealed.hash), (data, leaf_hash(data)));
    }
}

fn note(data: &[u8]) {
    let key = SigningKey::generate([7; 32]).public();
    if let Ok(note) = SignedNote::parse(data) {
        assert_eq!(note.to_text().as_bytes(), data);
        let named = note
            .signatures
            .iter()
            .any(|line| line.name == KEY_NAME && line.key_hash == key_hash(KEY_NAME, &key));
        assert!(note.verify(&[key]).is_err() || named);
    }
}

fn checkpoint(data: &[u8]) {
    text(data, |text| {
        if let Ok(checkpoint) = Checkpoint::parse(text) {
            assert_eq!(checkpoint.to_text(), text);
        }
    });
}

fn tlog_proof(data: &[u8]) {
    if let Ok(proof) = TlogProof::parse(data) {
        assert_eq!(proof.to_text().as_bytes(), data);
        // The checkpoint in it is signed by nobody that is known here.
        assert!(proof.verify(leaf_hash(data), &[]).is_err());
    }
}

/// Files of a bundle one after the other, each a line with its name, one with its length, and its bytes.
fn evidence(data: &[u8]) {
    let mut collected = Collected::new();
    let mut rest = data;
    while let Some((name, behind)) = line(rest) {
        let Some((length, behind)) = line(behind) else { break };
        let length = str::from_utf8(length).ok().and_then(|length| length.parse().ok()).unwrap_or(0_usize);
        let (bytes, behind) = behind.split_at(length.min(behind.len()));
        rest = behind;
        match str::from_utf8(name) {
            Ok(name) if name == Member::Entries.to_string() => {
                bytes.chunks(7).for_each(|chunk| collected.entries(chunk));
                collected.end_of_entries();
            }
            Ok(name) => collected.file(name, bytes.to_vec()),
            Err(_) => collected.foreign("not UTF-8", "no name"),
        }
    }
    let unknown = SigningKey::generate([9; 32]).public();
    assert!(!examine(collected, &[unknown]).problems.is_empty(), "nobody who is believed signed it");
    for proof in
        [ConsistencyProof::parse(data).map(|proof| proof.to_text()), about(data)].into_iter().flatten()
    {
        assert_eq!(proof.as_bytes(), data);
    }
}

fn about(data: &[u8]) -> Result<String> {
    About::parse(data)?.to_text()
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn names(data: &[u8]) {
    text(data, |text| {
        if let Ok(member) = text.parse::<Member>() {
            assert_eq!(member.to_string(), text);
        }
        if let Some(name) = AuditObject::parse(text) {
            assert_eq!(name.to_string(), text);
        }
        let _ = ManifestKey::parse(text);
    });
}

fn key_pem(data: &[u8]) {
    text(data, |text| {
        if let Ok(key) = PublicKey::from_pem(text) {
            assert!(key.to_pem().and_then(|pem| PublicKey::from_pem(&pem)).is_ok_and(|again| again == key));
        }
        if let Ok(key) = SigningKey::from_pem(text) {
            let again = key.to_pem().and_then(|pem| SigningKey::from_pem(&pem));
            assert!(again.is_ok_and(|again| again.public() == key.public()));
        }
    });
    if let Some((raw, _)) = data.split_first_chunk::<32>() {
        let _ = PublicKey::from_bytes(raw);
    }
}

fn signatures(data: &[u8]) {
    let keys = [SigningKey::generate([7; 32]).public()];
    let _ = check::minisign(data, b"message", &keys);
    let _ = check::sshsig(data, b"message", &keys);
    let _ = keys[0].verify_strict(b"message", data);
}

fn signer(data: &[u8]) {
    let _ = agent::keys(data);
    let _ = agent::signature(data);
    let _ = signer_setting::signature_of_output(data);
    text(data, |text| {
        let _ = SignerSetting::parse(text);
        let _ = signer_setting::excerpt(text);
    });
}

fn rotation(data: &[u8]) {
    let (statement, signature) = data.split_at(data.len().saturating_sub(64));
    if let Ok(read) = SignedRotation::read(statement, signature) {
        assert_eq!(read.statement.as_bytes(), statement);
    }
}

fn cron(data: &[u8]) {
    two_texts(data, |expression, zone| {
        let zone = if zone.is_empty() { "UTC" } else { zone };
        if let Ok(schedule) = Cron::parse(expression, zone) {
            let start = DateTime::UNIX_EPOCH;
            let next = schedule.next_after(start);
            assert!(next.is_none_or(|next| next > start), "{expression:?} {zone:?}");
        }
    });
}

fn patterns(data: &[u8]) {
    if let Ok(filter) = serde_json::from_slice::<Filter>(data) {
        let _ = filter.patterns();
        if filter.validate().is_ok() {
            let _ = filter.pg_dump_arguments();
        }
    }
    text(data, |pattern| {
        let filter = Filter {
            tables: vec![pattern.to_owned()],
            schemas: vec![pattern.to_owned()],
            ..Filter::default()
        };
        let _ = filter.patterns();
        let _ = filter.validate();
    });
}

fn archive(data: &[u8]) {
    let _ = read_archive(data);
}

fn read_archive(data: &[u8]) -> Result<()> {
    let mut reader = ArchiveReader::new(data);
    let mut toc = reader.read_toc()?;
    let again = ArchiveReader::new(&toc.encode()[..]).read_toc();
    assert!(again.is_ok_and(|again| again == toc), "a table of contents reads back");
    let _ = toc.rows_of_extensions();
    let _ = toc.without_table_data();
    let _ = toc.table(b"public", b"t");
    leave_out_extension(&mut toc, b"walwarden");
    wait_for_descendants(&mut toc);
    rename_database(&mut toc, b"other");
    while let Some(block) = reader.next_block()? {
        match block {
            BlockStart::TableData { .. } => drop(reader.plaintext()?.read_all(LARGEST_BLOCK)?),
            BlockStart::LargeObjects { .. } => {
                while reader.next_large_object()?.is_some() {
                    drop(reader.plaintext()?.read_all(LARGEST_BLOCK)?);
                }
            }
        }
    }
    Ok(())
}

fn copy_rows(data: &[u8]) {
    let (columns, mut rest) =
        data.split_first().map_or((0, data), |(columns, rest)| (usize::from(columns % 8), rest));
    let mut rows = CopyRows::new(columns, |buffer| {
        let count = rest.len().min(buffer.len()).min(13);
        let (now, later) = rest.split_at(count);
        buffer[..count].copy_from_slice(now);
        rest = later;
        Ok(count)
    });
    while let Ok(Some(row)) = rows.next_row() {
        assert_eq!(row.len(), columns);
        assert_eq!(row.iter().count(), columns);
    }
}

/// A server that knows nothing but one time zone.
struct NoServer;

impl Server for NoServer {
    fn float4(&mut self, value: f32, text: &mut Vec<u8>) {
        text.extend_from_slice(value.to_string().as_bytes());
    }

    fn float8(&mut self, value: f64, text: &mut Vec<u8>) {
        text.extend_from_slice(value.to_string().as_bytes());
    }

    fn label(&mut self, _value: u32) -> Option<&[u8]> {
        None
    }

    fn utc_offset(&mut self, _time: i64) -> Option<i32> {
        Some(-34_200)
    }
}

/// A tuple, and its values as if they were of each type. What is written is one field: nothing in it ends a field or a row.
fn copy_text(data: &[u8]) {
    let element = |kind, length| {
        Kind::Array(Box::new(Element { kind, oid: 23, length, alignment: Alignment::Int, delimiter: b',' }))
    };
    let kinds = [
        Kind::Int4,
        Kind::Int8,
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
        Kind::Jsonb,
        Kind::Inet,
        Kind::Cidr,
        Kind::Enum,
        element(Kind::Int4, Length::Fixed(4)),
        element(Kind::Text, Length::Varlena),
        element(Kind::Jsonb, Length::Varlena),
    ];
    let mut values = vec![data];
    if let Some(mut tuple) = Tuple::of(data) {
        for length in [Length::Fixed(4), Length::Varlena, Length::Fixed(8), Length::CString, Length::Varlena]
        {
            let Some(value) = tuple.next(Attribute { length, alignment: Alignment::Int }) else { break };
            if let Some(Varlena::Plain(inner)) = value.and_then(Varlena::of) {
                values.push(inner);
            }
            values.extend(value);
        }
    }
    for value in values {
        for kind in &kinds {
            let mut text = Vec::new();
            if kind.write_field(value, &mut NoServer, &mut text).is_some() {
                assert!(!text.iter().any(|byte| matches!(byte, 0 | b'\t' | b'\n' | b'\r')));
            }
        }
    }
}

fn copy_statement(data: &[u8]) {
    let _ = statement::columns_of(data);
    let _ = statement::is_of_a_whole_table(data);
    let _ = statement::statement_from_block("secret", data);
    let block = statement::statement_row("secret", data);
    let _ = statement::statement_from_block("secret", &block);
}

fn messages(data: &[u8]) {
    if let Ok(message) = CopierMessage::decode(data) {
        assert!(
            message
                .encode()
                .is_ok_and(|bytes| CopierMessage::decode(&bytes).is_ok_and(|again| again == message))
        );
    }
    if let Ok(message) = LeaderMessage::decode(data) {
        assert!(
            message
                .encode()
                .is_ok_and(|bytes| LeaderMessage::decode(&bytes).is_ok_and(|again| again == message))
        );
    }
}

fn compression(data: &[u8]) {
    text(data, |text| {
        if let Ok(compression) = Compression::parse(text) {
            assert_eq!(Compression::parse(&compression.name()), Ok(compression));
        }
    });
}

fn globals(data: &[u8]) {
    text(data, |script| {
        let kept = without_meta_commands(script);
        let said = |text: &str| text.lines().filter(|line| !line.is_empty()).count();
        assert!(said(&kept) + 2 >= said(script), "two lines go at most");
    });
}

fn storage(data: &[u8]) {
    two_texts(data, |url, options| {
        if let Ok(location) = Location::parse(url)
            && let Ok(options) = serde_json::from_str(if options.is_empty() { "null" } else { options })
        {
            let _ = StorageOptions::parse(&location, &options);
        }
    });
}

fn webhook(data: &[u8]) {
    two_texts(data, |url, allowed| {
        let _ = walwarden_alert::target::Target::parse(url);
        let _ = walwarden_alert::target::Target::parse_public(url);
        let _ = AllowList::parse(Purpose::Webhook, allowed);
        let _ = AllowList::parse(Purpose::Storage, allowed);
    });
}
