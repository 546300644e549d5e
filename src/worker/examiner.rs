//! The examiner: looks at a database that a restore test has brought back. It is connected to that database.

use crate::pg::bgworker;
use crate::pg::role;
use crate::pg::sql;
use crate::pg::transaction::transaction;
use crate::worker::follower::{self, Follower};
use std::sync::atomic::Ordering::Relaxed;
use walwarden_core::examination::{Examination, ExpectedRows};
use walwarden_core::message::{CopierMessage, LeaderMessage};
use walwarden_core::{Error, ErrorClass, Result};

/// So much of an answer is kept, in characters.
const LONGEST_ANSWER: usize = 1000;

/// Main function, after the process was set up by `entry`.
pub fn main() {
    follower::follow(|follower, order| {
        let LeaderMessage::Examine(examination) = order else { return Err(follower::out_of_order()) };
        bgworker::settle_session()?;
        examine(follower, &examination)
    });
}

fn examine(follower: &mut Follower<'_>, examination: &Examination) -> Result<()> {
    analyze()?;
    let counters = follower.counters;
    counters.tables_total.store(examination.tables.len() as u64, Relaxed);
    counters.tables_done.store(0, Relaxed);
    for table in &examination.tables {
        let (rows, of_extension) = transaction(|| count_rows(table))?;
        table.judge(rows, of_extension)?;
        counters.tables_done.fetch_add(1, Relaxed);
    }
    examination.judge_large_objects(transaction(|| {
        number("SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata")
    })?)?;
    if let (Some(smoke), Some(role)) = (&examination.smoke, &examination.role) {
        let answer = ask(smoke, role)?;
        examination.judge(answer.as_deref())?;
        let answer = answer.unwrap_or_default().chars().take(LONGEST_ANSWER).collect();
        follower.results.send(&CopierMessage::Answer { answer }.encode()?)?;
    }
    Ok(())
}

/// Each table in a transaction of its own: all of them would need more locks than there are.
fn analyze() -> Result<()> {
    let statements = transaction(|| {
        sql::query(
            "SELECT pg_catalog.format('ANALYZE %I.%I', n.nspname, c.relname) \
               FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
              WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
              ORDER BY c.oid",
            &[],
        )
    })?;
    for statement in statements {
        transaction(|| sql::run(&statement.text(0)?, &[]))?;
    }
    Ok(())
}

/// Its rows, and whether an extension made it.
fn count_rows(table: &ExpectedRows) -> Result<(u64, bool)> {
    let row = sql::query_one(
        "SELECT pg_catalog.format('SELECT pg_catalog.count(*) FROM ONLY %I.%I', n.nspname, c.relname), \
                EXISTS (SELECT FROM pg_catalog.pg_depend AS d \
                         WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
           FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
          WHERE n.nspname = $1 AND c.relname = $2",
        &[Some(&table.schema), Some(&table.name)],
    )?
    .ok_or_else(|| {
        Error::new(ErrorClass::TestFailed, "a table of the backup is not in the restored database")
            .detail(format!("Table {}.{} is missing.", table.schema, table.name))
    })?;
    Ok((number(&row.text(0)?)?, row.flag(1)?))
}

fn number(statement: &str) -> Result<u64> {
    sql::query_one(statement, &[])?
        .ok_or_else(|| Error::internal("a query that counts gave nothing"))?
        .parse(0)
}

/// The first column of the first row that a query gives to a role, which cannot change anything by it. Names are looked up
/// as in any session of this database.
fn ask(smoke: &str, role: &str) -> Result<Option<String>> {
    transaction(|| sql::run("RESET search_path", &[]))?;
    transaction(|| {
        bgworker::set(c"transaction_read_only", c"on")?;
        role::as_role(role, || Ok(sql::first_row(smoke)?.and_then(|row| row.get(0).map(str::to_owned))))
    })
    .map_err(|error| Error { message: format!("the smoke query failed: {}", error.message), ..error })
}
