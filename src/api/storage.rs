//! Storages: add, alter, drop, check.

use super::schedule::{check_name, wake_launcher_at_commit};
use crate::catalog::database;
use crate::catalog::storage::{self, Storage};
use crate::error::report;
use crate::keyring;
use crate::pg::sql;
use crate::pg::text::Text;
use crate::worker::io::Io;
use crate::worker::remains;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::path::{Path, PathBuf};
use walwarden_core::{Error, ErrorClass, Result as CoreResult};
use walwarden_reach::AllowList;
use walwarden_store::{Location, StorageOptions, Store};

/// Name of the storage made at CREATE EXTENSION.
pub const DEFAULT: &str = "local";

/// Add a storage.
#[pg_extern(sql = false)]
pub fn _add_storage(name: Text, url: Text, options: Text) -> Result<(), ErrorReport> {
    let add = || {
        check_name("storage", &name.0)?;
        storage::insert(&Storage {
            name: name.0.clone(),
            url: check(&url.0, &options.0, true)?,
            options: options.0.clone(),
        })
    };
    add().map_err(report)
}

/// Change a storage's URL, its options, or both; what is NULL stays.
#[pg_extern(sql = false)]
pub fn _alter_storage(name: Text, url: Option<Text>, options: Option<Text>) -> Result<(), ErrorReport> {
    let alter = || {
        let mut changed = storage::find(&name.0)?;
        if let Some(url) = &url {
            changed.url = url.0.clone();
        }
        if let Some(options) = &options {
            changed.options = options.0.clone();
        }
        changed.url = check(&changed.url, &changed.options, url.is_some())?;
        storage::update(&changed)
    };
    alter().map_err(report)
}

/// Remove a storage that nothing uses. What was written there stays.
#[pg_extern(sql = false)]
pub fn drop_storage(name: Text) -> Result<(), ErrorReport> {
    let forgotten = storage::delete(&name.0).map_err(report)?;
    if forgotten > 0 {
        pgrx::notice!(
            "{forgotten} backups that storage \"{}\" has are not known here any more; what was written there stays",
            name.0
        );
    }
    Ok(())
}

/// Do on a storage what a backup does, in small; gives each step and whether it worked.
#[pg_extern(sql = false)]
pub fn check_storage(
    name: Text,
) -> Result<
    TableIterator<'static, (name!(step, Text), name!(ok, bool), name!(note, Option<Text>))>,
    ErrorReport,
> {
    let checked = || {
        let storage = storage::find(&name.0)?;
        let store = remains::open_for_check(&storage.url, &storage.options)?;
        Io::start_in_session()?.run(async move { Ok(store.check().await) })
    };
    let steps = checked().map_err(report)?;
    Ok(TableIterator::new(
        steps.into_iter().map(|step| (Text::from(step.step), step.is_ok(), step.note().map(Text::from))),
    ))
}

/// What CREATE EXTENSION does last: this database's identity, and the default storage.
#[pg_extern(sql = false)]
pub fn _install() -> Result<(), ErrorReport> {
    let install = || {
        database::create()?;
        keyring::make_folder(&keyring::home())?;
        let folder = default_folder();
        let url = Location::from_folder(&folder)?.to_string();
        storage::insert(&Storage { name: DEFAULT.to_owned(), url, options: "{}".to_owned() })
    };
    install().map_err(report)?;
    wake_launcher_at_commit();
    Ok(())
}

/// A URL, which is new or was there, and options that a backup could use; gives the URL in its normal form.
fn check(url: &str, options: &str, is_new: bool) -> CoreResult<String> {
    let location = Location::parse(url)?;
    let options = StorageOptions::parse(&location, &parse_options(options)?)?;
    let allowed = remains::allowed()?;
    Store::permit(&location, &options, &remains::credentials(), &allowed)?;
    if let (Location::File { root }, true) = (&location, is_new) {
        require_may_use(root, &allowed)?;
    }
    Ok(location.to_string())
}

/// A folder is written to with the rights of the server's user. It is the user of the session that must be trusted with that:
/// functions of walwarden run with the rights of its owner.
fn require_may_use(folder: &Path, allowed: &AllowList) -> CoreResult<()> {
    if folder.starts_with(default_folder()) || allowed.has_folder(folder) {
        return Ok(());
    }
    let row = sql::query_one(
        "SELECT pg_catalog.pg_has_role(session_user, 'pg_write_server_files', 'USAGE'), session_user::text",
        &[],
    )?
    .ok_or_else(|| Error::internal("a privilege could not be looked up"))?;
    if row.flag(0)? {
        return Ok(());
    }
    Err(Error::new(ErrorClass::NotPermitted, format!("permission denied to store in folder \"{}\"", folder.display()))
        .detail(format!(
            "Only a role with the privileges of pg_write_server_files may name any folder of the server, and \"{}\" has not.",
            row.text(1)?
        ))
        .hint("An administrator can list the folder in the setting walwarden.storage_allow."))
}

/// Where the storage of CREATE EXTENSION keeps backups.
pub fn default_folder() -> PathBuf {
    keyring::home().join("backups")
}

fn parse_options(options: &str) -> CoreResult<serde_json::Value> {
    serde_json::from_str(options).map_err(|cause| Error::invalid(format!("options are not JSON: {cause}")))
}
