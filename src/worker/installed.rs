//! Work on walwarden's tables that gives way to DROP EXTENSION.

use crate::pg::extension;
use crate::pg::transaction::transaction;
use walwarden_core::Result;

/// Do it in a transaction of its own during which the extension cannot be dropped; None when it is not there any more.
pub fn while_installed<T>(body: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    transaction(|| if extension::stays() { body().map(Some) } else { Ok(None) })
}
