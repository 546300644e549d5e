//! pg_dump as the source of the table of contents, and pg_dumpall as that of the globals: children of the leader,
//! read by threads that hand over what they read.

use crate::pg::process::{spawn, with_signals_blocked};
use crate::pg::waker::Waker;
use crate::pg::{random, server};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use walwarden_core::archive::statement::statement_from_block;
use walwarden_core::archive::{ArchiveReader, BlockStart, Compression, PieceEncoder, PieceSummary, Toc};
use walwarden_core::{Error, ErrorClass, Result};

/// How much of what a child writes to stderr is kept.
const LONGEST_COMPLAINT: u64 = 16 * 1024;
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

/// How a child connects to this server: never with a password, never by an argument that could be taken for more
/// than a name.
#[derive(Debug, Clone)]
pub struct Connection {
    variables: Vec<(String, Vec<u8>)>,
}

impl Connection {
    /// By `walwarden.conninfo`, or over the server's own socket as the operating-system user of the server.
    pub fn to_this_server() -> Result<Self> {
        let mut variables = match crate::guc::text(&crate::guc::CONNINFO) {
            Some(conninfo) => conninfo_variables(&conninfo)?,
            None => vec![
                ("PGHOST".to_owned(), server::socket_directory().into_bytes()),
                ("PGUSER".to_owned(), server::operating_system_user()?.1.into_bytes()),
            ],
        };
        if !variables.iter().any(|(name, _)| name == "PGPORT") {
            variables.push(("PGPORT".to_owned(), server::port().to_string().into_bytes()));
        }
        Ok(Self { variables })
    }

    fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(server::bin_directory()?.join(program));
        command.env_clear().env("LC_ALL", "C").env("PGAPPNAME", format!("walwarden {program}"));
        for (name, value) in &self.variables {
            command.env(name, OsStr::from_bytes(value));
        }
        command.arg("--no-password").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}

/// The libpq environment variable for each keyword a conninfo may have here (libpq-envars in PostgreSQL's manual).
const CONNINFO_KEYWORDS: [(&str, &str); 9] = [
    ("host", "PGHOST"),
    ("port", "PGPORT"),
    ("user", "PGUSER"),
    ("passfile", "PGPASSFILE"),
    ("service", "PGSERVICE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
];

fn conninfo_variables(conninfo: &str) -> Result<Vec<(String, Vec<u8>)>> {
    parse_conninfo(conninfo)?
        .into_iter()
        .map(|(keyword, value)| {
            CONNINFO_KEYWORDS
                .iter()
                .find(|(known, _)| *known == keyword)
                .map(|(_, variable)| ((*variable).to_owned(), value.into_bytes()))
                .ok_or_else(|| {
                    conninfo_error(&format!("keyword \"{keyword}\" is not allowed"))
                        .hint("Allowed are host, port, user, passfile, service and ssl settings; passwords belong in a passfile.")
                })
        })
        .collect()
}

/// `keyword = 'value'` pairs as libpq reads them (conninfo_parse in fe-connect.c).
fn parse_conninfo(conninfo: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = conninfo.trim_start();
    while !rest.is_empty() {
        let (keyword, after) =
            rest.split_once('=').ok_or_else(|| conninfo_error("a keyword is not followed by \"=\""))?;
        let mut value = String::new();
        let mut characters = after.trim_start().chars();
        let quoted = characters.as_str().starts_with('\'');
        if quoted {
            characters.next();
        }
        let mut closed = !quoted;
        while let Some(character) = characters.next() {
            match character {
                '\'' if quoted => {
                    closed = true;
                    break;
                }
                '\\' => value.extend(characters.next()),
                c if c.is_whitespace() && !quoted => break,
                c => value.push(c),
            }
        }
        if !closed {
            return Err(conninfo_error("a quoted value does not end"));
        }
        pairs.push((keyword.trim().to_owned(), value));
        rest = characters.as_str().trim_start();
    }
    Ok(pairs)
}

fn conninfo_error(what: &str) -> Error {
    Error::new(ErrorClass::Configuration, format!("walwarden.conninfo cannot be used: {what}"))
}

/// What pg_dump shall dump.
pub struct Source<'a> {
    /// Name of the database, in its own encoding.
    pub database: &'a [u8],
    /// An exported snapshot.
    pub snapshot: &'a str,
    /// The process that holds the tables' locks: pg_dump's session joins its lock group.
    pub lock_group: i32,
}

/// A running pg_dump and the threads that read it.
pub struct Dump {
    child: Option<Child>,
    events: Receiver<Result<DumpEvent>>,
    complaints: Option<JoinHandle<String>>,
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
            .env("PGDATABASE", OsStr::from_bytes(source.database))
            .env(
                "PGOPTIONS",
                format!(
                    "-c session_preload_libraries=walwarden -c walwarden.toc_only={secret} \
                     -c walwarden.lock_group={} -c max_parallel_workers_per_gather=0",
                    source.lock_group
                ),
            );
        let mut child = spawn(command, "pg_dump")?;
        let (stdout, stderr) = pipes(&mut child)?;
        let (sender, events) = sync_channel(EVENTS_IN_FLIGHT);
        let waker = waker.clone();
        let complaints = with_signals_blocked(|| {
            let complaints = std::thread::Builder::new().spawn(move || read_complaints(stderr));
            let reader = std::thread::Builder::new().spawn(move || {
                let post = Post { sender, waker };
                if let Err(error) = read_dump(stdout, &secret, compression, &post) {
                    post.send(Err(error));
                }
            });
            reader.and(complaints)
        })
        .map_err(|cause| {
            Error::new(ErrorClass::Resources, "could not start a thread to read pg_dump")
                .detail(cause.to_string())
        })?;
        Ok(Self { child: Some(child), events, complaints: Some(complaints) })
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
        let Some(child) = self.child.as_mut() else { return Ok(true) };
        let status = child.try_wait().map_err(|cause| wait_error("pg_dump", &cause))?;
        let Some(status) = status else { return Ok(false) };
        self.child = None;
        let complaints = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        judge("pg_dump", status, &complaints).map(|()| true)
    }

    /// End it and say why it had failed, if it complained: its own words explain more than a broken stream.
    pub fn explain(mut self, error: Error) -> Error {
        let Some(mut child) = self.child.take() else { return error };
        // It ends by itself after an error; if not, its stream was broken by us.
        let mut status = child.try_wait().ok().flatten();
        for _ in 0..20 {
            if status.is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            status = child.try_wait().ok().flatten();
        }
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
            return error;
        }
        let complaints = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        match status.map(|status| judge("pg_dump", status, &complaints)) {
            Some(Err(explained)) => explained,
            _ => error,
        }
    }
}

impl Drop for Dump {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Gone already is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Run pg_dumpall for roles and tablespaces, without passwords, and give its output. Interruptible through `pause`.
pub fn dump_globals(connection: &Connection, mut pause: impl FnMut() -> Result<()>) -> Result<Vec<u8>> {
    let mut command = connection.command("pg_dumpall")?;
    command.args(["--globals-only", "--no-role-passwords"]);
    let mut child = spawn(command, "pg_dumpall")?;
    let (mut stdout, stderr) = pipes(&mut child)?;
    let threads = with_signals_blocked(|| {
        let output = std::thread::Builder::new().spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes)
        })?;
        let complaints = std::thread::Builder::new().spawn(move || read_complaints(stderr))?;
        Ok::<_, std::io::Error>((output, complaints))
    });
    let (output, complaints) = match threads {
        Ok(threads) => threads,
        Err(cause) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::new(ErrorClass::Resources, "could not start a thread to read pg_dumpall")
                .detail(cause.to_string()));
        }
    };
    let status = loop {
        match child.try_wait().map_err(|cause| wait_error("pg_dumpall", &cause))? {
            Some(status) => break status,
            None => {
                if let Err(stop) = pause() {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(stop);
                }
            }
        }
    };
    judge("pg_dumpall", status, &complaints.join().unwrap_or_default())?;
    output
        .join()
        .map_err(|_| Error::internal("the thread reading pg_dumpall panicked"))?
        .map_err(|cause| wait_error("pg_dumpall", &cause))
}

fn pipes(child: &mut Child) -> Result<(ChildStdout, ChildStderr)> {
    match (child.stdout.take(), child.stderr.take()) {
        (Some(stdout), Some(stderr)) => Ok((stdout, stderr)),
        _ => Err(Error::internal("a child process has no pipes")),
    }
}

fn read_complaints(stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let mut stderr = stderr;
    // What was read before an error is still worth telling.
    let _ = stderr.by_ref().take(LONGEST_COMPLAINT).read_to_end(&mut kept);
    let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    String::from_utf8_lossy(&kept).trim().to_owned()
}

fn judge(program: &str, status: ExitStatus, complaints: &str) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let error = Error::new(ErrorClass::ChildProcess, format!("{program} failed"));
    let error =
        if complaints.is_empty() { error.detail(status.to_string()) } else { error.detail(complaints) };
    Err(if complaints.contains("max_locks_per_transaction") {
        // PostgreSQL's hint when the lock table is full, whatever the language of its messages.
        Error { class: ErrorClass::Resources, ..error }
            .hint("Raise max_locks_per_transaction: the lock of every table is held at the same time.")
    } else if complaints.contains("connection to server") {
        error.hint(
            "Set walwarden.conninfo to how pg_dump shall connect to this server, and check pg_hba.conf.",
        )
    } else {
        error
    })
}

fn wait_error(program: &str, cause: &std::io::Error) -> Error {
    Error::new(ErrorClass::ChildProcess, format!("could not follow {program}")).detail(cause.to_string())
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
