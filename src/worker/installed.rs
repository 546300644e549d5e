//! Whether there is something to work on, and work on walwarden's tables that gives way to DROP EXTENSION.

use crate::pg::extension;
use crate::pg::transaction::transaction;
use walwarden_core::Result;
use walwarden_core::release::require_served;

/// Whether the extension is there, in a transaction of its own.
///
/// # Errors
/// `WrongState` where its objects are of a version that this library does not work with.
pub fn is_installed() -> Result<bool> {
    transaction(|| {
        if !extension::exists() {
            return Ok(false);
        }
        require_served(&extension::version()?)?;
        Ok(true)
    })
}

/// Do it in a transaction of its own during which the extension cannot be dropped; None when it is not there any more.
pub fn while_installed<T>(body: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    transaction(|| if extension::stays() { body().map(Some) } else { Ok(None) })
}
