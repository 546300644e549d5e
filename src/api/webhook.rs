//! Webhooks: add, alter, drop, test.

use super::schedule::check_name;
use crate::catalog::webhook::{self, Url, Webhook};
use crate::catalog::{notification, schedule};
use crate::error::report;
use crate::pg::text::Text;
use crate::pg::{clock, server};
use crate::worker::io::Io;
use crate::worker::receivers::{self, Sender};
use crate::worker::start;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use walwarden_alert::{Format, Target, event};
use walwarden_core::{Error, Result as CoreResult};

/// Add a webhook. Lists are JSON.
#[pg_extern(sql = false)]
pub fn _add_webhook(
    name: Text,
    url: Option<Text>,
    format: Text,
    events: Option<Text>,
    schedules: Option<Text>,
    profile: Option<Text>,
) -> Result<(), ErrorReport> {
    let add = || {
        let defaults = || event::DEFAULT.map(str::to_owned).to_vec();
        let added = Webhook {
            name: name.0.clone(),
            format: format.0.clone(),
            url: filled(url).map(to_url).transpose()?,
            profile: filled(profile),
            events: event::chosen(&list(events)?.unwrap_or_else(defaults))?,
            schedules: list(schedules)?.filter(|schedules| !schedules.is_empty()),
        };
        check(&added)?;
        webhook::insert(&added)
    };
    add().map_err(report)
}

/// Change a webhook; what is NULL stays.
#[pg_extern(sql = false)]
pub fn _alter_webhook(
    name: Text,
    url: Option<Text>,
    format: Option<Text>,
    events: Option<Text>,
    schedules: Option<Text>,
    profile: Option<Text>,
) -> Result<(), ErrorReport> {
    let alter = || {
        let mut changed = webhook::find(&name.0)?;
        if url.is_some() {
            changed.url = filled(url).map(to_url).transpose()?;
        }
        if let Some(format) = format {
            changed.format = format.0;
        }
        if let Some(events) = list(events)? {
            changed.events = event::chosen(&events)?;
        }
        if let Some(schedules) = list(schedules)? {
            changed.schedules = Some(schedules).filter(|schedules| !schedules.is_empty());
        }
        if profile.is_some() {
            changed.profile = filled(profile);
        }
        check(&changed)?;
        webhook::update(&changed)?;
        // What waits may pass now.
        start::start_messenger_at_commit();
        Ok(())
    };
    alter().map_err(report)
}

/// Remove a webhook; what waits for it is given up.
#[pg_extern(sql = false)]
pub fn drop_webhook(name: Text) -> Result<(), ErrorReport> {
    webhook::delete(&name.0)
        .and_then(|()| notification::give_up_all_of(&name.0, "the webhook was dropped"))
        .map_err(report)
}

type Told = (Text, bool, Text);

/// Send a notification to one webhook, or to all of them at the same time, and say what came of it.
#[pg_extern(sql = false)]
pub fn send_test_notification(
    webhook: Option<Text>,
) -> Result<TableIterator<'static, (name!(webhook, Text), name!(ok, bool), name!(note, Text))>, ErrorReport> {
    Ok(TableIterator::new(send_test(webhook).map_err(report)?))
}

fn send_test(name: Option<Text>) -> CoreResult<Vec<Told>> {
    let webhooks = match name {
        Some(name) => vec![webhook::find(&name.0)?],
        None => webhook::all()?,
    };
    let (sender, asked_by) = (Sender::here()?, server::session_user());
    let io = Io::start_in_session()?;
    let mut sent = Vec::new();
    for webhook in webhooks {
        let task = receivers::open(&webhook).and_then(|receiver| {
            let now = clock::now();
            let notification = sender.test(&asked_by, now);
            io.spawn(async move {
                let outcome = receiver.send(&notification, now.timestamp()).await;
                Ok(outcome.map(|status| {
                    format!("{}: it answered with status {}", receiver.host(), status.as_u16())
                }))
            })
        });
        sent.push((webhook.name, task));
    }
    let mut told = Vec::new();
    for (name, task) in sent {
        let (ok, note) = match task.and_then(|mut task| io.wait_for(&mut task)) {
            Ok(Ok(note)) => (true, note),
            Ok(Err(failure)) => (false, failure.note),
            Err(error) => (false, error.to_string()),
        };
        told.push((Text(name), ok, Text(note)));
    }
    Ok(told)
}

/// Start a messenger when the transaction commits; for the function that queues notifications.
#[pg_extern(sql = false)]
pub fn _wake_messenger() {
    start::start_messenger_at_commit();
}

/// An empty text is none.
fn filled(text: Option<Text>) -> Option<String> {
    text.map(|text| text.0.trim().to_owned()).filter(|text| !text.is_empty())
}

fn list(json: Option<Text>) -> CoreResult<Option<Vec<String>>> {
    json.map(|json| {
        serde_json::from_str(&json.0).map_err(|_| Error::invalid("a list of names must not hold NULL"))
    })
    .transpose()
}

fn to_url(text: String) -> CoreResult<Url> {
    let host = Target::parse_public(&text)?.host().to_string();
    Ok(Url { text, host })
}

fn check(webhook: &Webhook) -> CoreResult<()> {
    check_name("webhook", &webhook.name)?;
    let format: Format = webhook.format.parse()?;
    for name in webhook.schedules.iter().flatten() {
        schedule::find(name)?;
    }
    if let Some(profile) = &webhook.profile {
        check_name("profile", profile)?;
    }
    match &webhook.url {
        Some(_) if format.has_secret_url() => {
            Err(Error::invalid(format!("a webhook of format {format} takes no URL here"))
                .detail("Whoever knows it may write there: it is a secret.")
                .hint("Name a profile of the credentials file that has it as webhook_url."))
        }
        Some(url) => receivers::allowed()?.may_permit(Target::parse_public(&url.text)?.host()),
        None if webhook.profile.is_none() => Err(Error::invalid("a webhook needs a URL or a profile")
            .hint("A profile of the credentials file may have webhook_url and webhook_secret.")),
        None => Ok(()),
    }
}
