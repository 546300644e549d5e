//! Backups that only storage knows.

use super::job::{required, to_sql};
use crate::catalog::discovered::Discovery;
use crate::catalog::{audit, storage};
use crate::error::report;
use crate::pg::text::Text;
use crate::pg::{clock, server};
use crate::worker::io::Io;
use crate::worker::remains::open_stored;
use chrono::{DateTime, Utc};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;
use walwarden_core::key::PublicKey;
use walwarden_core::manifest::Manifest;
use walwarden_core::{Error, ErrorClass, Result as CoreResult};
use walwarden_store::{Found, Signed};

/// What is told of a manifest.
struct Finding {
    key: String,
    job: Option<Uuid>,
    database_id: Option<Uuid>,
    said: Option<Said>,
    problem: Option<String>,
}

/// What a signed manifest says.
struct Said {
    database: String,
    snapshot_at: DateTime<Utc>,
    tables: u64,
    rows: u64,
    size: u64,
    server_version: String,
}

/// Find the backups in a storage and keep the good ones; gives every manifest that is there, good or not.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the columns of a result")]
pub fn discover(
    storage: Option<Text>,
    public_key: Option<Text>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(job, Option<pgrx::Uuid>),
            name!(database, Option<Text>),
            name!(database_id, Option<pgrx::Uuid>),
            name!(snapshot_at, Option<TimestampWithTimeZone>),
            name!(tables, Option<i64>),
            name!(rows, Option<i64>),
            name!(size_bytes, Option<i64>),
            name!(server_version, Option<Text>),
            name!(problem, Option<Text>),
        ),
    >,
    ErrorReport,
> {
    let findings = required("storage", storage)
        .and_then(|storage| look_through(&storage.0, &required("public_key", public_key)?.0))
        .map_err(report)?;
    Ok(TableIterator::new(findings.into_iter().map(move |finding| {
        let said = finding.said.as_ref();
        (
            finding.job.map(to_sql),
            said.map(|said| Text::from(said.database.as_str())),
            finding.database_id.map(to_sql),
            said.map(|said| clock::to_timestamptz(said.snapshot_at)),
            said.map(|said| said.tables as i64),
            said.map(|said| said.rows as i64),
            said.map(|said| said.size as i64),
            said.map(|said| Text::from(said.server_version.as_str())),
            finding.problem.map(Text::from),
        )
    })))
}

fn look_through(name: &str, pem: &str) -> CoreResult<Vec<Finding>> {
    let key = read_key(pem)?;
    let (normal_pem, key_id) = (key.to_pem()?, key.key_id());
    let storage = storage::find(name)?;
    if server::in_recovery() {
        return Err(Error::new(ErrorClass::WrongState, "a standby cannot keep what is discovered")
            .hint("Run this on the primary."));
    }
    let store = open_stored(&storage.url, &storage.options)?;
    let discovery = Discovery { storage: name, public_key: &normal_pem, at: clock::now() };
    let io = Io::start_in_session()?;
    let mut findings = Vec::new();
    let mut found = io.run(async move { Ok(store.discover(key)) })?;
    loop {
        let (rest, next) = io.run(async move {
            let next = found.recv().await;
            Ok((found, next))
        })?;
        found = rest;
        let Some(next) = next else { break };
        findings.push(keep(&discovery, next?)?);
    }
    discovery.forget_others()?;
    let problems = findings.iter().filter(|finding| finding.problem.is_some()).count();
    let detail = serde_json::json!({
        "name": name, "key_id": key_id, "found": findings.len() - problems, "problems": problems,
    });
    audit::append("storage.discovered", None, &audit::actor(), &detail.to_string())?;
    // Those that say nothing of a database come last.
    findings.sort_by(|one, other| {
        let order = |finding: &Finding| {
            let said = finding.said.as_ref();
            (said.is_none(), said.map(|said| (said.database.clone(), said.snapshot_at)), finding.key.clone())
        };
        order(one).cmp(&order(other))
    });
    Ok(findings)
}

fn read_key(pem: &str) -> CoreResult<PublicKey> {
    PublicKey::from_pem(pem.trim()).map_err(|error| {
        let invalid = Error::invalid("public_key is not a public key")
            .hint("Give what walwarden.public_key() gave on the server that made the backups, its first and last line included.");
        Error { detail: error.detail, ..invalid }
    })
}

/// Keep a backup unless something is wrong with it; its manifest, which may be large, goes.
fn keep(discovery: &Discovery<'_>, found: Found) -> CoreResult<Finding> {
    if let (Some(Signed { manifest, body, signature }), None) = (&found.signed, &found.problem) {
        discovery.keep(&found.key, manifest, body, signature)?;
    }
    let place = found.place.as_ref();
    Ok(Finding {
        job: place.map(|place| place.job),
        database_id: place.map(|place| place.database),
        said: found.signed.as_ref().map(|signed| Said::of(&signed.manifest)),
        problem: found.problem.clone(),
        key: found.key,
    })
}

impl Said {
    fn of(manifest: &Manifest) -> Self {
        Self {
            database: manifest.database.name.clone(),
            snapshot_at: manifest.snapshot.taken_at,
            tables: manifest.totals.tables,
            rows: manifest.totals.rows,
            size: manifest.archive.stored().size,
            server_version: manifest.server_version.text.clone(),
        }
    }
}
