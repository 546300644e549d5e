//! The identity of the database.

use crate::catalog::{anchor, audit, database, schedule};
use crate::error::report;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use walwarden_core::Result as CoreResult;

/// Give a copied or restored database an identity, and so a place in storage, of its own.
#[pg_extern(sql = false)]
pub fn adopt(is_copy: Option<bool>) -> Result<pgrx::Uuid, ErrorReport> {
    give_identity(is_copy.unwrap_or(false)).map_err(report)
}

/// A physical copy has the identifiers of the original: only who made it knows.
fn give_identity(is_copy: bool) -> CoreResult<pgrx::Uuid> {
    let before = database::identity()?;
    if before.is_of_this_database() && !is_copy {
        return Ok(pgrx::Uuid::from_bytes(before.id.into_bytes()));
    }
    let id = database::adopt()?;
    schedule::forget_the_past()?;
    anchor::forget_all()?;
    let detail = serde_json::json!({ "id": id.to_string(), "previous_id": before.id.to_string() });
    audit::append("database.adopted", None, &audit::actor(), &detail.to_string())?;
    super::schedule::wake_launcher_at_commit();
    Ok(pgrx::Uuid::from_bytes(id.into_bytes()))
}
