//! Writing a bundle.

use std::io::{self, Read, Write};

use uuid::Uuid;

use super::about::About;
use super::consistency::ConsistencyProof;
use super::keys::Keys;
use super::member::{Form, Member};
use super::tape::Tape;
use crate::audit::{Checkpoint, SignedNote, TlogProof};
use crate::error::{Error, Result};
use crate::key::SIGNATURE_LENGTH;
use crate::manifest::Sha256Sum;
use crate::signature::{Signer, minisign, sshsig};

const README: &str = include_str!("README.txt");
const SCRIPT: &str = include_str!("verify.sh");

/// A bundle that is being written. Nothing of what it holds stays in memory but a line for each file, so its size has no
/// bound. The order is that of the methods: keys, manifests, entries, checkpoints, proofs.
pub struct Bundle<'a, W: Write> {
    tape: Tape<W>,
    signer: &'a dyn Signer,
}

impl<'a, W: Write> Bundle<'a, W> {
    /// Begins a bundle that `signer` is going to sign.
    ///
    /// # Errors
    /// `Internal` when what it is about cannot be written; whatever the writer says.
    pub fn begin(out: W, about: &About, keys: &Keys, signer: &'a dyn Signer) -> Result<Self> {
        let mut tape = Tape::new(out)?;
        tape.put(&Member::Readme, README.as_bytes())?;
        tape.put(&Member::Script, SCRIPT.as_bytes())?;
        tape.put(&Member::About, about.to_text()?.as_bytes())?;
        for (member, bytes) in keys.files()? {
            tape.put(&member, &bytes)?;
        }
        Ok(Self { tape, signer })
    }

    /// A manifest with the signature that lies beside it, which may be by an older key. Those in the other forms are made
    /// now. The `number` counts the manifests of one job, from 1.
    ///
    /// # Errors
    /// `Key` when the signer fails; whatever the writer says.
    pub fn manifest(
        &mut self,
        job: Uuid,
        number: u32,
        body: &[u8],
        signature: &[u8; SIGNATURE_LENGTH],
    ) -> Result<()> {
        self.tape.put(&Member::Manifest(job, number), body)?;
        self.tape.put(&Member::ManifestSignature(job, number, Form::Raw), signature)?;
        // A signature by the present key is the one that it would make again.
        let by_present_key = match self.signer.public().verify_strict(body, signature) {
            Ok(()) => *signature,
            Err(_) => self.signer.sign(body)?,
        };
        let [minisig, sshsig] = other_forms(self.signer, body, &by_present_key, &job.to_string())?;
        self.tape.put(&Member::ManifestSignature(job, number, Form::Minisign), minisig.as_bytes())?;
        self.tape.put(&Member::ManifestSignature(job, number, Form::Ssh), sshsig.as_bytes())
    }

    /// The audit entries: `next` gives their bodies in order, `size` is the length of all of them with a newline after each.
    ///
    /// # Errors
    /// What `next` says; `Internal` when the size is another; whatever the writer says.
    pub fn entries(&mut self, size: u64, next: impl FnMut() -> Result<Option<String>>) -> Result<()> {
        let mut lines = Lines { next, line: Vec::new(), place: 0 };
        self.tape.put_from(&Member::Entries, size, &mut lines)?;
        let is_over = lines.place == lines.line.len() && (lines.next)()?.is_none();
        if is_over { Ok(()) } else { Err(Error::internal("there are more audit entries than were counted")) }
    }

    /// A checkpoint as it was signed.
    ///
    /// # Errors
    /// `Archive` when the note is no checkpoint; whatever the writer says.
    pub fn checkpoint(&mut self, note: &SignedNote) -> Result<()> {
        let Checkpoint { epoch, size, .. } = Checkpoint::parse(&note.text)?;
        self.tape.put(&Member::Checkpoint(epoch, size), note.to_text().as_bytes())
    }

    /// The proof that a checkpoint covers the entry with this number.
    ///
    /// # Errors
    /// Whatever the writer says.
    pub fn inclusion(&mut self, seq: u64, hashes: Vec<Sha256Sum>, checkpoint: &SignedNote) -> Result<()> {
        let proof =
            TlogProof { extra: None, index: seq.saturating_sub(1), hashes, checkpoint: checkpoint.clone() };
        self.tape.put(&Member::Inclusion(seq), proof.to_text().as_bytes())
    }

    /// The proof that a checkpoint adds to the one before.
    ///
    /// # Errors
    /// Whatever the writer says.
    pub fn consistency(&mut self, proof: &ConsistencyProof) -> Result<()> {
        self.tape.put(&Member::Consistency(proof.from, proof.to), proof.to_text().as_bytes())
    }

    /// Signs what was written and ends it.
    ///
    /// # Errors
    /// `Key` when the signer fails; whatever the writer says.
    pub fn finish(mut self) -> Result<W> {
        let sums = self.tape.sums();
        let signature = self.signer.sign(sums.as_bytes())?;
        let [minisig, sshsig] = other_forms(self.signer, sums.as_bytes(), &signature, "SHA256SUMS")?;
        self.tape.put(&Member::Sums, sums.as_bytes())?;
        self.tape.put(&Member::SumsSignature(Form::Raw), &signature)?;
        self.tape.put(&Member::SumsSignature(Form::Minisign), minisig.as_bytes())?;
        self.tape.put(&Member::SumsSignature(Form::Ssh), sshsig.as_bytes())?;
        self.tape.finish()
    }
}

/// The forms of minisign and of OpenSSH.
fn other_forms(
    signer: &dyn Signer,
    message: &[u8],
    signature: &[u8; SIGNATURE_LENGTH],
    comment: &str,
) -> Result<[String; 2]> {
    Ok([minisign::signature_file(signer, signature, comment)?, sshsig::signature_file(signer, message)?])
}

/// Lines as a reader.
struct Lines<F> {
    next: F,
    line: Vec<u8>,
    place: usize,
}

impl<F: FnMut() -> Result<Option<String>>> Read for Lines<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.place == self.line.len() {
            let Some(line) = (self.next)().map_err(io::Error::other)? else { return Ok(0) };
            self.line = line.into_bytes();
            self.line.push(b'\n');
            self.place = 0;
        }
        let rest = &self.line[self.place..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.place += count;
        Ok(count)
    }
}
