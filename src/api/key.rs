//! The signing key's public half.

use crate::error::report;
use crate::keyring;
use crate::pg::text::Text;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The public key that verifies this cluster's manifests, as PEM for openssl.
#[pg_extern(sql = false)]
pub fn public_key() -> Result<Text, ErrorReport> {
    keyring::signing_key().and_then(|key| key.public().to_pem()).map(Text::from).map_err(report)
}
