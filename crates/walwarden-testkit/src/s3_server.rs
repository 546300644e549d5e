//! A real S3 server of the test's own: SeaweedFS, installed by `scripts/install test`.
//!
//! Two identities: one that may do everything, and one that may only read. It encrypts with keys of its own, of a local
//! KMS and of the client. Every port is on 127.0.0.1.

use crate::s3_client::S3Client;
use crate::wait::wait_until;
use crate::workspace::{cache, new_folder, tail};
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
/// SeaweedFS opens P + 10000 for every port P. Both stay below the range that the kernel hands out by itself.
const PORTS: std::ops::Range<u16> = 12_000..22_000;
const GRPC_OFFSET: u16 = 10_000;

/// A running (or stopped) S3 server with its own folder.
pub struct S3Server {
    folder: TempDir,
    ports: Ports,
    has_tls: bool,
    server: Option<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    master: u16,
    volume: u16,
    filer: u16,
    admin: u16,
    s3: u16,
    https: u16,
}

impl S3Server {
    /// The bucket that is there from the start.
    pub const BUCKET: &'static str = "walwarden";
    /// The identity that may do everything: access key, then secret key.
    pub const ADMIN: (&'static str, &'static str) = ("walwarden", "walwarden-secret");
    /// The identity that may read and list [`S3Server::BUCKET`], and nothing else.
    pub const READ_ONLY: (&'static str, &'static str) = ("readonly", "readonly-secret");

    /// Starts a server with an empty bucket.
    #[must_use]
    pub fn start() -> Self {
        Self::start_new(false)
    }

    /// The same, which speaks https on another port, with a certificate for the name `localhost` by an authority of its own
    /// that nobody trusts.
    #[must_use]
    pub fn start_with_tls() -> Self {
        Self::start_new(true)
    }

    fn start_new(has_tls: bool) -> Self {
        let folder = new_folder("ww-s3-");
        std::fs::write(folder.path().join("s3.json"), identities()).expect("our own folder");
        std::fs::create_dir(folder.path().join("data")).expect("our own folder");
        if has_tls {
            make_certificates(folder.path());
        }
        let mut server = Self { folder, ports: Ports::free(), has_tls, server: None };
        server.start_again();
        server
    }

    /// Starts a server that was stopped or killed, with its data and on its ports.
    ///
    /// # Panics
    /// With the end of its log, when it does not answer within a minute.
    pub fn start_again(&mut self) {
        assert!(self.server.is_none(), "the S3 server is running already");
        let folder = self.folder.path();
        let log_path = folder.join("log");
        let log = File::options().create(true).append(true).open(&log_path).expect("our own folder");
        let Ports { master, volume, filer, admin, s3, https } = self.ports;
        let mut command = Command::new(program());
        command.args(["-logtostderr=true", "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
        command.arg(format!("-dir={}", folder.join("data").display()));
        command.arg(format!("-s3.config={}", folder.join("s3.json").display()));
        command.args([format!("-master.port={master}"), format!("-volume.port={volume}")]);
        command.args([
            format!("-filer.port={filer}"),
            format!("-admin.port={admin}"),
            format!("-s3.port={s3}"),
        ]);
        if self.has_tls {
            command.arg(format!("-s3.port.https={https}"));
            command.arg(format!("-s3.cert.file={}", folder.join("server.pem").display()));
            command.arg(format!("-s3.key.file={}", folder.join("server.key").display()));
        }
        command.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"]);
        command.args(["-s3.domainName=localhost", "-webdav=false", "-admin.ui=false"]);
        command.arg(format!("-bucket={}", Self::BUCKET));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder).env("GOMEMLIMIT", "512MiB");
        command.env("WEED_S3_SSE_KEY", "test-only-passphrase").current_dir(folder).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file handle")).stderr(log);
        let mut server = command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        // For scripts/test, should this process be killed before it can stop the server.
        std::fs::write(folder.join("s3.pid"), server.id().to_string()).expect("our own folder");
        let client = self.client();
        let came_up = wait_until("the S3 server to answer", PATIENCE, || {
            if server.try_wait().expect("our own child").is_some() {
                return Some(false);
            }
            (TcpStream::connect(self.address()).is_ok() && client.try_bucket(Self::BUCKET)).then_some(true)
        });
        let log = std::fs::read(log_path).unwrap_or_default();
        assert!(came_up, "the S3 server did not start:\n{}", tail(&String::from_utf8_lossy(&log), 40));
        self.server = Some(server);
    }

    /// Kills the server at once, as a power failure would.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("the S3 server is running");
        server.kill().expect("our own child");
        server.wait().expect("our own child");
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.s3))
    }

    /// The same as a URL: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where it speaks https: `https://localhost:PORT`.
    ///
    /// # Panics
    /// When it was started without.
    #[must_use]
    pub fn https_endpoint(&self) -> String {
        assert!(self.has_tls, "this S3 server has no certificate");
        format!("https://localhost:{}", self.ports.https)
    }

    /// The certificate of its authority, PEM.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// The environment of an S3 client that may do everything.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        environment(&self.endpoint(), Self::ADMIN)
    }

    /// The environment of an S3 client that may only read.
    #[must_use]
    pub fn env_read_only(&self) -> Vec<(String, String)> {
        environment(&self.endpoint(), Self::READ_ONLY)
    }

    /// The same as [`S3Server::env`], by way of another endpoint: a [`crate::FaultProxy`].
    #[must_use]
    pub fn env_via(&self, endpoint: &str) -> Vec<(String, String)> {
        environment(endpoint, Self::ADMIN)
    }

    /// A client that may do everything.
    #[must_use]
    pub fn client(&self) -> S3Client {
        S3Client::new(&self.address().to_string(), Self::ADMIN.0, Self::ADMIN.1)
    }

    /// A client that may only read.
    #[must_use]
    pub fn reader(&self) -> S3Client {
        S3Client::new(&self.address().to_string(), Self::READ_ONLY.0, Self::READ_ONLY.1)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // Its data goes with the folder: no reason to wait for a clean stop, which takes seconds.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl Ports {
    fn free() -> Self {
        let mut found = std::iter::repeat_with(next_free);
        let mut next = || found.next().expect("endless");
        Self { master: next(), volume: next(), filer: next(), admin: next(), s3: next(), https: next() }
    }
}

/// A port that is free together with its gRPC port. Two test programs begin at different places of the range.
fn next_free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let length = PORTS.end - PORTS.start;
    let begin = u16::try_from(std::process::id() * 37 % u32::from(length)).expect("below the length");
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..length)
        .map(|_| PORTS.start + (begin + NEXT.fetch_add(1, Ordering::SeqCst)) % length)
        .find(|port| is_free(*port) && is_free(*port + GRPC_OFFSET))
        .expect("a free port")
}

/// An authority, and a certificate of the server by it, each with its key.
fn make_certificates(folder: &Path) {
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    let names = "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n";
    std::fs::write(folder.join("names"), names).expect("our own folder");
    for arguments in [
        format!("req -x509 {KEY} -keyout authority.key -out authority.pem -days 2 -subj /CN=authority"),
        format!("req {KEY} -keyout server.key -out server.csr -subj /CN=localhost"),
        "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -out server.pem -days 2 -extfile names"
            .to_owned(),
    ] {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(folder);
        let output = command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn identities() -> String {
    let identity = |name: &str, (access, secret): (&str, &str), actions: &str| {
        format!(
            r#"{{"name":"{name}","credentials":[{{"accessKey":"{access}","secretKey":"{secret}"}}],"actions":[{actions}]}}"#
        )
    };
    let bucket = S3Server::BUCKET;
    let admin = identity("admin", S3Server::ADMIN, r#""Admin","Read","Write","List","Tagging""#);
    let read_only =
        identity("read-only", S3Server::READ_ONLY, &format!(r#""Read:{bucket}","List:{bucket}""#));
    // Keys of the local KMS come into being when they are first named.
    let kms = r#"{"default_provider":"local","providers":{"local":{"type":"local","enableOnDemandCreate":true}},"buckets":{}}"#;
    format!(r#"{{"identities":[{admin},{read_only}],"kms":{kms}}}"#)
}

fn environment(endpoint: &str, (access, secret): (&str, &str)) -> Vec<(String, String)> {
    let variables = [
        ("AWS_ACCESS_KEY_ID", access),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// The `weed` that `WALWARDEN_WEED` names, else the one in the cache that the scripts fill.
fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("WALWARDEN_WEED") {
        return path.into();
    }
    let path = cache().join("seaweedfs/bin/weed");
    assert!(path.exists(), "there is no S3 server at {}: run scripts/install test", path.display());
    path
}
