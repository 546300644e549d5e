//! The archive's header (pg_backup_archiver.c: WriteHead, ReadHead).

use std::io::Read;

use super::compression::{Algorithm, Compression};
use super::primitive::{put_int, put_string};
use super::source::Source;
use crate::error::{Error, Result};

const MAGIC: &[u8; 5] = b"PGDMP";
/// Bytes of an int where the archive was made; every PostgreSQL of today has this.
const INT_SIZE: u8 = 4;
/// Bytes of a file offset where the archive was made.
const OFFSET_SIZE: u8 = 8;
/// `archCustom` of pg_backup.h.
const CUSTOM_FORMAT: u8 = 1;

/// The versions of the archive format that servers 15 to 18 write (K_VERS_* of pg_backup_archiver.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FormatVersion {
    /// PostgreSQL 15: the header holds a compression level.
    V1_14,
    /// PostgreSQL 16: the header holds a compression algorithm.
    V1_15,
    /// PostgreSQL 17 and 18: entries hold their relkind.
    V1_16,
}

impl FormatVersion {
    /// The minor version; the major one is 1.
    pub const fn minor(self) -> u8 {
        match self {
            Self::V1_14 => 14,
            Self::V1_15 => 15,
            Self::V1_16 => 16,
        }
    }

    const fn from_minor(minor: u8) -> Option<Self> {
        match minor {
            14 => Some(Self::V1_14),
            15 => Some(Self::V1_15),
            16 => Some(Self::V1_16),
            _ => None,
        }
    }
}

/// When the archive was made, in the local time of the machine that made it (`struct tm`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// 0 to 60.
    pub second: i32,
    /// 0 to 59.
    pub minute: i32,
    /// 0 to 23.
    pub hour: i32,
    /// Day of the month, 1 to 31.
    pub day: i32,
    /// Months since January, 0 to 11.
    pub month: i32,
    /// Years since 1900.
    pub year: i32,
    /// Whether daylight saving time was in effect: positive yes, 0 no, negative unknown.
    pub daylight_saving: i32,
}

/// What the header says of the compression; which of the two depends on the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StoredCompression {
    /// 1.14: 0 is none, -1 gzip at its default level.
    Level(i32),
    /// 1.15 and later.
    Algorithm(Algorithm),
}

impl StoredCompression {
    fn new(version: FormatVersion, compression: Compression) -> Result<Self> {
        match (version, compression) {
            (FormatVersion::V1_14, Compression::None) => Ok(Self::Level(0)),
            // pg_dump writes its default, 6, as Z_DEFAULT_COMPRESSION.
            (FormatVersion::V1_14, Compression::Gzip { level: Compression::DEFAULT_GZIP_LEVEL }) => {
                Ok(Self::Level(-1))
            }
            (FormatVersion::V1_14, Compression::Gzip { level: level @ 1..=9 }) => Ok(Self::Level(level)),
            (FormatVersion::V1_14, Compression::Gzip { level }) => {
                Err(Error::internal(format!("gzip has no level {level}")))
            }
            (FormatVersion::V1_14, Compression::Lz4 | Compression::Zstd { .. }) => Err(Error::invalid(
                format!("could not use compression \"{compression}\" in an archive of format version 1.14"),
            )
            .hint("Use gzip or none: zstd and lz4 need PostgreSQL 16 or later.")),
            (FormatVersion::V1_15 | FormatVersion::V1_16, _) => Ok(Self::Algorithm(compression.algorithm())),
        }
    }
}

/// The header of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveHeader {
    version: FormatVersion,
    /// The third part of the version; readers ignore it.
    revision: u8,
    compression: StoredCompression,
    /// When pg_dump made it.
    pub created: LocalTime,
    /// The database's name, in the database's encoding.
    pub database: Option<Vec<u8>>,
    /// The server's version, as it says itself.
    pub server_version: Option<Vec<u8>>,
    /// pg_dump's version.
    pub dump_version: Option<Vec<u8>>,
}

impl ArchiveHeader {
    /// A header without names and versions.
    pub fn new(version: FormatVersion, compression: Compression, created: LocalTime) -> Result<Self> {
        Ok(Self {
            version,
            revision: 0,
            compression: StoredCompression::new(version, compression)?,
            created,
            database: None,
            server_version: None,
            dump_version: None,
        })
    }

    /// The format's version: it decides what the entries look like and which pg_restore reads them.
    pub fn version(&self) -> FormatVersion {
        self.version
    }

    /// The algorithm of every block in the archive.
    pub fn algorithm(&self) -> Algorithm {
        match self.compression {
            StoredCompression::Level(0) => Algorithm::None,
            StoredCompression::Level(_) => Algorithm::Gzip,
            StoredCompression::Algorithm(algorithm) => algorithm,
        }
    }

    /// Says that the blocks are compressed like this; fails where the version cannot express it.
    pub fn set_compression(&mut self, compression: Compression) -> Result<()> {
        self.compression = StoredCompression::new(self.version, compression)?;
        Ok(())
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[
            1,
            self.version.minor(),
            self.revision,
            INT_SIZE,
            OFFSET_SIZE,
            CUSTOM_FORMAT,
        ]);
        match self.compression {
            StoredCompression::Level(level) => put_int(out, level),
            StoredCompression::Algorithm(algorithm) => out.push(algorithm.code()),
        }
        let LocalTime { second, minute, hour, day, month, year, daylight_saving } = self.created;
        for part in [second, minute, hour, day, month, year, daylight_saving] {
            put_int(out, part);
        }
        put_string(out, self.database.as_deref());
        put_string(out, self.server_version.as_deref());
        put_string(out, self.dump_version.as_deref());
    }

    pub(super) fn read<R: Read>(source: &mut Source<R>) -> Result<Self> {
        let mut magic = [0; MAGIC.len()];
        source.exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(source.damaged("it does not begin as a pg_dump archive"));
        }
        let (major, minor, revision) = (source.byte()?, source.byte()?, source.byte()?);
        let version = match (major, FormatVersion::from_minor(minor)) {
            (1, Some(version)) => version,
            _ => return Err(source.damaged(format!("its version {major}.{minor} is not supported"))),
        };
        let layout = [source.byte()?, source.byte()?, source.byte()?];
        if layout != [INT_SIZE, OFFSET_SIZE, CUSTOM_FORMAT] {
            let [int, offset, format] = layout;
            return Err(source.damaged(format!(
                "its integers have {int} bytes, its offsets {offset}, and its format is {format}, \
                 instead of {INT_SIZE}, {OFFSET_SIZE} and {CUSTOM_FORMAT}"
            )));
        }
        let compression = match version {
            FormatVersion::V1_14 => match source.int()? {
                level @ -1..=9 => StoredCompression::Level(level),
                level => return Err(source.damaged(format!("its compression level is {level}"))),
            },
            FormatVersion::V1_15 | FormatVersion::V1_16 => {
                let code = source.byte()?;
                match Algorithm::from_code(code) {
                    Some(algorithm) => StoredCompression::Algorithm(algorithm),
                    None => return Err(source.damaged(format!("its compression algorithm is {code}"))),
                }
            }
        };
        let created = LocalTime {
            second: source.int()?,
            minute: source.int()?,
            hour: source.int()?,
            day: source.int()?,
            month: source.int()?,
            year: source.int()?,
            daylight_saving: source.int()?,
        };
        Ok(Self {
            version,
            revision,
            compression,
            created,
            database: source.optional_string()?,
            server_version: source.optional_string()?,
            dump_version: source.optional_string()?,
        })
    }
}
