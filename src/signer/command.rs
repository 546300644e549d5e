//! A program that keeps the key: run without a shell for each question, with nothing in its environment but PATH.
//!
//! `PROGRAM ARGUMENTS public-key` writes the public key as PEM; `PROGRAM ARGUMENTS sign` writes the signature of its standard
//! input, 64 raw bytes or base64.

use crate::pg::process::in_memory;
use crate::pg::waker::Waker;
use crate::worker::child::{Running, reading_thread};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command as Program, Stdio};
use std::time::{Duration, Instant};
use walwarden_core::key::{PublicKey, SIGNATURE_LENGTH};
use walwarden_core::signature::signer_setting::{excerpt, signature_of_output};
use walwarden_core::{Error, ErrorClass, Result};

/// How long an answer may take: somebody may have to touch a token.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether the program has ended, once it has said all.
const LOOK: Duration = Duration::from_millis(10);
/// No answer is longer.
const LONGEST_ANSWER: u64 = 4096;

/// The program of the setting.
pub struct Command {
    program: PathBuf,
    arguments: Vec<String>,
    name: String,
}

impl Command {
    /// By this name in errors.
    pub fn new(program: &Path, arguments: &[String], name: String) -> Self {
        Self { program: program.to_owned(), arguments: arguments.to_owned(), name }
    }

    /// What it is called in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key that it says it has.
    pub fn public_key(&self) -> Result<PublicKey> {
        let answer = self.ask("public-key", &[])?;
        let pem = std::str::from_utf8(&answer).map_err(|_| self.no_key())?;
        PublicKey::from_pem(pem).map_err(|_| self.no_key())
    }

    /// A signature, which the caller has to check.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LENGTH]> {
        let answer = self.ask("sign", message)?;
        signature_of_output(&answer).map_err(|error| Error {
            message: format!("{} gave no signature", self.name),
            hint: Some("It must write nothing else to its standard output.".to_owned()),
            ..error
        })
    }

    fn ask(&self, verb: &str, input: &[u8]) -> Result<Vec<u8>> {
        let mut program = Program::new(&self.program);
        program.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        program.args(&self.arguments).arg(verb).current_dir("/");
        program.stdin(in_memory("walwarden-to-sign", input)?).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut running, stdout) = Running::start(program, "walwarden.signer")
            .map_err(|error| self.failed("could not be started", error.detail.as_deref()))?;
        let waker = Waker::new()?;
        let ring = waker.clone();
        let mut output = Some(reading_thread("walwarden.signer", move || {
            let mut answer = Vec::new();
            let read = stdout.take(LONGEST_ANSWER + 1).read_to_end(&mut answer).map(|_| answer);
            ring.wake();
            read
        })?);
        let deadline = Instant::now() + PATIENCE;
        let mut answer = Vec::new();
        loop {
            if let Some(thread) = output.take_if(|thread| thread.is_finished()) {
                let read =
                    thread.join().map_err(|_| Error::internal("the thread reading a signer panicked"))?;
                answer = read.map_err(|cause| self.failed("could not be read", Some(&cause.to_string())))?;
                if answer.len() as u64 > LONGEST_ANSWER {
                    return Err(self.failed("said too much", None));
                }
            }
            if output.is_none()
                && running.try_finish().map_err(|error| self.failed("failed", error.detail.as_deref()))?
            {
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                let limit = format!("It was stopped after {} seconds.", PATIENCE.as_secs());
                return Err(self.failed("did not answer", Some(&limit)));
            }
            crate::worker::wait(Some(&waker), LOOK)?;
        }
    }

    fn no_key(&self) -> Error {
        Error::new(ErrorClass::Key, format!("{} gave no public key", self.name))
            .hint("Asked for public-key, it must write an Ed25519 public key in PEM form and nothing else.")
    }

    fn failed(&self, how: &str, detail: Option<&str>) -> Error {
        let error = Error::new(ErrorClass::Key, format!("{} {how}", self.name)).hint(
            "Run it by hand as the user who runs the server, with public-key or sign as its last argument.",
        );
        match detail {
            Some(detail) => error.detail(excerpt(detail)),
            None => error,
        }
    }
}
