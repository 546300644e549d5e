//! A file of which the beginning and one other place are at hand: what it takes to decrypt a range without the rest.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use bytes::Bytes;

/// The header of a file, and a reader of what comes from `body_at` on. In between there is nothing.
pub(crate) struct Spliced<R> {
    header: Bytes,
    body: BufReader<R>,
    body_at: u64,
    position: u64,
}

impl<R: Read> Spliced<R> {
    /// `body` begins at byte `body_at` of the file, which is not within the header.
    pub(crate) fn new(header: Bytes, body: R, body_at: u64) -> Self {
        Self { header, body: BufReader::new(body), body_at, position: 0 }
    }

    /// What is left of the header.
    fn header(&self) -> &[u8] {
        usize::try_from(self.position).ok().and_then(|start| self.header.get(start..)).unwrap_or_default()
    }
}

impl<R: Read> Read for Spliced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let header = self.header();
        let length = if !header.is_empty() {
            let length = buffer.len().min(header.len());
            buffer[..length].copy_from_slice(&header[..length]);
            length
        } else if self.position >= self.body_at {
            self.body.read(buffer)?
        } else {
            return Err(not_here());
        };
        self.position += length as u64;
        Ok(length)
    }
}

impl<R: Read> BufRead for Spliced<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.header().is_empty() {
            return if self.position >= self.body_at { self.body.fill_buf() } else { Err(not_here()) };
        }
        Ok(self.header())
    }

    fn consume(&mut self, amount: usize) {
        if self.header().is_empty() {
            self.body.consume(amount);
        }
        self.position += amount as u64;
    }
}

impl<R> Seek for Spliced<R> {
    /// To where it is, or once to where the body begins.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Current(0) => {}
            SeekFrom::Start(at) if at == self.position => {}
            SeekFrom::Start(at) if at == self.body_at && self.position <= at => self.position = at,
            _ => return Err(not_here()),
        }
        Ok(self.position)
    }
}

fn not_here() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this part of the file was not fetched")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_places_are_read_and_nothing_else() {
        let mut file = Spliced::new(Bytes::from_static(b"head"), &b"body"[..], 10);
        let mut buffer = [0; 4];
        file.read_exact(&mut buffer).unwrap();
        assert_eq!((&buffer, file.stream_position().unwrap()), (b"head", 4));
        assert!(file.read(&mut buffer).is_err());
        assert!(file.seek(SeekFrom::Start(9)).is_err());
        assert!(file.seek(SeekFrom::End(0)).is_err());
        assert_eq!(file.seek(SeekFrom::Start(10)).unwrap(), 10);
        file.read_exact(&mut buffer).unwrap();
        assert_eq!((&buffer, file.stream_position().unwrap()), (b"body", 14));
        assert_eq!(file.read(&mut buffer).unwrap(), 0);
        assert!(file.seek(SeekFrom::Start(10)).is_err());

        let mut whole = String::new();
        Spliced::new(Bytes::from_static(b"head"), &b"body"[..], 4).read_to_string(&mut whole).unwrap();
        assert_eq!(whole, "headbody");
        let lines = Spliced::new(Bytes::from_static(b"he\nad"), &b"bo\ndy"[..], 5).lines();
        assert_eq!(lines.collect::<io::Result<Vec<_>>>().unwrap(), ["he", "adbo", "dy"]);
    }
}
