//! Webhooks made ready to be sent to: their secrets read from the credentials file, and what is allowed from the settings.

use crate::catalog::database;
use crate::catalog::notification::Claimed;
use crate::catalog::webhook::Webhook;
use crate::guc;
use crate::pg::server;
use chrono::{DateTime, Utc};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;
use walwarden_alert::{Format, Notification, Receiver, Secret, Severity, Target, event};
use walwarden_core::{Error, ErrorClass, Result};
use walwarden_reach::{AllowList, Purpose, SystemLookup};
use walwarden_store::webhook_keys;

/// Where webhooks may be.
pub fn allowed() -> Result<AllowList> {
    AllowList::parse(Purpose::Webhook, &guc::text(&guc::WEBHOOK_ALLOW).unwrap_or_default())
}

/// A webhook, ready.
///
/// # Errors
/// `Configuration` where its profile cannot be used or says too little; what is wrong with the URL there. Never with a secret.
pub fn open(webhook: &Webhook) -> Result<Receiver> {
    let format: Format = webhook.format.parse()?;
    let lacks = |what: &str| {
        let profile = webhook.profile.as_deref().unwrap_or_default();
        Error::new(
            ErrorClass::Configuration,
            format!("profile \"{profile}\" of the credentials file has no {what}"),
        )
    };
    let (mut url, mut secret) = (None, None);
    if let Some(profile) = &webhook.profile {
        let file = guc::text(&guc::CREDENTIALS_FILE).ok_or_else(|| {
            Error::new(ErrorClass::Configuration, "no credentials file is configured")
                .detail("The webhook names a profile.")
                .hint("Set walwarden.credentials_file to the file that holds the profile.")
        })?;
        let keys = webhook_keys(Path::new(&file), profile)?;
        (url, secret) = (keys.url, keys.secret);
        // What the views say is signed is never sent without a signature.
        if format == Format::Json && secret.is_none() {
            return Err(lacks("webhook_secret"));
        }
    }
    let target = match &webhook.url {
        Some(url) => Target::parse_public(&url.text)?,
        None => Target::parse(&url.ok_or_else(|| lacks("webhook_url"))?)?,
    };
    let secret = secret.filter(|_| format == Format::Json).map(Secret::new);
    Receiver::new(target, format, secret, allowed()?, Arc::new(SystemLookup))
}

/// What all notifications of this database have in common.
#[derive(Debug, Clone)]
pub struct Sender {
    database: String,
    database_id: Uuid,
}

impl Sender {
    /// This database. Must run inside a transaction.
    pub fn here() -> Result<Self> {
        Ok(Self { database: server::database_name()?.1, database_id: database::identity()?.id })
    }

    /// One from the outbox.
    pub fn notification(&self, claimed: &Claimed) -> Notification {
        Notification {
            id: claimed.id,
            event: claimed.event.clone(),
            severity: claimed.severity,
            at: claimed.queued_at,
            database: self.database.clone(),
            database_id: self.database_id,
            schedule: claimed.schedule.clone(),
            job: claimed.job,
            text: claimed.message.clone(),
            details: claimed.detail.clone(),
        }
    }

    /// One that only shows that it arrives.
    pub fn test(&self, asked_by: &str, now: DateTime<Utc>) -> Notification {
        let details = serde_json::Map::from_iter([("requested_by".to_owned(), asked_by.into())]);
        Notification {
            id: Uuid::new_v4(),
            event: event::TEST.to_owned(),
            severity: Severity::Info,
            at: now,
            database: self.database.clone(),
            database_id: self.database_id,
            schedule: None,
            job: None,
            text: "a test: notifications of this database arrive here".to_owned(),
            details,
        }
    }
}
