//! An ssh-agent that keeps the key, on a Unix socket: OpenSSH's own, one of a hardware token, one of a key service.

use crate::worker::io::Io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use walwarden_core::key::{PublicKey, SIGNATURE_LENGTH};
use walwarden_core::signature::agent;
use walwarden_core::{Error, ErrorClass, Result};

/// How long an answer may take: somebody may have to confirm, or touch a token.
const PATIENCE: Duration = Duration::from_secs(60);

/// The agent of the setting.
pub struct Agent {
    socket: PathBuf,
    name: String,
    io: Io,
}

impl Agent {
    /// By this name in errors.
    pub fn new(socket: &Path, name: String) -> Result<Self> {
        let io = if crate::worker::is_worker() { Io::start()? } else { Io::start_in_session()? };
        Ok(Self { socket: socket.to_owned(), name, io })
    }

    /// What it is called in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Ed25519 keys that it has.
    pub fn keys(&self) -> Result<Vec<PublicKey>> {
        let answer = self.ask(agent::request_keys())?;
        agent::keys(&answer).map_err(|error| self.told(error))
    }

    /// The one with this id, or the only one.
    pub fn key(&self, id: Option<&str>) -> Result<PublicKey> {
        let keys = self.keys()?;
        let refused = |why: &str| Error::new(ErrorClass::Key, format!("{} {why}", self.name));
        match (id, keys.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| key.key_id() == id).copied().ok_or_else(|| {
                refused(&format!("does not have key {id}"))
                    .hint("Look with ssh-add -l whether it is locked or empty.")
            }),
            (None, [key]) => Ok(*key),
            (None, []) => {
                Err(refused("has no Ed25519 key").hint("Look with ssh-add -l whether it is locked or empty."))
            }
            (None, several) => {
                let ids: Vec<String> = several.iter().map(PublicKey::key_id).collect();
                Err(refused("has several Ed25519 keys")
                    .detail(format!("Their ids are {}.", ids.join(", ")))
                    .hint("Name one of them behind the socket in walwarden.signer."))
            }
        }
    }

    /// A signature, which the caller has to check.
    pub fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<[u8; SIGNATURE_LENGTH]> {
        let answer = self.ask(agent::request_signature(key, message)?)?;
        agent::signature(&answer).map_err(|error| self.told(error))
    }

    fn ask(&self, request: Vec<u8>) -> Result<Vec<u8>> {
        let socket = self.socket.clone();
        let exchange = async move {
            let mut stream = UnixStream::connect(&socket).await?;
            stream.write_all(&request).await?;
            let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
            if length > agent::LONGEST_MESSAGE {
                return Err(std::io::Error::other("It announced more than an agent may answer."));
            }
            let mut answer = vec![0; length];
            stream.read_exact(&mut answer).await?;
            Ok(answer)
        };
        let answered = self.io.run(async move { Ok(tokio::time::timeout(PATIENCE, exchange).await) })?;
        let failed = |how: &str| {
            Error::new(ErrorClass::Key, format!("{} {how}", self.name))
                .hint("Look whether it runs, and whether the user who runs the server may use its socket.")
        };
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(cause)) => Err(failed("cannot be asked").detail(cause.to_string())),
            Err(_) => Err(failed("did not answer")
                .detail(format!("It was given up after {} seconds.", PATIENCE.as_secs()))),
        }
    }

    fn told(&self, error: Error) -> Error {
        Error { message: format!("{}: {}", self.name, error.message), ..error }
    }
}
