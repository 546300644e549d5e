//! PostgreSQL's own client programs as children of the leader: how they connect, what they complain of, how they ended.

use crate::pg::process::{spawn, with_signals_blocked};
use crate::pg::server;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;
use walwarden_core::{Error, ErrorClass, Result};

/// How much of what a child writes to stderr is kept.
const LONGEST_COMPLAINT: u64 = 16 * 1024;

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

    /// A command of the server's own installation, with nothing in its environment but this.
    pub fn command(&self, program: &str) -> Result<Command> {
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

/// A running child, and the thread that reads its complaints. Dropped, it is killed.
pub struct Running {
    name: &'static str,
    child: Option<Child>,
    complaints: Option<JoinHandle<String>>,
}

impl Running {
    /// Start it; its standard output is the caller's to read.
    pub fn start(command: Command, name: &'static str) -> Result<(Self, ChildStdout)> {
        let mut child = spawn(command, name)?;
        let pipes = (child.stdout.take(), child.stderr.take());
        let mut running = Self { name, child: Some(child), complaints: None };
        let (Some(stdout), Some(stderr)) = pipes else {
            return Err(Error::internal("a child process has no pipes"));
        };
        running.complaints = Some(reading_thread(name, move || read_complaints(stderr))?);
        Ok((running, stdout))
    }

    /// Its standard input, if it was started with a pipe for it; only once.
    pub fn input(&mut self) -> Result<ChildStdin> {
        let input = self.child.as_mut().and_then(|child| child.stdin.take());
        input.ok_or_else(|| Error::internal("a child process has no pipe to write to"))
    }

    /// Whether it has ended, and how: an error if it did not end well. Call when its output is at its end.
    pub fn try_finish(&mut self) -> Result<bool> {
        let Some(child) = self.child.as_mut() else { return Ok(true) };
        let status = child.try_wait().map_err(|cause| wait_error(self.name, &cause))?;
        let Some(status) = status else { return Ok(false) };
        self.child = None;
        self.judge(status).map(|()| true)
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
            std::thread::sleep(Duration::from_millis(10));
            status = child.try_wait().ok().flatten();
        }
        match status {
            Some(status) => self.judge(status).err().unwrap_or(error),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                error
            }
        }
    }

    fn judge(&mut self, status: ExitStatus) -> Result<()> {
        let complaints = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        judge(self.name, status, &complaints)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Gone already is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A thread that reads what a child writes, and that no signal reaches.
pub fn reading_thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    with_signals_blocked(|| std::thread::Builder::new().spawn(body)).map_err(|cause| {
        Error::new(ErrorClass::Resources, format!("could not start a thread to read {name}"))
            .detail(cause.to_string())
    })
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

/// What became of a child cannot be told.
pub fn wait_error(program: &str, cause: &std::io::Error) -> Error {
    Error::new(ErrorClass::ChildProcess, format!("could not follow {program}")).detail(cause.to_string())
}
