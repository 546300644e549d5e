//! The storages and what is in them, as of now.

use super::moment::{moment, time_nullable};
use super::{FIRST, LONGEST_TEXT, NEWEST, total};
use crate::pg::sql;
use walwarden_core::Result;
use walwarden_core::report::{Damaged, Listing, Storage};

/// The first storages by name.
pub fn all() -> Result<Listing<Storage>> {
    let statement = format!(
        "SELECT s.name, s.url, coalesce(c.stored, 0), coalesce(c.bytes, 0), coalesce(c.missing, 0), coalesce(c.retained, 0), {}, s.total \
           FROM (SELECT name, url, pg_catalog.count(*) OVER () AS total FROM walwarden.storage ORDER BY name LIMIT {FIRST}) AS s \
           LEFT JOIN (SELECT storage, pg_catalog.count(*) FILTER (WHERE state = 'stored') AS stored, \
                             (pg_catalog.sum(size_bytes) FILTER (WHERE state = 'stored'))::bigint AS bytes, \
                             pg_catalog.count(*) FILTER (WHERE state = 'missing') AS missing, \
                             pg_catalog.count(*) FILTER (WHERE state = 'retained_by_lock') AS retained, \
                             pg_catalog.max(stored_at) FILTER (WHERE state = 'stored') AS newest \
                        FROM walwarden.backup_copy GROUP BY storage) AS c ON c.storage = s.name \
          ORDER BY s.name",
        moment("c.newest")
    );
    let rows = sql::query_as_caller(&statement, &[])?;
    let storages = rows.iter().map(|row| {
        Ok(Storage {
            name: row.text(0)?,
            url: row.text(1)?,
            stored: row.parse(2)?,
            bytes: row.parse(3)?,
            missing: row.parse(4)?,
            retained: row.parse(5)?,
            newest: time_nullable(row, 6)?,
        })
    });
    Ok(Listing { rows: storages.collect::<Result<_>>()?, total: total(&rows, 7)? })
}

/// Copies that a verification or a restore test found damaged.
pub fn damaged() -> Result<Listing<Damaged>> {
    // As in `gaps::lost_backups`: the view is asked about each of them by itself.
    let statement = format!(
        "SELECT c.backup, {}, c.storage, pg_catalog.\"left\"(c.damage, {LONGEST_TEXT}), pg_catalog.count(*) OVER () \
           FROM (SELECT DISTINCT backup FROM walwarden.job \
                  WHERE kind IN ('verify', 'restore_test') AND state = 'failed' \
                    AND error_class IN ('storage_corrupt', 'storage_not_found')) AS f \
           JOIN walwarden.job AS j ON j.id = f.backup AND j.expires_at IS NULL \
          CROSS JOIN LATERAL (SELECT backup, storage, damage FROM walwarden.backup_copies \
                               WHERE backup = f.backup AND state = 'stored' AND damage IS NOT NULL OFFSET 0) AS c \
          ORDER BY j.snapshot_at DESC, c.backup, c.storage LIMIT {NEWEST}",
        moment("j.snapshot_at")
    );
    let rows = sql::query_as_caller(&statement, &[])?;
    let damaged = rows.iter().map(|row| {
        Ok(Damaged {
            job: row.parse(0)?,
            snapshot_at: time_nullable(row, 1)?,
            storage: row.text(2)?,
            damage: row.text(3)?,
        })
    });
    Ok(Listing { rows: damaged.collect::<Result<_>>()?, total: total(&rows, 4)? })
}
