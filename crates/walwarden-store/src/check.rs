//! What a backup will do, in small: the check of a storage before anyone relies on it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use tokio::sync::mpsc;
use uuid::Uuid;
use walwarden_core::{Error, ErrorClass, Result};

use crate::part_plan::MIN_PART_SIZE;
use crate::store::Store;
use crate::upload::{Part, UploadItem, Uploaded};

/// The folder of the probe objects.
const PROBE_FOLDER: &str = ".walwarden-check";

/// What was put into the small probe.
const PROBE: &[u8] = b"walwarden storage check: this object may be deleted\n";

/// How one step of the check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckOutcome {
    /// As it must.
    Passed,
    /// A backup will work, but a protection is missing; the text says which.
    Warning(String),
    /// A backup cannot work.
    Failed(Error),
}

/// One step of the check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckStep {
    /// What was tried; stable, lower case.
    pub step: &'static str,
    /// How it went.
    pub outcome: CheckOutcome,
}

impl CheckStep {
    /// Whether a backup can work as far as this step goes.
    pub fn is_ok(&self) -> bool {
        !matches!(self.outcome, CheckOutcome::Failed(_))
    }

    /// The text beside the verdict: of a warning, or of a failure with its detail.
    pub fn note(&self) -> Option<String> {
        match &self.outcome {
            CheckOutcome::Passed => None,
            CheckOutcome::Warning(text) => Some(text.clone()),
            CheckOutcome::Failed(error) => Some(error.to_string()),
        }
    }
}

/// The steps so far, and the one that failed.
struct Steps(Vec<CheckStep>);

impl Steps {
    /// Notes the outcome of `step`; `None` if it failed and the steps after it make no sense.
    fn note<T>(&mut self, step: &'static str, result: Result<T>) -> Option<T> {
        let (outcome, value) = match result {
            Ok(value) => (CheckOutcome::Passed, Some(value)),
            Err(error) => (CheckOutcome::Failed(error), None),
        };
        self.0.push(CheckStep { step, outcome });
        value
    }

    fn warn(&mut self, step: &'static str, text: &str) {
        self.0.push(CheckStep { step, outcome: CheckOutcome::Warning(text.to_owned()) });
    }
}

impl Store {
    /// Does in small what a backup does: look, write once, read, upload in parts, read back, abort, delete. The steps
    /// end with the first that failed, but what was written is deleted in any case.
    ///
    /// Uploads 5 MiB.
    pub async fn check(&self) -> Vec<CheckStep> {
        let id = Uuid::new_v4().simple();
        let small = format!("{PROBE_FOLDER}/{id}");
        let large = format!("{PROBE_FOLDER}/{id}.parts");
        let mut steps = Steps(Vec::new());
        let _ = self.try_steps(&small, &large, &mut steps).await;
        self.clean_up(&[&small, &large], &mut steps).await;
        steps.0
    }

    /// `None` as soon as a step failed.
    async fn try_steps(&self, small: &str, large: &str, steps: &mut Steps) -> Option<()> {
        steps.note("look for a missing object", self.expect_missing(small).await)?;
        steps.note("write a new object", self.put_new(small, Bytes::from_static(PROBE)).await)?;
        self.try_overwrite(small, steps).await?;
        steps.note("read an object", self.expect_bytes(small, PROBE).await)?;
        let uploaded = steps.note("upload in parts", self.upload_probe(large).await)?;
        steps.note("read back by ranges", self.read_back_probe(large, &uploaded).await)?;
        let aborted = format!("{large}.aborted");
        steps.note("abort an upload", self.abort_probe(&aborted).await)
    }

    async fn try_overwrite(&self, key: &str, steps: &mut Steps) -> Option<()> {
        const STEP: &str = "refuse to overwrite";
        match self.put_new(key, Bytes::from_static(b"overwritten")).await {
            Err(error) if error.class == ErrorClass::StorageConflict => steps.note(STEP, Ok(())),
            Err(error) => steps.note(STEP, Err(error)),
            Ok(()) => {
                steps.warn(
                    STEP,
                    "Create-only puts are ignored by this storage service: it does not keep an object from being \
                     overwritten. Give the bucket versioning or object lock.",
                );
                // The steps that follow expect the first content.
                let restored = async {
                    self.delete(key).await?;
                    self.put_new(key, Bytes::from_static(PROBE)).await
                };
                match restored.await {
                    Ok(()) => Some(()),
                    Err(error) => steps.note("write an object again", Err(error)),
                }
            }
        }
    }

    async fn expect_missing(&self, key: &str) -> Result<()> {
        match self.exists(key).await? {
            false => Ok(()),
            true => Err(self.wrong("object exists before it was written")),
        }
    }

    async fn expect_bytes(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let tail = self.get_range(key, 10, bytes.len() as u64 - 10).await?;
        if self.get(key).await? == bytes && tail == bytes[10..] {
            return Ok(());
        }
        Err(self.wrong("object has other bytes than were written"))
    }

    /// Two parts: the smallest that S3 takes, and a rest.
    async fn upload_probe(&self, key: &str) -> Result<Uploaded> {
        let upload = self.begin_upload(key).await?;
        let (sender, receiver) = mpsc::channel(2);
        let length = MIN_PART_SIZE as usize + 1000;
        let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        // The channel has room for both, so this never waits; a closed channel shows in the upload's own result.
        let _ = sender.try_send(UploadItem::Bytes(Bytes::from(bytes)));
        let _ = sender.try_send(UploadItem::End);
        upload.run(receiver, MIN_PART_SIZE as usize, 2, Arc::new(AtomicU64::new(0))).await
    }

    async fn read_back_probe(&self, key: &str, uploaded: &Uploaded) -> Result<()> {
        let parts: &[Part] = &uploaded.parts;
        self.verify_object(key, uploaded.size, parts, &uploaded.sha256, &AtomicU64::new(0), 2).await
    }

    async fn abort_probe(&self, key: &str) -> Result<()> {
        let upload = self.begin_upload(key).await?;
        self.abort_upload(key, upload.id()).await?;
        self.expect_missing(key).await
    }

    async fn clean_up(&self, keys: &[&str], steps: &mut Steps) {
        let mut result = Ok(());
        for key in keys {
            result = result.and(self.delete(key).await);
        }
        // Where nothing could be written, that nothing can be deleted is no news.
        if result.is_ok() || steps.0.iter().all(CheckStep::is_ok) {
            let deleted = steps.note("delete objects", result);
            if deleted.is_some() {
                for key in keys {
                    if let Err(error) = self.expect_missing(key).await {
                        steps.note::<()>("find nothing left behind", Err(error));
                    }
                }
            }
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::new(ErrorClass::StorageCorrupt, format!("{what} in storage \"{}\"", self.url()))
    }
}
