//! What stock pg_restore does of a restore: everything but the rows of tables.

use super::Restore;
use super::contents::Contents;
use crate::pg::databases;
use crate::pg::interrupts;
use crate::pg::process::in_memory;
use crate::pg::transaction::transaction;
use crate::worker::child::{Connection, Running, reading_thread};
use crate::worker::pulse::Pulse;
use crate::worker::subject::Subject;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use walwarden_core::archive::{Toc, desc};
use walwarden_core::{Error, ErrorClass, Result};

const PROGRAM: &str = "pg_restore";
/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Windows of large objects that are fetched ahead.
const WINDOWS_AHEAD: usize = 2;

/// Make the database and everything that comes before rows.
pub fn pre_data(restore: &mut Restore, connection: &Connection, toc: &Toc) -> Result<()> {
    let maintenance = transaction(databases::maintenance)?;
    let mut command = command(restore, connection)?;
    command.args(["--create", "--section=pre-data", &format!("--dbname={maintenance}")]);
    run(restore, command, toc)
}

/// Sequences and large objects.
pub fn other_data(
    restore: &mut Restore,
    connection: &Connection,
    toc: &Toc,
    subject: &Subject,
    contents: &Contents,
    scratch: &str,
) -> Result<()> {
    let toc = toc.without_table_data();
    let mut command = command(restore, connection)?;
    command.args(["--section=data", &format!("--dbname={scratch}")]);
    if !toc.entries.iter().any(|entry| entry.desc == desc::BLOBS) {
        return run(restore, command, &toc);
    }
    // Large objects come through a pipe, behind the table of contents, as in any archive.
    let mut large_objects = {
        let (store, key) = (subject.store.clone(), subject.manifest.archive.key.clone());
        let range = contents.large_objects.clone();
        restore.io.run(async move { store.reader(&key, range, WINDOWS_AHEAD) })?
    };
    command.stdin(Stdio::piped());
    let (mut running, output) = Running::start(command, PROGRAM)?;
    drop(output);
    let mut input = running.input()?;
    let head = toc.encode();
    let waker = restore.io.waker().clone();
    let feeding = reading_thread(PROGRAM, move || {
        let fed = input.write_all(&head).and_then(|()| std::io::copy(&mut large_objects, &mut input));
        waker.wake();
        fed
    })?;
    restore.program = Some(running);
    let ended = await_end(restore);
    // What pg_restore said of it comes first; a reader that failed is why it got too little.
    let fed = feeding.join().map_err(|_| Error::internal("the thread that feeds pg_restore panicked"))?;
    match fed {
        Err(cause) if cause.get_ref().is_some_and(|inner| inner.is::<Error>()) => Err(Error::from_io(cause)),
        _ => ended,
    }
}

/// Everything that comes after rows: indexes, constraints, triggers and the rest.
pub fn post_data(restore: &mut Restore, connection: &Connection, toc: &Toc, scratch: &str) -> Result<()> {
    let jobs = restore.order.jobs.unwrap_or_else(super::default_jobs);
    let mut command = command(restore, connection)?;
    command.args(["--section=post-data", &format!("--jobs={jobs}"), &format!("--dbname={scratch}")]);
    run(restore, command, toc)
}

fn command(restore: &Restore, connection: &Connection) -> Result<Command> {
    let mut command = connection.command(PROGRAM)?;
    command.arg("--exit-on-error");
    for (is_on, switch) in [
        (restore.order.owner, "--no-owner"),
        (restore.order.privileges, "--no-privileges"),
        (restore.order.tablespaces, "--no-tablespaces"),
    ] {
        if !is_on {
            command.arg(switch);
        }
    }
    Ok(command)
}

/// Run it on a table of contents alone, which is all that it needs and so small that memory holds it.
fn run(restore: &mut Restore, mut command: Command, toc: &Toc) -> Result<()> {
    // By name, not by inheritance: parallel jobs open it anew, each for itself.
    command.arg("/dev/stdin").stdin(in_memory("walwarden table of contents", &toc.encode())?);
    let (running, output) = Running::start(command, PROGRAM)?;
    drop(output);
    restore.program = Some(running);
    await_end(restore)
}

fn await_end(restore: &mut Restore) -> Result<()> {
    let mut pulse = Pulse::new();
    loop {
        let running = restore.program.as_mut().ok_or_else(|| Error::internal("pg_restore is not running"))?;
        if running.try_finish().map_err(explained)? {
            restore.program = None;
            return Ok(());
        }
        pulse.beat()?;
        interrupts::wait(Some(restore.io.waker()), LOOK)?;
    }
}

fn explained(error: Error) -> Error {
    let about_roles = error
        .detail
        .as_deref()
        .is_some_and(|detail| detail.contains("role") && detail.contains("does not exist"));
    if error.class == ErrorClass::ChildProcess && about_roles {
        return error.hint(
            "Restore the globals of the backup first, which has its roles, or restore with owner => false and privileges => false.",
        );
    }
    error
}
