//! What stock pg_restore does of a restore: everything but the rows of tables.

use super::contents::Contents;
use super::hands::Hands;
use crate::catalog::task::Choices;
use crate::pg::databases;
use crate::pg::interrupts;
use crate::pg::process::in_memory;
use crate::pg::transaction::transaction;
use crate::worker::child::{Connection, Running, reading_thread};
use crate::worker::pulse::Pulse;
use crate::worker::subject::Subject;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;
use walwarden_core::archive::Toc;
use walwarden_core::{Error, ErrorClass, Result};

/// What owners of tables have planted runs with their rights, see `pg::table_owner`.
const AS_TABLE_OWNER: &str = "-c session_preload_libraries=walwarden -c walwarden.as_table_owner=on";
const PROGRAM: &str = "pg_restore";
/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Windows of large objects that are fetched ahead.
const WINDOWS_AHEAD: usize = 2;

/// How pg_restore is called.
pub struct Programs {
    /// How it connects.
    pub connection: Connection,
    /// What it leaves out.
    pub choices: Choices,
    /// Processes that make indexes.
    pub jobs: usize,
}

impl Programs {
    /// Make the database and everything that comes before rows.
    pub fn pre_data(&self, hands: &mut Hands, toc: &Toc) -> Result<()> {
        let maintenance = transaction(databases::maintenance)?;
        let mut command = self.command()?;
        command.args(["--create", "--section=pre-data", &format!("--dbname={maintenance}")]);
        run(hands, command, toc)
    }

    /// Sequences and large objects.
    pub fn other_data(
        &self,
        hands: &mut Hands,
        toc: &Toc,
        subject: &Subject,
        contents: &Contents,
        scratch: &str,
    ) -> Result<()> {
        let toc = toc.without_table_data();
        let mut command = self.command()?;
        command.args(["--section=data", &format!("--dbname={scratch}")]);
        if !toc.has_large_objects() {
            return run(hands, command, &toc);
        }
        // Large objects come through a pipe, behind the table of contents, as in any archive.
        let large_objects = {
            let (archive, range) = (subject.archive()?.clone(), contents.large_objects.clone());
            hands.io.run(async move { archive.reader(range, WINDOWS_AHEAD) })?
        };
        feed(hands, command, &toc, Copied(large_objects), || ())
    }

    /// Rows alone, and what else is data, in one transaction; `look` is called now and then meanwhile.
    pub fn rows(
        &self,
        hands: &mut Hands,
        toc: &Toc,
        database: &str,
        blocks: impl Blocks,
        look: impl FnMut(),
    ) -> Result<()> {
        let mut command = self.command()?;
        // No order of tables suits all foreign keys, and triggers have had their effect before the backup.
        command.env("PGOPTIONS", format!("{AS_TABLE_OWNER} -c session_replication_role=replica"));
        command.args(["--single-transaction", &format!("--dbname={}", conninfo(database))]);
        feed(hands, command, toc, blocks, look).map_err(without_context)
    }

    /// Everything that comes after rows: indexes, constraints, triggers and the rest.
    pub fn post_data(&self, hands: &mut Hands, toc: &Toc, scratch: &str) -> Result<()> {
        let mut command = self.command()?;
        command.args([
            "--section=post-data",
            &format!("--jobs={}", self.jobs),
            &format!("--dbname={scratch}"),
        ]);
        run(hands, command, toc)
    }

    fn command(&self) -> Result<Command> {
        let mut command = self.connection.command(PROGRAM)?;
        // What a crash loses is lost with the whole scratch database: the commit that gives it its name is waited for, and
        // with it all that was written before.
        command.env("PGOPTIONS", format!("{AS_TABLE_OWNER} -c synchronous_commit=off"));
        command.arg("--exit-on-error");
        for (is_on, switch) in [
            (self.choices.owner, "--no-owner"),
            (self.choices.privileges, "--no-privileges"),
            (self.choices.tablespaces, "--no-tablespaces"),
        ] {
            if !is_on {
                command.arg(switch);
            }
        }
        Ok(command)
    }
}

/// What a check of ours found, without the check itself, which pg_restore quotes behind it.
fn without_context(error: Error) -> Error {
    let found = error
        .detail
        .as_deref()
        .and_then(|detail| detail.split_once("\nCONTEXT:  PL/pgSQL function inline_code_block"));
    match found {
        Some((found, _)) => Error { detail: Some(found.to_owned()), ..error },
        None => error,
    }
}

/// A connection string for a database, whatever its name looks like.
fn conninfo(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// What follows a table of contents.
pub trait Blocks: Send + 'static {
    /// Hand it on, in the order of the archive.
    fn write_to(self, out: &mut dyn Write) -> std::io::Result<()>;
}

/// Blocks as they come.
struct Copied<R>(R);

impl<R: Read + Send + 'static> Blocks for Copied<R> {
    fn write_to(mut self, out: &mut dyn Write) -> std::io::Result<()> {
        std::io::copy(&mut self.0, out).map(drop)
    }
}

/// Run it on a table of contents and the blocks that follow it, through a pipe.
fn feed(
    hands: &mut Hands,
    mut command: Command,
    toc: &Toc,
    blocks: impl Blocks,
    look: impl FnMut(),
) -> Result<()> {
    command.stdin(Stdio::piped());
    let (mut running, output) = Running::start(command, PROGRAM)?;
    drop(output);
    let mut input = running.input()?;
    let head = toc.encode();
    let (waker, threads) = (hands.io.waker().clone(), hands.io.threads()?);
    let feeding = reading_thread(PROGRAM, move || {
        let _entered = threads.enter();
        let fed = input.write_all(&head).and_then(|()| blocks.write_to(&mut input));
        // An archive that ends too early makes it fail, which undoes what it did.
        drop(input);
        waker.wake();
        fed
    })?;
    hands.program = Some(running);
    let ended = await_end(hands, look);
    // What pg_restore said of it comes first; a reader that failed is why it got too little.
    let fed = feeding.join().map_err(|_| Error::internal("the thread that feeds pg_restore panicked"))?;
    match fed {
        Err(cause) if cause.get_ref().is_some_and(|inner| inner.is::<Error>()) => Err(Error::from_io(cause)),
        _ => ended,
    }
}

/// Run it on a table of contents alone, which is all that it needs and so small that memory holds it.
fn run(hands: &mut Hands, mut command: Command, toc: &Toc) -> Result<()> {
    // By name, not by inheritance: parallel jobs open it anew, each for itself.
    command.arg("/dev/stdin").stdin(in_memory("walwarden table of contents", &toc.encode())?);
    let (running, output) = Running::start(command, PROGRAM)?;
    drop(output);
    hands.program = Some(running);
    await_end(hands, || ())
}

fn await_end(hands: &mut Hands, mut look: impl FnMut()) -> Result<()> {
    let mut pulse = Pulse::new();
    loop {
        look();
        let running = hands.program.as_mut().ok_or_else(|| Error::internal("pg_restore is not running"))?;
        if running.try_finish().map_err(explained)? {
            hands.program = None;
            return Ok(());
        }
        pulse.beat()?;
        interrupts::wait(Some(hands.io.waker()), LOOK)?;
    }
}

fn explained(error: Error) -> Error {
    let about_roles = error
        .detail
        .as_deref()
        .is_some_and(|detail| detail.contains("role") && detail.contains("does not exist"));
    if error.class == ErrorClass::ChildProcess && about_roles {
        return error.hint(
            "Restore with globals => true, which makes the roles that are missing, or with owner => false and privileges => false.",
        );
    }
    error
}
