//! Checks what walwarden has signed, offline: an evidence bundle, a manifest, the audit log as it lies in storage. It knows
//! the formats and the public key, no server and no network.
#![forbid(unsafe_code)]

mod arguments;
mod bundle;
mod log;
mod manifest;

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;

use walwarden_core::evidence::Report;
use walwarden_core::key::PublicKey;
use walwarden_core::{Error, Result};

use arguments::{Action, Arguments};

/// All is as it was signed.
pub const GOOD: u8 = 0;
/// Something is not.
pub const PROBLEMS: u8 = 1;
/// It could not be checked: a file cannot be read, or the arguments make no sense.
pub const UNREADABLE: u8 = 2;

/// Does what the arguments, without the program's name, ask for, and returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let arguments = match arguments::read(arguments) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return written(out.write_all(arguments::HELP.as_bytes()), GOOD),
        Err(why) => {
            return written(writeln!(err, "walwarden-verify: {why}\n\n{}", arguments::USAGE), UNREADABLE);
        }
    };
    let report = match check(&arguments) {
        Ok(report) => report,
        Err(error) => return written(writeln!(err, "walwarden-verify: {error}"), UNREADABLE),
    };
    let code = if report.problems.is_empty() { GOOD } else { PROBLEMS };
    let outcome = if arguments.json { print_json(out, &report) } else { print(out, &report) };
    written(outcome, code)
}

/// What was to be said must have been said.
fn written(outcome: std::io::Result<()>, code: u8) -> u8 {
    if outcome.is_ok() { code } else { UNREADABLE }
}

fn check(arguments: &Arguments) -> Result<Report> {
    let keys: Vec<PublicKey> = arguments.keys.iter().map(|path| read_key(path)).collect::<Result<_>>()?;
    match &arguments.action {
        Action::Bundle { file } => {
            bundle::check(open(file)?, &keys).map_err(|cause| unreadable(file, &cause))
        }
        Action::Manifest { file, signature, archive } => {
            manifest::check(file, signature.as_deref(), archive.as_deref(), &keys)
        }
        Action::Log { folder } => log::check(folder, &keys),
    }
}

fn print(out: &mut dyn Write, report: &Report) -> std::io::Result<()> {
    for fact in &report.facts {
        writeln!(out, "{}", printable(fact))?;
    }
    for problem in &report.problems {
        writeln!(out, "PROBLEM: {}", printable(&problem.to_string()))?;
    }
    match report.problems.len() {
        0 => writeln!(out, "Everything is as it was signed."),
        1 => writeln!(out, "1 problem."),
        many => writeln!(out, "{many} problems."),
    }
}

fn print_json(out: &mut dyn Write, report: &Report) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, report)?;
    writeln!(out)
}

/// What comes out of hostile files must not drive the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn open(path: &Path) -> Result<fs::File> {
    fs::File::open(path).map_err(|cause| unreadable(path, &cause))
}

/// A whole file of reasonable size.
fn read(path: &Path) -> Result<Vec<u8>> {
    const LARGEST: u64 = 256 << 20;
    let size = fs::metadata(path).map_err(|cause| unreadable(path, &cause))?.len();
    if size > LARGEST {
        return Err(unreadable(path, &"it is larger than any file of its kind"));
    }
    fs::read(path).map_err(|cause| unreadable(path, &cause))
}

fn read_key(path: &Path) -> Result<PublicKey> {
    let pem = read(path)?;
    PublicKey::from_pem(&String::from_utf8_lossy(&pem)).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("could not read {}", path.display())).detail(cause.to_string())
}
