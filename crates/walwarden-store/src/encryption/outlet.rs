//! Encrypted bytes on their way to the upload.

use std::io::{self, Write};

use bytes::Bytes;
use tokio::sync::mpsc::Sender;
use walwarden_core::{Error, ErrorClass};

use crate::upload::UploadItem;

/// What goes to the upload at once: four chunks.
pub(super) const GATHERED: usize = 256 << 10;

/// Gathers what is written, and sends it. Belongs on a thread that may block: a full channel holds it back.
pub(super) struct Outlet {
    items: Sender<UploadItem>,
    gathered: Vec<u8>,
}

impl Outlet {
    pub(super) fn new(items: Sender<UploadItem>) -> Self {
        Self { items, gathered: Vec::new() }
    }

    /// Sends what is left, and that it is all.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.send(UploadItem::End)
    }

    fn send(&self, item: UploadItem) -> io::Result<()> {
        // An upload ends early only when it failed, and says so itself.
        let gone = |_| Error::new(ErrorClass::Canceled, "the upload has ended before its data");
        self.items.blocking_send(item).map_err(gone).map_err(io::Error::other)
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.len() + bytes.len() > GATHERED {
            self.flush()?;
        }
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(GATHERED);
        }
        self.gathered.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.send(UploadItem::Bytes(Bytes::from(gathered)))
    }
}
