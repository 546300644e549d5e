//! Between whoever makes an object and its upload: plain bytes come in, an age file goes out.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinHandle;
use walwarden_core::{Error, ErrorClass, Result};

use super::outlet::Outlet;
use super::recipients::Recipients;
use crate::upload::{Upload, UploadItem, Uploaded};

/// Items on their way to the upload: with the one that is gathered, at most 1.25 MiB.
const ITEMS_IN_FLIGHT: usize = 4;

/// An object before it was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plain {
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// An object that was sent, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// As it was made.
    pub plain: Plain,
    /// As it lies in storage: the same where nothing is encrypted.
    pub uploaded: Uploaded,
}

/// An encryption under way.
#[derive(Debug)]
pub struct Encrypting(JoinHandle<Result<Plain>>);

impl Recipients {
    /// Encrypts everything that comes through `items` until `End`, which is passed on then and only then. Must be called on a tokio
    /// runtime, of which it takes a blocking thread until either channel is closed; 1.5 MiB are in memory.
    ///
    /// # Errors
    /// `Internal` if the keys cannot be used. All else comes from [`Encrypting::plain`].
    pub fn encrypt_stream(&self, items: Receiver<UploadItem>) -> Result<(Receiver<UploadItem>, Encrypting)> {
        let encryptor = self.encryptor()?;
        let (sender, encrypted) = mpsc::channel(ITEMS_IN_FLIGHT);
        let task = tokio::task::spawn_blocking(move || encrypt(encryptor, items, Outlet::new(sender)));
        Ok((encrypted, Encrypting(task)))
    }

    /// Encrypts a small object.
    ///
    /// # Errors
    /// `Internal` if the keys cannot be used.
    pub fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let encrypt = |encryptor: age::Encryptor| {
            let mut file = encryptor.wrap_output(Vec::with_capacity(plain.len() + 4096))?;
            file.write_all(plain)?;
            file.finish()
        };
        encrypt(self.encryptor()?).map_err(Error::from_io)
    }
}

impl Encrypting {
    /// What the stream was; for when its upload has ended.
    ///
    /// # Errors
    /// `Lost` if the sender was dropped without `End`, `Canceled` if the upload ended before.
    pub async fn plain(self) -> Result<Plain> {
        self.0.await.unwrap_or_else(|_| Err(Error::internal("encrypting panicked")))
    }
}

impl Upload {
    /// As [`Upload::run`], encrypted for these recipients, if there are any.
    ///
    /// # Errors
    /// Those of [`Upload::run`]; nothing of the object stays in storage then.
    pub async fn run_for(
        self,
        recipients: Option<&Recipients>,
        items: Receiver<UploadItem>,
        part_size: usize,
        concurrency: usize,
        progress: Arc<AtomicU64>,
    ) -> Result<Sent> {
        let Some(recipients) = recipients else {
            let uploaded = self.run(items, part_size, concurrency, progress).await?;
            return Ok(Sent { plain: Plain { size: uploaded.size, sha256: uploaded.sha256 }, uploaded });
        };
        let (encrypted, encrypting) = recipients.encrypt_stream(items)?;
        let uploaded = self.run(encrypted, part_size, concurrency, progress).await?;
        Ok(Sent { plain: encrypting.plain().await?, uploaded })
    }
}

fn encrypt(encryptor: age::Encryptor, mut items: Receiver<UploadItem>, outlet: Outlet) -> Result<Plain> {
    let mut size = 0;
    let mut whole = Sha256::new();
    let mut file = encryptor.wrap_output(outlet).map_err(Error::from_io)?;
    loop {
        match items.blocking_recv() {
            Some(UploadItem::Bytes(bytes)) => {
                whole.update(&bytes);
                size += bytes.len() as u64;
                file.write_all(&bytes).map_err(Error::from_io)?;
            }
            Some(UploadItem::End) => break,
            // Without an end the upload fails, and says whose data it is.
            None => return Err(Error::new(ErrorClass::Lost, "data to encrypt ended without its end mark")),
        }
    }
    file.finish().and_then(Outlet::end).map_err(Error::from_io)?;
    Ok(Plain { size, sha256: whole.finalize().into() })
}
