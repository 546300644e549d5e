//! What an answer of a storage service means. Google answers in the same form as S3, and Azure nearly so.
//!
//! `object_store` folds answers into few variants and some of them wrongly (every 409 is "already exists", every error
//! in a 200 generic), and its own error type that knows the status is private. So the chain of sources is walked to the
//! text of that private error, whose form is pinned by the tests and by the exact version in `Cargo.toml`.
//!
//! Of a server's answer only status, code and message are ever shown: the rest of the XML may repeat what was signed,
//! session token included.

use std::error::Error as StdError;

use object_store::client::{HttpError, HttpErrorKind};
use walwarden_core::{Error, ErrorClass};

use crate::failure::Failure;
use crate::remote::listing::NoListing;

/// How `object_store` begins the text of an answer that is not 2xx.
const STATUS_TEXT: &str = "Server returned non-2xx status code: ";

/// How it begins the text of a 2xx whose body is an error.
const BODY_TEXT: &str = "Server returned error response: ";

/// How it begins the text of a redirect that leads nowhere.
const REDIRECT_TEXT: &str = "Received redirect without LOCATION";

const CHECK_SERVICE: &str = "Check the storage service and the network between it and this server.";
const CHECK_KEYS: &str = "Check the credentials, and that they may get, put, delete and list in this bucket (without \
                          the right to list, S3 says \"denied\" for an object that does not exist).";
const CHECK_BUCKET: &str =
    "Create the bucket first, and check its name and the options \"endpoint\" and \"region\".";
const CHECK_REGION: &str = "Check the storage options \"region\" and \"endpoint\".";
const CHECK_REQUEST: &str = "Check the storage options \"region\" and \"endpoint\", and that temporary credentials have \
                             not expired.";
const CHECK_CLOCK: &str = "Set this machine's clock.";
const CHECK_EXPIRY: &str = "Renew the temporary credentials.";
const CHECK_ROOM: &str = "Give the bucket more room or delete old backups.";
const CHECK_CLASS: &str =
    "The storage option \"storage_class\" must name a class whose objects can be read at once.";
const CHECK_LOCK: &str =
    "Give the bucket Object Lock, or leave the storage options \"lock_mode\" and \"lock_days\" out.";
const CHECK_CERTIFICATE: &str =
    "Install the certificate authority of the storage service in the operating system's trust store.";

const CHECK_ALLOWED: &str = "An administrator can allow it with the setting walwarden.storage_allow.";

/// Judges an error of the client library.
pub(crate) fn judge(error: &object_store::Error) -> Failure {
    if let object_store::Error::InvalidPath { source } = error {
        return Failure::new(ErrorClass::Storage, format!("a key is not one of walwarden's: {source}"))
            .hint("See who else writes to this storage, and give walwarden a prefix of its own.");
    }
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(transport) = current.downcast_ref::<HttpError>() {
            return judge_transport(transport);
        }
        let text = current.to_string();
        if let Some(rest) = text.strip_prefix(STATUS_TEXT) {
            let status = rest.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
            return judge_status(status, rest);
        }
        if let Some(body) = text.strip_prefix(BODY_TEXT) {
            return judge_status(200, body);
        }
        if text.starts_with(REDIRECT_TEXT) {
            return Failure::new(ErrorClass::Storage, "the server redirects to another region")
                .hint(CHECK_REGION);
        }
        cause = current.source();
    }
    // No answer of the server is in the chain: one that could not be read, or was not what was asked for.
    Failure::new(ErrorClass::Storage, format!("the answer could not be used: {}", innermost(error)))
        .hint(CHECK_SERVICE)
        .retriable()
        .outcome_unknown()
}

pub(crate) fn judge_transport(error: &HttpError) -> Failure {
    match error.source().and_then(|source| source.downcast_ref()) {
        Some(NoListing::Other(body)) => return judge_status(200, body),
        Some(told @ NoListing::WithoutEnd) => {
            return Failure::new(ErrorClass::Storage, told.to_string())
                .hint("The storage service lacks something that finding backups needs: ListObjectsV2.");
        }
        None => {}
    }
    if let Some(refused) = find::<Error>(error).filter(|error| error.class == ErrorClass::NotPermitted) {
        return Failure::new(refused.class, &refused.message).hint(CHECK_ALLOWED);
    }
    let text = chain(error);
    let failure = Failure::new(ErrorClass::StorageUnreachable, &text);
    if text.contains("certificate") {
        return failure.hint(CHECK_CERTIFICATE);
    }
    let failure = failure.hint(CHECK_SERVICE).retriable();
    // Without a connection, nothing was sent.
    if error.kind() == HttpErrorKind::Connect { failure } else { failure.outcome_unknown() }
}

/// Judges an answer by its code where that is known, else by its status.
pub(crate) fn judge_status(status: u16, body: &str) -> Failure {
    let code = element(body, "Code").unwrap_or_default();
    let message = element(body, "Message").unwrap_or_default();
    let mut shown = format!("the server answered {status}");
    for text in [&code, &message].into_iter().filter(|text| !text.is_empty()) {
        shown.push_str(": ");
        shown.push_str(text);
    }
    if says_locked(&code, &message) {
        return Failure::locked(shown);
    }
    if lacks_lock(&code, &message) {
        return Failure::new(ErrorClass::Configuration, shown).hint(CHECK_LOCK);
    }
    by_code(&code, &shown).unwrap_or_else(|| by_status(status, &shown))
}

/// Whether a retention or a hold is the reason of a refusal. Only some services say so: Azure and MinIO by a code, Amazon
/// and Google in the message.
fn says_locked(code: &str, message: &str) -> bool {
    const CODES: [&str; 4] =
        ["BlobImmutableDueToPolicy", "BlobImmutableDueToLegalHold", "ObjectLocked", "RetentionPolicyNotMet"];
    const WORDS: [&str; 4] = ["object lock", "worm protected", "retention policy", "legal hold"];
    let message = message.to_ascii_lowercase();
    let is_told = |words: &[&str]| words.iter().any(|word| message.contains(word));
    CODES.contains(&code)
        || (matches!(code, "AccessDenied" | "Forbidden") && is_told(&WORDS))
        || (code == "InvalidRequest" && is_told(&["worm protected"]))
}

/// What Amazon answers, as "InvalidRequest", to a retention where there can be none.
fn lacks_lock(code: &str, message: &str) -> bool {
    code == "InvalidRequest" && message.contains("missing Object Lock Configuration")
}

fn by_code(code: &str, shown: &str) -> Option<Failure> {
    use ErrorClass as Class;
    let failure = |class| Failure::new(class, shown);
    Some(match code {
        // The server waited in vain for our bytes. Sent with 400, so by status it would be final.
        "RequestTimeout" => {
            failure(Class::StorageUnreachable).hint(CHECK_SERVICE).retriable().outcome_unknown()
        }
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            failure(Class::StoragePermission).hint(CHECK_EXPIRY).retriable()
        }
        "RequestTimeTooSkewed" => failure(Class::StoragePermission).hint(CHECK_CLOCK).retriable(),
        // 409: another request for the same key is under way. Nothing is said about whether the object exists.
        "ConditionalRequestConflict" | "OperationAborted" => failure(Class::Storage).retriable(),
        "InternalError"
        | "ServerBusy"
        | "OperationTimedOut"
        | "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "Busy" => failure(Class::StorageUnreachable).hint(CHECK_SERVICE).retriable().outcome_unknown(),
        // The bytes were changed on their way.
        "BadDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody" | "XAmzContentChecksumMismatch" => {
            failure(Class::Storage).hint(CHECK_SERVICE).retriable()
        }
        "NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted" => {
            failure(Class::StorageNotFound).hint(CHECK_BUCKET)
        }
        "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion" | "BlobNotFound" => Failure::missing(shown),
        "AccessDenied"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "AllAccessDisabled"
        | "AuthenticationFailed"
        | "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "InsufficientAccountPermissions"
        | "AccountIsDisabled"
        | "AccountProblem"
        | "NotSignedUp" => failure(Class::StoragePermission).hint(CHECK_KEYS),
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException" => failure(Class::Storage).hint(CHECK_REGION),
        "InvalidObjectState" => failure(Class::Storage).hint(CHECK_CLASS),
        "QuotaExceeded"
        | "InsufficientStorage"
        | "XMinioStorageFull"
        | "XMinioAdminBucketQuotaExceeded"
        | "InsufficientCapacity" => failure(Class::StorageFull).hint(CHECK_ROOM),
        "InvalidRange" => failure(Class::StorageCorrupt),
        "PreconditionFailed" | "BlobAlreadyExists" => Failure::exists(),
        "NotImplemented" | "MethodNotAllowed" => Failure::unsupported(shown),
        _ => return None,
    })
}

fn by_status(status: u16, shown: &str) -> Failure {
    use ErrorClass as Class;
    let failure = |class| Failure::new(class, shown);
    match status {
        // An error in a body that promised success.
        200..=299 => failure(Class::Storage).hint(CHECK_SERVICE).retriable().outcome_unknown(),
        300..=303 | 305..=399 => failure(Class::Storage).hint(CHECK_REGION),
        401 | 403 => failure(Class::StoragePermission).hint(CHECK_KEYS),
        404 => Failure::missing(shown),
        304 | 412 => Failure::exists(),
        // Without a code it is not said what the conflict was.
        409 => failure(Class::Storage).retriable(),
        416 => failure(Class::StorageCorrupt),
        408 | 425 | 429 => {
            failure(Class::StorageUnreachable).hint(CHECK_SERVICE).retriable().outcome_unknown()
        }
        507 => failure(Class::StorageFull).hint(CHECK_ROOM),
        405 | 501 | 505 => Failure::unsupported(shown),
        500..=599 => failure(Class::StorageUnreachable).hint(CHECK_SERVICE).retriable().outcome_unknown(),
        // The answer to HEAD has no body, so several codes hide behind it.
        400 => failure(Class::Storage).hint(CHECK_REQUEST),
        _ => failure(Class::Storage),
    }
}

/// The text of the first element `name` in an XML document, with its entities resolved. S3's error documents are flat.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let plain = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&");
    Some(plain.trim().to_owned())
}

/// The first cause of this type.
fn find<E: StdError + 'static>(error: &HttpError) -> Option<&E> {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref() {
            return Some(found);
        }
        cause = current.source();
    }
    None
}

/// The texts of an error and its causes; each says one more thing.
fn chain(error: &HttpError) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(current) = cause {
        let text = current.to_string();
        if !texts.iter().any(|shown| shown.contains(&text)) {
            texts.push(text);
        }
        cause = current.source();
    }
    texts.join(": ")
}

fn innermost(error: &object_store::Error) -> String {
    let mut current: &(dyn StdError + 'static) = error;
    while let Some(cause) = current.source() {
        current = cause;
    }
    current.to_string()
}

#[cfg(test)]
mod tests;
