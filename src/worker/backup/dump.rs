//! pg_dump as the source of the table of contents and of large objects: a child of the leader, read by a thread that hands
//! over what it reads.

use crate::pg::transaction::transaction;
use crate::pg::waker::Waker;
use crate::pg::{random, text};
use crate::worker::child::{Connection, Running, reading_thread};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use walwarden_core::archive::statement::statement_from_block;
use walwarden_core::archive::{ArchiveReader, BlockStart, Compression, PieceEncoder, PieceSummary, Toc};
use walwarden_core::filter::Filter;
use walwarden_core::{Error, ErrorClass, Result};

/// A COPY statement is never longer: 1600 columns of quoted names.
const LONGEST_STATEMENT: usize = 1 << 20;
/// Events on their way to the main thread; large objects come in chunks of a quarter of a megabyte.
const EVENTS_IN_FLIGHT: usize = 16;

/// What pg_dump's stream says, in order: the table of contents, a statement for each table, then large objects.
#[derive(Debug)]
pub enum DumpEvent {
    /// Comes first.
    Toc(Toc),
    /// pg_dump would run this COPY for the entry.
    Statement { dump_id: i32, statement: Vec<u8> },
    /// No table comes after this.
    TablesEnd,
    /// A block of large objects begins.
    LargeObjectsStart { dump_id: i32 },
    /// One of them begins.
    LargeObjectStart { oid: u32 },
    /// Framed, compressed bytes of it.
    LargeObjectBytes(Vec<u8>),
    /// It is complete.
    LargeObjectEnd(PieceSummary),
    /// The block is complete.
    LargeObjectsEnd,
    /// The stream is complete.
    End,
}

/// What pg_dump shall dump.
pub struct Source<'a> {
    /// Name of the database, in its own encoding.
    pub database: &'a [u8],
    /// An exported snapshot.
    pub snapshot: &'a str,
    /// The process that holds the tables' locks: pg_dump's session joins its lock group.
    pub lock_group: i32,
    /// What of the database.
    pub filter: &'a Filter,
}

/// A running pg_dump and the thread that reads it.
pub struct Dump {
    running: Running,
    events: Receiver<Result<DumpEvent>>,
}

impl Dump {
    /// Start pg_dump. `compression` is for large objects.
    pub fn start(
        connection: &Connection,
        source: &Source<'_>,
        compression: Compression,
        waker: &Waker,
    ) -> Result<Self> {
        let mut command = connection.command("pg_dump")?;
        let secret = hex::encode(random::bytes::<16>()?);
        command
            .args(["--format=custom", "--compress=0", "--snapshot", source.snapshot])
            .args(switches(source.filter)?)
            .env("PGDATABASE", OsStr::from_bytes(source.database))
            .env(
                "PGOPTIONS",
                format!(
                    "-c session_preload_libraries=walwarden -c walwarden.toc_only={secret} \
                     -c walwarden.lock_group={} -c max_parallel_workers_per_gather=0",
                    source.lock_group
                ),
            );
        let (running, stdout) = Running::start(command, "pg_dump")?;
        let (sender, events) = sync_channel(EVENTS_IN_FLIGHT);
        let post = Post { sender, waker: waker.clone() };
        reading_thread("pg_dump", move || {
            if let Err(error) = read_dump(stdout, &secret, compression, &post) {
                post.send(Err(error));
            }
        })?;
        Ok(Self { running, events })
    }

    /// The next event, if it is there. The waker rings when one comes.
    pub fn try_next(&mut self) -> Option<Result<DumpEvent>> {
        match self.events.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err(Error::new(ErrorClass::ChildProcess, "pg_dump's output ended too early")))
            }
        }
    }

    /// Whether pg_dump has ended, and how: an error if it did not end well. Call when its stream is at its end.
    pub fn try_finish(&mut self) -> Result<bool> {
        self.running.try_finish()
    }

    /// End it and say why it had failed, if it complained.
    pub fn explain(self, error: Error) -> Error {
        self.running.explain(error)
    }
}

/// In the database's encoding, which is pg_dump's, too.
fn switches(filter: &Filter) -> Result<Vec<OsString>> {
    let switches = filter.pg_dump_arguments();
    // What conversions there are stands in a catalog.
    transaction(|| {
        let encoded = switches.iter().map(|switch| text::to_server(switch).into_bytes());
        Ok(encoded.map(OsString::from_vec).collect())
    })
}

/// The reading thread's way to the main thread.
struct Post {
    sender: SyncSender<Result<DumpEvent>>,
    waker: Waker,
}

impl Post {
    /// False when nobody listens any more.
    fn send(&self, event: Result<DumpEvent>) -> bool {
        let sent = self.sender.send(event).is_ok();
        self.waker.wake();
        sent
    }
}

fn read_dump(stdout: ChildStdout, secret: &str, compression: Compression, post: &Post) -> Result<()> {
    let mut reader = ArchiveReader::new(std::io::BufReader::with_capacity(1 << 18, stdout));
    let toc = reader.read_toc()?;
    if !post.send(Ok(DumpEvent::Toc(toc))) {
        return Ok(());
    }
    let mut tables = true;
    while let Some(block) = reader.next_block()? {
        let sent = match block {
            BlockStart::TableData { dump_id } if tables => {
                let statement = read_statement(&mut reader, secret, dump_id)?;
                post.send(Ok(DumpEvent::Statement { dump_id, statement }))
            }
            BlockStart::TableData { dump_id } => {
                return Err(Error::new(ErrorClass::Archive, "pg_dump put a table after the large objects")
                    .detail(format!("Entry {dump_id}.")));
            }
            BlockStart::LargeObjects { dump_id } => {
                if std::mem::take(&mut tables) {
                    post.send(Ok(DumpEvent::TablesEnd));
                }
                read_large_objects(&mut reader, dump_id, compression, post)?
            }
        };
        if !sent {
            return Ok(());
        }
    }
    if tables {
        post.send(Ok(DumpEvent::TablesEnd));
    }
    post.send(Ok(DumpEvent::End));
    Ok(())
}

fn read_statement<R: Read>(reader: &mut ArchiveReader<R>, secret: &str, dump_id: i32) -> Result<Vec<u8>> {
    let mut plaintext = Vec::new();
    let mut chunk = Vec::new();
    while reader.next_chunk(&mut chunk)? {
        plaintext.extend_from_slice(&chunk);
        if plaintext.len() > LONGEST_STATEMENT {
            break;
        }
    }
    statement_from_block(secret, &plaintext)
        .map(<[u8]>::to_vec)
        .map_err(|error| error.detail(format!("Entry {dump_id} of pg_dump's table of contents.")))
}

fn read_large_objects<R: Read>(
    reader: &mut ArchiveReader<R>,
    dump_id: i32,
    compression: Compression,
    post: &Post,
) -> Result<bool> {
    let mut going = post.send(Ok(DumpEvent::LargeObjectsStart { dump_id }));
    while let Some(oid) = reader.next_large_object()? {
        going = going && post.send(Ok(DumpEvent::LargeObjectStart { oid }));
        let mut encoder = PieceEncoder::new(compression);
        let mut framed = Vec::new();
        let mut chunk = Vec::new();
        while reader.next_chunk(&mut chunk)? {
            encoder.write(&chunk, &mut framed)?;
            if !framed.is_empty() {
                going = going && post.send(Ok(DumpEvent::LargeObjectBytes(std::mem::take(&mut framed))));
            }
            if !going {
                return Ok(false);
            }
        }
        let summary = encoder.finish(0, &mut framed)?;
        if !framed.is_empty() {
            going = going && post.send(Ok(DumpEvent::LargeObjectBytes(framed)));
        }
        going = going && post.send(Ok(DumpEvent::LargeObjectEnd(summary)));
    }
    Ok(going && post.send(Ok(DumpEvent::LargeObjectsEnd)))
}
