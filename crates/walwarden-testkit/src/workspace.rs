//! Where test data lives and who owns it.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The operating-system user that servers run as: PostgreSQL refuses to run as root.
#[derive(Clone, Debug)]
pub(crate) struct ServerUser {
    pub(crate) name: String,
    /// What to become, when we are root.
    pub(crate) become_ids: Option<(u32, u32)>,
}

impl ServerUser {
    /// The caller; for root `postgres`, or `nobody` where that does not exist.
    pub(crate) fn current() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self { name: id(&["-un"]).expect("the caller has a name"), become_ids: None };
        }
        for name in ["postgres", "nobody"] {
            if let (Some(uid), Some(gid)) = (id(&["-u", name]), id(&["-g", name])) {
                let ids = (uid.parse().expect("a numeric uid"), gid.parse().expect("a numeric gid"));
                return Self { name: name.to_owned(), become_ids: Some(ids) };
            }
        }
        panic!(
            "we are root, PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody"
        );
    }

    /// Makes `command` run as this user. Started by root, it also loses root's supplementary groups.
    pub(crate) fn apply(&self, command: &mut Command) {
        use std::os::unix::process::CommandExt;
        if let Some((uid, gid)) = self.become_ids {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives `path` to this user.
    pub(crate) fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.become_ids {
            chown(path, Some(uid), Some(gid)).unwrap_or_else(|e| panic!("chown {}: {e}", path.display()));
        }
    }
}

fn id(arguments: &[&str]) -> Option<String> {
    let output = Command::new("id").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A new folder with a short path, removed when dropped, that the server user can enter.
pub(crate) fn new_folder(prefix: &str) -> TempDir {
    let base = std::env::var_os("WALWARDEN_TEST_DIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let folder = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(&base)
        .unwrap_or_else(|e| panic!("cannot make a folder in {}: {e}", base.display()));
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("our own folder");
    folder
}

/// The last lines of a log, for a failing test.
pub(crate) fn tail(log: &str, lines: usize) -> String {
    let all: Vec<&str> = log.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// The folder that `scripts/install` fills with other people's programs.
pub(crate) fn cache() -> PathBuf {
    match std::env::var_os("WALWARDEN_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None if rustix::process::geteuid().is_root() => PathBuf::from("/var/cache/walwarden"),
        None => Path::new(&std::env::var_os("HOME").expect("HOME is set")).join(".cache/walwarden"),
    }
}
