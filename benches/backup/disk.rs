//! Disk that is used beyond a database while that is restored: what lies in the cluster's folder at one moment, and did not
//! before, other than what every database that is written needs.

use serde::Serialize;
use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use walwarden_testkit::Cluster;

/// Below the data directory: the databases, the catalogs that they share, the log that makes writing them safe, and the
/// state of its transactions.
const OF_DATABASES: [&str; 6] = ["base", "global", "pg_wal", "pg_xact", "pg_subtrans", "pg_multixact"];
/// Where the server sorts what does not fit into `maintenance_work_mem`, and whatever it sorts with several processes.
const SORTS: &str = "base/pgsql_tmp";
/// What `st_blocks` counts in, whatever the file system does (stat(2)).
const BLOCK: u64 = 512;
const WRITABLE: u32 = 0o200;

/// Peaks over one run, in bytes on disk.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct DiskUse {
    /// The highest sum of the server's own temporary files at one moment.
    pub sort_bytes: u64,
    /// The highest sum of everything else at one moment.
    pub other_bytes: u64,
}

/// Looks now and then.
#[derive(Debug)]
pub struct DiskWatch {
    folder: PathBuf,
    data: PathBuf,
    before: Option<DiskUse>,
    peak: DiskUse,
}

impl DiskUse {
    /// The higher of both.
    pub fn merge(&mut self, other: Self) {
        self.sort_bytes = self.sort_bytes.max(other.sort_bytes);
        self.other_bytes = self.other_bytes.max(other.other_bytes);
    }
}

impl DiskWatch {
    /// Of this cluster's folder.
    pub fn new(cluster: &Cluster) -> Self {
        let (folder, data) = (cluster.folder().to_owned(), cluster.data_dir());
        Self { folder, data, before: None, peak: DiskUse::default() }
    }

    /// Looks; these are the processes whose open files count wherever they are. What the first look sees was there before.
    pub fn look(&mut self, processes: impl Iterator<Item = u32>) {
        let sort_bytes = below(&self.data.join(SORTS));
        let other_bytes = self.of_folder() + self.open_elsewhere(processes);
        let now = DiskUse { sort_bytes, other_bytes };
        let before = *self.before.get_or_insert(now);
        self.peak.merge(DiskUse {
            sort_bytes: now.sort_bytes.saturating_sub(before.sort_bytes),
            other_bytes: now.other_bytes.saturating_sub(before.other_bytes),
        });
    }

    /// What was the most.
    pub fn peak(&self) -> DiskUse {
        self.peak
    }

    /// The cluster's folder, but the databases and the server's log.
    fn of_folder(&self) -> u64 {
        let beside = entries(&self.folder).filter(|path| *path != self.data && !is_log(path));
        let within = entries(&self.data).filter(|path| !OF_DATABASES.iter().any(|name| path.ends_with(name)));
        beside.chain(within).map(|path| below(&path)).sum()
    }

    /// Files that these processes write and that no look into the folder finds: those in other folders, and those without
    /// a name.
    fn open_elsewhere(&self, processes: impl Iterator<Item = u32>) -> u64 {
        let mut seen = HashSet::new();
        let mut bytes = 0;
        for link in processes.flat_map(|pid| entries(Path::new(&format!("/proc/{pid}/fd")))) {
            // A process, and what it has open, may go at any moment.
            let Ok(target) = std::fs::read_link(&link) else { continue };
            let is_written = link.symlink_metadata().is_ok_and(|open| open.mode() & WRITABLE != 0);
            if !is_written || is_memory(&target) || self.is_of_databases(&target) {
                continue;
            }
            let Ok(file) = link.metadata() else { continue };
            let is_found = file.nlink() > 0 && target.starts_with(&self.folder);
            if file.is_file() && !is_found && seen.insert((file.dev(), file.ino())) {
                bytes += on_disk(&file);
            }
        }
        bytes
    }

    fn is_of_databases(&self, path: &Path) -> bool {
        let is_below = |name: &str| path.starts_with(self.data.join(name));
        OF_DATABASES.into_iter().any(is_below)
    }
}

/// Where files are that take no disk.
fn is_memory(path: &Path) -> bool {
    path.to_string_lossy().starts_with("/memfd:") || path.starts_with("/dev")
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

/// Nothing where there is no such folder, or no longer.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// A file, or all files below a folder, in bytes on disk.
fn below(path: &Path) -> u64 {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => entries(path).map(|path| below(&path)).sum(),
        Ok(metadata) if metadata.is_file() => on_disk(&metadata),
        _ => 0,
    }
}

fn on_disk(file: &Metadata) -> u64 {
    file.blocks() * BLOCK
}
