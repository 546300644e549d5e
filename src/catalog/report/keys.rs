//! Which keys signed: by what manifests name, and by what the audit chain has of keys.

use super::chain::Entries;
use super::moment::{moment, time};
use super::{FIRST, NEWEST, Range, total, with};
use crate::catalog::key;
use crate::guc;
use crate::pg::sql;
use crate::signer;
use walwarden_core::Result;
use walwarden_core::report::{KeyEvent, KeyUse, Keys, Listing};

/// Manifests can be large: no more of them are looked at.
const MANIFESTS: usize = 1000;

/// All of it.
pub fn of(range: &Range, audit: &Entries) -> Result<Keys> {
    let current = key::known()?.into_iter().find(|key| key.is_current);
    // A signer outside of the server is not asked by whoever reads a report.
    let has_key_file = current.is_some() && guc::text(&guc::SIGNER).is_none();
    let problem = if has_key_file { signer::public_key().err().map(|error| error.message) } else { None };
    let current = current.map(|key| key.public.key_id());
    let used = used(range)?;
    let manifests = used.rows.iter().map(|used| used.backups).sum();
    Ok(Keys { current, problem, used, manifests, events: events(range, audit)? })
}

/// A manifest is canonical JSON, in which only its own field reads like this: the quotes in a text are escaped.
fn used(range: &Range) -> Result<Listing<KeyUse>> {
    let statement = format!(
        "SELECT k.id, k.backups, {}, {}, pg_catalog.count(*) OVER () \
           FROM (SELECT pg_catalog.substring(m.body, '\"key_id\":\"([0-9a-f]{{16}})\"') AS id, pg_catalog.count(*) AS backups, \
                        pg_catalog.min(j.finalized_at) AS first, pg_catalog.max(j.finalized_at) AS last \
                   FROM (SELECT id, finalized_at FROM walwarden.job \
                          WHERE kind = 'backup' AND state IN ('completed', 'partial') \
                            AND finalized_at >= $1::timestamptz AND finalized_at < $2::timestamptz \
                          ORDER BY finalized_at DESC LIMIT {MANIFESTS}) AS j \
                  CROSS JOIN LATERAL (SELECT body FROM walwarden.manifest WHERE job_id = j.id ORDER BY storage LIMIT 1) AS m \
                  GROUP BY 1) AS k \
          ORDER BY k.first LIMIT {FIRST}",
        moment("k.first"),
        moment("k.last")
    );
    let rows = sql::query_as_caller(&statement, &range.parameters())?;
    let used = rows.iter().map(|row| {
        Ok(KeyUse {
            id: row.get(0).map(str::to_owned),
            backups: row.parse(1)?,
            first: time(row, 2)?,
            last: time(row, 3)?,
        })
    });
    Ok(Listing { rows: used.collect::<Result<_>>()?, total: total(&rows, 4)? })
}

fn events(range: &Range, audit: &Entries) -> Result<Listing<KeyEvent>> {
    let statement = format!(
        "SELECT {}, event, actor, pg_catalog.count(*) OVER () FROM walwarden.audit \
          WHERE seq >= $3::bigint AND seq < $4::bigint AND at >= $1::timestamptz AND at < $2::timestamptz AND event LIKE 'key.%' \
          ORDER BY seq DESC LIMIT {NEWEST}",
        moment("at")
    );
    let rows = sql::query_as_caller(&statement, &with(range, &audit.parameters()))?;
    let events =
        rows.iter().map(|row| Ok(KeyEvent { at: time(row, 0)?, event: row.text(1)?, actor: row.text(2)? }));
    Ok(Listing { rows: events.collect::<Result<_>>()?, total: total(&rows, 3)? })
}
