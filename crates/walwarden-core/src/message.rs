//! What a leader and its copiers, or loaders, tell each other, as byte messages over a queue that keeps their bounds.
//!
//! A message is a tag byte and its fields, little-endian, texts behind their length. Both ends are normally
//! the same library, but not if it was replaced while the job ran: the first message of either side carries
//! the version of this encoding.

use crate::archive::wire::{WireReader, put_bytes, put_optional_text};
use crate::archive::{Algorithm, Compression, LoadPlan, PiecePlan, PieceSummary, TableLoad, TableSize};
use crate::encoder::Encoder;
use crate::error::{Error, ErrorClass, Result};
use crate::examination::Examination;
use crate::filter::Filter;

/// Version of the messages' encoding.
const VERSION: u8 = 5;

const TAG_SNAPSHOT_READY: u8 = b'S';
const TAG_PIECE_BYTES: u8 = b'B';
const TAG_PIECE_END: u8 = b'E';
const TAG_FINISHED: u8 = b'F';
const TAG_FAILED: u8 = b'X';
const TAG_LOCK: u8 = b'K';
const TAG_PLAN: u8 = b'P';
const TAG_LOAD: u8 = b'L';
const TAG_DONE: u8 = b'D';
const TAG_EXAMINE: u8 = b'T';
const TAG_ANSWER: u8 = b'A';

/// Bytes in front of the payload of [`CopierMessage::PieceBytes`].
pub const PIECE_BYTES_HEADER_LEN: usize = 5;

/// The header of a [`CopierMessage::PieceBytes`], to begin a buffer with: the encoder writes behind it, and nothing is
/// copied to send it.
pub const fn piece_bytes_header(piece: u32) -> [u8; PIECE_BYTES_HEADER_LEN] {
    let [a, b, c, d] = piece.to_le_bytes();
    [TAG_PIECE_BYTES, a, b, c, d]
}

/// From a copier to the leader. A loader has but its last two, an examiner its last three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopierMessage<'a> {
    /// A snapshot was taken and exported; it lives as long as the first copier's transaction.
    SnapshotReady {
        /// Its name, for SET TRANSACTION SNAPSHOT and `pg_dump --snapshot`.
        snapshot: String,
        /// The write-ahead log's insert position when it was taken.
        lsn: u64,
        /// When it was taken: microseconds since 1970-01-01 00:00 UTC.
        taken_at_micros: i64,
        /// The tables that may be cut, as large as they are since the snapshot.
        sizes: Vec<TableSize>,
        /// The oids of the tables whose rows are left out by a pattern.
        without_rows: Vec<u32>,
    },
    /// Framed chunks of a piece, in order.
    PieceBytes {
        /// The piece's place in the plan, from 0.
        piece: u32,
        /// The bytes, as they go into the archive.
        bytes: &'a [u8],
    },
    /// A piece is complete.
    PieceEnd {
        /// The piece's place in the plan, from 0.
        piece: u32,
        /// What it turned out to be.
        summary: PieceSummary,
        /// Who wrote its rows.
        encoder: Encoder,
    },
    /// What the smoke query answered.
    Answer {
        /// The first column of its first row.
        answer: String,
    },
    /// The copier has no pieces left.
    Finished,
    /// The copier gave up; nothing follows.
    Failed {
        /// Why.
        error: Error,
    },
}

impl<'a> CopierMessage<'a> {
    /// The message as bytes. [`Self::PieceBytes`] is copied here: on the hot path use
    /// [`write_piece_bytes_header`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Self::SnapshotReady { snapshot, lsn, taken_at_micros, sizes, without_rows } => {
                out.extend_from_slice(&[TAG_SNAPSHOT_READY, VERSION]);
                out.extend_from_slice(&lsn.to_le_bytes());
                out.extend_from_slice(&taken_at_micros.to_le_bytes());
                put_bytes(&mut out, snapshot.as_bytes())?;
                out.extend_from_slice(&count_of(sizes)?.to_le_bytes());
                for TableSize { oid, blocks, bytes } in sizes {
                    out.extend_from_slice(&oid.to_le_bytes());
                    out.extend_from_slice(&blocks.to_le_bytes());
                    out.extend_from_slice(&bytes.to_le_bytes());
                }
                out.extend_from_slice(&count_of(without_rows)?.to_le_bytes());
                without_rows.iter().for_each(|oid| out.extend_from_slice(&oid.to_le_bytes()));
            }
            Self::PieceBytes { piece, bytes } => {
                out.extend_from_slice(&piece_bytes_header(*piece));
                out.extend_from_slice(bytes);
            }
            Self::PieceEnd { piece, summary, encoder } => {
                let PieceSummary { raw_length, rows, adler32, length, sha256 } = summary;
                out.extend_from_slice(&[TAG_PIECE_END, encoder.code()]);
                out.extend_from_slice(&piece.to_le_bytes());
                out.extend_from_slice(&raw_length.to_le_bytes());
                out.extend_from_slice(&rows.to_le_bytes());
                out.extend_from_slice(&adler32.to_le_bytes());
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(sha256);
            }
            Self::Answer { answer } => {
                out.push(TAG_ANSWER);
                put_bytes(&mut out, answer.as_bytes())?;
            }
            Self::Finished => out.push(TAG_FINISHED),
            Self::Failed { error } => {
                out.push(TAG_FAILED);
                put_bytes(&mut out, error.class.name().as_bytes())?;
                put_bytes(&mut out, error.message.as_bytes())?;
                put_optional_text(&mut out, error.detail.as_deref())?;
                put_optional_text(&mut out, error.hint.as_deref())?;
            }
        }
        Ok(out)
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = WireReader::new(bytes, "a copier's message");
        let message = match reader.u8()? {
            TAG_SNAPSHOT_READY => {
                check_version(&mut reader)?;
                let (lsn, taken_at_micros) = (reader.u64()?, reader.i64()?);
                let snapshot = reader.text()?;
                let mut sizes = Vec::new();
                for _ in 0..reader.u32()? {
                    let (oid, blocks) = (reader.u32()?, reader.u32()?);
                    sizes.push(TableSize { oid, blocks, bytes: reader.u64()? });
                }
                let mut without_rows = Vec::new();
                for _ in 0..reader.u32()? {
                    without_rows.push(reader.u32()?);
                }
                Self::SnapshotReady { snapshot, lsn, taken_at_micros, sizes, without_rows }
            }
            TAG_PIECE_BYTES => Self::PieceBytes { piece: reader.u32()?, bytes: reader.remainder() },
            TAG_PIECE_END => {
                let code = reader.u8()?;
                let encoder = Encoder::from_code(code)
                    .ok_or_else(|| reader.malformed(format!("{code} is no encoder")))?;
                Self::PieceEnd {
                    piece: reader.u32()?,
                    summary: PieceSummary {
                        raw_length: reader.u64()?,
                        rows: reader.u64()?,
                        adler32: reader.u32()?,
                        length: reader.u64()?,
                        sha256: reader.array()?,
                    },
                    encoder,
                }
            }
            TAG_ANSWER => Self::Answer { answer: reader.text()? },
            TAG_FINISHED => Self::Finished,
            TAG_FAILED => Self::Failed {
                error: Error {
                    class: read_class(&mut reader)?,
                    message: reader.text()?,
                    detail: reader.optional_text()?,
                    hint: reader.optional_text()?,
                },
            },
            tag => return Err(reader.malformed(format!("its tag is {tag}"))),
        };
        reader.end()?;
        Ok(message)
    }
}

/// What a loader needs to read an encrypted archive: secrets come from the file alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The path of the identity file.
    pub identity_file: String,
    /// The size of the archive before it was encrypted, bytes.
    pub size: u64,
    /// Its size in storage, bytes.
    pub stored_size: u64,
}

/// From the leader to a copier, a loader or an examiner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaderMessage {
    /// What to load.
    Load {
        /// The storage's URL.
        url: String,
        /// Its options, JSON text.
        options: String,
        /// The archive's key there.
        key: String,
        /// What it takes to read it, if it is encrypted.
        lock: Option<Lock>,
        /// How its pieces are compressed.
        algorithm: Algorithm,
        /// The pieces to share.
        plan: LoadPlan,
        /// The new table that all of it goes into, if it does not go into those that it came from.
        table: Option<TableLoad>,
    },
    /// What to examine.
    Examine(Examination),
    /// Which tables to lock before the snapshot is taken: the first that the first copier is told.
    Lock(Filter),
    /// What to copy.
    Plan {
        /// The snapshot to copy under, for a copier that has not taken it itself.
        snapshot: String,
        /// How pieces are compressed.
        compression: Compression,
        /// Whether ordinary tables are read without COPY.
        is_direct: bool,
        /// The pieces to share.
        plan: PiecePlan,
    },
    /// Every row was read: the copier that took the snapshot may end.
    Done,
}

impl LeaderMessage {
    /// The message as bytes.
    pub fn encode(&self) -> Result<Vec<u8>> {
        match self {
            Self::Done => Ok(vec![TAG_DONE]),
            Self::Load { url, options, key, lock, algorithm, plan, table } => {
                let flags = [u8::from(table.is_some()), u8::from(lock.is_some())];
                let mut out = vec![TAG_LOAD, VERSION, algorithm.code(), flags[0], flags[1]];
                for text in [url, options, key] {
                    put_bytes(&mut out, text.as_bytes())?;
                }
                if let Some(Lock { identity_file, size, stored_size }) = lock {
                    put_bytes(&mut out, identity_file.as_bytes())?;
                    out.extend_from_slice(&size.to_le_bytes());
                    out.extend_from_slice(&stored_size.to_le_bytes());
                }
                if let Some(table) = table {
                    table.encode_to(&mut out)?;
                }
                plan.encode_to(&mut out)?;
                Ok(out)
            }
            Self::Examine(examination) => {
                let mut out = vec![TAG_EXAMINE, VERSION];
                serde_json::to_writer(&mut out, examination)
                    .map_err(|cause| Error::internal(format!("could not encode an examination: {cause}")))?;
                Ok(out)
            }
            Self::Lock(filter) => {
                let mut out = vec![TAG_LOCK, VERSION];
                serde_json::to_writer(&mut out, filter)
                    .map_err(|cause| Error::internal(format!("could not encode a filter: {cause}")))?;
                Ok(out)
            }
            Self::Plan { snapshot, compression, is_direct, plan } => {
                let mut out = vec![TAG_PLAN, VERSION, u8::from(*is_direct)];
                put_bytes(&mut out, snapshot.as_bytes())?;
                put_bytes(&mut out, compression.name().as_bytes())?;
                plan.encode_to(&mut out)?;
                Ok(out)
            }
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = WireReader::new(bytes, "the leader's message");
        match reader.u8()? {
            TAG_PLAN => {
                check_version(&mut reader)?;
                let is_direct = reader.u8()? != 0;
                let snapshot = reader.text()?;
                let compression = Compression::parse(&reader.text()?)?;
                let plan = PiecePlan::decode(reader.remainder())?;
                Ok(Self::Plan { snapshot, compression, is_direct, plan })
            }
            TAG_LOCK => {
                check_version(&mut reader)?;
                serde_json::from_slice(reader.remainder())
                    .map(Self::Lock)
                    .map_err(|cause| reader.malformed(cause.to_string()))
            }
            TAG_LOAD => {
                check_version(&mut reader)?;
                let code = reader.u8()?;
                let algorithm = Algorithm::from_code(code)
                    .ok_or_else(|| reader.malformed(format!("{code} is no compression")))?;
                let (has_table, is_locked) = (reader.u8()? != 0, reader.u8()? != 0);
                let (url, options, key) = (reader.text()?, reader.text()?, reader.text()?);
                let lock = if is_locked {
                    let identity_file = reader.text()?;
                    Some(Lock { identity_file, size: reader.u64()?, stored_size: reader.u64()? })
                } else {
                    None
                };
                let table = if has_table { Some(TableLoad::decode(&mut reader)?) } else { None };
                let plan = LoadPlan::decode(reader.remainder())?;
                Ok(Self::Load { url, options, key, lock, algorithm, plan, table })
            }
            TAG_EXAMINE => {
                check_version(&mut reader)?;
                serde_json::from_slice(reader.remainder())
                    .map(Self::Examine)
                    .map_err(|cause| reader.malformed(cause.to_string()))
            }
            TAG_DONE => {
                reader.end()?;
                Ok(Self::Done)
            }
            tag => Err(reader.malformed(format!("its tag is {tag}"))),
        }
    }
}

fn count_of<T>(items: &[T]) -> Result<u32> {
    u32::try_from(items.len()).map_err(|_| Error::internal("could not encode a list of so many tables"))
}

fn check_version(reader: &mut WireReader<'_>) -> Result<()> {
    match reader.u8()? {
        VERSION => Ok(()),
        other => Err(Error::new(ErrorClass::WrongState, "could not talk to another version of walwarden")
            .detail(format!("its messages are of version {other}, not {VERSION}"))
            .hint("The library was replaced while the job ran. Run the job again.")),
    }
}

fn read_class(reader: &mut WireReader<'_>) -> Result<ErrorClass> {
    let name = reader.text()?;
    ErrorClass::from_name(&name)
        .ok_or_else(|| reader.malformed(format!("\"{name}\" is not a class of errors")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn summary() -> PieceSummary {
        PieceSummary { raw_length: 0x0102, rows: 3, adler32: 0xa1b2_c3d4, length: 5, sha256: [0x5a; 32] }
    }

    fn copier_messages() -> Vec<(CopierMessage<'static>, Vec<u8>)> {
        vec![
            (
                CopierMessage::SnapshotReady {
                    snapshot: "0000-1".into(),
                    lsn: 0x16_b374_d848,
                    taken_at_micros: -2,
                    sizes: vec![TableSize { oid: 258, blocks: 3, bytes: 4 }],
                    without_rows: vec![259],
                },
                [
                    b"S\x04".as_slice(),
                    &[0x48, 0xd8, 0x74, 0xb3, 0x16, 0, 0, 0],
                    &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                    b"\x06\0\0\x000000-1",
                    b"\x01\0\0\0\x02\x01\0\0\x03\0\0\0\x04\0\0\0\0\0\0\0",
                    b"\x01\0\0\0\x03\x01\0\0",
                ]
                .concat(),
            ),
            (CopierMessage::PieceBytes { piece: 258, bytes: b"xyz" }, b"B\x02\x01\0\0xyz".to_vec()),
            (CopierMessage::PieceBytes { piece: 0, bytes: b"" }, b"B\0\0\0\0".to_vec()),
            (
                CopierMessage::PieceEnd { piece: 1, summary: summary(), encoder: Encoder::Direct },
                CopierMessage::PieceEnd { piece: 2, summary: summary(), encoder: Encoder::Copy },
                [
                    b"E\x01\0\0\0".as_slice(),
                    &[2, 1, 0, 0, 0, 0, 0, 0],
                    &[3, 0, 0, 0, 0, 0, 0, 0],
                    &[0xd4, 0xc3, 0xb2, 0xa1],
                    &[5, 0, 0, 0, 0, 0, 0, 0],
                    &[0x5a; 32],
                ]
                .concat(),
            ),
            (CopierMessage::Answer { answer: "t".into() }, b"A\x01\0\0\0t".to_vec()),
            (CopierMessage::Finished, b"F".to_vec()),
            (
                CopierMessage::Failed { error: Error::new(ErrorClass::Lost, "no").hint("é") },
                b"X\x04\0\0\0lost\x02\0\0\0no\xff\xff\xff\xff\x02\0\0\0\xc3\xa9".to_vec(),
            ),
        ]
    }

    #[test]
    fn a_copiers_bytes_are_these() {
        for (message, bytes) in copier_messages() {
            assert_eq!(message.encode().unwrap(), bytes, "{message:?}");
            assert_eq!(CopierMessage::decode(&bytes).unwrap(), message);
        }
    }

    #[test]
    fn a_leaders_bytes_are_these() {
        assert_eq!(LeaderMessage::Done.encode().unwrap(), b"D");
        assert_eq!(LeaderMessage::decode(b"D").unwrap(), LeaderMessage::Done);
        let message = LeaderMessage::Plan {
            is_direct: true,
            snapshot: "0-1".into(),
            compression: Compression::None,
            plan: PiecePlan::default(),
        };
        let bytes = b"P\x04\x03\0\0\x000-1\x04\0\0\0noneWWPP\x02\0\0\0\0\0\0\0\0";
        assert_eq!(message.encode().unwrap(), bytes);
        assert_eq!(LeaderMessage::decode(bytes).unwrap(), message);
        for end in 0..bytes.len() {
            assert!(LeaderMessage::decode(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn orders_to_load_and_to_examine_read_back() {
        let load = |lock, table| LeaderMessage::Load {
            url: "s3://b".into(),
            options: "{}".into(),
            key: "k".into(),
            lock,
            algorithm: Algorithm::Gzip,
            plan: LoadPlan::default(),
            table,
        };
        let table = TableLoad {
            role: "r".into(),
            schema: "s".into(),
            name: "t".into(),
            definitions: vec![b"CREATE TABLE s.t (a int);".to_vec(), b"\xff".to_vec()],
            indexes: vec![],
        };
        let examination = Examination { smoke: Some("SELECT 1".into()), ..Examination::default() };
        let filter = Filter { tables: vec!["a.\"B\"".into()], ..Filter::default() };
        let lock = Lock { identity_file: "/key".into(), size: 1 << 40, stored_size: 1 << 41 };
        for message in [
            load(None, None),
            load(None, Some(table.clone())),
            load(Some(lock), Some(table)),
            LeaderMessage::Examine(examination),
            LeaderMessage::Lock(filter),
        ] {
            let bytes = message.encode().unwrap();
            assert_eq!(LeaderMessage::decode(&bytes).unwrap(), message);
            for end in 0..bytes.len() {
                assert!(LeaderMessage::decode(&bytes[..end]).is_err(), "{message:?} cut to {end}");
            }
        }
    }

    #[test]
    fn a_cut_or_continued_message_is_refused() {
        for (message, bytes) in copier_messages() {
            if matches!(message, CopierMessage::PieceBytes { .. }) {
                continue;
            }
            for end in 0..bytes.len() {
                assert!(CopierMessage::decode(&bytes[..end]).is_err(), "{message:?} cut to {end}");
            }
            assert!(
                CopierMessage::decode(&[bytes.as_slice(), b"x"].concat()).is_err(),
                "{message:?} continued"
            );
        }
    }

    #[test]
    fn another_version_says_what_happened() {
        for error in
            [CopierMessage::decode(b"S\x01").unwrap_err(), LeaderMessage::decode(b"P\x01").unwrap_err()]
        {
            assert_eq!(error.class, ErrorClass::WrongState);
            assert!(error.hint.is_some());
        }
    }

    #[test]
    fn the_header_begins_a_message() {
        let message = [piece_bytes_header(70_000).as_slice(), b"payload"].concat();
        let expected = CopierMessage::PieceBytes { piece: 70_000, bytes: b"payload" };
        assert_eq!(CopierMessage::decode(&message).unwrap(), expected);
        assert_eq!(expected.encode().unwrap(), message);
    }

    #[test]
    fn an_unknown_class_or_a_malformed_text_is_refused() {
        assert!(CopierMessage::decode(b"X\x04\0\0\0lose\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
        assert!(
            CopierMessage::decode(b"X\x04\0\0\0lost\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err()
        );
    }

    proptest! {
        #[test]
        fn decodes_what_was_encoded(
            class in prop::sample::select(ErrorClass::ALL.to_vec()),
            message in ".*",
            detail in prop::option::of(".*"),
            hint in prop::option::of(".*"),
            lsn in any::<u64>(),
            taken_at_micros in any::<i64>(),
            sizes in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u64>()), 0..9),
            without_rows in prop::collection::vec(any::<u32>(), 0..9),
        ) {
            let sizes = sizes.into_iter().map(|(oid, blocks, bytes)| TableSize { oid, blocks, bytes }).collect();
            let error = Error { class, message: message.clone(), detail, hint };
            for message in [
                CopierMessage::SnapshotReady { snapshot: message, lsn, taken_at_micros, sizes, without_rows },
                CopierMessage::Failed { error },
            ] {
                let bytes = message.encode().unwrap();
                prop_assert_eq!(CopierMessage::decode(&bytes).unwrap(), message);
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(message) = CopierMessage::decode(&bytes) {
                prop_assert_eq!(message.encode().unwrap(), bytes.clone());
            }
            let _ = LeaderMessage::decode(&bytes);
        }
    }
}
