//! Which SQL objects a library works with. A package brings a new library to all databases at once, the SQL objects of each stay
//! what they were until somebody runs ALTER EXTENSION there; backups must not stop in between.

use crate::error::{Error, ErrorClass, Result};

/// The version of this library, and of the SQL objects that belong to it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The release before, whose SQL objects this library works with as well.
pub const PREVIOUS: Option<&str> = Some("0.1.0");

/// Fails where the SQL objects that are installed in a database are of a version that this library does not know.
///
/// # Errors
/// `WrongState`: older than [`PREVIOUS`], or newer than [`VERSION`].
pub fn require_served(installed: &str) -> Result<()> {
    if installed == VERSION || Some(installed) == PREVIOUS {
        return Ok(());
    }
    Err(Error::new(
        ErrorClass::WrongState,
        format!("walwarden's objects in this database are of version {installed}, its library is of version {VERSION}"),
    )
    .detail(match PREVIOUS {
        Some(previous) => format!("The library works with the objects of versions {previous} and {VERSION}."),
        None => format!("The library works with the objects of version {VERSION}."),
    })
    .hint(
        "Run ALTER EXTENSION walwarden UPDATE. If the objects are the newer ones, restart the server, or begin a new session where \
         walwarden is not in shared_preload_libraries.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_version_and_the_one_before_are_served_and_no_other() {
        require_served(VERSION).unwrap();
        PREVIOUS.map(require_served).transpose().unwrap();
        for other in ["0.0.9", "", "999.0.0", "0.1"] {
            let error = require_served(other).unwrap_err();
            assert_eq!(error.class, ErrorClass::WrongState, "{other}");
            assert!(error.hint.unwrap().contains("ALTER EXTENSION walwarden UPDATE"));
        }
    }
}
