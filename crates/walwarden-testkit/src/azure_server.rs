//! Microsoft's emulator of Azure Blob Storage: `azurite@3.37.0` from npm, in `azurite` of the cache. Neither `scripts/install`
//! nor `make test` know it, because it needs Node.js:
//! `npm install --prefix /var/cache/walwarden/azurite azurite@3.37.0`, then
//! `cargo test -p walwarden-testkit --features azurite --test store_azure`.

use crate::s3_client::hmac;
use crate::wait::wait_until;
use crate::workspace::{cache, new_folder, tail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::Utc;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// What it and the client library both speak.
const VERSION: &str = "2021-12-02";

/// A running emulator with one container.
pub struct AzureServer {
    _folder: TempDir,
    address: SocketAddr,
    server: Child,
}

impl AzureServer {
    /// The emulator's own account, known to everybody ("Use the Azurite emulator", Azure Storage documentation).
    pub const ACCOUNT: &'static str = "devstoreaccount1";
    /// The account's key.
    pub const KEY: &'static str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    /// The container that is there from the start.
    pub const CONTAINER: &'static str = "walwarden";

    /// Starts an emulator that keeps everything in memory.
    ///
    /// # Panics
    /// With the end of its log, when it does not answer within a minute.
    #[must_use]
    pub fn start() -> Self {
        let folder = new_folder("ww-azure-");
        let log_path = folder.path().join("log");
        let log = File::create(&log_path).expect("our own folder");
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        let program = cache().join("azurite/node_modules/.bin/azurite-blob");
        assert!(program.exists(), "there is no emulator at {}", program.display());
        let mut command = Command::new(program);
        command.args(["--silent", "--skipApiVersionCheck", "--inMemoryPersistence", "--disableTelemetry"]);
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &address.port().to_string()]);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", folder.path());
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file handle")).stderr(log);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        let mut emulator = Self { _folder: folder, address, server: child };
        let came_up = wait_until("the emulator to answer", PATIENCE, || {
            if emulator.server.try_wait().expect("our own child").is_some() {
                return Some(false);
            }
            TcpStream::connect(address).is_ok().then_some(true)
        });
        let log = std::fs::read(log_path).unwrap_or_default();
        assert!(came_up, "the emulator did not start:\n{}", tail(&String::from_utf8_lossy(&log), 40));
        let made = emulator.make_container();
        assert!(made.starts_with("HTTP/1.1 201"), "cannot make the container: {made}");
        emulator
    }

    /// Where it is: with the account in the path.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}/{}", self.address, Self::ACCOUNT)
    }

    fn make_container(&self) -> String {
        self.send("PUT", Self::CONTAINER, "restype", "container")
    }

    /// Sends a request without a body ("Authorize with Shared Key", Azure Storage REST API) and gives the answer.
    fn send(&self, method: &str, path: &str, name: &str, value: &str) -> String {
        let account = Self::ACCOUNT;
        let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
        let to_sign = format!(
            "{method}\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{VERSION}\n/{account}/{account}/{path}\n{name}:{value}"
        );
        let key = BASE64_STANDARD.decode(Self::KEY).expect("a constant");
        let signature = BASE64_STANDARD.encode(hmac(&key, to_sign.as_bytes()));
        let request = format!(
            "{method} /{account}/{path}?{name}={value} HTTP/1.1\r\nHost: {}\r\nx-ms-date: {date}\r\nx-ms-version: {VERSION}\r\n\
             Content-Length: 0\r\nConnection: close\r\nAuthorization: SharedKey {account}:{signature}\r\n\r\n",
            self.address
        );
        let mut stream = TcpStream::connect(self.address).expect("the emulator listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.write_all(request.as_bytes()).expect("the emulator reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the emulator answers");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for AzureServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
