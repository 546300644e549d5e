//! Every backup in a storage, from what lies there alone: each manifest is fetched and believed only if a known key has
//! signed it, it lies where it belongs, and its objects are there with their sizes.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use walwarden_core::discovery::ManifestKey;
use walwarden_core::key::{PublicKey, SIGNATURE_LENGTH};
use walwarden_core::manifest::{self, Manifest};
use walwarden_core::{Error, ErrorClass, Result};

use crate::listing::ListedObject;
use crate::store::Store;

/// Below this folder lies everything that walwarden keeps.
const ROOT: &str = "org";

/// How many manifests are fetched at a time.
const AT_A_TIME: usize = 4;

/// How much the manifests under way may be together, MiB; one that is larger is alone.
const MEMORY: u32 = 64;

/// A manifest that was found, good or not.
#[derive(Debug)]
pub struct Found {
    /// Its key.
    pub key: String,
    /// What the key says, where it has the form of a manifest's.
    pub place: Option<ManifestKey>,
    /// The manifest, if the key has signed it and it lies where it belongs.
    pub signed: Option<Signed>,
    /// What is wrong with the backup, as one line that names the object.
    pub problem: Option<String>,
    /// As long as this is kept, no others take its memory.
    _memory: OwnedSemaphorePermit,
}

/// A manifest that can be believed.
#[derive(Debug)]
pub struct Signed {
    /// What it says.
    pub manifest: Manifest,
    /// As it was signed.
    pub body: Bytes,
    /// Its signature.
    pub signature: Bytes,
}

/// Why a manifest is not good: a fault of its own, or of the storage as a whole.
enum Refusal {
    Problem(String),
    Failure(Error),
}

impl Store {
    /// Every manifest in the storage, in the order of keys. Must be called on a tokio runtime, on which it is read ahead: a
    /// few manifests, and of those that are large one. Dropping the receiver ends it.
    ///
    /// An error, of the storage as a whole, is the last item; what is wrong with one backup is in its [`Found`].
    pub fn discover(&self, key: PublicKey) -> mpsc::Receiver<Result<Found>> {
        let (sender, found) = mpsc::channel(1);
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.discover_into(key, &sender).await {
                // Nobody listens any more when the receiver was dropped.
                let _ = sender.send(Err(error)).await;
            }
        });
        found
    }

    async fn discover_into(&self, public_key: PublicKey, found: &mpsc::Sender<Result<Found>>) -> Result<()> {
        let objects = Arc::new(self.list(ROOT).await?);
        let manifests: Vec<ListedObject> =
            objects.iter().filter(|object| object.key.ends_with(ManifestKey::SUFFIX)).cloned().collect();
        let memory = Arc::new(Semaphore::new(MEMORY as usize));
        // One after the other, so that whoever waits for memory waits for those before it alone.
        let with_memory = stream::iter(manifests).then(|object| {
            let wanted = u32::try_from(object.size >> 20).unwrap_or(MEMORY).saturating_add(1).min(MEMORY);
            let permit = Arc::clone(&memory).acquire_many_owned(wanted);
            async move { (object.key, permit.await) }
        });
        let checks = with_memory.map(|(key, permit)| {
            let (store, objects) = (self.clone(), Arc::clone(&objects));
            async move {
                let permit =
                    permit.map_err(|_| Error::internal("the memory for manifests was taken away"))?;
                let place = ManifestKey::parse(&key);
                let (signed, problem) = match store.prove(&key, place.as_ref(), public_key, &objects).await {
                    Ok(signed) => {
                        let problem = missing_object(&signed.manifest, &objects);
                        (Some(signed), problem)
                    }
                    Err(Refusal::Problem(problem)) => (None, Some(problem)),
                    Err(Refusal::Failure(error)) => return Err(error),
                };
                Ok(Found { key, place, signed, problem, _memory: permit })
            }
        });
        let mut checks = pin!(checks.buffered(AT_A_TIME));
        while let Some(check) = checks.next().await {
            if found.send(Ok(check?)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn prove(
        &self,
        key: &str,
        place: Option<&ManifestKey>,
        public_key: PublicKey,
        objects: &[ListedObject],
    ) -> Result<Signed, Refusal> {
        let Some(place) = place.cloned() else {
            return problem(format!("object \"{key}\" does not have the key of a manifest"));
        };
        let signature_key = format!("{key}.sig");
        match size_of(objects, &signature_key) {
            None => return problem(missing(&signature_key)),
            Some(size) if size != SIGNATURE_LENGTH as u64 => {
                return problem(wrong_size(&signature_key, size, SIGNATURE_LENGTH as u64));
            }
            Some(_) => {}
        }
        let signature = self.get(&signature_key).await.map_err(refusal)?;
        let body = self.get(key).await.map_err(refusal)?;
        let name = key.to_owned();
        tokio::task::spawn_blocking(move || believe(&name, &place, public_key, body, signature))
            .await
            .unwrap_or_else(|_| Err(Refusal::Failure(Error::internal("reading a manifest panicked"))))
    }
}

/// The signature before everything else: what is not signed is not read, but for the name of its key.
fn believe(
    key: &str,
    place: &ManifestKey,
    public_key: PublicKey,
    body: Bytes,
    signature: Bytes,
) -> Result<Signed, Refusal> {
    let read =
        || manifest::parse(&body).map_err(|error| format!("object \"{key}\" is not a manifest: {error}"));
    let ours = public_key.key_id();
    let of_another_key =
        |id: &str| format!("object \"{key}\" says that key {id} has signed it, and this is key {ours}");
    if public_key.verify_strict(&body, &signature).is_err() {
        let theirs = read().ok().map(|manifest| manifest.key_id).filter(|id| *id != ours);
        return problem(match theirs {
            Some(id) => of_another_key(&id),
            None => format!("object \"{key}\" is not what key {ours} has signed"),
        });
    }
    let manifest = read().map_err(Refusal::Problem)?;
    if manifest.key_id != ours {
        return problem(of_another_key(&manifest.key_id));
    }
    place.check(&manifest).map_err(Refusal::Problem)?;
    Ok(Signed { manifest, body, signature })
}

/// What storage says of one object is a problem of its backup; what it says of itself ends everything.
fn refusal(error: Error) -> Refusal {
    use ErrorClass as Class;
    match error.class {
        Class::StorageNotFound | Class::StoragePermission | Class::StorageCorrupt | Class::Storage => {
            Refusal::Problem(error.to_string())
        }
        _ => Refusal::Failure(error),
    }
}

fn problem<T>(text: String) -> Result<T, Refusal> {
    Err(Refusal::Problem(text))
}

/// Which of the objects that the manifest names is not there as it must be.
fn missing_object(manifest: &Manifest, objects: &[ListedObject]) -> Option<String> {
    let globals = manifest.globals.as_ref().map(|globals| (&globals.key, globals.stored().size));
    let named = [Some((&manifest.archive.key, manifest.archive.stored().size)), globals];
    named.into_iter().flatten().find_map(|(key, size)| match size_of(objects, key) {
        Some(found) if found == size => None,
        Some(found) => Some(wrong_size(key, found, size)),
        None => Some(missing(key)),
    })
}

fn missing(key: &str) -> String {
    format!("object \"{key}\" is missing")
}

fn wrong_size(key: &str, found: u64, expected: u64) -> String {
    format!("object \"{key}\" has {found} bytes instead of {expected}")
}

fn size_of(objects: &[ListedObject], key: &str) -> Option<u64> {
    let at = objects.binary_search_by(|object| object.key.as_str().cmp(key)).ok()?;
    objects.get(at).map(|object| object.size)
}
