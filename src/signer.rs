//! Who signs: the key file, or whom `walwarden.signer` names. Every use of the key begins here, and nothing signs that has not
//! gone through [`take`] or [`rotate`].
//!
//! The setting has no check hook: PostgreSQL would take the default instead of a value that is refused at start, and the default
//! is the key file. So it is read at each use, and one that makes no sense stops the use.

mod agent;
mod command;

use crate::catalog::key::{self, Source};
use crate::keyring::KeyFolder;
use crate::pg::clock;
use agent::Agent;
use command::Command;
use walwarden_core::key::{PublicKey, SIGNATURE_LENGTH, SigningKey};
use walwarden_core::signature::Signer;
use walwarden_core::signature::rotation::{KeyRotation, SignedRotation};
use walwarden_core::signature::signer_setting::SignerSetting;
use walwarden_core::signature::succession::{KnownKey, News, news};
use walwarden_core::{Error, ErrorClass, Result};

/// The signer of this moment; it keeps its key when another one takes its place meanwhile.
pub struct ClusterSigner {
    public: PublicKey,
    holder: Holder,
}

enum Holder {
    /// A key that was read from the key file.
    Key(SigningKey),
    Command(Command),
    Agent(Agent),
}

impl ClusterSigner {
    /// Fails where the signer is known not to take so many bytes: better before the work than after it.
    pub fn require_signable(&self, length: usize) -> Result<()> {
        match &self.holder {
            Holder::Agent(_) => walwarden_core::signature::agent::require_signable(length),
            Holder::Key(_) | Holder::Command(_) => Ok(()),
        }
    }

    fn source(&self) -> Source {
        match self.holder {
            Holder::Key(_) => Source::File,
            Holder::Command(_) | Holder::Agent(_) => Source::External,
        }
    }
}

impl Signer for ClusterSigner {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LENGTH]> {
        let (signature, name) = match &self.holder {
            Holder::Key(key) => return Ok(key.sign(message)),
            Holder::Command(command) => (command.sign(message)?, command.name()),
            Holder::Agent(agent) => (agent.sign(&self.public, message)?, agent.name()),
        };
        self.public.verify_strict(message, &signature).map_err(|_| {
            Error::new(ErrorClass::Key, format!("{name} gave a signature that is not right"))
                .detail(format!("It is not by key {} over what was to be signed.", self.public.key_id()))
                .hint("Look whether it signs the bytes as they are, by the key that it says it has.")
        })?;
        Ok(signature)
    }
}

/// A signer, and whether the database has to write something down before it signs anything.
struct Presented {
    signer: ClusterSigner,
    is_new: bool,
}

impl Presented {
    /// Write down what is new; false when the key was overtaken meanwhile.
    fn write_down(&self) -> Result<bool> {
        key::lock()?;
        let statements = KeyFolder::lock()?.statements()?;
        key::write_down(&self.signer.public, self.signer.source(), &statements)
    }
}

/// The signer for a job, with everything about its key written down. In a process of ours, outside of any transaction.
///
/// # Errors
/// `Key` or `Configuration` where there is no good key; the hint says what to do.
pub fn take() -> Result<ClusterSigner> {
    use crate::pg::transaction::transaction;
    loop {
        let presented = present(&transaction(key::known)?)?;
        if !presented.is_new || transaction(|| presented.write_down())? {
            return Ok(presented.signer);
        }
    }
}

/// The same in a session, within its transaction.
pub fn take_in_session() -> Result<ClusterSigner> {
    loop {
        let presented = present(&key::known()?)?;
        if !presented.is_new || presented.write_down()? {
            return Ok(presented.signer);
        }
    }
}

/// The public key of whoever would sign now; nothing is written down.
pub fn public_key() -> Result<PublicKey> {
    let known = key::known()?;
    let signer = open(&known)?;
    let statements = KeyFolder::lock()?.statements()?;
    news(&known, &signer.public, &statements)?;
    Ok(signer.public)
}

/// Who would sign now, and what is new about it to a database that knows these keys.
fn present(known: &[KnownKey]) -> Result<Presented> {
    let signer = open(known)?;
    let statements = KeyFolder::lock()?.statements()?;
    let news = news(known, &signer.public, &statements)?;
    let is_new = news != News::None;
    if is_new {
        if news == News::Replaced && signer.source() == Source::External {
            require_no_key_file(known, &signer)?;
            handed_over_by_agent(known, &signer)?;
        }
        KeyFolder::lock()?.keep_public(&signer.public)?;
    }
    Ok(Presented { signer, is_new })
}

/// The signer of the setting, whatever the database knows of its key.
fn open(known: &[KnownKey]) -> Result<ClusterSigner> {
    let setting = setting()?;
    let (public, holder) = match &setting {
        SignerSetting::File => {
            let key = key_of_file(&KeyFolder::lock()?, known)?;
            (key.public(), Holder::Key(key))
        }
        SignerSetting::Command { program, arguments } => {
            let command = Command::new(program, arguments, setting.name());
            (command.public_key()?, Holder::Command(command))
        }
        SignerSetting::Agent { socket, key_id } => {
            let agent = Agent::new(socket, setting.name())?;
            (agent.key(key_id.as_deref())?, Holder::Agent(agent))
        }
    };
    Ok(ClusterSigner { public, holder })
}

fn setting() -> Result<SignerSetting> {
    SignerSetting::parse(&crate::guc::text(&crate::guc::SIGNER).unwrap_or_default())
}

/// The key of the key file; made now if no key ever signed here.
fn key_of_file(folder: &KeyFolder, known: &[KnownKey]) -> Result<SigningKey> {
    if let Some(key) = folder.signing_key()? {
        folder.keep_public(&key.public())?;
        return Ok(key);
    }
    if may_make_first(folder, known)? { folder.make_key() } else { Err(missing(folder)) }
}

/// A key that is gone is not replaced by a new one in silence: only where none ever signed, in this database or another of the
/// cluster, one is made without being asked for.
fn may_make_first(folder: &KeyFolder, known: &[KnownKey]) -> Result<bool> {
    Ok(known.is_empty() && !crate::pg::server::in_recovery() && !folder.knows_a_key()?)
}

fn missing(folder: &KeyFolder) -> Error {
    let path = folder.signing_key_path();
    Error::new(ErrorClass::Key, format!("signing key \"{}\" is missing", path.display()))
        .detail("A key has signed here before, and no new one takes its place by itself.")
        .hint(crate::keyring::FROM_ITS_COPY)
}

fn current(known: &[KnownKey]) -> Option<PublicKey> {
    known.iter().find(|key| key.is_current).map(|key| key.public)
}

/// The key file, where it holds the key that the database knows as its current one.
fn current_of_file(folder: &KeyFolder, known: &[KnownKey]) -> Option<SigningKey> {
    let current = current(known)?;
    folder.signing_key().ok().flatten().filter(|key| key.public() == current)
}

/// To hand over erases the key file: somebody has to ask for that.
fn require_no_key_file(known: &[KnownKey], signer: &ClusterSigner) -> Result<()> {
    let Some(old) = current_of_file(&KeyFolder::lock()?, known) else { return Ok(()) };
    Err(Error::new(ErrorClass::Key, "the signing key was not handed over to walwarden.signer yet")
        .detail(format!(
            "The key of this database is {}, in the key file; the signer has {}.",
            old.public().key_id(),
            signer.public.key_id()
        ))
        .hint("SELECT walwarden.rotate_key() hands over: the key file signs that, and is erased."))
}

/// The statement for a new key by the one before, where an agent has both.
fn handed_over_by_agent(known: &[KnownKey], signer: &ClusterSigner) -> Result<Option<SignedRotation>> {
    let (Some(old), Holder::Agent(agent)) = (current(known), &signer.holder) else { return Ok(None) };
    if !agent.keys()?.contains(&old) {
        return Ok(None);
    }
    let rotation = KeyRotation { old, new: signer.public, at: clock::now() };
    let signed = rotation.sign(&KeyOfAgent { agent, public: old })?;
    KeyFolder::lock()?.keep_statement(&signed)?;
    Ok(Some(signed))
}

/// Another key of an agent than the one of the setting.
struct KeyOfAgent<'a> {
    agent: &'a Agent,
    public: PublicKey,
}

impl Signer for KeyOfAgent<'_> {
    fn public(&self) -> PublicKey {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LENGTH]> {
        self.agent.sign(&self.public, message)
    }
}

/// Put a new key in the place of the one that signs: of the key file a new one, of an external signer the one it has now. In a
/// session, within its transaction; the files are changed at once and stay so if the transaction is rolled back, and the next use
/// writes down what was done.
///
/// # Errors
/// `WrongState` where nothing is to be rotated; `Key` where the old key cannot sign for the new one, unless it is said to be lost.
pub fn rotate(lost: bool) -> Result<PublicKey> {
    // Before the files are touched: what they say must be written down in the order in which it happened.
    key::lock()?;
    let known = key::known()?;
    match setting()? {
        SignerSetting::File => rotate_file(&known, lost),
        SignerSetting::Command { .. } | SignerSetting::Agent { .. } => rotate_external(&known, lost),
    }
}

fn rotate_file(known: &[KnownKey], lost: bool) -> Result<PublicKey> {
    let (new, old, statements) = {
        let folder = KeyFolder::lock()?;
        match usable_key(&folder, known) {
            Ok(Some(key)) if lost => {
                return Err(Error::new(ErrorClass::WrongState, "the signing key is not lost")
                    .detail(format!("Key {} is in its place.", key.public().key_id()))
                    .hint("SELECT walwarden.rotate_key() lets it sign for its successor."));
            }
            Ok(Some(old)) => {
                let signed = folder.rotate(&old)?;
                (signed.rotation.new, Some(old.public()), folder.statements()?)
            }
            Ok(None) if may_make_first(&folder, known)? => (folder.make_key()?.public(), None, Vec::new()),
            outcome if lost => {
                if let Err(error) = outcome {
                    crate::error::log(&error, "giving a signing key up as lost");
                }
                folder.set_aside()?;
                (folder.make_key()?.public(), None, Vec::new())
            }
            Ok(None) => return Err(missing(&folder)),
            Err(error) => return Err(error),
        }
    };
    for key in old.iter().chain([&new]) {
        key::write_down(key, Source::File, &statements)?;
    }
    Ok(new)
}

/// The key of the key file, if it is one that may sign.
fn usable_key(folder: &KeyFolder, known: &[KnownKey]) -> Result<Option<SigningKey>> {
    let Some(key) = folder.signing_key()? else { return Ok(None) };
    news(known, &key.public(), &folder.statements()?)?;
    Ok(Some(key))
}

fn rotate_external(known: &[KnownKey], lost: bool) -> Result<PublicKey> {
    let signer = open(known)?;
    let mut statements = KeyFolder::lock()?.statements()?;
    match news(known, &signer.public, &statements)? {
        News::First | News::Rotated(_) => {}
        News::None => {
            return Err(Error::new(
                ErrorClass::WrongState,
                "the key of an external signer is rotated where it is kept",
            )
            .detail(format!("walwarden.signer has key {}, as before.", signer.public.key_id()))
            .hint(
                "Give the signer a new key first; its next use, or walwarden.rotate_key(), writes that down.",
            ));
        }
        News::Replaced => {
            let by_file = {
                let folder = KeyFolder::lock()?;
                let old = current_of_file(&folder, known);
                old.map(|old| folder.hand_over(&old, &signer.public)).transpose()?
            };
            let signed = match by_file {
                Some(signed) => Some(signed),
                None => handed_over_by_agent(known, &signer)?,
            };
            if signed.is_none() && !lost {
                return Err(Error::new(ErrorClass::Key, "the old signing key cannot sign for the new one")
                    .detail("It is neither in the key file nor in the agent of walwarden.signer.")
                    .hint(
                        "If it is lost, SELECT walwarden.rotate_key(lost => true) goes on with the new key.",
                    ));
            }
            statements.extend(signed);
        }
    }
    KeyFolder::lock()?.keep_public(&signer.public)?;
    key::write_down(&signer.public, Source::External, &statements)?;
    Ok(signer.public)
}
