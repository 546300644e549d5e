//! A real Prometheus and a real `postgres_exporter`, from Debian's packages, unpacked by `scripts/install test`.

use crate::wait::wait_until;
use crate::workspace::{cache, new_folder, tail};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
/// Another process may take a port between the moment it was found free and its use.
const TRIES: usize = 5;

/// One of the programs for monitoring: `prometheus`, `promtool`, `prometheus-postgres-exporter`.
#[must_use]
pub fn monitoring_program(name: &str) -> PathBuf {
    let path = cache().join("monitoring/usr/bin").join(name);
    assert!(path.exists(), "there is no {}: run scripts/install test", path.display());
    path
}

/// A program that answers HTTP on a port of 127.0.0.1, in a folder of its own; stopped when it is dropped.
pub struct HttpProgram {
    folder: TempDir,
    address: SocketAddr,
    child: Child,
}

impl HttpProgram {
    /// Starts a Prometheus that scrapes these targets each second, by the names of their jobs, and evaluates these rules as often.
    #[must_use]
    pub fn prometheus(targets: &[(&str, SocketAddr)], rules: &Path) -> Self {
        let mut config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n",
            rules.display()
        );
        for (job, address) in targets {
            writeln!(config, "  - {{job_name: {job}, static_configs: [{{targets: ['{address}']}}]}}")
                .expect("a String takes all");
        }
        Self::start("prometheus", "/-/ready", |folder, address| {
            std::fs::write(folder.join("prometheus.yml"), &config).expect("our own folder");
            let mut command = Command::new(monitoring_program("prometheus"));
            command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
            command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
            command.arg(format!("--web.listen-address={address}"));
            command
        })
    }

    /// Starts a `postgres_exporter` with nothing but these queries, on a database by this connection string.
    #[must_use]
    pub fn postgres_exporter(queries: &Path, connection: &str) -> Self {
        Self::start("postgres_exporter", "/", |_, address| {
            let mut command = Command::new(monitoring_program("prometheus-postgres-exporter"));
            command.args(["--disable-default-metrics", "--disable-settings-metrics"]);
            command.args(["--no-collector.bgwriter", "--no-collector.database"]);
            command.arg(format!("--extend.query-path={}", queries.display()));
            command.arg(format!("--web.listen-address={address}")).env("DATA_SOURCE_NAME", connection);
            command
        })
    }

    fn start(name: &str, ready: &str, command: impl Fn(&Path, SocketAddr) -> Command) -> Self {
        for _ in 0..TRIES {
            let folder = new_folder("wp-");
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("our own socket");
            drop(listener);
            let log_path = folder.path().join("log");
            let log = File::create(&log_path).expect("our own folder");
            let mut command = command(folder.path(), address);
            command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file handle")).stderr(log);
            let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
            // For scripts/test, should this process be killed before it can stop the program.
            std::fs::write(folder.path().join("http.pid"), child.id().to_string()).expect("our own folder");
            let came_up = wait_until(&format!("{name} to answer"), PATIENCE, || {
                if child.try_wait().expect("our own child").is_some() {
                    return Some(false);
                }
                try_get(address, ready).is_some_and(|(status, _)| status == 200).then_some(true)
            });
            if came_up {
                return Self { folder, address, child };
            }
            let log = std::fs::read(log_path).unwrap_or_default();
            let log = tail(&String::from_utf8_lossy(&log), 40);
            assert!(log.contains("address already in use"), "{name} did not start:\n{log}");
        }
        panic!("{name} found no port in {TRIES} tries")
    }

    /// Where it answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The body of what it answers, which must be a success.
    ///
    /// # Panics
    /// With its answer, when that is none.
    #[must_use]
    pub fn get(&self, path: &str) -> String {
        let (status, body) = try_get(self.address, path).unwrap_or_else(|| panic!("no answer to {path}"));
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// What Prometheus answers to an instant query, as JSON.
    #[must_use]
    pub fn query(&self, expression: &str) -> String {
        let escaped = expression.bytes().fold(String::new(), |mut escaped, byte| {
            if byte.is_ascii_alphanumeric() {
                escaped.push(char::from(byte));
            } else {
                write!(escaped, "%{byte:02X}").expect("a String takes all");
            }
            escaped
        });
        self.get(&format!("/api/v1/query?query={escaped}"))
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).expect("our own file");
        String::from_utf8_lossy(&log).into_owned()
    }
}

impl Drop for HttpProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// HTTP 1.0: the answer ends with the connection. None while nobody listens, or half of an answer came.
fn try_get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// Answers every request on a port of 127.0.0.1 with the same page, until this process ends.
#[must_use]
pub fn serve_page(content_type: &str, body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("our own socket");
    let page = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(1..) => request.extend_from_slice(&piece),
                    _ => break,
                }
            }
            // Whoever asked may be gone.
            let _ = stream.write_all(page.as_bytes());
        }
    });
    address
}
