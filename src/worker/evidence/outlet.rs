//! From a writer in a session into an object that must be new.

use crate::worker;
use crate::worker::io::{Io, Task};
use bytes::Bytes;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::mpsc;
use walwarden_core::{Error, Result};
use walwarden_store::{Store, UploadItem, Uploaded};

/// Bytes are gathered until they are so many.
const GATHERED_BYTES: usize = 256 << 10;
/// How many such pieces wait for the upload.
const ITEMS_IN_FLIGHT: usize = 4;
/// How many parts are under way.
const PARTS_IN_FLIGHT: usize = 1;
/// What a bundle is planned for, bytes: storages that limit the number of parts take parts that are large enough then.
const PLANNED_BYTES: u64 = 4 << 30;
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// An object that is being written. What is not finished is no object: its upload is given up, or found by who looks for
/// uploads that nobody knows.
pub struct Outlet {
    io: Io,
    items: mpsc::Sender<UploadItem>,
    task: Task<Uploaded>,
    gathered: Vec<u8>,
}

impl Outlet {
    /// Begins an object.
    pub fn open(store: Store, key: &str) -> Result<Self> {
        let io = Io::start_in_session()?;
        let part_size = usize::try_from(store.plan_part_size(PLANNED_BYTES, None))
            .map_err(|_| Error::internal("a part is larger than memory"))?;
        let key = key.to_owned();
        let upload = io.run(async move { store.begin_upload(&key).await })?;
        let (items, receiver) = mpsc::channel(ITEMS_IN_FLIGHT);
        let progress = Arc::new(AtomicU64::new(0));
        let task =
            io.spawn(async move { upload.run(receiver, part_size, PARTS_IN_FLIGHT, progress).await })?;
        Ok(Self { io, items, task, gathered: Vec::with_capacity(GATHERED_BYTES) })
    }

    /// Completes the object.
    pub fn finish(mut self) -> Result<Uploaded> {
        self.send_gathered()?;
        self.send(UploadItem::End)?;
        self.io.wait_for(&mut self.task)
    }

    fn send_gathered(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::replace(&mut self.gathered, Vec::with_capacity(GATHERED_BYTES));
        self.send(UploadItem::Bytes(Bytes::from(bytes)))
    }

    fn send(&mut self, item: UploadItem) -> Result<()> {
        let items = self.items.clone();
        let mut sending = self.io.spawn(async move {
            // A closed channel shows in the upload's own outcome.
            Ok(items.send(item).await.is_ok())
        })?;
        loop {
            if let Some(sent) = sending.try_take() {
                return if sent? { Ok(()) } else { Err(self.why_it_ended()) };
            }
            worker::wait(Some(self.io.waker()), LONGEST_SLEEP)?;
        }
    }

    fn why_it_ended(&mut self) -> Error {
        match self.io.wait_for(&mut self.task) {
            Err(error) => error,
            Ok(_) => Error::internal("the upload ended before its bytes did"),
        }
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= GATHERED_BYTES {
            self.send_gathered().map_err(io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
