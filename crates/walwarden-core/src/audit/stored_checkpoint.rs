//! A checkpoint as it lies in storage: whether it can be believed.
//!
//! A signature proves who signed it, not that it lies where it was put: an old one that is copied to the name of a newer one
//! would hide what came since.

use uuid::Uuid;

use super::{Checkpoint, SignedNote};
use crate::error::Error;
use crate::key::PublicKey;

/// Reads what lies where the checkpoint of this database, epoch and size belongs.
///
/// # Errors
/// A sentence that says why it cannot be believed.
pub fn read(
    note: &[u8],
    keys: &[PublicKey],
    database: Uuid,
    epoch: u64,
    size: u64,
) -> Result<Checkpoint, String> {
    let sentence = |error: Error| error.detail.unwrap_or(error.message);
    let note = SignedNote::parse(note).map_err(sentence)?;
    note.verify(keys).map_err(sentence)?;
    let checkpoint = Checkpoint::parse(&note.text).map_err(sentence)?;
    if checkpoint.database != database {
        return Err(format!("It is of database {}.", checkpoint.database));
    }
    if (checkpoint.epoch, checkpoint.size) != (epoch, size) {
        return Err(format!(
            "It is the one over {} entries of epoch {}, not the one over {size} of epoch {epoch}.",
            checkpoint.size, checkpoint.epoch
        ));
    }
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::note;
    use crate::key::SigningKey;
    use crate::manifest::Sha256Sum;

    #[test]
    fn only_what_is_signed_and_lies_in_its_place_is_believed() {
        let (key, other) = (SigningKey::generate([1; 32]), SigningKey::generate([2; 32]));
        let database = Uuid::from_u128(7);
        let checkpoint = Checkpoint { database, epoch: 2, size: 40, root: Sha256Sum([9; 32]) };
        let signed = note::sign(&checkpoint.to_text(), note::KEY_NAME, &key).unwrap().to_text();
        let keys = [key.public()];
        let read_as = |note: &str, keys: &[PublicKey], database, epoch, size| {
            read(note.as_bytes(), keys, database, epoch, size)
        };
        assert_eq!(read_as(&signed, &keys, database, 2, 40), Ok(checkpoint));
        assert_eq!(read_as(&signed, &[other.public(), key.public()], database, 2, 40), Ok(checkpoint));
        for refused in [
            read_as(&signed, &[other.public()], database, 2, 40),
            read_as(&signed, &keys, Uuid::from_u128(8), 2, 40),
            read_as(&signed, &keys, database, 1, 40),
            read_as(&signed, &keys, database, 2, 41),
            read_as(&signed.replace("\n40\n", "\n41\n"), &keys, database, 2, 41),
            read_as("", &keys, database, 2, 40),
        ] {
            assert!(refused.is_err_and(|why| why.ends_with('.')));
        }
    }
}
