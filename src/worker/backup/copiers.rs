//! The copiers of a backup, as the leader sees them: started, told what to do, listened to.

use super::Workshop;
use super::archive::{copier_gone, unexpected};
use super::inbox::Inbox;
use crate::catalog::job::{self, Job};
use crate::pg::bgworker::Handle;
use crate::pg::queue::{self, Received, Receiver, Sender};
use crate::pg::segment::Segment;
use crate::pg::transaction::transaction;
use crate::pg::{bgworker, interrupts};
use crate::worker::copier::Post;
use crate::worker::pulse::{LONGEST_SLEEP, Pulse};
use crate::worker::start;
use chrono::{DateTime, Utc};
use walwarden_core::archive::TableSize;
use walwarden_core::manifest::Lsn;
use walwarden_core::message::{CopierMessage, LeaderMessage};
use walwarden_core::{Error, ErrorClass, Result};

/// The first copier's snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// Where the write-ahead log was.
    pub lsn: u64,
    /// When it was taken.
    pub at: DateTime<Utc>,
    /// The tables that may be cut.
    pub sizes: Vec<TableSize>,
    /// The tables whose rows are left out by a pattern.
    pub without_rows: Vec<u32>,
}

/// The leader's ends of the queues, one pair a copier.
pub struct Copiers {
    rows: Vec<(Receiver, Handle)>,
    orders: Vec<Sender>,
}

/// As many copiers as there are processors, unless the job says otherwise.
pub fn default_jobs() -> i32 {
    std::thread::available_parallelism().map_or(1, |count| i32::try_from(count.get()).unwrap_or(1))
}

impl Copiers {
    /// Start the first one, which locks the tables of the backup and takes the snapshot.
    pub fn start_first(workshop: &mut Workshop, segment: &Segment) -> Result<Self> {
        let mut copiers = Self { rows: Vec::new(), orders: Vec::new() };
        copiers.start_one(workshop, segment)?;
        let tables = LeaderMessage::Lock(workshop.options.filter.clone());
        copiers.send_to_all(workshop, &tables)?;
        Ok(copiers)
    }

    fn start_one(&mut self, workshop: &mut Workshop, segment: &Segment) -> Result<()> {
        let number = self.rows.len();
        let (mut rows, mut orders) = queue::leader_ends(segment, number)?;
        let post = Post { segment: segment.handle(), number };
        let copier = start::start_copier(post).ok_or_else(|| bgworker::no_free_slot("copier"))?;
        rows.watch(&copier);
        orders.watch(&copier);
        workshop.copiers.push(copier);
        self.rows.push((rows, copier));
        self.orders.push(orders);
        Ok(())
    }

    /// Wait for the snapshot of the first, and what it knows of the tables.
    pub fn await_snapshot(&mut self, job: &Job, workshop: &Workshop) -> Result<Snapshot> {
        let (first, _) = self.rows.first_mut().ok_or_else(copier_gone)?;
        let mut pulse = Pulse::new();
        let message = loop {
            match first.try_receive() {
                Received::Message(message) => break CopierMessage::decode(message)?,
                Received::Detached => return Err(copier_gone()),
                Received::Nothing => {
                    pulse.beat()?;
                    interrupts::wait(Some(workshop.io.waker()), LONGEST_SLEEP)?;
                }
            }
        };
        let CopierMessage::SnapshotReady { snapshot: name, lsn, taken_at_micros, sizes, without_rows } =
            message
        else {
            return Err(unexpected(message));
        };
        let at = DateTime::from_timestamp_micros(taken_at_micros)
            .ok_or_else(|| Error::internal("the time of a snapshot is out of range"))?;
        transaction(|| job::set_snapshot(job.id, at, &Lsn(lsn).to_string()))?;
        Ok(Snapshot { name, lsn, at, sizes, without_rows })
    }

    /// Start the others: as many as are wanted, as there are pieces for, and as there are slots. The job's row says how
    /// many it got, and why fewer.
    pub fn start_helpers(
        &mut self,
        job: &Job,
        workshop: &mut Workshop,
        segment: &Segment,
        wanted: usize,
        pieces: usize,
    ) -> Result<()> {
        let useful = wanted.min(pieces.max(1));
        let mut note = (useful < wanted).then(|| format!("there are only {pieces} pieces to copy"));
        while self.rows.len() < useful {
            match self.start_one(workshop, segment) {
                Ok(()) => {}
                Err(error) if error.class == ErrorClass::Resources => {
                    note = Some("every worker slot is taken (max_worker_processes)".to_owned());
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        transaction(|| job::set_copiers(job.id, self.rows.len(), note.as_deref()))
    }

    /// Tell all of them.
    pub fn send_to_all(&mut self, workshop: &Workshop, message: &LeaderMessage) -> Result<()> {
        let message = message.encode()?;
        let mut pulse = Pulse::new();
        for orders in &mut self.orders {
            while !orders.try_send(&message)? {
                pulse.beat()?;
                interrupts::wait(Some(workshop.io.waker()), LONGEST_SLEEP)?;
            }
        }
        Ok(())
    }

    /// What they send, in order, keeping so many bytes of what is before its turn; and the way to let the first one end,
    /// which holds the snapshot for the others.
    pub fn into_parts(self, ahead: u64) -> Result<(Inbox, Sender)> {
        let first = self.orders.into_iter().next().ok_or_else(copier_gone)?;
        Ok((Inbox::new(self.rows, ahead), first))
    }
}
