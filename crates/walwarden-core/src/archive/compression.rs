//! How the data of an archive is compressed: what a user chooses, and what a header names.

use std::fmt;
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
        level: u32,
    },
}

impl Compression {
    /// zlib's own default, and pg_dump's.
    pub const DEFAULT_GZIP_LEVEL: u32 = 6;

    /// Reads `none`, `gzip` or `gzip:<level>`.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        match (name, level) {
            ("none", None) => Ok(Self::None),
            ("gzip", None) => Ok(Self::Gzip { level: Self::DEFAULT_GZIP_LEVEL }),
            // A single digit and nothing else: u32's own parser would let "+6" and "06" through.
            ("gzip", Some(level)) => match level.as_bytes() {
                [digit @ b'1'..=b'9'] => Ok(Self::Gzip { level: u32::from(digit - b'0') }),
                _ => Err(Self::invalid(text)),
            },
            _ => Err(Self::invalid(text)),
        }
    }

    /// The text [`Self::parse`] reads, always with the level.
    pub fn name(self) -> String {
        self.to_string()
    }

    /// The algorithm without its level.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::None => Algorithm::None,
            Self::Gzip { .. } => Algorithm::Gzip,
        }
    }

    fn invalid(text: &str) -> Error {
        Error::invalid(format!("invalid compression: \"{text}\"")).hint("Use none, or gzip:1 to gzip:9.")
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm().name())?;
        match self {
            Self::None => Ok(()),
            Self::Gzip { level } => write!(f, ":{level}"),
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
        assert_eq!(Compression::parse("gzip").unwrap(), Compression::Gzip { level: 6 });
        assert_eq!(Compression::parse("none").unwrap(), Compression::None);
        for level in 1..=9 {
            let compression = Compression::Gzip { level };
            assert_eq!(compression.name(), format!("gzip:{level}"));
            assert_eq!(Compression::parse(&compression.name()).unwrap(), compression);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "gzip:", "gzip:0", "gzip:10", "gzip:+6", "gzip: 6", "GZIP", "none:1", "zip", ":", "gzip:6:6"]
        {
            assert_eq!(Compression::parse(text).unwrap_err().class, ErrorClass::InvalidInput, "{text}");
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
