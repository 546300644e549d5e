//! Which compression a backup gets: one that the pg_restore of this server reads.

use crate::pg::{server, sql};
use walwarden_core::archive::{Algorithm, Compression};
use walwarden_core::{Error, Result};

/// The first version whose archives know more than gzip (K_VERS_1_15 in pg_backup_archiver.h).
const FIRST_WITH_ALGORITHMS: u32 = 160_000;

/// The compression that was asked for, if this server's pg_restore reads it; without a wish zstd where it is read, else gzip.
/// Must run inside a transaction.
pub fn choose(wanted: Option<&str>) -> Result<Compression> {
    let Some(wanted) = wanted else {
        return Compression::parse(if is_read(Algorithm::Zstd)? { "zstd" } else { "gzip" });
    };
    let compression = Compression::parse(wanted)?;
    if is_read(compression.algorithm())? {
        return Ok(compression);
    }
    let name = compression.algorithm().name();
    let error =
        Error::invalid(format!("compression {name} cannot be restored with this server's pg_restore"));
    Err(if server::version_number() < FIRST_WITH_ALGORITHMS {
        error
            .detail("It reads zstd and lz4 from PostgreSQL 16 on.")
            .hint("Use gzip, gzip:1 to gzip:9, or none.")
    } else {
        error.detail(format!("This PostgreSQL was built without {name}.")).hint("Use gzip, or none.")
    })
}

fn is_read(algorithm: Algorithm) -> Result<bool> {
    match algorithm {
        Algorithm::None | Algorithm::Gzip => Ok(true),
        Algorithm::Lz4 | Algorithm::Zstd => {
            Ok(server::version_number() >= FIRST_WITH_ALGORITHMS && is_built_in(algorithm)?)
        }
    }
}

/// Whether PostgreSQL was built with it: then wal_compression takes its name (wal_compression_options in guc_tables.c).
/// The server and its pg_restore are built together.
fn is_built_in(algorithm: Algorithm) -> Result<bool> {
    let row = sql::query_one(
        "SELECT coalesce($1 = ANY (enumvals), false) FROM pg_catalog.pg_settings WHERE name = 'wal_compression'",
        &[Some(algorithm.name())],
    )?;
    row.map_or(Ok(false), |row| row.flag(0))
}
