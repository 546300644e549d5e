//! `walwarden.database`: which database this is, and whether it is a copy of another.

use crate::pg::{server, sql};
use uuid::Uuid;
use walwarden_core::{Error, ErrorClass, Result};

/// The identity written at CREATE EXTENSION or by `adopt()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Part of the path of every object.
    pub id: Uuid,
    /// Of the cluster that the identity was made in, or moved to.
    pub system_identifier: u64,
    /// The database's oid there.
    pub database_oid: u32,
}

impl Identity {
    /// Whether this database is the one the identity was made for, not a copy or a restored cluster's.
    pub fn is_of_this_database(&self) -> bool {
        self.system_identifier == server::system_identifier() && self.database_oid == server::database_oid()
    }

    /// Fails in a copy: writing under the identity of another database would mix two histories in one place.
    pub fn require_this_database(&self) -> Result<()> {
        if self.is_of_this_database() {
            return Ok(());
        }
        Err(Error::new(
            ErrorClass::WrongState,
            "this database is a copy of another one that walwarden backs up",
        )
        .detail(format!("Its objects in storage belong to the database with id {}.", self.id))
        .hint(
            "Run SELECT walwarden.adopt() to give this copy an identity of its own; or, after pg_upgrade or another move that has left \
             nothing behind, SELECT walwarden.keep_identity().",
        ))
    }
}

/// The identity of this database.
pub fn identity() -> Result<Identity> {
    let row = sql::query_one("SELECT id, system_identifier, database_oid FROM walwarden.database", &[])?
        .ok_or_else(|| Error::internal("walwarden.database has no row"))?;
    // System identifiers use all 64 bits; the column holds them as the signed number of the same bits.
    let system_identifier: i64 = row.parse(1)?;
    Ok(Identity {
        id: row.parse(0)?,
        system_identifier: system_identifier as u64,
        database_oid: row.parse(2)?,
    })
}

/// Write the identity of a newly created extension.
pub fn create() -> Result<()> {
    sql::run(
        "INSERT INTO walwarden.database (system_identifier, database_oid) VALUES ($1::bigint, $2::oid)",
        &[Some(&system_identifier_text()), Some(&server::database_oid().to_string())],
    )?;
    Ok(())
}

/// Give this database a new identity of its own.
pub fn adopt() -> Result<Uuid> {
    sql::query_one(
        "UPDATE walwarden.database SET id = pg_catalog.gen_random_uuid(), system_identifier = $1::bigint, \
         database_oid = $2::oid, adopted_at = pg_catalog.now() RETURNING id",
        &[Some(&system_identifier_text()), Some(&server::database_oid().to_string())],
    )?
    .ok_or_else(|| Error::internal("walwarden.database has no row"))?
    .parse(0)
}

/// This is the database of the identity, in another place.
pub fn keep() -> Result<()> {
    sql::run(
        "UPDATE walwarden.database SET system_identifier = $1::bigint, database_oid = $2::oid",
        &[Some(&system_identifier_text()), Some(&server::database_oid().to_string())],
    )?;
    Ok(())
}

fn system_identifier_text() -> String {
    (server::system_identifier() as i64).to_string()
}
