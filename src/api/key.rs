//! The signing key: its public half, and another one in its place.

use crate::error::report;
use crate::pg::server;
use crate::pg::text::Text;
use crate::signer;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use walwarden_core::{Error, ErrorClass, Result as CoreResult};

/// The public key of whoever would sign now, as PEM for openssl.
#[pg_extern(sql = false)]
pub fn public_key() -> Result<Text, ErrorReport> {
    signer::public_key().and_then(|key| key.to_pem()).map(Text::from).map_err(report)
}

/// Put another signing key in the place of the one that signs; gives its id.
#[pg_extern(sql = false)]
pub fn rotate_key(lost: Option<bool>) -> Result<Text, ErrorReport> {
    rotate(lost.unwrap_or(false)).map(Text::from).map_err(report)
}

fn rotate(lost: bool) -> CoreResult<String> {
    if server::in_recovery() {
        return Err(Error::new(ErrorClass::WrongState, "a standby cannot rotate the signing key")
            .hint("Run this on the primary."));
    }
    // Whoever waited for another rotation must see what that one wrote.
    if !server::sees_new_commits() {
        return Err(Error::new(
            ErrorClass::WrongState,
            "the signing key cannot be rotated in this transaction",
        )
        .detail("It is REPEATABLE READ or SERIALIZABLE.")
        .hint("Run it in a transaction that is READ COMMITTED."));
    }
    signer::rotate(lost).map(|key| key.key_id())
}
