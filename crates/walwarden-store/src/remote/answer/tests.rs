use std::io;

use proptest::prelude::*;

use super::*;

fn xml(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>What &quot;happened&quot;\n here</Message>\
         <StringToSign>x-amz-security-token:canary</StringToSign></Error>"
    )
}

/// An error in the form the client library gives: text in front, the private error behind.
fn wrapped(inner: impl Into<Box<dyn StdError + Send + Sync>>) -> object_store::Error {
    object_store::Error::AlreadyExists { path: "some/key".into(), source: inner.into() }
}

#[test]
fn status_and_code_decide() {
    use ErrorClass as Class;
    for (status, code, class, retriable, unknown) in [
        (400, "RequestTimeout", Class::StorageUnreachable, true, true),
        (400, "ExpiredToken", Class::StoragePermission, true, false),
        (403, "RequestTimeTooSkewed", Class::StoragePermission, true, false),
        (403, "AccessDenied", Class::StoragePermission, false, false),
        (403, "SignatureDoesNotMatch", Class::StoragePermission, false, false),
        (401, "", Class::StoragePermission, false, false),
        (404, "NoSuchBucket", Class::StorageNotFound, false, false),
        (404, "NoSuchKey", Class::StorageNotFound, false, false),
        (404, "", Class::StorageNotFound, false, false),
        (409, "ConditionalRequestConflict", Class::Storage, true, false),
        (409, "", Class::Storage, true, false),
        (412, "PreconditionFailed", Class::StorageConflict, false, false),
        (412, "", Class::StorageConflict, false, false),
        (416, "InvalidRange", Class::StorageCorrupt, false, false),
        (429, "", Class::StorageUnreachable, true, true),
        (500, "InternalError", Class::StorageUnreachable, true, true),
        (503, "", Class::StorageUnreachable, true, true),
        (501, "NotImplemented", Class::Storage, false, false),
        (507, "XMinioStorageFull", Class::StorageFull, false, false),
        (507, "", Class::StorageFull, false, false),
        (200, "InternalError", Class::StorageUnreachable, true, true),
        (200, "SomethingNew", Class::Storage, true, true),
        (400, "SomethingNew", Class::Storage, false, false),
        (301, "PermanentRedirect", Class::Storage, false, false),
    ] {
        let text = if status == 200 {
            format!("{BODY_TEXT}{}", xml(code))
        } else {
            format!(
                "{STATUS_TEXT}{status} Some Reason: {}",
                if code.is_empty() { String::new() } else { xml(code) }
            )
        };
        let failure = judge(&wrapped(text));
        let seen = (failure.class, failure.is_retriable, failure.is_outcome_unknown);
        assert_eq!(seen, (class, retriable, unknown), "{status} {code}");
        assert!(!failure.detail.contains("canary") && !failure.detail.contains('\n'));
    }
}

#[test]
fn the_detail_is_status_code_and_message() {
    let failure = judge(&wrapped(format!("{STATUS_TEXT}403 Forbidden: {}", xml("AccessDenied"))));
    assert_eq!(failure.detail, "the server answered 403: AccessDenied: What \"happened\" here");
}

#[test]
fn a_refused_connection_was_never_sent_and_a_lost_one_may_have_been() {
    for (kind, unknown) in [
        (HttpErrorKind::Connect, false),
        (HttpErrorKind::Request, true),
        (HttpErrorKind::Timeout, true),
        (HttpErrorKind::Interrupted, true),
        (HttpErrorKind::Unknown, true),
    ] {
        let failure = judge(&wrapped(HttpError::new(kind, io::Error::other("broken"))));
        assert_eq!(failure.class, ErrorClass::StorageUnreachable);
        assert!(failure.is_retriable);
        assert_eq!(failure.is_outcome_unknown, unknown, "{kind:?}");
        assert_eq!(failure.detail, "broken");
    }
    let untrusted =
        HttpError::new(HttpErrorKind::Connect, io::Error::other("invalid peer certificate: UnknownIssuer"));
    assert!(!judge(&wrapped(untrusted)).is_retriable);
}

#[test]
fn what_cannot_be_read_is_tried_again() {
    let failure = judge(&wrapped("Got invalid multipart response: unexpected end"));
    assert!(failure.is_retriable && failure.is_outcome_unknown);
    assert_eq!(failure.class, ErrorClass::Storage);
}

proptest! {
    #[test]
    fn judging_never_panics(text in ".{0,80}") {
        for prefix in [STATUS_TEXT, BODY_TEXT, "<Code>", ""] {
            let _ = judge(&wrapped(format!("{prefix}{text}")));
        }
    }
}

#[test]
fn a_listing_with_a_key_that_is_no_path_is_final() {
    let source = object_store::path::Path::parse("org//x").unwrap_err();
    let failure = judge(&object_store::Error::InvalidPath { source });
    assert_eq!(failure.class, ErrorClass::Storage);
    assert!(!failure.is_retriable && failure.detail.contains("org//x"), "{failure:?}");
}

#[test]
fn a_lock_is_told_from_a_missing_permission_and_from_a_missing_lock() {
    for (status, code, message, is_locked) in [
        (403, "AccessDenied", "Access Denied because object protected by object lock.", true),
        (403, "AccessDenied", "Access Denied", false),
        (400, "InvalidRequest", "Object is WORM protected and cannot be overwritten", true),
        (400, "InvalidRequest", "Bucket is missing Object Lock Configuration", false),
        (409, "BlobImmutableDueToPolicy", "", true),
        (403, "AccessDenied", "Object 'b/k' is subject to bucket's retention policy", true),
        (404, "NoSuchKey", "the object lock is missing", false),
    ] {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        let failure = judge_status(status, &body);
        assert_eq!(failure.is_locked, is_locked, "{code}: {message}");
    }
    let body = "<Error><Code>InvalidRequest</Code><Message>Bucket is missing Object Lock Configuration</Message></Error>";
    assert_eq!(judge_status(400, body).class, ErrorClass::Configuration);
}
