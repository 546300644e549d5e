//! One backup from beginning to end, in its leader. Each step is a function below; what must be stopped or removed when one of them
//! fails stands in the `Workshop`.

mod archive;
mod copiers;
mod copies;
mod dump;
mod fan;
mod globals;
mod inbox;
pub mod manifest;
mod prepare;
pub mod proof;

use crate::catalog::job::{self, ArchiveFacts, Job, ObjectKeys};
use crate::guc::{self, EncoderChoice};
use crate::pg::bgworker::{self, Handle};
use crate::pg::segment::{MOST_COPIERS, Segment};
use crate::pg::transaction::transaction;
use crate::pg::{clock, interrupts};
use crate::signer;
use crate::worker::child::Connection;
use crate::worker::compression;
use crate::worker::io::Io;
use crate::worker::progress::{Phase, set_phase};
use crate::worker::pulse::Pulse;
use crate::worker::work::Work;
use archive::{Assembled, Line};
use copiers::Copiers;
pub use copiers::default_jobs;
use copies::Copies;
use dump::{Dump, Source};
use globals::Globals;
use manifest::Facts;
use prepare::prepare;
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;
use walwarden_core::archive::Compression;
use walwarden_core::backup_options::BackupOptions;
use walwarden_core::message::LeaderMessage;
use walwarden_core::signature::Signer;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::{BackupKeys, Plain};

/// How long copiers that were told to end are waited for.
const COPIER_FAREWELL: Duration = Duration::from_millis(500);

/// What is running for the job, and what it wrote: to be stopped and removed when the job fails.
pub struct Workshop {
    /// Storage threads.
    pub io: Io,
    options: BackupOptions,
    /// Running copiers.
    pub copiers: Vec<Handle>,
    globals: Option<Globals>,
    dump: Option<Dump>,
    copies: Option<Copies>,
}

impl Workshop {
    /// Nothing runs yet.
    pub fn new(io: Io, options: BackupOptions) -> Self {
        Self { io, options, copiers: Vec::new(), globals: None, dump: None, copies: None }
    }
}

impl Work for Workshop {
    fn run(&mut self, job: &Job) -> Result<()> {
        run(job, self)
    }

    /// The error may become clearer by what pg_dump said.
    fn stop(&mut self, error: Error) -> Error {
        let stopped = error.class.is_request_to_stop();
        self.globals = None;
        let error = match self.dump.take() {
            Some(dump) if !stopped && error.class == ErrorClass::Archive => dump.explain(error),
            Some(dump) => {
                drop(dump);
                error
            }
            None => error,
        };
        bgworker::end(&mut self.copiers, COPIER_FAREWELL);
        error
    }

    fn clean_up(&self, limit: Duration) -> Result<()> {
        match &self.copies {
            Some(copies) => copies.clean_up(&self.io, limit),
            None => Ok(()),
        }
    }
}

/// Do the backup of a claimed job: on Ok it is completed and proven.
fn run(job: &Job, workshop: &mut Workshop) -> Result<()> {
    let prepared = prepare(job)?;
    let signer = signer::take()?;
    let compression = transaction(|| compression::choose(workshop.options.compression.as_deref()))?;

    let wanted = usize::try_from(workshop.options.jobs.unwrap_or_else(default_jobs))
        .unwrap_or(1)
        .clamp(1, MOST_COPIERS);
    let segment = Segment::create(wanted)?;
    transaction(|| {
        job::set_compression(job.id, compression)?;
        job::start_running(job.id, segment.handle())
    })?;
    Copies::begin(&workshop.io, job, &prepared, &mut workshop.copies)?;
    let connection = Connection::to_this_server()?;
    workshop.globals = Some(Globals::start(&connection, workshop.io.waker())?);
    set_phase(&segment, Phase::Locking);
    let mut copiers = Copiers::start_first(workshop, &segment)?;
    let snapshot = copiers.await_snapshot(job, workshop)?;
    let estimate = estimated_archive(segment.counters().estimated_bytes.load(Relaxed), compression);
    let (uploads, memory) = copies_of(&mut workshop.copies)?.start(&workshop.io, estimate)?;

    set_phase(&segment, Phase::Catalogs);
    let waker = workshop.io.waker().clone();
    let source = Source {
        database: &prepared.database_bytes,
        snapshot: &snapshot.name,
        lock_group: segment.counters().first_copier.load(SeqCst),
        filter: &workshop.options.filter,
    };
    let dump = workshop.dump.insert(Dump::start(&connection, &source, compression, &waker)?);
    let contents = archive::read_contents(dump, &workshop.io, compression, &snapshot.sizes)?;
    signer.require_signable(shortest_manifest(&contents))?;
    let globals = await_globals(workshop)?;

    segment.counters().copying_since.store(clock::now().timestamp_micros(), Relaxed);
    set_phase(&segment, Phase::Copying);
    segment.counters().tables_total.store(contents.plan.tables.len() as u64, Relaxed);
    copiers.start_helpers(job, workshop, &segment, wanted, contents.plan.pieces.len())?;
    let plan = LeaderMessage::Plan {
        snapshot: snapshot.name.clone(),
        compression,
        is_direct: guc::ENCODER.get() == EncoderChoice::Auto,
        plan: contents.plan.clone(),
    };
    copiers.send_to_all(workshop, &plan)?;
    let dump = workshop.dump.as_mut().ok_or_else(|| Error::internal("pg_dump is not running"))?;
    let line =
        Line::new(&workshop.io, dump, copiers, uploads, &segment, memory.ahead, workshop.options.max_rate)?;
    let (assembled, outcomes) = line.assemble(&contents, compression)?;
    workshop.dump = None;
    workshop.copiers.clear();
    let (io, copies) = (&workshop.io, copies_of(&mut workshop.copies)?);
    let archive = copies.note_uploads(io, outcomes)?;

    segment.counters().stored_bytes.store(archive.size, Relaxed);
    segment.counters().verifying_since.store(clock::now().timestamp_micros(), Relaxed);
    set_phase(&segment, Phase::Verifying);
    finalize(job, copies.first_keys()?, &assembled, &archive)?;
    copies.prove_archive(io, &segment)?;
    let plain_globals = Plain { size: globals.len() as u64, sha256: Sha256::digest(&globals).into() };
    copies.put_globals(io, &globals)?;

    set_phase(&segment, Phase::Signing);
    let key_id = signer.public().key_id();
    let facts = Facts {
        job,
        prepared: &prepared,
        snapshot: &snapshot,
        contents: &contents,
        assembled: &assembled,
        compression,
        filter: &workshop.options.filter,
        globals: plain_globals,
        key_id: key_id.clone(),
        finished_at: clock::now(),
    };
    copies.put_manifests(io, &|form| manifest::build(&facts, form), &signer)?;
    transaction(
        || if copies.record(&key_id)? { job::complete(job.id) } else { job::complete_in_part(job.id) },
    )
}

fn copies_of(copies: &mut Option<Copies>) -> Result<&mut Copies> {
    copies.as_mut().ok_or_else(|| Error::internal("a backup has no copies"))
}

/// About the most that becomes of tables that take so many bytes on disk. As text, bytea is twice as long and compressed
/// TOAST longer still; gzip and zstd make up for that, lz4 only where bytes repeat.
fn estimated_archive(table_bytes: u64, compression: Compression) -> u64 {
    let percent = match compression {
        Compression::None => 500,
        Compression::Lz4 => 250,
        Compression::Gzip { .. } | Compression::Zstd { .. } => 125,
    };
    table_bytes.saturating_mul(percent) / 100
}

/// No manifest of these tables is shorter: the names and braces of each, and the hash of each piece.
fn shortest_manifest(contents: &archive::Contents) -> usize {
    const TABLE: usize = 100;
    const PIECE: usize = 120;
    TABLE * contents.plan.tables.len() + PIECE * contents.plan.pieces.len()
}

/// What pg_dumpall wrote: it began before pg_dump, and a failure of it is told before any row is copied.
fn await_globals(workshop: &mut Workshop) -> Result<Vec<u8>> {
    let globals = workshop.globals.as_mut().ok_or_else(|| Error::internal("pg_dumpall is not running"))?;
    let mut pulse = Pulse::new();
    loop {
        if let Some(bytes) = globals.try_take()? {
            workshop.globals = None;
            return Ok(bytes);
        }
        pulse.beat()?;
        interrupts::wait(Some(workshop.io.waker()), Duration::from_millis(10))?;
    }
}

fn finalize(job: &Job, keys: &BackupKeys, assembled: &Assembled, archive: &Plain) -> Result<()> {
    let facts = ArchiveFacts {
        size: archive.size,
        raw_bytes: assembled.table_bytes() + assembled.large_object_bytes,
        tables: assembled.blocks.len() as u64,
        rows: assembled.rows(),
        sha256: hex::encode(archive.sha256),
    };
    let keys = ObjectKeys { archive: &keys.archive, globals: Some(&keys.globals), manifest: &keys.manifest };
    transaction(|| job::start_finalizing(job.id, &keys, &facts))
}
