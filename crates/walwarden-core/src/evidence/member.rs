//! The files of a bundle by their names.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The folder that holds all of them.
pub const FOLDER: &str = "walwarden-evidence";

/// One file of a bundle; its name is `Display`, below [`FOLDER`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// What to do, for people.
    Readme,
    /// The check for `sh`.
    Script,
    /// What the bundle is about.
    About,
    /// The ids of the keys, one a line, the oldest first.
    KeyHistory,
    /// A public key for `openssl`, by its id.
    Key(String),
    /// The same for `minisign`.
    MinisignKey(String),
    /// All keys for `ssh-keygen`.
    AllowedSigners,
    /// All keys for programs that read signed notes.
    VerifierKeys,
    /// The statement by which a key handed over, numbered from 1.
    Rotation(u32),
    /// Its signature by the old key.
    RotationSignature(u32),
    /// A manifest of a job; several storages may have several, numbered from 1.
    Manifest(Uuid, u32),
    /// A signature of it.
    ManifestSignature(Uuid, u32, Form),
    /// Audit entries, one a line, in order.
    Entries,
    /// A checkpoint by epoch and size.
    Checkpoint(u64, u64),
    /// The proof that the newest checkpoint covers the entry with this number.
    Inclusion(u64),
    /// The proof that a checkpoint adds to an earlier one: epoch and size of both.
    Consistency((u64, u64), (u64, u64)),
    /// The SHA-256 of everything else.
    Sums,
    /// A signature of these.
    SumsSignature(Form),
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// 64 bytes.
    Raw,
    /// For `minisign`.
    Minisign,
    /// For `ssh-keygen -Y verify`.
    Ssh,
}

impl Form {
    /// All of them, in the order of a bundle.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Minisign, Self::Ssh];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Raw => "sig",
            Self::Minisign => "minisig",
            Self::Ssh => "sshsig",
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Readme => f.write_str("README.txt"),
            Self::Script => f.write_str("verify.sh"),
            Self::About => f.write_str("bundle.json"),
            Self::KeyHistory => f.write_str("keys/history"),
            Self::Key(id) => write!(f, "keys/{id}.pem"),
            Self::MinisignKey(id) => write!(f, "keys/{id}.minisign.pub"),
            Self::AllowedSigners => f.write_str("keys/allowed_signers"),
            Self::VerifierKeys => f.write_str("keys/verifier_keys"),
            Self::Rotation(number) => write!(f, "keys/rotation-{number:04}.json"),
            Self::RotationSignature(number) => write!(f, "keys/rotation-{number:04}.json.sig"),
            Self::Manifest(job, 1) => write!(f, "manifests/{job}.manifest.json"),
            Self::Manifest(job, number) => write!(f, "manifests/{job}.{number}.manifest.json"),
            Self::ManifestSignature(job, number, form) => {
                write!(f, "{}.{}", Self::Manifest(*job, *number), form.suffix())
            }
            Self::Entries => f.write_str("entries.jsonl"),
            Self::Checkpoint(epoch, size) => write!(f, "checkpoints/{epoch:010}-{size:020}"),
            Self::Inclusion(seq) => write!(f, "proofs/{seq:020}.tlog-proof"),
            Self::Consistency(from, to) => {
                write!(f, "proofs/{:010}-{:020}.{:010}-{:020}.consistency", from.0, from.1, to.0, to.1)
            }
            Self::Sums => f.write_str("SHA256SUMS"),
            Self::SumsSignature(form) => write!(f, "SHA256SUMS.{}", form.suffix()),
        }
    }
}

impl FromStr for Member {
    type Err = ();

    /// Reads a name in its one spelling.
    fn from_str(name: &str) -> Result<Self, ()> {
        let member = read(name).ok_or(())?;
        if member.to_string() == name { Ok(member) } else { Err(()) }
    }
}

/// Reads more than the one spelling.
fn read(name: &str) -> Option<Member> {
    let fixed = [
        Member::Readme,
        Member::Script,
        Member::About,
        Member::KeyHistory,
        Member::AllowedSigners,
        Member::VerifierKeys,
        Member::Entries,
        Member::Sums,
        Member::SumsSignature(Form::Raw),
        Member::SumsSignature(Form::Minisign),
        Member::SumsSignature(Form::Ssh),
    ];
    if let Some(member) = fixed.into_iter().find(|member| member.to_string() == name) {
        return Some(member);
    }
    let (folder, name) = name.split_once('/')?;
    match folder {
        "keys" => read_key(name),
        "manifests" => read_manifest(name),
        "checkpoints" => read_tree(name).map(|(epoch, size)| Member::Checkpoint(epoch, size)),
        "proofs" => match name.rsplit_once('.')? {
            (seq, "tlog-proof") => seq.parse().ok().map(Member::Inclusion),
            (both, "consistency") => {
                let (from, to) = both.split_once('.')?;
                Some(Member::Consistency(read_tree(from)?, read_tree(to)?))
            }
            _ => None,
        },
        _ => None,
    }
}

fn read_key(name: &str) -> Option<Member> {
    if let Some(number) = name.strip_prefix("rotation-") {
        return match number.split_once('.')? {
            (number, "json") => number.parse().ok().map(Member::Rotation),
            (number, "json.sig") => number.parse().ok().map(Member::RotationSignature),
            _ => None,
        };
    }
    let (id, suffix) = name.split_once('.')?;
    let is_id = id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match suffix {
        "pem" if is_id => Some(Member::Key(id.to_owned())),
        "minisign.pub" if is_id => Some(Member::MinisignKey(id.to_owned())),
        _ => None,
    }
}

fn read_manifest(name: &str) -> Option<Member> {
    let (stem, suffix) = name.split_once(".manifest.json")?;
    let (job, number) = match stem.split_once('.') {
        Some((job, number)) => (job, number.parse().ok().filter(|number| *number > 1)?),
        None => (stem, 1),
    };
    let job = Uuid::try_parse(job).ok()?;
    if suffix.is_empty() {
        return Some(Member::Manifest(job, number));
    }
    let form = Form::ALL.into_iter().find(|form| suffix.strip_prefix('.') == Some(form.suffix()))?;
    Some(Member::ManifestSignature(job, number, form))
}

fn read_tree(name: &str) -> Option<(u64, u64)> {
    let (epoch, size) = name.split_once('-')?;
    Some((epoch.parse().ok()?, size.parse().ok()?))
}
