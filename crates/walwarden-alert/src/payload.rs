//! What a receiver is sent: its format, escaped and cut as that one wants it.

mod clip;
mod discord;
mod json;
mod slack;
mod teams;

use crate::notification::Notification;
use std::fmt;
use std::str::FromStr;
use walwarden_core::{Error, Result};

/// Who receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Any program: the documented JSON.
    Json,
    /// Slack's incoming webhooks.
    Slack,
    /// Discord's webhooks.
    Discord,
    /// Microsoft Teams, by a workflow that posts what a webhook received.
    Teams,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Json, Self::Slack, Self::Discord, Self::Teams];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Teams => "teams",
        }
    }

    /// Whether whoever knows the URL may write there: then it is a secret, and no signature is looked at.
    pub const fn has_secret_url(self) -> bool {
        !matches!(self, Self::Json)
    }

    /// The body of the request: JSON.
    pub fn render(self, notification: &Notification) -> String {
        let body = match self {
            Self::Json => json::body(notification),
            Self::Slack => slack::body(notification),
            Self::Discord => discord::body(notification),
            Self::Teams => teams::body(notification),
        };
        body.to_string()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    /// The format with exactly this name.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            Error::invalid(format!("there is no webhook format \"{name}\""))
                .hint("Formats: json, slack, discord, teams.")
        })
    }
}

#[cfg(test)]
mod tests;
