//! Restores: of a backup, of one table of it, and to see that it can be done.

use super::job::{queue, require_jobs_run, required, to_core, to_sql};
use super::options;
use super::schedule::check_name;
use crate::catalog::backup::{self, Backup};
use crate::catalog::schedule;
use crate::catalog::task::{DatabaseOrder, RestoreOrder, TableOrder, Task, TestOrder};
use crate::error::report;
use crate::identity;
use crate::pg::text::Text;
use crate::pg::{databases, server, sql};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;
use walwarden_core::archive::TableName;
use walwarden_core::manifest::Manifest;
use walwarden_core::{Error, ErrorClass, Result as CoreResult};

/// Queue the restore of a backup; it starts when the transaction commits.
#[pg_extern(sql = false)]
pub fn _restore(job: Option<pgrx::Uuid>, order: Text) -> Result<pgrx::Uuid, ErrorReport> {
    required("job", job)
        .and_then(|job| queue_restore(to_core(job), options::read(&order.0)?))
        .map(to_sql)
        .map_err(report)
}

/// The backup; whoever asks for it is told if it does not hold all of its database.
fn find(backup: Uuid) -> CoreResult<(Backup, Manifest)> {
    let found = backup::find_restorable(backup)?;
    if !found.1.filter.is_empty() {
        pgrx::notice!(
            "backup {backup} is filtered: it does not hold all of its database (filter in walwarden.manifest())"
        );
    }
    Ok(found)
}

fn queue_restore(backup: Uuid, order: DatabaseOrder) -> CoreResult<Uuid> {
    options::check_jobs(order.choices.jobs)?;
    check_name("database", &order.database)?;
    if order.data_only && order.choices.schema_only {
        return Err(Error::invalid("schema_only and data_only exclude each other"));
    }
    require_jobs_run()?;
    let (of, manifest) = find(backup)?;
    identity::require(&manifest, order.choices.identity_file.as_deref())?;
    if order.data_only {
        check_data_only(&order)?;
    } else {
        if order.database == server::database_name()?.1 {
            return Err(Error::new(ErrorClass::WrongState, "a database cannot be restored from within")
                .hint("Restore under another name, or run this in another database that has walwarden."));
        }
        databases::require_free(&order.database, order.overwrite)?;
    }
    queue(Task::Restore { backup, order: RestoreOrder::Database(order) }, None, &[of.storage.name])
}

fn check_data_only(order: &DatabaseOrder) -> CoreResult<()> {
    if order.overwrite || order.choices.globals {
        return Err(Error::invalid("data_only excludes overwrite and globals")
            .hint("It loads rows into tables that are there."));
    }
    match databases::oid(&order.database)? {
        Some(_) => Ok(()),
        None => {
            Err(Error::new(ErrorClass::NotFound, format!("database \"{}\" does not exist", order.database))
                .hint("Rows alone go into the tables of a database that is there."))
        }
    }
}

/// Queue the restore of one table; it starts when the transaction commits.
#[pg_extern(sql = false)]
pub fn _restore_table(job: Option<pgrx::Uuid>, order: Text) -> Result<pgrx::Uuid, ErrorReport> {
    required("job", job)
        .and_then(|job| queue_table(to_core(job), options::read(&order.0)?))
        .map(to_sql)
        .map_err(report)
}

fn queue_table(backup: Uuid, order: TableOrder) -> CoreResult<Uuid> {
    require_jobs_run()?;
    let (of, manifest) = find(backup)?;
    identity::require(&manifest, order.identity_file.as_deref())?;
    require_place(&order.into)?;
    queue(Task::Restore { backup, order: RestoreOrder::Table(order) }, None, &[of.storage.name])
}

/// That the caller may make a table of this name, and that there is none.
fn require_place(into: &TableName) -> CoreResult<()> {
    check_name("table", &into.name)?;
    let row = sql::query_one(
        "SELECT pg_catalog.has_schema_privilege(session_user, n.oid, 'CREATE'), \
                EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = $2) \
           FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $1",
        &[Some(&into.schema), Some(&into.name)],
    )?
    .ok_or_else(|| {
        Error::new(ErrorClass::NotFound, format!("schema \"{}\" does not exist", into.schema))
            .hint("Make it first, or restore into one that is there.")
    })?;
    if !row.flag(0)? {
        return Err(Error::new(
            ErrorClass::NotPermitted,
            format!("permission denied for schema {}", into.schema),
        ));
    }
    if row.flag(1)? {
        return Err(Error::new(ErrorClass::AlreadyExists, format!("relation {into} exists already"))
            .hint("A table is restored beside the original: give it a name that is free."));
    }
    Ok(())
}

/// Queue the restore test of a backup; it starts when the transaction commits.
#[pg_extern(sql = false)]
pub fn _restore_test(
    job: Option<pgrx::Uuid>,
    schedule: Option<Text>,
    order: Text,
) -> Result<pgrx::Uuid, ErrorReport> {
    let queued = match (job, schedule) {
        (Some(job), None) => options::read(&order.0).and_then(|order| queue_test(to_core(job), None, order)),
        (None, Some(schedule)) => {
            options::read(&order.0).and_then(|order| test_newest_of(&schedule.0, order))
        }
        _ => Err(Error::invalid("a job or a schedule must be given")),
    };
    queued.map(to_sql).map_err(report)
}

/// Of a schedule's newest backup, with the schedule's own query unless another one is given. A name that is the id of a job
/// is that job: a literal does not say what it is.
fn test_newest_of(name: &str, order: TestOrder) -> CoreResult<Uuid> {
    let found = match schedule::find(name) {
        Ok(found) => found,
        Err(unknown) => {
            return match name.parse() {
                Ok(job) => queue_test(job, None, order),
                Err(_) => Err(unknown),
            };
        }
    };
    let newest = backup::newest_of(name)?.ok_or_else(|| {
        Error::new(ErrorClass::NotFound, format!("schedule \"{name}\" has no backup in storage"))
            .hint("See walwarden.backups.")
    })?;
    let order = if order.smoke.is_none() {
        TestOrder { jobs: order.jobs, identity_file: order.identity_file, ..found.test() }
    } else {
        order
    };
    queue_test(newest, Some(name), order)
}

fn queue_test(backup: Uuid, schedule: Option<&str>, order: TestOrder) -> CoreResult<Uuid> {
    options::check_jobs(order.jobs)?;
    check_smoke(order.smoke.as_deref(), order.expect.as_deref())?;
    require_jobs_run()?;
    let (of, manifest) = find(backup)?;
    identity::require(&manifest, order.identity_file.as_deref())?;
    let role = order.smoke.as_ref().map(|_| order.role.clone().unwrap_or_else(server::session_user));
    queue(Task::RestoreTest { backup, order: TestOrder { role, ..order } }, schedule, &[of.storage.name])
}

/// A query that may be asked, as far as can be told without the tables.
pub fn check_smoke(smoke: Option<&str>, expect: Option<&str>) -> CoreResult<()> {
    match smoke {
        None if expect.is_some() => {
            Err(Error::invalid("expect needs a smoke query").hint("It is what the query must answer."))
        }
        None => Ok(()),
        Some(smoke) => sql::require_one_query(smoke).map_err(|cause| {
            Error::invalid("the smoke query cannot be used")
                .detail(cause.to_string())
                .hint("It is one SELECT, whose first row's first column is the answer.")
        }),
    }
}
