//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Value};

pub const USAGE: &str = "\
Usage: walwarden-verify bundle FILE.tar [--key PUBLIC.pem]... [--json]
       walwarden-verify manifest X.manifest.json --key PUBLIC.pem [--signature FILE] [--archive FILE] [--json]
       walwarden-verify log FOLDER --key PUBLIC.pem... [--json]";

pub const HELP: &str = concat!(
    "walwarden-verify ",
    env!("CARGO_PKG_VERSION"),
    "
Checks what walwarden has signed, without a server and without a network.

Usage: walwarden-verify bundle FILE.tar [--key PUBLIC.pem]... [--json]
           an evidence bundle; without a key, against the first one that it brings itself
       walwarden-verify manifest X.manifest.json --key PUBLIC.pem [--signature FILE] [--archive FILE] [--json]
           a manifest with the signature beside it, and the archive that it describes: plain, or encrypted as it lies in
           storage
       walwarden-verify log FOLDER --key PUBLIC.pem... [--json]
           the audit log as it lies in storage, copied from there: the folder audit of a database, or any folder above

  --key FILE   a public key as openssl writes it; all keys of the time of the log, or the first one of a bundle
  --json       the report as one JSON object: problems (kind, place, seq, text) and facts

Ends with 0 when everything is as it was signed, with 1 when something is not, and with 2 when it could not be checked.
"
);

#[derive(Debug)]
pub struct Arguments {
    pub action: Action,
    pub keys: Vec<PathBuf>,
    pub json: bool,
}

#[derive(Debug)]
pub enum Action {
    Bundle { file: PathBuf },
    Manifest { file: PathBuf, signature: Option<PathBuf>, archive: Option<PathBuf> },
    Log { folder: PathBuf },
}

/// The arguments; none where help is asked for.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Arguments>, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let (mut words, mut keys, mut json) = (Vec::new(), Vec::new(), false);
    let (mut signature, mut archive) = (None, None);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Long("help") | lexopt::Arg::Short('h') => return Ok(None),
            Long("version") => return Ok(None),
            Long("json") => json = true,
            Long("key") => keys.push(path(&mut parser)?),
            Long("signature") => signature = Some(path(&mut parser)?),
            Long("archive") => archive = Some(path(&mut parser)?),
            Value(word) => words.push(word),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let [verb, target] = &words[..] else {
        return Err("say what is to be checked: bundle, manifest or log, and the file or folder".to_owned());
    };
    let target = PathBuf::from(target);
    let is_manifest = verb.to_str() == Some("manifest");
    if !is_manifest && (signature.is_some() || archive.is_some()) {
        return Err("--signature and --archive are for a manifest".to_owned());
    }
    let action = match verb.to_str() {
        Some("bundle") => Action::Bundle { file: target },
        Some("manifest" | "log") if keys.is_empty() => {
            return Err("a public key is needed: --key PUBLIC.pem".to_owned());
        }
        Some("manifest") => Action::Manifest { file: target, signature, archive },
        Some("log") => Action::Log { folder: target },
        _ => return Err(format!("\"{}\" is not bundle, manifest or log", verb.display())),
    };
    Ok(Some(Arguments { action, keys, json }))
}

fn path(parser: &mut lexopt::Parser) -> Result<PathBuf, String> {
    parser.value().map(PathBuf::from).map_err(|error| error.to_string())
}
