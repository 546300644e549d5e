//! The handler function of the TABLESAMPLE method `walwarden.blocks`.

use crate::pg::blocks;
use pgrx::datum::Internal;
use pgrx::prelude::*;

/// Its routines; PostgreSQL calls this, nobody else can.
#[pg_extern(sql = false)]
pub fn blocks(_unused: Internal) -> Internal {
    blocks::routine()
}
