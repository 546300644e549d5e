//! What the caller may choose, by environment variables.

use crate::data::DataSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The variables, as told when one of them has no meaning. `scripts/bench` tells the same, and its own.
pub const HELP: &str = "\
WALWARDEN_BENCH_SCALE=128         megabytes of each data set
WALWARDEN_BENCH_ROUNDS=3          how often each contender runs on each data set
WALWARDEN_BENCH_SETS='...'        of: wide numeric giant small toast (default: these five), spread
WALWARDEN_BENCH_CONTENDERS='...'  of: dump-Z9 dump dump-dir floor file copy s3, which back up, and
                                  pg_restore restore-file restore-s3, which restore (default: all)
WALWARDEN_BENCH_CODECS='...'      for all but dump-Z9, dump, floor (default: gzip:6, and zstd:1 where pg_dump knows it)
WALWARDEN_BENCH_JOBS=2            copiers and loaders of walwarden, and -j of pg_dump and pg_restore
WALWARDEN_BENCH_PGBENCH='wide'    data sets that are also backed up beside pgbench; '' for none
WALWARDEN_BENCH_PGBENCH_SECONDS=5 how long pgbench runs alone, and at least beside each contender
WALWARDEN_BENCH_JSON=FILE         where the JSON goes (default: bench/backup-pgMAJOR.json in the target folder)";

/// Every word WALWARDEN_BENCH_CONTENDERS may hold.
const CONTENDERS: [&str; 10] = [
    "dump-Z9",
    "dump",
    "dump-dir",
    "floor",
    "file",
    "copy",
    "s3",
    "pg_restore",
    "restore-file",
    "restore-s3",
];

/// A codec and its level, as `pg_dump --compress` and walwarden spell them: `gzip:6`, `zstd:1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    pub name: String,
    pub level: i32,
}

/// The caller's choice.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of each data set in MiB, tables without indexes.
    pub scale_mb: u64,
    pub rounds: usize,
    pub sets: Vec<DataSet>,
    /// Words of [`CONTENDERS`].
    pub contenders: Vec<String>,
    /// `None`: whatever both pg_dump and walwarden know.
    pub codecs: Option<Vec<Codec>>,
    /// Copiers and loaders of walwarden, jobs of `pg_dump -Fd` and `pg_restore`.
    pub jobs: u32,
    /// Those of `sets` that are backed up beside pgbench too.
    pub load_sets: Vec<DataSet>,
    pub load_seconds: u64,
    pub json: PathBuf,
}

impl Options {
    /// Reads the variables.
    ///
    /// # Errors
    /// With the name of the variable that has no meaning.
    pub fn from_environment() -> Result<Self, String> {
        let sets = words("SETS", "wide numeric giant small toast", DataSet::named)?;
        let load_sets = words("PGBENCH", "wide", DataSet::named)?;
        let contenders = words("CONTENDERS", &CONTENDERS.join(" "), |word| {
            CONTENDERS.contains(&word).then(|| word.to_owned())
        })?;
        let codecs = match variable("CODECS") {
            Some(_) => Some(words("CODECS", "", |word| word.parse().ok())?),
            None => None,
        };
        if sets.is_empty() || contenders.is_empty() {
            return Err("there is no data set or no contender left".to_owned());
        }
        Ok(Self {
            scale_mb: number("SCALE", 128, 1)?,
            rounds: number("ROUNDS", 3, 1)?,
            load_sets: load_sets.into_iter().filter(|set| sets.contains(set)).collect(),
            sets,
            contenders,
            codecs,
            jobs: number("JOBS", 2, 1)?,
            load_seconds: number("PGBENCH_SECONDS", 5, 1)?,
            json: variable("JSON").map_or_else(default_json, PathBuf::from),
        })
    }

    /// Whether this word of [`CONTENDERS`] was chosen.
    pub fn wants(&self, contender: &str) -> bool {
        self.contenders.iter().any(|chosen| chosen == contender)
    }
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, level) = text.split_once(':').ok_or("a codec has the form name:level")?;
        let level = level.parse().map_err(|e| format!("{text}: {e}"))?;
        Ok(Self { name: name.to_owned(), level })
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.level)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(format!("WALWARDEN_BENCH_{name}")).ok()
}

fn number<N: FromStr + PartialOrd>(name: &str, default: N, least: N) -> Result<N, String> {
    match variable(name).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|number| *number >= least)
            .ok_or(format!("WALWARDEN_BENCH_{name}={text} is no number, or too small")),
    }
}

/// The words of a variable, each once.
fn words<T: PartialEq>(
    name: &str,
    default: &str,
    meaning: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, String> {
    let text = variable(name).unwrap_or_else(|| default.to_owned());
    let mut found = Vec::new();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        let value =
            meaning(word).ok_or(format!("WALWARDEN_BENCH_{name} holds {word:?}, which says nothing here"))?;
        if !found.contains(&value) {
            found.push(value);
        }
    }
    Ok(found)
}

fn default_json() -> PathBuf {
    let major = walwarden_testkit::Installation::current().major();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder of the target folder");
    target.join(format!("bench/backup-pg{major}.json"))
}
