//! The tar file of a bundle: whoever writes the same files in the same order writes the same bytes.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::member::{FOLDER, Member};
use crate::error::{Error, Result};
use crate::manifest::Sha256Sum;

/// Writes members one after the other and remembers nothing of them but their sums.
pub struct Tape<W: Write> {
    tar: Builder<W>,
    folders: BTreeSet<String>,
    sums: Vec<(String, Sha256Sum)>,
}

impl<W: Write> Tape<W> {
    /// An empty one.
    pub fn new(out: W) -> Result<Self> {
        let mut tape = Self { tar: Builder::new(out), folders: BTreeSet::new(), sums: Vec::new() };
        tape.folder(FOLDER)?;
        Ok(tape)
    }

    /// Writes a member.
    pub fn put(&mut self, member: &Member, bytes: &[u8]) -> Result<()> {
        self.put_from(member, bytes.len() as u64, bytes)
    }

    /// Writes a member of exactly `size` bytes from a reader.
    pub fn put_from(&mut self, member: &Member, size: u64, from: impl Read) -> Result<()> {
        let name = member.to_string();
        if let Some((folder, _)) = name.split_once('/') {
            self.folder(&format!("{FOLDER}/{folder}"))?;
        }
        let mode = if *member == Member::Script { 0o755 } else { 0o644 };
        let mut header = plain_header(&format!("{FOLDER}/{name}"), EntryType::Regular, mode)?;
        header.set_size(size);
        header.set_cksum();
        let mut hashed = Hashed { inner: from.take(size), hash: Sha256::new(), length: 0 };
        self.tar.append(&header, &mut hashed).map_err(Error::from_io)?;
        if hashed.length != size {
            return Err(Error::internal("could not write an evidence bundle")
                .detail(format!("{name} has {} bytes, not {size}.", hashed.length)));
        }
        self.sums.push((name, Sha256Sum(hashed.hash.finalize().into())));
        Ok(())
    }

    /// The lines of `SHA256SUMS` for what was written so far.
    pub fn sums(&self) -> String {
        self.sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect()
    }

    /// Writes the end.
    pub fn finish(self) -> Result<W> {
        let mut out = self.tar.into_inner().map_err(Error::from_io)?;
        out.flush().map_err(Error::from_io)?;
        Ok(out)
    }

    fn folder(&mut self, path: &str) -> Result<()> {
        if self.folders.insert(path.to_owned()) {
            let mut header = plain_header(&format!("{path}/"), EntryType::Directory, 0o755)?;
            header.set_cksum();
            self.tar.append(&header, io::empty()).map_err(Error::from_io)?;
        }
        Ok(())
    }
}

/// Nothing of the machine, the user or the time.
fn plain_header(path: &str, kind: EntryType, mode: u32) -> Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(path).map_err(Error::from_io)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    Ok(header)
}

struct Hashed<R> {
    inner: R,
    hash: Sha256,
    length: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }
}
