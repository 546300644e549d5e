//! Object storage as a backup needs it: write-once objects, multipart uploads in equal parts with every byte hashed in
//! flight, and reads that prove what was written.
//!
//! The crate stands between walwarden and the `object_store` crate (S3, Google, Azure) or the file system, and mends what those leave
//! open: which answers may be retried, what a lost reply meant, how long anything may take, and what an error is called.
//! It knows nothing of PostgreSQL. Everything asynchronous here can be canceled by dropping its future; it must run on a
//! tokio runtime with time and I/O enabled.
#![forbid(unsafe_code)]

mod archive_source;
mod azure;
mod backend;
mod check;
mod checkpoints;
mod credentials;
mod discovery;
mod download;
mod encryption;
mod failure;
mod gcs;
mod key;
mod layout;
mod listing;
mod local;
mod location;
mod object_reader;
mod options;
mod part_plan;
mod private_file;
mod read_back;
mod remote;
mod removal;
mod retry;
mod s3;
mod store;
mod upload;
mod uploads_found;

pub use archive_source::{ArchiveSource, SourceReader};
pub use check::{CheckOutcome, CheckStep};
pub use credentials::{CredentialSource, WebhookKeys, webhook_keys};
pub use discovery::{Found, Signed};
pub use download::DownloadUrl;
pub use encryption::{Decrypted, Encrypting, Identities, Plain, Recipients, Sent};
pub use layout::{BackupKeys, Layout};
pub use listing::ListedObject;
pub use location::Location;
pub use object_reader::ObjectReader;
pub use options::{
    AzureOptions, Checksum, Encryption, FileOptions, GcsOptions, LockMode, ObjectLock, Provider, S3Options,
    StorageOptions, Tags,
};
pub use part_plan::{
    DEFAULT_PART_SIZE, MAX_OBJECT_SIZE, MAX_PART_SIZE, MAX_PARTS, MIN_PART_SIZE, PartLimits,
};
pub use removal::{Removal, Retention};
pub use retry::RetryPolicy;
pub use store::{MAX_GET_SIZE, Store};
pub use upload::{Part, Upload, UploadItem, Uploaded};
pub use uploads_found::UploadFound;
