//! The uploads that run on the storage threads, one a copy, all fed with the same bytes. One that fails is left out from then on;
//! the slowest sets the pace.

use crate::worker::io::{Io, Task};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::mpsc;
use walwarden_core::{Error, Result};
use walwarden_store::{Recipients, Sent, Upload, UploadItem};

/// Buffers on their way to an upload; each holds up to a queue message.
const ITEMS_IN_FLIGHT: usize = 32;

/// Uploads.
#[derive(Default)]
pub struct Fan {
    lanes: Vec<Lane>,
}

struct Lane {
    copy: usize,
    items: mpsc::Sender<UploadItem>,
    task: Task<Sent>,
    stored: Arc<AtomicU64>,
    outcome: Option<Result<Sent>>,
}

impl Fan {
    /// Let an upload wait for bytes.
    pub fn add(
        &mut self,
        io: &Io,
        copy: usize,
        begun: Upload,
        recipients: Option<Recipients>,
        part_size: u64,
        parts_in_flight: u64,
    ) -> Result<()> {
        let (items, receiver) = mpsc::channel::<UploadItem>(ITEMS_IN_FLIGHT);
        let stored = Arc::new(AtomicU64::new(0));
        let part_size =
            usize::try_from(part_size).map_err(|_| Error::internal("a part is larger than memory"))?;
        let counting = Arc::clone(&stored);
        let task = io.spawn(async move {
            begun.run_for(recipients.as_ref(), receiver, part_size, parts_in_flight as usize, counting).await
        })?;
        self.lanes.push(Lane { copy, items, task, stored, outcome: None });
        Ok(())
    }

    /// How many bytes every storage has that still takes part.
    pub fn stored(&self) -> u64 {
        self.running().map(|lane| lane.stored.load(Relaxed)).min().unwrap_or(0)
    }

    /// Notice uploads that failed.
    ///
    /// # Errors
    /// The first one's, when none is left.
    pub fn check(&mut self) -> Result<()> {
        for lane in self.lanes.iter_mut().filter(|lane| lane.outcome.is_none()) {
            // An upload has no reason to end before its stream does, but to fail.
            lane.outcome = lane.task.try_take().map(|outcome| match outcome {
                Err(error) => Err(error),
                Ok(_) => Err(Error::internal("the upload ended before the archive did")),
            });
        }
        if self.running().next().is_some() {
            return Ok(());
        }
        let first = self.lanes.iter().find_map(|lane| lane.outcome.as_ref()?.as_ref().err().cloned());
        Err(first.unwrap_or_else(|| Error::internal("no upload is running")))
    }

    /// Give an item to every upload that has room for it; gives the channels that are full.
    pub fn try_send(&self, item: &UploadItem) -> Vec<mpsc::Sender<UploadItem>> {
        self.running()
            .filter(|lane| {
                // A closed channel shows in the upload's own outcome.
                matches!(lane.items.try_send(item.clone()), Err(mpsc::error::TrySendError::Full(_)))
            })
            .map(|lane| lane.items.clone())
            .collect()
    }

    /// What has become of all uploads, after the end was sent; None while one is running.
    pub fn try_finish(&mut self) -> Option<Vec<(usize, Result<Sent>)>> {
        for lane in self.lanes.iter_mut().filter(|lane| lane.outcome.is_none()) {
            lane.outcome = lane.task.try_take();
        }
        if self.running().next().is_some() {
            return None;
        }
        let outcomes = self.lanes.drain(..).filter_map(|lane| Some((lane.copy, lane.outcome?)));
        Some(outcomes.collect())
    }

    fn running(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter(|lane| lane.outcome.is_none())
    }
}
