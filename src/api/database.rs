//! The identity of the database.

use super::storage::default_folder;
use crate::catalog::database::Identity;
use crate::catalog::{anchor, audit, database, schedule, storage};
use crate::error::report;
use crate::pg::{databases, server};
use crate::signer;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use walwarden_core::{Error, ErrorClass, Result as CoreResult};
use walwarden_store::Location;

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

/// Say that this is the database that its identity was made for, in another place: jobs, chain and backups go on.
#[pg_extern(sql = false)]
pub fn keep_identity() -> Result<pgrx::Uuid, ErrorReport> {
    move_in().map_err(report)
}

fn move_in() -> CoreResult<pgrx::Uuid> {
    let identity = database::identity()?;
    if !identity.is_of_this_database() {
        require_original_gone(&identity)?;
        database::keep()?;
        let detail = serde_json::json!({
            "id": identity.id.to_string(),
            // As text: JSON's numbers are exact below 2^53 only.
            "from_system_identifier": identity.system_identifier.to_string(),
            "to_system_identifier": server::system_identifier().to_string(),
        });
        audit::append("database.moved", None, &audit::actor(), &detail.to_string())?;
        super::schedule::wake_launcher_at_commit();
        tell_what_stayed_behind()?;
    }
    Ok(pgrx::Uuid::from_bytes(identity.id.into_bytes()))
}

/// A copy in the same server may look at whether its original is still there; elsewhere only who moved it knows.
fn require_original_gone(identity: &Identity) -> CoreResult<()> {
    if identity.system_identifier != server::system_identifier() {
        return Ok(());
    }
    let Some(name) = databases::name(identity.database_oid)? else { return Ok(()) };
    Err(Error::new(
        ErrorClass::WrongState,
        format!("the database that this one is a copy of is still there: \"{name}\""),
    )
    .detail(format!("It goes on under the id {}.", identity.id))
    .hint("Run SELECT walwarden.adopt() to give this copy an identity of its own."))
}

/// pg_upgrade takes tables along and no files of others: the signing key, and backups beside it.
fn tell_what_stayed_behind() -> CoreResult<()> {
    if let Err(error) = signer::public_key() {
        pgrx::warning!(
            "backups will fail until the signing key is here: {}: copy pg_walwarden/keys of the old data directory into \"{}\"",
            error.message,
            server::data_directory().join("pg_walwarden").display()
        );
    }
    let here = default_folder();
    for (found, _) in storage::with_newest_backup()? {
        let Ok(Location::File { root }) = Location::parse(&found.url) else { continue };
        if root.ends_with("pg_walwarden/backups") && root != here {
            pgrx::warning!(
                "storage \"{}\" is still in the old data directory, \"{}\": move what is there to \"{}\", then run SELECT \
                 walwarden.alter_storage('{}', '{}')",
                found.name,
                root.display(),
                here.display(),
                found.name.replace('\'', "''"),
                Location::from_folder(&here)?.to_string().replace('\'', "''")
            );
        }
    }
    Ok(())
}
