//! What is encrypted on its way to storage comes back byte by byte, by any range and by the program `age`; what is changed there
//! does not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::mpsc;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_reach::{AllowList, Purpose};
use walwarden_store::{
    ArchiveSource, CredentialSource, Identities, Location, Recipients, Sent, StorageOptions, Store,
    UploadItem,
};

const OBJECT: &str = "org/default/db/1/archive.dump.age";
const CHUNK: usize = 64 << 10;

/// A folder with a storage in it, and keys.
struct Site {
    folder: TempDir,
    store: Store,
    recipients: Recipients,
    identities: Identities,
    identity_file: PathBuf,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::from_folder(&folder.path().join("storage")).unwrap();
        let (ours, other) = (Identity::generate(), Identity::generate());
        let options = json!({
            "age_recipients": [other.to_public().to_string(), ours.to_public().to_string()], "fsync": false
        });
        let recipients = Recipients::of_options(&options).unwrap().unwrap();
        let options = StorageOptions::parse(&location, &options).unwrap();
        let store = Store::open(
            &location,
            &options,
            &CredentialSource::from_variables([], None),
            &AllowList::parse(Purpose::Storage, "127.0.0.1").unwrap(),
        )
        .unwrap();
        let identity_file = folder.path().join("key.txt");
        let identities = written(&identity_file, &ours);
        Self { folder, store, recipients, identities, identity_file }
    }

    fn object(&self) -> PathBuf {
        self.folder.path().join("storage").join(OBJECT)
    }

    async fn upload(&self, content: &[u8], step: usize) -> Sent {
        let upload = self.store.begin_upload(OBJECT).await.unwrap();
        let (sender, receiver) = mpsc::channel(1);
        let items: Vec<_> =
            content.chunks(step).map(|bytes| UploadItem::Bytes(Bytes::copy_from_slice(bytes))).collect();
        let feeder = tokio::spawn(async move {
            for item in items.into_iter().chain([UploadItem::End]) {
                sender.send(item).await.unwrap();
            }
        });
        let progress = Arc::new(AtomicU64::new(0));
        let sent = upload.run_for(Some(&self.recipients), receiver, 100_000, 2, progress).await.unwrap();
        feeder.await.unwrap();
        sent
    }

    async fn source(&self, sent: &Sent) -> Result<ArchiveSource> {
        self.open(sent.plain.size, sent.uploaded.size, &self.identities).await
    }

    async fn open(&self, plain: u64, stored: u64, identities: &Identities) -> Result<ArchiveSource> {
        let (store, key) = (self.store.clone(), OBJECT.to_owned());
        ArchiveSource::encrypted(store, key, plain, stored, identities).await
    }

    /// What the program makes of the object.
    fn decrypted_by_age(&self) -> std::process::Output {
        let mut age = Command::new("age");
        age.arg("--decrypt").arg("--identity").arg(&self.identity_file).arg(self.object());
        age.output().unwrap_or_else(|error| panic!("the program age (apt-get install age): {error}"))
    }
}

fn written(file: &Path, identity: &Identity) -> Identities {
    std::fs::write(file, format!("# a key\n{}\n", identity.to_string().expose_secret())).unwrap();
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
    Identities::read(file).unwrap()
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8 ^ (n >> 8) as u8).collect()
}

async fn read(source: &ArchiveSource, range: Range<u64>) -> Result<Vec<u8>> {
    let mut reader = source.reader(range, 2)?;
    tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes).map_err(Error::from_io)
    })
    .await
    .unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_come_back_whatever_their_size() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK - 1, 300_000] {
        let site = Site::new();
        let content = content(length);
        let sent = site.upload(&content, 50_000).await;
        assert_eq!(sent.plain.size, length as u64);
        assert_eq!(sent.plain.sha256, <[u8; 32]>::from(Sha256::digest(&content)));
        let stored = std::fs::read(site.object()).unwrap();
        assert_eq!(sent.uploaded.size, stored.len() as u64);
        assert_eq!(sent.uploaded.sha256, <[u8; 32]>::from(Sha256::digest(&stored)));
        assert!(stored.starts_with(b"age-encryption.org/v1\n"));
        if length > 1000 {
            let hidden = &content[500..532];
            assert!(!stored.windows(hidden.len()).any(|window| window == hidden));
        }
        let (uploaded, progress) = (&sent.uploaded, AtomicU64::new(0));
        let verified =
            site.store.verify_object(OBJECT, uploaded.size, &uploaded.parts, &uploaded.sha256, &progress, 2);
        verified.await.unwrap();

        let by_age = site.decrypted_by_age();
        assert!(by_age.status.success(), "{}", String::from_utf8_lossy(&by_age.stderr));
        assert!(by_age.stdout == content, "{length}");
        let source = site.source(&sent).await.unwrap();
        assert!(read(&source, 0..length as u64).await.unwrap() == content, "{length}");
        let mut whole = Vec::new();
        source.decrypt(&stored[..]).unwrap().read_to_end(&mut whole).unwrap();
        assert!(whole == content);
        let all = source.stored_range(&(0..length as u64));
        assert!(length == 0 && all.is_empty() || all.end == stored.len() as u64);
        assert_eq!(
            read(&source, 0..length as u64 + 1).await.unwrap_err().class,
            ErrorClass::StorageCorrupt,
            "nothing is behind its end"
        );
    }
}

#[test]
fn small_objects_come_back() {
    let site = Site::new();
    for length in [0, 1, 1000, CHUNK, CHUNK + 1] {
        let content = content(length);
        let encrypted = site.recipients.encrypt(&content).unwrap();
        assert!(site.identities.decrypt("globals", &encrypted).unwrap() == content);
        for end in [0, 10, 100, encrypted.len() - 1] {
            let error = site.identities.decrypt("globals", &encrypted[..end]).unwrap_err();
            assert_eq!(error.class, ErrorClass::StorageCorrupt, "{error:?}");
            assert!(error.message.contains("globals"));
        }
    }
}

#[test]
fn every_encryption_has_a_key_of_its_own() {
    let site = Site::new();
    let (one, other) = (site.recipients.encrypt(b"same").unwrap(), site.recipients.encrypt(b"same").unwrap());
    assert_ne!(one[one.len() - 20..], other[other.len() - 20..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_range_is_that_of_the_plain_bytes(
        length in 1_usize..400_000,
        step in 1_usize..200_000,
        ends in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 12),
    ) {
        let site = Site::new();
        let content = content(length);
        block_on(async {
            let sent = site.upload(&content, step).await;
            let source = site.source(&sent).await.unwrap();
            let edges = (0..=length.div_ceil(CHUNK)).map(|n| (n * CHUNK).min(length));
            let at_edges = edges.flat_map(|edge| [
                edge..(edge + 1).min(length), edge.saturating_sub(1)..edge, edge..length, 0..edge, edge..edge
            ]);
            let anywhere = ends.iter().map(|(one, other)| {
                let (one, other) = (one.index(length), other.index(length));
                one.min(other)..one.max(other) + 1
            });
            for range in at_edges.chain(anywhere) {
                let wanted = range.start as u64..range.end as u64;
                let found = read(&source, wanted).await.unwrap();
                assert!(found == content[range.clone()], "{range:?} of {length}");
            }
        });
    }

    /// One byte changed: whoever reads that place is told, and everything else is as it was.
    #[test]
    fn a_changed_byte_is_found(length in 1_usize..300_000, place in any::<prop::sample::Index>(), flip in 1_u8..=255) {
        let site = Site::new();
        let content = content(length);
        block_on(async {
            let sent = site.upload(&content, 70_000).await;
            let source = site.source(&sent).await.unwrap();
            let mut stored = std::fs::read(site.object()).unwrap();
            let at = place.index(stored.len());
            stored[at] ^= flip;
            std::fs::write(site.object(), &stored).unwrap();

            let start = source.stored_range(&(0..1)).start as usize;
            let Some(chunk) = at.checked_sub(start).map(|at| at / (CHUNK + 16)) else {
                // Within the header or the nonce: a nonce makes another key for the chunks.
                let error = match site.source(&sent).await {
                    Ok(source) => read(&source, 0..length as u64).await.unwrap_err(),
                    Err(error) => error,
                };
                assert_eq!(error.class, ErrorClass::StorageCorrupt, "{error:?}");
                return;
            };
            for (index, plain) in content.chunks(CHUNK).enumerate() {
                let first = (index * CHUNK) as u64;
                match read(&source, first..first + plain.len() as u64).await {
                    Ok(bytes) => assert!(index != chunk && bytes == plain),
                    Err(error) => {
                        assert_eq!((index, error.class), (chunk, ErrorClass::StorageCorrupt), "{error:?}");
                        assert!(error.detail.unwrap().contains(&format!("from byte {first} ")));
                    }
                }
            }
            assert!(!site.decrypted_by_age().status.success());
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_or_of_another_size_is_told() {
    let site = Site::new();
    let content = content(3 * CHUNK + 100);
    let sent = site.upload(&content, 50_000).await;
    let stored = std::fs::read(site.object()).unwrap();
    let class = |outcome: Result<Vec<u8>>| outcome.unwrap_err().class;

    let source = site.source(&sent).await.unwrap();
    for kept in [stored.len() - 1, stored.len() - 116, stored.len() - CHUNK, 1000] {
        std::fs::write(site.object(), &stored[..kept]).unwrap();
        assert_eq!(class(read(&source, 0..sent.plain.size).await), ErrorClass::StorageCorrupt);
        // Also where a chunk ends, and every chunk that is there is good.
        let mut whole = Vec::new();
        let error = source.decrypt(&stored[..kept]).unwrap().read_to_end(&mut whole).unwrap_err();
        assert_eq!(Error::from_io(error).class, ErrorClass::StorageCorrupt);
    }
    for beginning in [&b""[..], b"not of age", &stored[..30], &stored[..150]] {
        std::fs::write(site.object(), beginning).unwrap();
        let size = beginning.len() as u64;
        let error = site.open(sent.plain.size, size, &site.identities).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::StorageCorrupt, "{error:?}");
    }
    std::fs::write(site.object(), &stored).unwrap();
    for (plain, size) in
        [(sent.plain.size + 1, sent.uploaded.size), (sent.plain.size, sent.uploaded.size - 1)]
    {
        let error = site.open(plain, size, &site.identities).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::StorageCorrupt, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_reads_nothing() {
    let site = Site::new();
    let sent = site.upload(&content(1000), 1000).await;
    let stranger = written(&site.folder.path().join("other.txt"), &Identity::generate());
    assert_eq!(
        stranger.require_one_of(&site.recipients.names()).unwrap_err().class,
        ErrorClass::Key,
        "told before anything is fetched"
    );
    assert!(site.identities.require_one_of(&site.recipients.names()).is_ok());
    let error = site.open(sent.plain.size, sent.uploaded.size, &stranger).await.unwrap_err();
    assert!(error.detail.unwrap().contains("nothing for the recipients"));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_ends_without_its_end_is_no_object() {
    let site = Site::new();
    let upload = site.store.begin_upload(OBJECT).await.unwrap();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        sender.send(UploadItem::Bytes(Bytes::from(content(3 * CHUNK)))).await.unwrap();
    });
    let progress = Arc::new(AtomicU64::new(0));
    let error = upload.run_for(Some(&site.recipients), receiver, 100_000, 2, progress).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Lost);
    assert!(!site.store.exists(OBJECT).await.unwrap());
}

/// A sender must notice that nobody takes its data any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_ends_closes_the_channel() {
    let site = Site::new();
    let (sender, receiver) = mpsc::channel(1);
    let (encrypted, encrypting) = site.recipients.encrypt_stream(receiver).unwrap();
    drop(encrypted);
    while sender.send(UploadItem::Bytes(Bytes::from(content(CHUNK)))).await.is_ok() {}
    assert_eq!(encrypting.plain().await.unwrap_err().class, ErrorClass::Canceled);
}

#[test]
fn recipients_are_an_option_of_every_kind_of_storage() {
    let key = Identity::generate().to_public().to_string();
    for url in ["s3://bucket", "file:///folder"] {
        let location = Location::parse(url).unwrap();
        let parse = |options| StorageOptions::parse(&location, &options);
        let plain = parse(json!({})).unwrap();
        assert_eq!(parse(json!({ "age_recipients": [key] })).unwrap(), plain);
        let secret = Identity::generate().to_string().expose_secret().to_owned();
        for bad in [json!([]), json!(key), json!([secret])] {
            let error = parse(json!({ "age_recipients": bad })).unwrap_err();
            assert_eq!(error.class, ErrorClass::InvalidInput);
            assert!(!format!("{error:?}").contains(&secret[20..40]));
        }
        let unknown = parse(json!({ "recipients": [key] })).unwrap_err();
        assert!(unknown.hint.unwrap().contains("age_recipients"));
    }
}
