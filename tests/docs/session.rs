//! Where a page is run: a server of its own with a shop's database, a psql session that lasts for the whole page, a folder in
//! which its shell commands work, and an S3 server where the page speaks of a bucket.

use crate::cron;
use crate::names::Names;
use crate::page::{Language, Page};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use walwarden_testkit::{Cluster, S3Server, wait_until};

/// For what takes its time.
const PATIENCE: Duration = Duration::from_secs(120);
/// The database that pages are about.
const DATABASE: &str = "shop";
/// What is in it.
const SHOP: &str = include_str!("shop.sql");
/// What pages call the bucket, the data directory, a disk elsewhere and the folder of files that are nobody else's business.
const BUCKET: &str = "my-bucket";
const DATA_DIRECTORY: &str = "/var/lib/postgresql/18/main";
const OTHER_DISK: &str = "/mnt/backups";
const PRIVATE_FOLDER: &str = "/etc/walwarden";
/// Pages are written for Amazon's S3; here is one on this machine.
const REGION: &str = r#""region": "eu-central-1""#;
/// The example keys of Amazon's documentation.
const KEYS: [&str; 2] = ["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"];

/// One S3 server with a bucket for each page that wants one.
#[derive(Default)]
pub struct Buckets {
    server: OnceLock<S3Server>,
    made: AtomicUsize,
}

/// What a block gave.
pub struct Came {
    pub text: String,
}

/// Everything that a page is run with.
pub struct Place {
    pub names: Names,
    psql: Psql,
    folder: PathBuf,
    cluster: Cluster,
}

impl Place {
    /// A new server.
    pub fn of(page: &Page, buckets: &Buckets) -> Self {
        let mut names = Names::default();
        let mut builder = Cluster::builder().preload_walwarden();
        if page.is_run_with(BUCKET) {
            let server = buckets.server.get_or_init(S3Server::start);
            let bucket = format!("page-{}", buckets.made.fetch_add(1, Ordering::SeqCst));
            server.client().create_bucket(&bucket);
            builder = builder.envs(server.env());
            names.add(BUCKET, &bucket);
            names.add_said_only(KEYS[0], S3Server::ADMIN.0);
            names.add_said_only(KEYS[1], S3Server::ADMIN.1);
            names.add(
                REGION,
                &format!(r#"{REGION}, "endpoint": "{}", "allow_http": true"#, server.endpoint()),
            );
        }
        for (page, here) in cron::that_do_not_fire(&page.text) {
            names.add(&page, &here);
        }
        let cluster = builder.start();
        names.add(DATA_DIRECTORY, &cluster.data_dir().display().to_string());
        names.add("role \"postgres\"", &format!("role \"{}\"", cluster.superuser()));
        for (name, page) in [("other-disk", OTHER_DISK), ("private", PRIVATE_FOLDER)] {
            names.add(page, &cluster.new_server_folder(name).display().to_string());
        }
        cluster.create_database(DATABASE);
        cluster.sql(DATABASE, SHOP);
        let folder = cluster.new_server_folder("page");
        let psql = Psql::start(in_folder(&cluster, cluster.program("psql"), &folder));
        Self { names, psql, folder, cluster }
    }

    /// Runs a block as the page says it.
    pub fn run(&mut self, language: Language, text: &str) -> Result<Came, String> {
        let text = self.names.as_it_is_here(text);
        match language {
            Language::Sql => self.psql.say(&text),
            Language::Shell => self.shell(&text),
        }
    }

    /// Waits until a query says true.
    pub fn await_true(&mut self, query: &str) -> Result<(), String> {
        wait_until(query, PATIENCE, || match self.run(Language::Sql, query).and_then(Came::without_error) {
            Ok(text) => text.lines().any(|line| line.trim() == "t").then_some(Ok(())),
            Err(trouble) => Some(Err(trouble)),
        })
    }

    fn shell(&self, script: &str) -> Result<Came, String> {
        let mut command = in_folder(&self.cluster, self.cluster.program("psql"), &self.folder);
        let psql = command.get_program().to_owned();
        let mut shell = Command::new("sh");
        for (name, value) in command.env("PSQL", psql).get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.current_dir(&self.folder).args(["-euc", script]).stdin(Stdio::null());
        self.cluster.run_as_server(&mut shell);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        shell.stdout(writer.try_clone().expect("a pipe")).stderr(writer);
        let mut child = shell.spawn().expect("there is a shell");
        drop(shell);
        let text = std::io::read_to_string(reader);
        let status = child.wait().expect("our own child");
        let text = text.map_err(|e| format!("its output: {e}"))?;
        if status.success() { Ok(Came { text }) } else { Err(format!("{status}\n{text}")) }
    }
}

impl Came {
    /// What came, unless it is or contains an error.
    pub fn without_error(self) -> Result<String, String> {
        if has_error(&self.text) { Err(self.text) } else { Ok(self.text) }
    }
}

/// Whether something went wrong that PostgreSQL tells of.
pub fn has_error(text: &str) -> bool {
    text.lines()
        .any(|line| ["ERROR:", "FATAL:", "PANIC:", "psql:"].iter().any(|error| line.starts_with(error)))
}

/// Whether psql did not understand its own commands, which no page wants to show.
fn is_misunderstood(text: &str) -> bool {
    const COMPLAINTS: [&str; 6] = [
        "invalid command",
        "invalid variable name",
        "no rows returned for \\gset",
        "more than one row returned for \\gset",
        "unrecognized value",
        "unterminated quoted string",
    ];
    text.lines()
        .any(|line| line.starts_with('\\') || COMPLAINTS.iter().any(|complaint| line.starts_with(complaint)))
}

/// A program as the user of the server, in the page's folder, with the server's programs first in its path.
fn in_folder(cluster: &Cluster, mut command: Command, folder: &std::path::Path) -> Command {
    let programs = cluster.installation().program("psql");
    let programs = programs.parent().expect("a folder of programs");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", programs.display())).env("HOME", folder);
    command.env("PGDATABASE", DATABASE).env("LC_ALL", "C.UTF-8").env_remove("LANGUAGE");
    command.current_dir(folder);
    cluster.run_as_server(&mut command);
    command
}

struct Psql {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    said: usize,
}

impl Psql {
    fn start(mut command: Command) -> Self {
        // One pipe for both: psql flushes its output before it writes an error, so they come in order.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        // Which line of a function raised an error is of no use on a page.
        command.args(["--no-psqlrc", "--pset=pager=off", "--set=SHOW_CONTEXT=never"]).stdin(Stdio::piped());
        command.stdout(writer.try_clone().expect("a pipe")).stderr(writer);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
        Self { stdin: child.stdin.take().expect("piped"), child, lines, said: 0 }
    }

    /// Says something and gives what is answered until all of it is done.
    fn say(&mut self, text: &str) -> Result<Came, String> {
        let last = text
            .lines()
            .map(|line| line.split("--").next().unwrap_or_default().trim())
            .rfind(|line| !line.is_empty());
        if last.is_some_and(|line| !line.ends_with(';') && !line.contains('\\')) {
            return Err("the last statement has no end".to_owned());
        }
        self.said += 1;
        let end = format!("end of block {}", self.said);
        let sent = writeln!(self.stdin, "{text}\n\\echo {end}").and_then(|()| self.stdin.flush());
        sent.map_err(|e| format!("psql is gone: {e}"))?;
        let mut answer = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.map_err(|e| format!("psql says nothing more: {e}\n{answer}"))?;
            if let Some(rest) = line.trim_end().strip_suffix(&end) {
                answer.push_str(rest);
                return if is_misunderstood(&answer) { Err(answer) } else { Ok(Came { text: answer }) };
            }
            answer.push_str(&line);
        }
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
