//! What the `age` crate says, as failures of ours. Its own texts are in the user's language, or meant to be: they are not used.

use age::DecryptError;
use walwarden_core::{Error, ErrorClass};

use crate::failure::Failure;

/// Why a file was not opened. Whose identities they are is known before: a header that none of them opens was changed.
pub(super) fn of(error: DecryptError) -> Failure {
    match error {
        DecryptError::Io(cause) => match cause.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => passed_on(error),
            None => Failure::corrupt("it ends within its header: it is no whole file of age"),
        },
        DecryptError::NoMatchingKeys => {
            Failure::corrupt("its header has nothing for the recipients it was encrypted for")
        }
        DecryptError::InvalidHeader | DecryptError::UnknownFormat => {
            Failure::corrupt("it does not begin as a file of age does")
        }
        _ => Failure::corrupt("its header is not what was written"),
    }
}

/// An error of reading, from below.
fn passed_on(error: &Error) -> Failure {
    let detail = format!("{}: {}", error.message, error.detail.as_deref().unwrap_or_default());
    let failure = Failure::new(error.class, detail);
    if error.class == ErrorClass::StorageCorrupt {
        Failure { hint: Failure::corrupt("").hint, ..failure }
    } else {
        failure
    }
}
