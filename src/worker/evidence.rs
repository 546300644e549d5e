//! Evidence of a job or of a time: collected in the session that asks for it, and streamed into a storage.
//!
//! However many entries there are, what is in memory is a batch of them, the hashes that the proofs need, and the parts of the
//! upload that are under way.

mod outlet;

use crate::catalog::evidence::{self, Body, Signed};
use crate::catalog::storage::Storage;
use crate::catalog::{audit, database};
use crate::pg::server;
use crate::signer::{self, ClusterSigner};
use crate::worker::remains::open_stored;
use outlet::Outlet;
use std::collections::VecDeque;
use std::io::Write;
use uuid::Uuid;
use walwarden_core::audit::proof::Selection;
use walwarden_core::audit::{Checkpoint, TlogProof};
use walwarden_core::evidence::consistency::ConsistencyProof;
use walwarden_core::evidence::{About, Bundle, Keys, Scope};
use walwarden_core::manifest;
use walwarden_core::signature::Signer;
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_store::Layout;

/// How many entries are read at a time.
const BATCH: u64 = 1000;

/// What a bundle is made of, but for the entries of a time.
pub struct Evidence {
    /// The database.
    pub database: Uuid,
    /// What was asked for.
    pub scope: Scope,
    /// Who signs.
    pub signer: ClusterSigner,
    /// The keys of the database.
    pub keys: Keys,
    /// From the first that covers an entry of the bundle to the newest.
    pub checkpoints: Vec<Signed>,
    /// The entries.
    pub entries: Entries,
    /// Everything that the proofs are made of.
    tree: Selection,
}

/// Which entries there are.
pub enum Entries {
    /// Those of a job.
    Of(Vec<Body>),
    /// All between two, both included.
    Between(u64, u64),
}

impl Entries {
    /// Those that get a proof of their own. Of entries that follow each other the last is enough: it names the one before.
    fn proven(&self) -> Vec<u64> {
        match self {
            Self::Of(bodies) => bodies.iter().map(|body| body.seq).collect(),
            Self::Between(_, last) => vec![*last],
        }
    }

    fn first(&self) -> u64 {
        match self {
            Self::Of(bodies) => bodies.first().map_or(1, |body| body.seq),
            Self::Between(first, _) => *first,
        }
    }
}

impl Evidence {
    /// Collects what the database has.
    ///
    /// # Errors
    /// `NotFound` when there is no such job, or no entry of that time; `WrongState` when the job has not ended, no checkpoint covers
    /// its entries yet, this is a standby or a copy; `Key` when there is no good signing key.
    pub fn collect(scope: Scope) -> Result<Self> {
        if server::in_recovery() {
            return Err(Error::new(ErrorClass::WrongState, "a standby cannot sign evidence")
                .hint("Run this on the primary."));
        }
        let identity = database::identity()?;
        identity.require_this_database()?;
        let database = identity.id;
        let mut checkpoints = continued(evidence::checkpoints(database)?)?;
        let newest = checkpoints.last().map(|signed| signed.checkpoint).ok_or_else(no_checkpoint)?;
        let entries = entries(&scope, &newest)?;
        checkpoints.retain(|signed| signed.checkpoint.size >= entries.first());
        // May write down a new key, which is an entry beyond every checkpoint.
        let signer = signer::take_in_session()?;
        let keys = evidence::keys()?;
        let mut tree = Selection::new();
        for signed in &checkpoints {
            tree.want_root(signed.checkpoint.size);
        }
        for seq in entries.proven() {
            tree.want_inclusion(seq - 1, newest.size);
        }
        for [from, to] in checkpoints.array_windows::<2>() {
            tree.want_consistency(from.checkpoint.size, to.checkpoint.size);
        }
        while tree.size() < newest.size {
            audit::hashes(tree.size(), newest.size)?.into_iter().for_each(|hash| tree.push(hash));
        }
        for Signed { checkpoint, .. } in &checkpoints {
            if tree.root(checkpoint.size)? != checkpoint.root {
                return Err(not_continued(checkpoint));
            }
        }
        Ok(Self { database, scope, signer, keys, checkpoints, entries, tree })
    }

    /// The newest checkpoint.
    pub fn newest(&self) -> Result<&Signed> {
        self.checkpoints.last().ok_or_else(no_checkpoint)
    }

    /// The proof of an entry.
    pub fn proof(&self, seq: u64) -> Result<TlogProof> {
        let newest = self.newest()?;
        let hashes = self.tree.inclusion(seq - 1, newest.checkpoint.size)?;
        Ok(TlogProof { extra: None, index: seq - 1, hashes, checkpoint: newest.note.clone() })
    }

    /// The backups whose manifests belong to it.
    fn backups(&self) -> Result<Vec<Uuid>> {
        match (&self.scope, &self.entries) {
            (Scope::Job(job), _) => Ok(vec![*job]),
            (Scope::Time { .. }, Entries::Between(first, last)) => evidence::completed(*first, *last),
            (Scope::Time { .. }, Entries::Of(_)) => Ok(Vec::new()),
        }
    }

    /// The manifests of a backup. One of another database cannot be in the same bundle.
    pub fn manifests(&self, backup: Uuid) -> Result<Vec<evidence::Manifest>> {
        let manifests = evidence::manifests(backup)?;
        for stored in &manifests {
            let of = manifest::parse(stored.body.as_bytes())?.database.id;
            if of != self.database {
                return Err(Error::new(
                    ErrorClass::WrongState,
                    format!("backup {backup} is of another database, {of}"),
                )
                .detail("It was made before this database was adopted.")
                .hint("Ask for a time after that."));
            }
        }
        Ok(manifests)
    }

    fn write<W: Write>(&self, out: W) -> Result<()> {
        let about = About::new(
            self.database,
            &crate::guc::organization(),
            self.scope.clone(),
            self.signer.public().key_id(),
        );
        let mut bundle = Bundle::begin(out, &about, &self.keys, &self.signer)?;
        for backup in self.backups()? {
            for (number, stored) in (1..).zip(self.manifests(backup)?) {
                bundle.manifest(backup, number, stored.body.as_bytes(), &stored.signature)?;
            }
        }
        match &self.entries {
            Entries::Of(bodies) => {
                let size = bodies.iter().map(|body| body.body.len() as u64 + 1).sum();
                let mut bodies = bodies.iter();
                bundle.entries(size, || Ok(bodies.next().map(|body| body.body.clone())))?;
            }
            Entries::Between(first, last) => {
                let mut reader = Reader { next: *first, last: *last, read: VecDeque::new() };
                bundle.entries(evidence::size(*first, *last)?, || reader.next())?;
            }
        }
        for signed in &self.checkpoints {
            bundle.checkpoint(&signed.note)?;
        }
        for seq in self.entries.proven() {
            bundle.inclusion(seq, self.proof(seq)?.hashes, &self.newest()?.note)?;
        }
        for [from, to] in self.checkpoints.array_windows::<2>() {
            let (from, to) = (&from.checkpoint, &to.checkpoint);
            bundle.consistency(&ConsistencyProof {
                from: (from.epoch, from.size),
                to: (to.epoch, to.size),
                hashes: self.tree.consistency(from.size, to.size)?,
            })?;
        }
        bundle.finish()?;
        Ok(())
    }

    /// What the bundle is called in storage. The same evidence has the same name.
    fn name(&self) -> Result<String> {
        let Checkpoint { epoch, size, .. } = self.newest()?.checkpoint;
        let what = match &self.scope {
            Scope::Job(job) => format!("job-{job}"),
            Scope::Time { from, to } => {
                let compact =
                    |time: &chrono::DateTime<chrono::Utc>| time.format("%Y%m%dT%H%M%S%6fZ").to_string();
                format!("time-{}-{}", compact(from), compact(to))
            }
        };
        Ok(format!("{what}.{epoch:010}-{size:020}.tar"))
    }
}

/// Writes the bundle into a storage and gives the key of the object.
///
/// # Errors
/// Those of [`Evidence::collect`] and of storage; `StorageConflict` when this evidence was exported before.
pub fn export(scope: Scope, storage: &Storage) -> Result<String> {
    let evidence = Evidence::collect(scope)?;
    let layout = Layout::new(&crate::guc::organization(), evidence.database)?;
    let key = layout.evidence_key(&evidence.name()?);
    let store = open_stored(&storage.url, &storage.options)?;
    let mut outlet = Outlet::open(store, &key).map_err(|error| match error.class {
        ErrorClass::StorageConflict => error.hint("This evidence was exported before: fetch that object."),
        _ => error,
    })?;
    evidence.write(&mut outlet)?;
    outlet.finish()?;
    Ok(key)
}

fn entries(scope: &Scope, newest: &Checkpoint) -> Result<Entries> {
    match scope {
        Scope::Job(job) => {
            let is_finished = evidence::is_finished(*job)?
                .ok_or_else(|| Error::new(ErrorClass::NotFound, format!("there is no job {job}")))?;
            if !is_finished {
                return Err(Error::new(ErrorClass::WrongState, format!("job {job} has not ended"))
                    .hint("Wait for it with walwarden.wait_for()."));
            }
            let bodies = evidence::of_job(*job)?;
            match bodies.last() {
                None => Err(Error::new(
                    ErrorClass::NotFound,
                    format!("the audit chain has no entry of job {job}"),
                )),
                Some(last) if last.seq > newest.size => Err(no_checkpoint().detail(format!(
                    "The newest is over {} entries, and entry {} is the last of this job.",
                    newest.size, last.seq
                ))),
                Some(_) => Ok(Entries::Of(bodies)),
            }
        }
        Scope::Time { from, to } => evidence::of_time(*from, *to, newest.size)?
            .map(|(first, last)| Entries::Between(first, last))
            .ok_or_else(|| {
                Error::new(
                    ErrorClass::NotFound,
                    "the audit chain has no entry of this time that a checkpoint covers",
                )
                .hint("See walwarden.anchors for how far the newest one reaches.")
            }),
    }
}

/// The checkpoints that this chain continues, as far as it says so itself: what was signed and then lost when the database was set back
/// is left out, and stands in the entry that says it.
fn continued(all: Vec<Signed>) -> Result<Vec<Signed>> {
    let losses = audit::losses()?;
    let is_lost = |checkpoint: &Checkpoint| {
        losses.iter().any(|(_, lost)| lost.explains(checkpoint.epoch, checkpoint.size))
    };
    Ok(all.into_iter().filter(|signed| !is_lost(&signed.checkpoint)).collect())
}

fn no_checkpoint() -> Error {
    Error::new(ErrorClass::WrongState, "no signed checkpoint covers these audit entries yet").hint(
        "One is made after each backup, and once a day; walwarden.anchors shows how far the newest reaches.",
    )
}

fn not_continued(checkpoint: &Checkpoint) -> Error {
    let Checkpoint { epoch, size, .. } = checkpoint;
    Error::new(ErrorClass::WrongState, "the audit chain is not the one that was signed")
        .detail(format!("Its first {size} entries are not those of the checkpoint of epoch {epoch}."))
        .hint("See walwarden.verify_audit_chain(anchors => true).")
}

/// Entries that follow each other, some at a time.
struct Reader {
    next: u64,
    last: u64,
    read: VecDeque<String>,
}

impl Reader {
    fn next(&mut self) -> Result<Option<String>> {
        if self.read.is_empty() && self.next <= self.last {
            self.read = audit::bodies(self.next - 1, self.last, BATCH)?.into();
            self.next += self.read.len() as u64;
        }
        Ok(self.read.pop_front())
    }
}
