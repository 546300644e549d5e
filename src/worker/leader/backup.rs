//! One backup from beginning to end. Each step is a function below; what must be stopped or removed when one of them
//! fails stands in the `Workshop`.

use super::archive::{self, Assembled, Contents, Line, Message, Upload};
use super::manifest::{self, Facts};
use super::prepare::{Prepared, prepare};
use super::proof;
use crate::catalog::job::{self, ArchiveFacts, Job};
use crate::keyring;
use crate::pg::bgworker::{self, Handle, Status};
use crate::pg::queue::{self, Receiver, Sender};
use crate::pg::segment::Segment;
use crate::pg::transaction::transaction;
use crate::pg::{clock, extension, interrupts, server};
use crate::worker::dump::{Connection, Dump, dump_globals};
use crate::worker::io::Io;
use crate::worker::progress::Phase;
use crate::worker::remains::{self, Destination};
use crate::worker::start;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use walwarden_core::archive::Compression;
use walwarden_core::manifest::Lsn;
use walwarden_core::message::LeaderMessage;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::{BackupKeys, Store, UploadItem, Uploaded, plan_part_size};

/// Buffers on their way to the upload; each holds up to a queue message.
const ITEMS_IN_FLIGHT: usize = 32;
/// Parts on their way to storage take no more than this.
const PARTS_BUDGET: u64 = 160 << 20;
/// And there are no more of them than this.
const MOST_PARTS_IN_FLIGHT: u64 = 4;
/// How long a copier that was told to end is waited for.
const COPIER_FAREWELL: Duration = Duration::from_millis(500);

/// What is running for the job, and what it wrote: to be stopped and removed when the job fails.
pub struct Workshop {
    io: Io,
    copier: Option<Handle>,
    dump: Option<Dump>,
    destination: Option<Destination>,
    upload_id: Option<String>,
}

/// The copier's snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    name: String,
    /// Where the write-ahead log was.
    pub lsn: u64,
    /// When it was taken.
    pub at: DateTime<Utc>,
}

impl Workshop {
    /// Nothing runs yet.
    pub fn new(io: Io) -> Self {
        Self { io, copier: None, dump: None, destination: None, upload_id: None }
    }

    /// Stop everything; the error may become clearer by what pg_dump said.
    pub fn stop(&mut self, error: Error) -> Error {
        let stopped = matches!(error.class, ErrorClass::Canceled | ErrorClass::Terminated);
        let error = match self.dump.take() {
            Some(dump) if !stopped && error.class == ErrorClass::Archive => dump.explain(error),
            Some(dump) => {
                drop(dump);
                error
            }
            None => error,
        };
        if let Some(copier) = self.copier.take() {
            copier.terminate();
            let deadline = Instant::now() + COPIER_FAREWELL;
            while copier.status() != Status::Stopped && Instant::now() < deadline {
                if interrupts::wait(None, Duration::from_millis(20)).is_err() {
                    break;
                }
            }
        }
        error
    }

    /// Remove what was written. Ok means that nothing is left.
    pub fn clean_up(&self, limit: Duration) -> Result<()> {
        match &self.destination {
            Some(destination) => remains::clean_up(&self.io, destination, self.upload_id.as_deref(), limit),
            None => Ok(()),
        }
    }
}

/// Do the backup of a claimed job: on Ok it is completed and proven.
pub fn run(job: &Job, workshop: &mut Workshop) -> Result<()> {
    let prepared = prepare(job)?;
    let key = keyring::signing_key()?;
    let keys = prepared.layout.backup_keys(job.id, job.queued_at.date_naive());
    let store = remains::open_store(&prepared.storage.url, &prepared.options)?;
    let compression = Compression::parse("gzip")?;

    let segment = Segment::create()?;
    transaction(|| job::start_running(job.id, segment.handle()))?;
    // The storage is asked first: a wrong key or a missing bucket is told before any table is locked.
    let upload = begin_upload(job, workshop, &prepared, &keys, &store)?;
    set_phase(&segment, Phase::Locking);
    let (mut rows, mut orders) = start_copier(workshop, &segment)?;
    let snapshot = await_snapshot(job, workshop, &mut rows)?;

    set_phase(&segment, Phase::Catalogs);
    let connection = Connection::to_this_server()?;
    let globals = {
        let mut last_pulse = Instant::now();
        dump_globals(&connection, || {
            archive::pulse(&mut last_pulse)?;
            interrupts::wait(None, Duration::from_millis(10))
        })?
    };
    let waker = workshop.io.waker().clone();
    let dump = workshop.dump.insert(Dump::start(
        &connection,
        &prepared.database_bytes,
        &snapshot.name,
        compression,
        &waker,
    )?);
    let contents = archive::read_contents(dump, &workshop.io, compression)?;

    set_phase(&segment, Phase::Copying);
    segment.counters().tables_total.store(contents.plan.pieces.len() as u64, Relaxed);
    send_plan(workshop, &mut orders, &contents, compression)?;
    let dump = workshop.dump.as_mut().ok_or_else(|| Error::internal("pg_dump is not running"))?;
    let line = Line::new(&workshop.io, dump, &mut rows, upload, &segment);
    let (assembled, uploaded) = line.assemble(&contents, compression)?;
    workshop.dump = None;
    workshop.copier = None;

    set_phase(&segment, Phase::Verifying);
    finalize(job, &keys, &assembled, &uploaded)?;
    proof::archive(&workshop.io, &store, &keys, &uploaded)?;
    let globals = proof::put(&workshop.io, &store, &keys.globals, globals)?;

    set_phase(&segment, Phase::Signing);
    let facts = Facts {
        job,
        prepared: &prepared,
        keys: &keys,
        snapshot: &snapshot,
        contents: &contents,
        assembled: &assembled,
        uploaded: &uploaded,
        compression,
        globals: &globals,
        key_id: key.public().key_id(),
    };
    let manifest = manifest::build(&facts)?;
    let signature = key.sign(&manifest);
    proof::manifest(&workshop.io, &store, &keys, &manifest, signature, &key.public())?;
    transaction(|| {
        let body =
            String::from_utf8(manifest.clone()).map_err(|_| Error::internal("a manifest is not text"))?;
        crate::catalog::manifest::insert(job.id, &body, &signature)?;
        job::complete(job.id)
    })
}

/// Fails when walwarden was dropped from the database.
pub fn require_extension() -> Result<()> {
    transaction(|| {
        if extension::exists() {
            return Ok(());
        }
        Err(Error::new(ErrorClass::Canceled, "extension walwarden was dropped while the job ran"))
    })
}

/// Show the step in walwarden.progress and in pg_stat_activity.
pub fn set_phase(segment: &Segment, phase: Phase) {
    bgworker::report_activity(Phase::name(phase as u32));
    segment.counters().phase.store(phase as u32, Relaxed);
}

/// Note what will have to be removed, begin the upload, note its id, and let it wait for bytes.
fn begin_upload(
    job: &Job,
    workshop: &mut Workshop,
    prepared: &Prepared,
    keys: &BackupKeys,
    store: &Store,
) -> Result<Upload> {
    let destination = Destination {
        url: prepared.storage.url.clone(),
        options: prepared.options.clone(),
        manifest_key: keys.manifest.clone(),
        keys: vec![keys.signature.clone(), keys.globals.clone(), keys.archive.clone()],
        upload_key: keys.archive.clone(),
        server: server::running(),
        noted_at: clock::now(),
    };
    let noted = destination.to_json()?;
    transaction(|| job::set_remains(job.id, &noted, None))?;
    workshop.destination = Some(destination);

    let begun = {
        let (store, key) = (store.clone(), keys.archive.clone());
        match workshop.io.run(async move { store.begin_upload(&key).await }) {
            Ok(begun) => begun,
            Err(error) => {
                if is_refusal(error.class) {
                    workshop.destination = None;
                    transaction(|| job::clear_remains(job.id))?;
                }
                return Err(error);
            }
        }
    };
    workshop.upload_id = Some(begun.id().to_owned());
    transaction(|| job::set_remains(job.id, &noted, workshop.upload_id.as_deref()))?;

    let part_size = plan_part_size(prepared.database_size, prepared.part_size);
    let parts_in_flight = (PARTS_BUDGET / part_size.max(1)).saturating_sub(1).clamp(1, MOST_PARTS_IN_FLIGHT);
    let (sender, receiver) = mpsc::channel::<UploadItem>(ITEMS_IN_FLIGHT);
    let stored = Arc::new(AtomicU64::new(0));
    let part_size =
        usize::try_from(part_size).map_err(|_| Error::internal("a part is larger than memory"))?;
    let task =
        workshop.io.spawn(begun.run(receiver, part_size, parts_in_flight as usize, Arc::clone(&stored)))?;
    Ok(Upload::new(sender, task, stored))
}

/// Whether storage answered with a clear no, so that nothing was begun there.
fn is_refusal(class: ErrorClass) -> bool {
    matches!(
        class,
        ErrorClass::StoragePermission
            | ErrorClass::StorageNotFound
            | ErrorClass::StorageConflict
            | ErrorClass::StorageFull
    )
}

fn start_copier(workshop: &mut Workshop, segment: &Segment) -> Result<(Receiver, Sender)> {
    let (mut rows, mut orders) = queue::leader_ends(segment);
    let copier = start::start_copier(segment.handle()).ok_or_else(|| bgworker::no_free_slot("copier"))?;
    rows.watch(&copier);
    orders.watch(&copier);
    workshop.copier = Some(copier);
    Ok((rows, orders))
}

fn await_snapshot(job: &Job, workshop: &Workshop, rows: &mut Receiver) -> Result<Snapshot> {
    let mut last_pulse = Instant::now();
    let message = archive::next_message(rows, &mut || archive::pulse(&mut last_pulse), &workshop.io)?;
    let Message::Snapshot { snapshot, lsn, taken_at_micros } = message else {
        return Err(Error::internal("a copier ended before it began"));
    };
    let at = DateTime::from_timestamp_micros(taken_at_micros)
        .ok_or_else(|| Error::internal("the time of a snapshot is out of range"))?;
    transaction(|| job::set_snapshot(job.id, at, &Lsn(lsn).to_string()))?;
    Ok(Snapshot { name: snapshot, lsn, at })
}

fn send_plan(
    workshop: &Workshop,
    orders: &mut Sender,
    contents: &Contents,
    compression: Compression,
) -> Result<()> {
    let message = LeaderMessage::Plan { compression, plan: contents.plan.clone() }.encode()?;
    let mut last_pulse = Instant::now();
    while !orders.try_send(&message)? {
        archive::pulse(&mut last_pulse)?;
        interrupts::wait(Some(workshop.io.waker()), Duration::from_secs(1))?;
    }
    Ok(())
}

fn finalize(job: &Job, keys: &BackupKeys, assembled: &Assembled, uploaded: &Uploaded) -> Result<()> {
    let facts = ArchiveFacts {
        size: uploaded.size,
        raw_bytes: assembled.table_bytes() + assembled.large_object_bytes,
        tables: assembled.blocks.len() as u64,
        rows: assembled.rows(),
        sha256: hex::encode(uploaded.sha256),
    };
    transaction(|| job::start_finalizing(job.id, [&keys.archive, &keys.globals, &keys.manifest], &facts))
}
