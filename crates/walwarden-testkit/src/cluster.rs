//! A PostgreSQL cluster of the test's own.
//!
//! The server runs as an unprivileged user and is a direct child of the test, so it is stopped, killed and waited for
//! by its own process id, and a Ctrl-C in the terminal reaches it too. Its superuser has the name of the operating
//! system user, as on a server set up by hand. Programs such as `psql` run as the caller and connect over the
//! cluster's own socket.

use crate::compare::without_volatile_lines;
use crate::installation::Installation;
use crate::processes::{self, ChildProcess};
use crate::wait::wait_until;
use crate::workspace::{ServerUser, new_folder, tail};
use rustix::process::Signal;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long a server may take to start or stop before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);
const LOG_TAIL: usize = 80;
const SHOWN_OF_SCRIPT: usize = 400;

/// How to stop a server: the modes of `pg_ctl stop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Wait for the clients to leave.
    Smart,
    /// Disconnect them and shut down cleanly.
    Fast,
    /// Leave at once, and recover at the next start.
    Immediate,
}

/// An archive for `pg_restore`.
#[derive(Clone, Copy, Debug)]
pub enum Archive<'a> {
    /// A file, which it can seek in.
    File(&'a Path),
    /// Bytes it reads from a pipe.
    Stdin(&'a [u8]),
}

/// What the new cluster shall be like. Made by [`Cluster::builder`].
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    installation: Option<Installation>,
    preload: Vec<String>,
    config: Vec<String>,
    initdb: Vec<String>,
    environment: Vec<(String, String)>,
    tcp: bool,
}

/// A running (or stopped) PostgreSQL cluster in a folder of its own.
pub struct Cluster {
    folder: Option<TempDir>,
    installation: Installation,
    user: ServerUser,
    environment: Vec<(String, String)>,
    port: u16,
    server: Option<Child>,
}

impl ClusterBuilder {
    /// Use this PostgreSQL instead of the one `PG_CONFIG` names.
    #[must_use]
    pub fn installation(mut self, installation: Installation) -> Self {
        self.installation = Some(installation);
        self
    }

    /// Load walwarden at server start.
    #[must_use]
    pub fn preload_walwarden(self) -> Self {
        self.preload("walwarden")
    }

    /// Load a library at server start.
    #[must_use]
    pub fn preload(mut self, library: &str) -> Self {
        self.preload.push(library.to_owned());
        self
    }

    /// Add a line to `postgresql.conf`; the last one for a setting wins.
    #[must_use]
    pub fn config(mut self, line: &str) -> Self {
        self.config.push(line.to_owned());
        self
    }

    /// Add an argument of `initdb`, for instance `--encoding=LATIN1`; the last one for an option wins.
    #[must_use]
    pub fn initdb(mut self, argument: &str) -> Self {
        self.initdb.push(argument.to_owned());
        self
    }

    /// Set a variable in the server's environment, which is otherwise nearly empty.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Set variables in the server's environment, for instance those of an [`crate::S3Server`].
    #[must_use]
    pub fn envs(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Listen on 127.0.0.1 as well as on the socket.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Makes the cluster and starts it.
    #[must_use]
    pub fn start(self) -> Cluster {
        let mut cluster = self.create();
        cluster.start();
        cluster
    }

    /// Makes the cluster and leaves it stopped.
    #[must_use]
    pub fn create(self) -> Cluster {
        let folder = new_folder("ww-");
        let user = ServerUser::current();
        user.own(folder.path());
        let mut environment = vec![
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("RUST_BACKTRACE".to_owned(), "1".to_owned()),
            // Without keys, an S3 client asks the cloud's metadata service; no test may leave this machine.
            ("AWS_METADATA_ENDPOINT".to_owned(), "http://127.0.0.1:1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
        ];
        environment.extend(self.environment);
        let cluster = Cluster {
            folder: Some(folder),
            installation: self.installation.unwrap_or_else(Installation::current),
            user,
            environment,
            port: free_port(),
            server: None,
        };

        let mut initdb = cluster.server_command("initdb");
        initdb.arg("-D").arg(cluster.data_dir()).args(["-N", "-A", "trust", "-U"]).arg(&cluster.user.name);
        initdb.args(["--encoding=UTF8", "--locale=C.UTF-8"]).args(&self.initdb);
        succeed(&mut initdb);

        let mut conf = String::new();
        let listen = if self.tcp { "127.0.0.1" } else { "" };
        writeln!(conf, "listen_addresses = '{listen}'").expect("a string");
        writeln!(conf, "port = {}", cluster.port).expect("a string");
        writeln!(conf, "unix_socket_directories = '{}'", cluster.folder().display()).expect("a string");
        // Durability is walwarden's subject only where it writes files itself; the cluster is thrown away.
        conf.push_str(
            "fsync = off\nshared_buffers = 64MB\nmax_wal_size = 512MB\nmax_worker_processes = 16\n",
        );
        conf.push_str("logging_collector = off\nlog_line_prefix = '%m [%p] %b %d: '\n");
        // The S3 servers of tests are on this machine and speak plain http.
        conf.push_str("walwarden.storage_allow = '127.0.0.1'\n");
        if !self.preload.is_empty() {
            writeln!(conf, "shared_preload_libraries = '{}'", self.preload.join(",")).expect("a string");
        }
        for line in &self.config {
            conf.push_str(line);
            conf.push('\n');
        }
        cluster.append_config(&conf);
        cluster
    }
}

impl Cluster {
    /// A new cluster: UTF-8, C collation, no TCP, no fsync, nothing preloaded.
    #[must_use]
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            installation: None,
            preload: Vec::new(),
            config: Vec::new(),
            initdb: Vec::new(),
            environment: Vec::new(),
            tcp: false,
        }
    }

    /// Starts the server and waits until it takes connections.
    ///
    /// # Panics
    /// With the end of the log, when it does not come up.
    pub fn start(&mut self) {
        assert!(self.server.is_none(), "the server is running already");
        // A pid file that a killed server left behind says "ready" too.
        let _ = std::fs::remove_file(self.data_dir().join("postmaster.pid"));
        let log = File::options().create(true).append(true).open(self.log_file()).expect("our own folder");
        let mut command = self.server_command("postgres");
        command.arg("-D").arg(self.data_dir()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file handle")).stderr(log);
        let mut spawn = || command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        let mut server = spawn();
        let pid_file = self.data_dir().join("postmaster.pid");
        let came_up = wait_until("the server to start", PATIENCE, || {
            if server.try_wait().expect("our own child").is_some() {
                // Processes of a postmaster that was killed may be busy for a moment before they notice.
                if tail(&self.log(), 3).contains("pre-existing shared memory block") {
                    let _ = std::fs::remove_file(&pid_file);
                    server = spawn();
                    return None;
                }
                return Some(false);
            }
            let text = std::fs::read_to_string(&pid_file).ok()?;
            text.lines().nth(7)?.trim().eq("ready").then_some(true)
        });
        assert!(came_up, "the server did not start:\n{}", tail(&self.log(), LOG_TAIL));
        self.server = Some(server);
    }

    /// Stops the server and waits until it is gone.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    pub fn stop(&mut self, mode: StopMode) {
        let mut server = self.server.take().expect("the server is running");
        processes::send(
            server.id(),
            match mode {
                StopMode::Smart => Signal::TERM,
                StopMode::Fast => Signal::INT,
                StopMode::Immediate => Signal::QUIT,
            },
        );
        wait_until("the server to stop", PATIENCE, || server.try_wait().expect("our own child"));
    }

    /// Stops the server (fast) and starts it again.
    pub fn restart(&mut self) {
        self.stop(StopMode::Fast);
        self.start();
    }

    /// Kills the postmaster, and it alone, and waits until its orphans have noticed and are gone.
    ///
    /// # Panics
    /// Naming the processes that are still there after a minute.
    pub fn kill9(&mut self) {
        let orphans = self.processes();
        let mut server = self.server.take().expect("the server is running");
        server.kill().expect("our own child");
        server.wait().expect("our own child");
        let titles: Vec<&str> = orphans.iter().map(|orphan| orphan.title.as_str()).collect();
        wait_until(&format!("the orphans of the postmaster to leave: {titles:?}"), PATIENCE, || {
            orphans.iter().all(|orphan| !orphan.is_running()).then_some(())
        });
    }

    /// Stops the postmaster where it is: sessions go on, but no process is started or seen to end. Until [`Self::kill9`].
    pub fn freeze_postmaster(&self) {
        processes::send(self.pid(), Signal::STOP);
    }

    /// Kills one of the server's processes, and waits until the postmaster has answered as it does to a crash: it ends
    /// all the others and starts anew.
    ///
    /// # Panics
    /// When the server takes no connections a minute later.
    pub fn kill9_process(&self, victim: &ChildProcess) {
        let before = self.processes();
        processes::kill(victim.pid);
        wait_until("the server to end its processes", PATIENCE, || {
            before.iter().all(|process| !process.is_running()).then_some(())
        });
        wait_until("the server to take connections again", PATIENCE, || {
            self.try_sql("postgres", "SELECT 1").ok()
        });
    }

    /// Re-reads the configuration, after [`Cluster::append_config`].
    pub fn reload(&self) {
        processes::send(self.pid(), Signal::HUP);
    }

    /// Adds lines to `postgresql.conf`; they count from the next reload or start.
    pub fn append_config(&self, lines: &str) {
        let path = self.data_dir().join("postgresql.conf");
        let mut file = File::options().append(true).open(&path).expect("initdb made postgresql.conf");
        writeln!(file, "{lines}").expect("our own file");
    }

    /// Whether the server process is there.
    pub fn is_running(&mut self) -> bool {
        self.server.as_mut().is_some_and(|server| server.try_wait().expect("our own child").is_none())
    }

    /// The postmaster's process id.
    ///
    /// # Panics
    /// When the server is stopped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the server is running").id()
    }

    /// The server's processes below the postmaster, with their titles.
    #[must_use]
    pub fn processes(&self) -> Vec<ChildProcess> {
        processes::children(self.pid())
    }

    /// The first process whose title contains `part`.
    #[must_use]
    pub fn process(&self, part: &str) -> Option<ChildProcess> {
        self.processes().into_iter().find(|process| process.title.contains(part))
    }

    /// What the server has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The PostgreSQL it runs on.
    #[must_use]
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// The folder that holds the data directory, the socket and the log; the test may put files there.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("present until dropped").path()
    }

    /// A new folder inside [`Cluster::folder`] that the server may write to, for instance a `file://` storage.
    #[must_use]
    pub fn new_server_folder(&self, name: &str) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::create_dir(&path).unwrap_or_else(|e| panic!("mkdir {}: {e}", path.display()));
        self.user.own(&path);
        path
    }

    /// Gives a file to the user that the server runs as.
    pub fn give_to_server(&self, path: &Path) {
        self.user.own(path);
    }

    /// Lets a program run as the user that the server runs as.
    pub fn run_as_server(&self, command: &mut Command) {
        self.user.apply(command);
    }

    /// The port: the socket's number, and that on 127.0.0.1 with [`ClusterBuilder::tcp`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The bootstrap superuser's name.
    #[must_use]
    pub fn superuser(&self) -> &str {
        &self.user.name
    }

    /// A connection as the superuser.
    #[must_use]
    pub fn client(&self, database: &str) -> postgres::Client {
        self.client_as(self.superuser(), database)
    }

    /// A connection as another role.
    #[must_use]
    pub fn client_as(&self, role: &str, database: &str) -> postgres::Client {
        let mut config = postgres::Config::new();
        config.host_path(self.folder()).port(self.port).user(role).dbname(database);
        let client = config.application_name("walwarden-testkit").connect(postgres::NoTls);
        client.unwrap_or_else(|e| panic!("cannot connect to {database} as {role}: {e}"))
    }

    /// One of the installation's client programs, set up to connect to this cluster as the superuser.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.installation.program(name));
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("PG") {
                command.env_remove(variable);
            }
        }
        command.env("PGHOST", self.folder()).env("PGPORT", self.port.to_string());
        command.env("PGUSER", self.superuser());
        command
    }

    /// Runs a script with psql (`-XAt`, stopping at the first error) and returns what it said, success or not.
    #[must_use]
    pub fn psql(&self, database: &str, script: &str) -> Output {
        let mut command = self.program("psql");
        command.env("PGDATABASE", database).args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        with_stdin(&mut command, script.as_bytes())
    }

    /// Runs a script and returns what it printed, without the last newline.
    ///
    /// # Panics
    /// With psql's message, when a statement fails.
    pub fn sql(&self, database: &str, script: &str) -> String {
        self.try_sql(database, script).unwrap_or_else(|e| {
            let start: String = script.chars().take(SHOWN_OF_SCRIPT).collect();
            panic!("{e}\nin: {start}")
        })
    }

    /// Runs a script and returns what it printed, or psql's message (`ERROR:  ...`, `DETAIL:`, `HINT:`).
    ///
    /// # Errors
    /// When a statement fails.
    pub fn try_sql(&self, database: &str, script: &str) -> Result<String, String> {
        let output = self.psql(database, script);
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Makes an empty database, from `template0` as `pg_restore` wants it.
    pub fn create_database(&self, name: &str) {
        succeed(self.program("createdb").args(["--template=template0", "--", name]));
    }

    /// The output of `pg_dump`, without the lines that differ from one run to the next (see
    /// [`crate::normalized_dump`] for a form that two databases can be compared by).
    ///
    /// # Panics
    /// When `pg_dump` fails.
    #[must_use]
    pub fn pg_dump<S: AsRef<OsStr>>(&self, database: &str, arguments: &[S]) -> Vec<u8> {
        let mut command = self.program("pg_dump");
        // By PGDATABASE: an odd name would be taken for a connection string.
        command.env("PGDATABASE", database).args(arguments);
        without_volatile_lines(&succeed(&mut command).stdout)
    }

    /// Runs the stock `pg_restore` and returns what it said, success or not.
    ///
    /// The arguments name the target, for instance `--dbname=restored`; without, it prints a script.
    #[must_use]
    pub fn pg_restore<S: AsRef<OsStr>>(&self, arguments: &[S], archive: Archive<'_>) -> Output {
        let mut command = self.program("pg_restore");
        command.args(arguments);
        match archive {
            Archive::File(path) => {
                command.arg(path).output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"))
            }
            Archive::Stdin(bytes) => with_stdin(&mut command, bytes),
        }
    }

    fn log_file(&self) -> PathBuf {
        self.folder().join("log")
    }

    /// A program of the server's side: unprivileged, in our folder, with an environment of its own.
    fn server_command(&self, name: &str) -> Command {
        let mut command = Command::new(self.installation.program(name));
        command.env_clear().envs(self.environment.iter().map(|(k, v)| (k, v))).current_dir(self.folder());
        self.user.apply(&mut command);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let failing = std::thread::panicking();
        if let Some(mut server) = self.server.take() {
            stop_without_panic(&mut server);
        }
        if failing && let Some(folder) = self.folder.take() {
            let log = std::fs::read(folder.path().join("log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            let kept = folder.keep();
            eprintln!("the cluster is kept in {}; its log ends:\n{}", kept.display(), tail(&log, LOG_TAIL));
        }
    }
}

/// Fast, then at once, then by force. The test may be panicking already, so this must not.
fn stop_without_panic(server: &mut Child) {
    for (signal, seconds) in [(Signal::INT, 20), (Signal::QUIT, 5)] {
        let pid = i32::try_from(server.id()).ok().and_then(rustix::process::Pid::from_raw);
        let _ = pid.map(|pid| rustix::process::kill_process(pid, signal));
        for _ in 0..seconds * 50 {
            if !matches!(server.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!("the server took {signal:?} and is still there after {seconds} s");
    }
    let _ = server.kill();
    let _ = server.wait();
}

/// Runs a program that must succeed.
fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Runs a program with this input, reading its output at the same time.
fn with_stdin(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("piped");
    std::thread::scope(|scope| {
        // A program that stops reading early says why in its output, so a broken pipe is no failure here.
        scope.spawn(move || stdin.write_all(input).is_ok());
        child.wait_with_output().expect("our own child")
    })
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}
