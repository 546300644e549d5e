//! XML documents that S3 and Google answer with, where the client library does not read them.

use quick_xml::de::from_str;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::remote::answer;

/// Reads a document whose root must be `root`: an error that was sent with status 200, the page of a proxy, or another
/// kind of listing is none, and must never pass for an empty one.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8], root: &str) -> Result<T, Failure> {
    let text = String::from_utf8_lossy(body);
    match root_of(&text) {
        Some(found) if found == root => from_str(&text).map_err(|error| {
            Failure::new(walwarden_core::ErrorClass::Storage, error.to_string()).retriable()
        }),
        // A server that does not know the question answers the one it knows.
        Some("ListBucketResult") => {
            Err(Failure::unsupported(format!("the answer is a listing of objects and no {root}")))
        }
        _ => Err(answer::judge_status(200, &text)),
    }
}

/// The name of the outermost element, without a namespace.
fn root_of(text: &str) -> Option<&str> {
    let mut rest = text.trim_start_matches('\u{feff}');
    loop {
        rest = rest.trim_start().strip_prefix('<')?;
        if rest.starts_with(['?', '!']) {
            rest = rest.split_once('>')?.1;
            continue;
        }
        let name = rest.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).next()?;
        return Some(name.rsplit(':').next().unwrap_or(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct Nothing {}

    #[test]
    fn only_the_document_that_was_asked_for_is_read() {
        let read = |text: &str| read::<Nothing>(text.as_bytes(), "Wanted").map(|_| ());
        assert!(read("<?xml version=\"1.0\"?>\n<Wanted xmlns=\"x\"><A>1</A></Wanted>").is_ok());
        assert!(read("<Wanted/>").is_ok());
        assert!(read("<ListBucketResult></ListBucketResult>").unwrap_err().is_unsupported);
        let slow = read("<Error><Code>SlowDown</Code></Error>").unwrap_err();
        assert!(slow.is_retriable);
        for other in ["", "<html>sign in</html>", "Wanted", "<Wanted><A></Wanted>", "<Wanted"] {
            assert!(read(other).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "(<|>|/|\\?|!|Wanted|:|\"| |.){0,40}") {
            let _ = read::<Nothing>(text.as_bytes(), "Wanted");
        }
    }
}
