//! Evidence: as JSON for a program, and as a bundle in a storage.

use super::job::{required, to_core};
use crate::catalog::{evidence as catalog, storage};
use crate::error::report;
use crate::pg::text::Text;
use crate::worker::evidence::{Entries, Evidence, export};
use chrono::{DateTime, Utc};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;
use walwarden_core::audit::note::{KEY_NAME, verifier_key};
use walwarden_core::evidence::Scope;
use walwarden_core::key::PublicKey;
use walwarden_core::signature::{Signer, minisign, sshsig};
use walwarden_core::{Error, Result as CoreResult};

/// Microseconds from 1970 to the beginning of PostgreSQL's time.
const EPOCH_OF_POSTGRESQL: i64 = 946_684_800_000_000;

/// Everything that proves what a job did, as JSON text.
#[pg_extern(sql = false)]
pub fn _evidence_bundle(job: Option<pgrx::Uuid>) -> Result<Text, ErrorReport> {
    let collect = || {
        let job = to_core(required("job", job)?);
        describe(job, &Evidence::collect(Scope::Job(job))?).map(|value| Text(value.to_string()))
    };
    collect().map_err(report)
}

/// The bundle of a job into a storage; gives its key.
#[pg_extern(sql = false)]
pub fn export_evidence_of_job(job: Option<pgrx::Uuid>, storage: Option<Text>) -> Result<Text, ErrorReport> {
    let run = || {
        let job = to_core(required("job", job)?);
        let storage = match storage {
            Some(name) => name.0,
            None => catalog::storage_with(job)?.map_or_else(only_storage, Ok)?,
        };
        export(Scope::Job(job), &storage::find(&storage)?).map(Text)
    };
    run().map_err(report)
}

/// The bundle of a time into a storage; gives its key.
#[pg_extern(sql = false)]
pub fn export_evidence_of_time(
    from: Option<TimestampWithTimeZone>,
    to: Option<TimestampWithTimeZone>,
    storage: Option<Text>,
) -> Result<Text, ErrorReport> {
    let run = || {
        let (from, to) = (moment("from", from)?, moment("to", to)?);
        if from >= to {
            return Err(Error::invalid("\"from\" must be before \"to\""));
        }
        let storage = storage.map_or_else(only_storage, |name| Ok(name.0))?;
        export(Scope::Time { from, to }, &storage::find(&storage)?).map(Text)
    };
    run().map_err(report)
}

fn only_storage() -> CoreResult<String> {
    catalog::only_storage()?.ok_or_else(|| {
        Error::invalid("no storage was named").hint("Say which: storage => 'name'. See walwarden.storages.")
    })
}

fn moment(name: &str, value: Option<TimestampWithTimeZone>) -> CoreResult<DateTime<Utc>> {
    let value = required(name, value)?;
    if value.is_infinity() || value.is_neg_infinity() {
        return Err(Error::invalid(format!("{name} must not be infinite")));
    }
    i64::from(value)
        .checked_add(EPOCH_OF_POSTGRESQL)
        .and_then(DateTime::from_timestamp_micros)
        .ok_or_else(|| Error::invalid(format!("{name} is out of range")))
}

fn describe(job: Uuid, evidence: &Evidence) -> CoreResult<Value> {
    let signer = &evidence.signer;
    let mut manifests = Vec::new();
    for stored in evidence.manifests(job)? {
        let body = stored.body.as_bytes();
        // The key that signs now may be another than the one of its time.
        let signature = match signer.public().verify_strict(body, &stored.signature) {
            Ok(()) => stored.signature,
            Err(_) => signer.sign(body)?,
        };
        manifests.push(json!({
            "storage": stored.storage,
            "text": stored.body,
            "signature": hex::encode(stored.signature),
            "minisig": minisign::signature_file(signer, &signature, &job.to_string())?,
            "sshsig": sshsig::signature_file(signer, body)?,
        }));
    }
    let keys = evidence.keys.history.iter().map(key).collect::<CoreResult<Vec<_>>>()?;
    let rotations =
        evidence.keys.rotations.iter().map(
            |signed| json!({ "statement": signed.statement, "signature": hex::encode(signed.signature) }),
        );
    let mut entries = Vec::new();
    if let Entries::Of(bodies) = &evidence.entries {
        for body in bodies {
            entries.push(json!({
                "seq": body.seq,
                "body": body.body,
                "hash": body.hash.to_string(),
                "proof": evidence.proof(body.seq)?.to_text(),
            }));
        }
    }
    Ok(json!({
        "database": evidence.database,
        "job": job,
        "key_id": signer.public().key_id(),
        "manifests": manifests,
        "keys": keys,
        "rotations": rotations.collect::<Vec<_>>(),
        "entries": entries,
        "checkpoint": evidence.newest()?.note.to_text(),
    }))
}

fn key(key: &PublicKey) -> CoreResult<Value> {
    Ok(json!({
        "id": key.key_id(),
        "pem": key.to_pem()?,
        "minisign": minisign::public_key_file(key),
        "allowed_signers": sshsig::allowed_signers_line(key),
        "verifier_key": verifier_key(KEY_NAME, key),
    }))
}
