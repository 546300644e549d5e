//! `walwarden.key`: the signing keys that this database has met.

use crate::catalog::notification::{Alert, alert};
use crate::pg::{clock, sql};
use chrono::{DateTime, Utc};
use serde_json::json;
use walwarden_alert::Severity;
use walwarden_core::key::PublicKey;
use walwarden_core::signature::rotation::SignedRotation;
use walwarden_core::signature::succession::{KnownKey, News, is_retired, news};
use walwarden_core::{Error, Result};

/// Where a secret key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In the key file.
    File,
    /// With whom `walwarden.signer` names.
    External,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::External => "external",
        }
    }
}

/// How a key came to this database; the name of its audit event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Created,
    Rotated,
    Replaced,
}

impl Origin {
    const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Rotated => "rotated",
            Self::Replaced => "replaced",
        }
    }
}

/// All of them.
pub fn known() -> Result<Vec<KnownKey>> {
    let rows = sql::query("SELECT public_key, valid_until IS NULL FROM walwarden.key ORDER BY number", &[])?;
    let known = |row: &sql::Row| {
        Ok(KnownKey { public: PublicKey::from_pem(&row.text(0)?)?, is_current: row.flag(1)? })
    };
    rows.iter().map(known).collect()
}

/// The public keys of all of them: one of these has signed whatever this database has signed.
pub fn known_public() -> Result<Vec<PublicKey>> {
    Ok(known()?.into_iter().map(|known| known.public).collect())
}

/// Keep others from writing keys down until the transaction ends; who reads does not wait.
pub fn lock() -> Result<()> {
    sql::run("LOCK TABLE walwarden.key IN SHARE ROW EXCLUSIVE MODE", &[])?;
    Ok(())
}

/// Write down what is new about a key that is about to sign. The audit entries come with it, at the commit. Needs [`lock`], and
/// statements that were read after it.
///
/// False when the key was overtaken since it was taken: keys that came after it are known, and it is not.
pub fn write_down(key: &PublicKey, source: Source, statements: &[SignedRotation]) -> Result<bool> {
    let known = known()?;
    // Somebody else has written it down; it may even be retired by now, and was the one when it was taken.
    if known.iter().any(|known| known.public == *key) {
        return Ok(true);
    }
    if is_retired(&known, key, statements) {
        return Ok(false);
    }
    let now = clock::now();
    match news(&known, key, statements)? {
        News::None => Ok(()),
        News::First => insert(key, Some(source), Origin::Created, now, None),
        News::Rotated(way) => way.iter().try_for_each(|signed| {
            let new = &signed.rotation.new;
            let source = (new == key).then_some(source);
            insert(new, source, Origin::Rotated, signed.rotation.at, Some(signed))
        }),
        News::Replaced => {
            insert(key, Some(source), Origin::Replaced, now, None)?;
            let old = known.iter().find(|known| known.is_current).map(|known| known.public.key_id());
            alert(&Alert {
                event: "audit.problem",
                schedule: None,
                severity: Severity::Critical,
                message: &format!(
                    "signing key {} has taken the place of {} and was not signed by it",
                    key.key_id(),
                    old.as_deref().unwrap_or_default()
                ),
                detail: json!({ "key_id": key.key_id(), "previous": old }),
            })
        }
    }?;
    Ok(true)
}

fn insert(
    key: &PublicKey,
    source: Option<Source>,
    origin: Origin,
    at: DateTime<Utc>,
    signed: Option<&SignedRotation>,
) -> Result<()> {
    let at = clock::to_text(at);
    let previous = sql::query_one(
        "UPDATE walwarden.key SET valid_until = $1::timestamptz WHERE valid_until IS NULL RETURNING id",
        &[Some(&at)],
    )?;
    let previous = previous.map(|row| row.text(0)).transpose()?;
    let signature = signed.map(|signed| hex::encode(signed.signature));
    let written = sql::run(
        "INSERT INTO walwarden.key (id, public_key, origin, source, valid_from, previous, statement, signature) \
         VALUES ($1, $2, $3, $4, $5::timestamptz, $6, $7, pg_catalog.decode($8, 'hex'))",
        &[
            Some(&key.key_id()),
            Some(&key.to_pem()?),
            Some(origin.name()),
            source.map(Source::name),
            Some(&at),
            previous.as_deref(),
            signed.map(|signed| signed.statement.as_str()),
            signature.as_deref(),
        ],
    )?;
    if written == 1 { Ok(()) } else { Err(Error::internal("a signing key was not written down")) }
}
