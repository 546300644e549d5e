//! What a backup will do, in small: the check of a storage before anyone relies on it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use uuid::Uuid;
use walwarden_core::{Error, ErrorClass, Result};

use crate::backend::Backend;
use crate::failure::Failure;
use crate::part_plan::MIN_PART_SIZE;
use crate::removal::Removal;
use crate::s3::BucketState;
use crate::store::Store;
use crate::upload::{Part, UploadItem, Uploaded};

/// The folder of the probe objects.
const PROBE_FOLDER: &str = ".walwarden-check";

/// What was put into the small probe.
const PROBE: &[u8] = b"walwarden storage check: this object may be deleted\n";

/// The first step that leaves something behind.
const WRITE: &str = "write a new object";

/// How long the address of the probe is valid.
const ADDRESS_TIME: Duration = Duration::from_secs(300);

/// How one step of the check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckOutcome {
    /// As it must.
    Passed,
    /// A backup will work, but a protection or a convenience is missing; the text says which.
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

    /// The text beside the verdict: of a warning, or of a failure with its detail and what to do about it.
    pub fn note(&self) -> Option<String> {
        match &self.outcome {
            CheckOutcome::Passed => None,
            CheckOutcome::Warning(text) => Some(text.clone()),
            CheckOutcome::Failed(error) => Some(match &error.hint {
                None => error.to_string(),
                Some(hint) => format!("{}. {hint}", error.to_string().trim_end_matches('.')),
            }),
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

    /// Notes the outcome of a step without which a backup works: where it failed, `lacks` says what is missing then.
    fn note_spare(&mut self, step: &'static str, result: Result<(), Failure>, lacks: &str) {
        match result {
            Ok(()) => self.0.push(CheckStep { step, outcome: CheckOutcome::Passed }),
            Err(failure) => self.warn(step, format!("{lacks}: {}.", failure.detail)),
        }
    }

    fn warn(&mut self, step: &'static str, text: impl Into<String>) {
        self.0.push(CheckStep { step, outcome: CheckOutcome::Warning(text.into()) });
    }
}

/// The keys of the probes.
struct Probes {
    small: String,
    large: String,
    aborted: String,
}

impl Store {
    /// Does in small what a backup does: look, write once, read, list, upload in parts, read back, find and abort an upload,
    /// sign an address, delete. The steps end with the first without which a backup cannot work, but what was written is
    /// deleted in any case. Probes are not locked, whatever the options say: they must go again.
    ///
    /// Uploads one part of the smallest size, 5 MiB if no option says otherwise.
    pub async fn check(&self) -> Vec<CheckStep> {
        let id = Uuid::new_v4().simple();
        let stem = format!("{PROBE_FOLDER}/{id}");
        let probes = Probes {
            small: stem.clone(),
            large: format!("{stem}.parts"),
            aborted: format!("{stem}.parts.aborted"),
        };
        let probing = self.without_lock();
        let mut steps = Steps(Vec::new());
        let _ = probing.try_steps(&probes, &mut steps).await;
        if steps.0.iter().any(|step| step.step == WRITE) {
            probing.clean_up(&[&probes.small, &probes.large], &mut steps).await;
        }
        steps.0
    }

    /// `None` as soon as a step failed.
    async fn try_steps(&self, probes: &Probes, steps: &mut Steps) -> Option<()> {
        let Probes { small, large, aborted } = probes;
        steps.note("look for a missing object", self.expect_missing(small).await)?;
        self.look_at_bucket(steps).await?;
        steps.note(WRITE, self.put_new(small, Bytes::from_static(PROBE)).await)?;
        self.try_overwrite(small, steps).await?;
        steps.note("read an object", self.expect_bytes(small, PROBE).await)?;
        steps.note_spare(
            "list objects",
            self.expect_listed(small).await,
            "Objects cannot be listed, so that discover() cannot find backups",
        );
        let uploaded = steps.note("upload in parts", self.upload_probe(large).await)?;
        steps.note("read back by ranges", self.read_back_probe(large, &uploaded).await)?;
        self.try_abort(aborted, steps).await?;
        self.try_address(small, steps).await;
        Some(())
    }

    async fn look_at_bucket(&self, steps: &mut Steps) -> Option<()> {
        const STEP: &str = "ask about versions and locks";
        let state = match self.backend().bucket_state(self.policy().attempt_timeout).await {
            Ok(None) => return Some(()),
            Ok(Some(state)) => state,
            Err(failure) => {
                steps.warn(
                    STEP,
                    format!(
                        "Whether the bucket keeps versions or locks objects could not be found out: {}.",
                        failure.detail
                    ),
                );
                return Some(());
            }
        };
        match (self.wants_lock(), state) {
            (true, BucketState { has_lock: false, .. }) => steps.note(
                STEP,
                Err(Error::new(
                    ErrorClass::Configuration,
                    format!("bucket of storage \"{}\" cannot lock objects", self.url()),
                )
                .detail(
                    "The storage option \"lock_mode\" is set, and the bucket was made without Object Lock.",
                )),
            ),
            (_, BucketState { locks_by_default: true, .. }) => {
                steps.warn(
                    STEP,
                    "The bucket locks every object by itself: the probes of this check, and what failed backups leave, \
                     stay until their retention ends.",
                );
                Some(())
            }
            _ => steps.note(STEP, Ok(())),
        }
    }

    fn wants_lock(&self) -> bool {
        matches!(self.backend(), Backend::S3(s3) if s3.options().lock.is_some())
    }

    async fn try_overwrite(&self, key: &str, steps: &mut Steps) -> Option<()> {
        const STEP: &str = "refuse to overwrite";
        match self.put_new(key, Bytes::from_static(b"overwritten")).await {
            Err(error) if error.class == ErrorClass::StorageConflict => {
                if matches!(self.backend(), Backend::S3(s3) if !s3.options().conditional_writes) {
                    steps.warn(
                        STEP,
                        "Create-only puts are not used with this storage service: walwarden looks for the object first, \
                         which does not keep others from overwriting it. Give the bucket versioning or object lock.",
                    );
                    return Some(());
                }
                steps.note(STEP, Ok(()))
            }
            Err(error) => steps.note(STEP, Err(error)),
            Ok(()) => {
                steps.warn(
                    STEP,
                    "Create-only puts are ignored by this storage service: it does not keep an object from being \
                     overwritten. Give the bucket versioning or object lock, and set the storage option \
                     \"conditional_writes\" to false.",
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

    async fn expect_listed(&self, key: &str) -> Result<(), Failure> {
        let listed = self.objects_below(PROBE_FOLDER, None).await?;
        match listed.iter().find(|object| object.key == key) {
            Some(object) if object.size == PROBE.len() as u64 => Ok(()),
            Some(_) => Err(Failure::corrupt("the listing tells another size than the object has")),
            None => Err(Failure::corrupt("the listing lacks an object that is there")),
        }
    }

    /// Two parts: one of the smallest size, and a rest.
    async fn upload_probe(&self, key: &str) -> Result<Uploaded> {
        let limits = self.part_limits();
        let part_size = limits.min_size.max(MIN_PART_SIZE).min(limits.max_size) as usize;
        let upload = self.begin_upload(key).await?;
        let (sender, receiver) = mpsc::channel(2);
        let bytes: Vec<u8> = (0..part_size + 1000).map(|i| (i % 251) as u8).collect();
        // The channel has room for both, so this never waits; a closed channel shows in the upload's own result.
        let _ = sender.try_send(UploadItem::Bytes(Bytes::from(bytes)));
        let _ = sender.try_send(UploadItem::End);
        upload.run(receiver, part_size, 2, Arc::new(AtomicU64::new(0))).await
    }

    async fn read_back_probe(&self, key: &str, uploaded: &Uploaded) -> Result<()> {
        let parts: &[Part] = &uploaded.parts;
        self.verify_object(key, uploaded.size, parts, &uploaded.sha256, &AtomicU64::new(0), 2).await
    }

    /// Finds an upload that is not complete, and aborts it.
    async fn try_abort(&self, key: &str, steps: &mut Steps) -> Option<()> {
        const STEP: &str = "abort an upload";
        let upload = match self.begin_upload(key).await {
            Ok(upload) => upload,
            Err(error) => return steps.note(STEP, Err(error)),
        };
        steps.note_spare(
            "find an upload",
            self.expect_upload(key, upload.id()).await,
            "Uploads that nobody completed cannot be found, so give the bucket a lifecycle rule that aborts them",
        );
        let aborted = async {
            self.abort_upload(key, upload.id()).await?;
            self.expect_missing(key).await
        };
        steps.note(STEP, aborted.await)
    }

    async fn expect_upload(&self, key: &str, id: &str) -> Result<(), Failure> {
        if matches!(self.backend(), Backend::Azure(_)) {
            return Err(Failure::unsupported(
                "Azure has no list of them; it removes blocks that were never committed after a week by itself",
            ));
        }
        let found = self.uploads_below(PROBE_FOLDER).await?;
        if found.iter().any(|upload| upload.key == key && upload.id == id) {
            return Ok(());
        }
        Err(Failure::corrupt("the listing lacks an upload that was begun"))
    }

    /// An address is signed, and fetched as anybody would.
    async fn try_address(&self, key: &str, steps: &mut Steps) {
        const STEP: &str = "sign a download address";
        if matches!(self.backend(), Backend::Local(_)) {
            return;
        }
        if let Err(error) = self.backend().may_be_downloaded() {
            steps.warn(STEP, format!("download_url() cannot be used: {error}"));
            return;
        }
        let limit = self.policy().attempt_timeout;
        let fetched = async {
            let url = self.backend().signed_url(key, ADDRESS_TIME, limit).await?;
            if self.backend().fetch(&url, limit).await? == PROBE {
                return Ok(());
            }
            Err(Failure::corrupt("the address leads to other bytes than were written"))
        };
        steps.note_spare(STEP, fetched.await, "download_url() cannot be used");
    }

    async fn clean_up(&self, keys: &[&str], steps: &mut Steps) {
        let mut kept = None;
        let mut result = Ok(());
        for key in keys {
            match self.remove(key).await {
                Ok(Removal::Gone) => {}
                Ok(Removal::Retained { until }) => kept = Some(until),
                Err(error) => result = result.and(Err(error)),
            }
        }
        // Where nothing could be written, that nothing can be deleted is no news.
        if result.is_err() && !steps.0.iter().all(CheckStep::is_ok) {
            return;
        }
        const STEP: &str = "delete objects";
        if let (Ok(()), Some(until)) = (&result, kept) {
            let until = until.map_or("storage does not say when".to_owned(), |until| until.to_rfc3339());
            steps.warn(STEP, format!("The probes are kept by a lock: until {until}."));
            return;
        }
        if steps.note(STEP, result).is_some() {
            for key in keys {
                if let Err(error) = self.expect_missing(key).await {
                    steps.note::<()>("find nothing left behind", Err(error));
                }
            }
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::new(ErrorClass::StorageCorrupt, format!("{what} in storage \"{}\"", self.url()))
    }
}
