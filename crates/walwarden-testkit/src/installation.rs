//! The PostgreSQL that the tests run on.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One installed PostgreSQL, as its `pg_config` describes it.
#[derive(Clone, Debug)]
pub struct Installation {
    pg_config: PathBuf,
    bindir: PathBuf,
    sharedir: PathBuf,
    pgxs: PathBuf,
    major: u32,
}

impl Installation {
    /// The one that `PG_CONFIG` names, else the newest that Debian's packages installed.
    #[must_use]
    pub fn current() -> Self {
        match std::env::var_os("PG_CONFIG") {
            Some(path) => Self::at(Path::new(&path)),
            None => Self::at(&newest_packaged()),
        }
    }

    /// The one that this `pg_config` belongs to.
    #[must_use]
    pub fn at(pg_config: &Path) -> Self {
        let ask = |option: &str| {
            let output = Command::new(pg_config).arg(option).output();
            let output = output.unwrap_or_else(|e| panic!("cannot run {}: {e}", pg_config.display()));
            assert!(output.status.success(), "{} {option} failed", pg_config.display());
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let version = ask("--version");
        let major = version.split([' ', '.']).find_map(|word| word.parse().ok());
        Self {
            bindir: ask("--bindir").into(),
            sharedir: ask("--sharedir").into(),
            pgxs: ask("--pgxs").into(),
            major: major.unwrap_or_else(|| panic!("no major version in {version:?}")),
            pg_config: pg_config.to_owned(),
        }
    }

    /// The major version: 15, 18.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// Its `pg_config`.
    #[must_use]
    pub fn pg_config(&self) -> &Path {
        &self.pg_config
    }

    /// The full path of one of its programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bindir.join(name)
    }

    /// The folder of the extensions' control files and scripts.
    #[must_use]
    pub fn extension_dir(&self) -> PathBuf {
        self.sharedir.join("extension")
    }

    /// Its regression test program, which comes with the server development files.
    #[must_use]
    pub fn pg_regress(&self) -> PathBuf {
        let pgxs_root = self.pgxs.ancestors().nth(3).expect("pgxs/src/makefiles/pgxs.mk");
        pgxs_root.join("src/test/regress/pg_regress")
    }

    /// Puts a small extension made of SQL into the server's own folder, where `CREATE EXTENSION` looks for it.
    ///
    /// Its table is one that `pg_dump` dumps a part of (`pg_extension_config_dump`), which no contrib module has.
    pub fn install_fixture_extension(&self) {
        self.install_extension_file(
            "walwarden_fixture.control",
            include_str!("../fixtures/walwarden_fixture.control"),
        );
        self.install_extension_file(
            "walwarden_fixture--1.0.sql",
            include_str!("../fixtures/walwarden_fixture--1.0.sql"),
        );
    }

    /// Puts a file into the server's own folder, where `CREATE EXTENSION` looks for control files and scripts.
    pub fn install_extension_file(&self, name: &str, text: &str) {
        let target = self.extension_dir().join(name);
        if std::fs::read_to_string(&target).is_ok_and(|there| there == text) {
            return;
        }
        // Written beside, under a name that no other thread has, and renamed: tests run side by side.
        let source = tempfile::Builder::new().prefix(name).tempfile().expect("a temporary file");
        std::fs::write(source.path(), text).expect("our own file");
        let staged =
            self.extension_dir().join(source.path().file_name().expect("a temporary file has a name"));
        as_owner_of(&self.extension_dir(), "cp", source.path(), &staged);
        as_owner_of(&self.extension_dir(), "chmod", Path::new("644"), &staged);
        as_owner_of(&self.extension_dir(), "mv", &staged, &target);
    }
}

/// Runs a program with two arguments, through sudo when `folder` is not ours to write.
fn as_owner_of(folder: &Path, program: &str, first: &Path, second: &Path) {
    use rustix::fs::{Access, access};
    let mut command = if access(folder, Access::WRITE_OK).is_ok() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", program]);
        sudo
    };
    let status = command.arg(first).arg(second).status();
    assert!(status.is_ok_and(|status| status.success()), "{command:?} failed");
}

fn newest_packaged() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let majors = folders.filter_map(|folder| folder.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let path = |major: u32| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin/pg_config"));
    let newest = majors.filter(|major| path(*major).exists()).max();
    path(
        newest
            .expect("PG_CONFIG is not set and no packaged PostgreSQL is installed: run scripts/install test"),
    )
}
