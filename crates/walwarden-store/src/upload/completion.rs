//! The last step of an upload, in which the object appears: done once, never over another object, and believed only with
//! evidence.

use crate::backend::Head;
use crate::failure::Failure;
use crate::retry::Retry;
use crate::store::Store;

/// Completes the upload. No object existed under the key when the upload was begun.
///
/// Completing is not idempotent: if its answer is lost, some servers answer a repetition with "no such upload" although
/// the object is there. So after every failure the object is looked for, and size and number of parts are compared;
/// its bytes are proven by the read-back that follows every upload.
pub(super) async fn complete(
    store: &Store,
    key: &str,
    id: &str,
    tags: &[String],
    size: u64,
) -> Result<(), Failure> {
    // A multipart object cannot be made create-only, so the name must be seen to be free as late as possible.
    if store.head(key).await?.is_some() {
        return Err(Failure::exists());
    }
    // The server, or fsync, works in proportion to the size.
    let limit = store.policy().attempt_timeout_for(size);
    let mut retry = Retry::new(store.policy());
    loop {
        let failure = match store.backend().complete(key, id, tags, size, limit).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        match store.head(key).await {
            Ok(Some(found)) if is_ours(&found, size, tags.len()) => return Ok(()),
            Ok(Some(_)) => return Err(Failure::exists()),
            Ok(None) => {}
            Err(unseen) if !failure.is_retriable => {
                // What the upload came to is not known; the failure says more than the one to look for it.
                let detail = format!("{}; looking for the object: {}", failure.detail, unseen.detail);
                return Err(Failure { detail: crate::failure::one_line(&detail), ..failure });
            }
            Err(_) => {}
        }
        retry.pause(failure).await?;
    }
}

/// Whether the object found can be the one that was uploaded: the size agrees, and so does the number of parts, which
/// S3 writes behind the hyphen of a multipart object's ETag.
fn is_ours(found: &Head, size: u64, parts: usize) -> bool {
    let count = found
        .e_tag
        .as_deref()
        .and_then(|tag| tag.trim_matches('"').rsplit_once('-')?.1.parse::<usize>().ok());
    found.size == size && count.is_none_or(|count| count == parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_part_count_must_agree() {
        let head = |size, e_tag: Option<&str>| Head { size, e_tag: e_tag.map(str::to_owned) };
        assert!(is_ours(&head(9, Some("\"abc-2\"")), 9, 2));
        assert!(is_ours(&head(9, Some("\"abc\"")), 9, 2));
        assert!(is_ours(&head(9, None), 9, 2));
        assert!(!is_ours(&head(9, Some("\"abc-3\"")), 9, 2));
        assert!(!is_ours(&head(8, Some("\"abc-2\"")), 9, 2));
    }
}
