//! How the data of an archive is compressed: what a user chooses, and what a header names.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A compression algorithm, as a header names it (`pg_compress_algorithm`, src/include/common/compression.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Not compressed.
    None,
    /// A zlib stream, despite the name.
    Gzip,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames.
    Zstd,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::None, Self::Gzip, Self::Lz4, Self::Zstd];

    /// The byte that stands for it in headers of version 1.15 and later.
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Lz4 => 2,
            Self::Zstd => 3,
        }
    }

    /// The algorithm a header's byte stands for.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.code() == code)
    }

    /// PostgreSQL's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// The compression of a backup: an algorithm with its level. It holds for the whole archive, large objects
/// too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Rows as they are.
    None,
    /// One zlib stream per block.
    Gzip {
        /// 1 (fastest) to 9 (smallest).
        level: i32,
    },
    /// LZ4 frames, compressed in the fastest way, which is pg_dump's default too. No other level is offered.
    Lz4,
    /// Zstandard frames.
    Zstd {
        /// 1 (fast) to 22 (smallest), or -1 to -7 (fastest): docs/decisions/0008.
        level: i32,
    },
}

impl Compression {
    /// zlib's own default, and pg_dump's.
    pub const DEFAULT_GZIP_LEVEL: i32 = 6;

    /// Faster than zstd's own default, 3, and on COPY text no larger: docs/decisions/0008.
    pub const DEFAULT_ZSTD_LEVEL: i32 = 1;

    /// Reads `none`, `lz4`, `gzip`, `zstd`, or one of the latter two with `:<level>`.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let level_of = |default: i32, levels: RangeInclusive<i32>| match level {
            None => Ok(default),
            Some(level) => {
                parse_level(level).filter(|level| levels.contains(level)).ok_or_else(|| Self::invalid(text))
            }
        };
        match name {
            "none" if level.is_none() => Ok(Self::None),
            "lz4" if level.is_none() => Ok(Self::Lz4),
            "gzip" => Ok(Self::Gzip { level: level_of(Self::DEFAULT_GZIP_LEVEL, 1..=9)? }),
            "zstd" => Ok(Self::Zstd { level: level_of(Self::DEFAULT_ZSTD_LEVEL, -7..=22)? }),
            _ => Err(Self::invalid(text)),
        }
    }

    /// The text [`Self::parse`] reads, with the level if the algorithm has levels.
    pub fn name(self) -> String {
        self.to_string()
    }

    /// The algorithm without its level.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::None => Algorithm::None,
            Self::Gzip { .. } => Algorithm::Gzip,
            Self::Lz4 => Algorithm::Lz4,
            Self::Zstd { .. } => Algorithm::Zstd,
        }
    }

    fn invalid(text: &str) -> Error {
        Error::invalid(format!("invalid compression: \"{text}\""))
            .hint("Use none, gzip:1 to gzip:9, lz4, zstd:1 to zstd:22, or zstd:-1 to zstd:-7.")
    }
}

/// Reads a level other than 0, written as PostgreSQL would write it: i32's own parser would let "+6" and "06" through.
fn parse_level(text: &str) -> Option<i32> {
    match text.strip_prefix('-').unwrap_or(text).as_bytes() {
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => text.parse().ok(),
        _ => None,
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm().name())?;
        match self {
            Self::None | Self::Lz4 => Ok(()),
            Self::Gzip { level } | Self::Zstd { level } => write!(f, ":{level}"),
        }
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;

    #[test]
    fn names_are_read_back() {
        assert_eq!(Compression::parse("none").unwrap(), Compression::None);
        assert_eq!(Compression::parse("lz4").unwrap(), Compression::Lz4);
        assert_eq!(Compression::parse("gzip").unwrap(), Compression::Gzip { level: 6 });
        assert_eq!(Compression::parse("zstd").unwrap(), Compression::Zstd { level: 1 });
        let all = [("none".to_owned(), Compression::None), ("lz4".to_owned(), Compression::Lz4)]
            .into_iter()
            .chain((1..=9).map(|level| (format!("gzip:{level}"), Compression::Gzip { level })))
            .chain(
                (1..=22).chain(-7..=-1).map(|level| (format!("zstd:{level}"), Compression::Zstd { level })),
            );
        for (name, compression) in all {
            assert_eq!(compression.name(), name);
            assert_eq!(Compression::parse(&name).unwrap(), compression);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            ":",
            "zip",
            "GZIP",
            "none:1",
            "lz4:",
            "lz4:1",
            "gzip:",
            "gzip:0",
            "gzip:10",
            "gzip:+6",
            "gzip: 6",
            "gzip:06",
            "gzip:-1",
            "gzip:6:6",
            "zstd:",
            "zstd:0",
            "zstd:23",
            "zstd:-0",
            "zstd:-8",
            "zstd:--1",
            "zstd:-01",
            "zstd:03",
            "zstd:3,long",
            "zstd:4294967299",
            "zstd:-2147483649",
        ] {
            let error = Compression::parse(text).unwrap_err();
            assert_eq!(error.class, ErrorClass::InvalidInput, "{text}");
            assert!(error.hint.is_some_and(|hint| hint.contains("zstd") && hint.contains("lz4")));
        }
    }

    #[test]
    fn codes_are_read_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_code(algorithm.code()), Some(algorithm));
        }
        assert_eq!(Algorithm::from_code(4), None);
    }
}
