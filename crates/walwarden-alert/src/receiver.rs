//! Sending to one webhook. Whatever the receiver does, it takes ten seconds at most, follows nothing, and keeps nothing of
//! what is answered but the status.

use crate::backoff::Scope;
use crate::notification::Notification;
use crate::payload::Format;
use crate::signature::Secret;
use crate::target::Target;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use std::sync::Arc;
use std::time::Duration;
use walwarden_core::{Error, Result};
use walwarden_reach::{AllowList, JudgedResolver, Lookup};

/// How long one attempt may take, from the look-up of the name to the answer.
const TOTAL: Duration = Duration::from_secs(10);
/// How much of that connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How much of an answer is read, and for how long: only so that the connection can be used again.
const MOST_OF_AN_ANSWER: usize = 64 << 10;
const REST: Duration = Duration::from_secs(1);

/// One webhook, ready to be sent to.
#[derive(Debug, Clone)]
pub struct Receiver {
    target: Target,
    format: Format,
    secret: Option<Secret>,
    allow: AllowList,
    client: Client,
}

/// Why a notification was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In words; nothing of the URL but its host.
    pub note: String,
    /// What it says something about.
    pub scope: Scope,
    /// The pause that the receiver asked for.
    pub wanted_pause: Option<Duration>,
}

impl Failure {
    /// A failure that says something about the receiver.
    pub fn of_receiver(note: String) -> Self {
        Self { note, scope: Scope::Receiver, wanted_pause: None }
    }
}

impl Receiver {
    /// A webhook by its parts. `allow` says where it may be, `lookup` knows its addresses.
    ///
    /// # Errors
    /// `Internal` where there is no TLS.
    pub fn new(
        target: Target,
        format: Format,
        secret: Option<Secret>,
        allow: AllowList,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self> {
        let resolver = JudgedResolver::new(target.host().clone(), allow.clone(), lookup, Vec::new());
        let client = Client::builder()
            .user_agent(concat!("walwarden/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            // Neither from the environment: a proxy would look up the name by itself.
            .no_proxy()
            .referer(false)
            .http1_only()
            .timeout(TOTAL)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(1)
            .dns_resolver(resolver)
            .build()
            .map_err(|cause| Error::internal(format!("could not make an HTTP client: {cause}")))?;
        Ok(Self { target, format, secret, allow, client })
    }

    /// Host and port, for people.
    pub fn host(&self) -> String {
        self.target.host().to_string()
    }

    /// Sends it, once. `unix_seconds` is now.
    ///
    /// # Errors
    /// What the receiver, or the way to it, had against it.
    pub async fn send(&self, notification: &Notification, unix_seconds: i64) -> Result<StatusCode, Failure> {
        // The client asks nobody for the address of an address.
        self.allow.may_permit(self.target.host()).map_err(|error| self.failure(&explain(&error)))?;
        let body = self.format.render(notification);
        let mut request = self
            .client
            .post(self.target.url().clone())
            .header(CONTENT_TYPE, "application/json")
            .header("Walwarden-Id", notification.id.to_string())
            .header("Walwarden-Event", notification.event.as_str());
        if let Some(secret) = &self.secret {
            request = request.header("Walwarden-Signature", secret.sign(unix_seconds, &body));
        }
        let response = request.body(body).send().await.map_err(|error| self.failure(&cause_of(&error)))?;
        let status = response.status();
        let verdict = self.judge(&response);
        let _ = tokio::time::timeout(REST, read_some(response)).await;
        verdict.map(|()| status)
    }

    fn judge(&self, response: &Response) -> Result<(), Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let code = status.as_u16();
        if status.is_redirection() {
            return Err(self.failure(&format!("it answered with a redirect ({code}), which is not followed")));
        }
        let mut failure = self.failure(&format!("it answered with status {code}"));
        if status.is_client_error() && !matches!(code, 408 | 425 | 429) {
            failure.scope = Scope::Notification;
        }
        failure.wanted_pause = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        Err(failure)
    }

    fn failure(&self, what: &str) -> Failure {
        Failure::of_receiver(format!("{}: {what}", self.host()))
    }
}

/// What was wrong, without the URL, which may be a secret.
fn cause_of(error: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut deepest = String::new();
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return explain(ours);
        }
        if current.downcast_ref::<reqwest::Error>().is_none() {
            deepest = current.to_string();
        }
        cause = current.source();
    }
    if error.is_timeout() {
        return format!("it did not answer within {} seconds", TOTAL.as_secs());
    }
    let what = if error.is_connect() { "could not connect" } else { "the connection failed" };
    if deepest.is_empty() { what.to_owned() } else { format!("{what}: {deepest}") }
}

fn explain(error: &Error) -> String {
    match &error.hint {
        Some(hint) => format!("{error}. {hint}"),
        None => error.to_string(),
    }
}

async fn read_some(mut response: Response) {
    let mut read = 0;
    while read <= MOST_OF_AN_ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            _ => return,
        }
    }
}
