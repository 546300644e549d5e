//! Who keeps the backup from a table, found when its lock was not to be had in time.

use crate::pg::sql::{self, Row};
use crate::pg::transaction::{self, transaction};
use std::time::Duration;
use walwarden_core::blocker::{Blocker, Blockers, Holder};
use walwarden_core::{Error, ErrorClass, Result};

/// Who has a table for themselves (`has`), who waits for that (`wants`), and if anybody does, who has it in another mode
/// (`shares`), the longest transaction first. Only ACCESS EXCLUSIVE conflicts with what a backup takes. A prepared transaction
/// has no process: one of its locks is on its transaction id, and all carry the virtual id it had (twophase.c).
const BLOCKERS: &str = "SELECT part, pid, gid, who, application_name, pg_catalog.date_trunc('second', age), query FROM ( \
         SELECT DISTINCT ON (l.virtualtransaction) l.part, l.pid, x.gid, coalesce(a.usename, x.owner, a.backend_type) AS who, \
                a.application_name, a.query, pg_catalog.clock_timestamp() - coalesce(a.xact_start, x.prepared) AS age \
         FROM (SELECT pid, virtualtransaction, \
                      CASE WHEN mode <> 'AccessExclusiveLock' THEN 'shares' WHEN granted THEN 'has' ELSE 'wants' END AS part \
               FROM pg_catalog.pg_locks \
               WHERE locktype = 'relation' AND relation = $1::oid \
                 AND database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()) \
                 AND (granted OR mode = 'AccessExclusiveLock')) AS l \
         LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid \
         LEFT JOIN (pg_catalog.pg_locks AS t JOIN pg_catalog.pg_prepared_xacts AS x \
                    ON t.locktype = 'transactionid' AND t.transactionid = x.transaction AND t.pid IS NULL) \
              ON l.pid IS NULL AND t.virtualtransaction = l.virtualtransaction \
         WHERE l.pid IS NOT NULL OR x.gid IS NOT NULL \
         ORDER BY l.virtualtransaction, l.part = 'shares') AS b \
     ORDER BY age DESC NULLS LAST";

/// The error of a lock that was not to be had within `limit`, with those in the way named. What failed is rolled back; when
/// nothing can be found out, the error stays what it was.
pub fn explain(error: Error, table: u32, limit: Duration) -> Error {
    if error.class != ErrorClass::LockTimeout || transaction::roll_back().is_err() {
        return error;
    }
    transaction(|| look(table, limit)).unwrap_or(error)
}

fn look(table: u32, limit: Duration) -> Result<Error> {
    let oid = table.to_string();
    let name = sql::query_one(
        "SELECT pg_catalog.format('%s.%s', n.nspname, c.relname) FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1::oid",
        &[Some(&oid)],
    )?
    .map_or_else(|| Ok(format!("oid {oid}")), |row| row.text(0))?;
    let mut blockers = Blockers::default();
    for row in sql::query(BLOCKERS, &[Some(&oid)])? {
        let part = match row.text(0)?.as_str() {
            "has" => &mut blockers.having,
            "wants" => &mut blockers.wanting,
            _ => &mut blockers.sharing,
        };
        part.push(blocker(&row)?);
    }
    let message = format!("could not lock table \"{name}\" within {}", in_words(limit));
    Ok(Error::new(ErrorClass::LockTimeout, message).detail(blockers.detail()).hint(blockers.hint()))
}

fn blocker(row: &Row) -> Result<Blocker> {
    let text = |index| row.get(index).map(str::to_owned);
    let holder = match row.parse_nullable(1)? {
        Some(pid) => Holder::Process(pid),
        None => Holder::Prepared(row.text(2)?),
    };
    Ok(Blocker { holder, user: text(3), application: text(4), age: text(5), query: text(6) })
}

fn in_words(limit: Duration) -> String {
    if limit.subsec_millis() == 0 {
        format!("{} s", limit.as_secs())
    } else {
        format!("{} ms", limit.as_millis())
    }
}
