//! The globals of a backup: roles and tablespaces that are missing here are made; those that are there are left alone.

use crate::pg::script::{self, About, Statement};
use crate::pg::sql;
use crate::pg::transaction::transaction;
use crate::worker::io::Io;
use crate::worker::subject::Subject;
use std::collections::HashSet;
use uuid::Uuid;
use walwarden_core::globals::without_meta_commands;
use walwarden_core::{Error, ErrorClass, Result};

/// Make what is missing.
pub fn restore(io: &Io, job: Uuid, subject: &Subject, tablespaces: bool) -> Result<()> {
    let globals = subject.globals(io)?.ok_or_else(|| {
        Error::new(ErrorClass::NotFound, "the backup has no globals").hint("Restore with globals => false.")
    })?;
    let globals = String::from_utf8(globals)
        .map_err(|_| Error::new(ErrorClass::Archive, "the globals are not in UTF-8"))?;
    let globals = without_meta_commands(&globals);
    let (statements, there) = transaction(|| Ok((script::parse(&globals)?, Present::look()?)))?;
    let missing: Vec<&Statement> =
        statements.iter().filter(|statement| there.lacks(&statement.about, tablespaces)).collect();
    transaction(|| missing.iter().filter(|one| matches!(one.about, About::Role(_))).try_for_each(run))?;
    for new in missing.iter().filter(|one| matches!(one.about, About::NewTablespace(_))) {
        script::create_tablespace(&new.text).map_err(|error| {
            error.hint("Its folder must be there, empty, and the server's own; or restore with tablespaces => false.")
        })?;
    }
    transaction(|| missing.iter().filter(|one| matches!(one.about, About::Tablespace(_))).try_for_each(run))?;
    pgrx::log!(
        "walwarden: job {job}: {} of {} statements of the globals were about what is missing here",
        missing.len(),
        statements.len()
    );
    Ok(())
}

fn run(statement: &&Statement) -> Result<()> {
    sql::run(&statement.text, &[]).map(drop)
}

/// What this server had before.
struct Present {
    roles: HashSet<String>,
    tablespaces: HashSet<String>,
}

impl Present {
    fn look() -> Result<Self> {
        let names = |statement: &str| -> Result<HashSet<String>> {
            sql::query(statement, &[])?.iter().map(|row| row.text(0)).collect()
        };
        Ok(Self {
            roles: names("SELECT rolname FROM pg_catalog.pg_roles")?,
            tablespaces: names("SELECT spcname FROM pg_catalog.pg_tablespace")?,
        })
    }

    fn lacks(&self, about: &About, tablespaces: bool) -> bool {
        match about {
            About::Session | About::Everyone => false,
            About::Role(name) => !self.roles.contains(name),
            About::NewTablespace(name) | About::Tablespace(name) => {
                tablespaces && !self.tablespaces.contains(name)
            }
        }
    }
}
