//! Values of options as they come out of JSON. No error repeats a value.

use std::time::Duration;

use serde_json::{Map, Value};
use walwarden_core::{Error, Result};

use super::byte_size;
use crate::encryption::Recipients;

/// How long one request may take before its bytes are counted, unless the option `timeout` says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn refuse_unknown(object: &Map<String, Value>, known: &[&str], scheme: &str) -> Result<()> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(Error::invalid(format!("storage option {:?} is unknown", shortened(unknown)))
            .hint(format!(
                "Options of {scheme} storages are: {}, {}.",
                known.join(", "),
                Recipients::OPTION
            ))),
    }
}

pub(super) fn invalid(name: &str, detail: impl Into<String>) -> Error {
    Error::invalid(format!("storage option {:?} has an invalid value", shortened(name))).detail(detail)
}

/// The error for an option that goes with no other value, or not without another option.
pub(super) fn impossible(name: &str, detail: impl Into<String>) -> Error {
    Error::invalid(format!("storage option {:?} cannot be used here", shortened(name))).detail(detail)
}

fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Whether the option is given; JSON null is not.
pub(super) fn is_given(object: &Map<String, Value>, name: &str) -> bool {
    object.get(name).is_some_and(|value| !value.is_null())
}

pub(super) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(invalid(name, "The value must be a string.")),
    }
}

pub(super) fn boolean(object: &Map<String, Value>, name: &str) -> Result<Option<bool>> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(invalid(name, "The value must be true or false.")),
    }
}

/// One of some texts, by its place in `choices`.
pub(super) fn choice<T: Copy>(
    object: &Map<String, Value>,
    name: &str,
    choices: &[(&str, T)],
) -> Result<Option<T>> {
    let Some(value) = text(object, name)? else { return Ok(None) };
    match choices.iter().find(|(choice, _)| *choice == value) {
        Some((_, meaning)) => Ok(Some(*meaning)),
        None => {
            let names: Vec<String> = choices.iter().map(|(choice, _)| format!("\"{choice}\"")).collect();
            Err(invalid(name, format!("The value must be one of {}.", names.join(", "))))
        }
    }
}

/// A string of 1 to 128 ASCII letters, digits and `others`.
pub(super) fn name(object: &Map<String, Value>, option: &str, others: &str) -> Result<Option<String>> {
    let Some(value) = text(object, option)? else { return Ok(None) };
    let usable = (1..=128).contains(&value.len())
        && value.trim() == value
        && value.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
    if usable {
        Ok(Some(value.to_owned()))
    } else {
        Err(invalid(option, format!("The value must be 1 to 128 letters, digits or any of \"{others}\".")))
    }
}

/// A number of bytes, or a text such as "16MB".
pub(super) fn size(
    object: &Map<String, Value>,
    option: &str,
    smallest: u64,
    largest: u64,
) -> Result<Option<u64>> {
    let bytes = match object.get(option) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(value)) => byte_size::parse(value),
        Some(_) => None,
    };
    match bytes {
        Some(bytes) if (smallest..=largest).contains(&bytes) => Ok(Some(bytes)),
        _ => Err(invalid(
            option,
            format!("The value must be a size such as \"16MB\", from {smallest} to {largest} bytes."),
        )),
    }
}

/// A whole number.
pub(super) fn number(
    object: &Map<String, Value>,
    option: &str,
    smallest: u64,
    largest: u64,
) -> Result<Option<u64>> {
    match object.get(option) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) if (smallest..=largest).contains(&number) => Ok(Some(number)),
            _ => Err(invalid(
                option,
                format!("The value must be a whole number from {smallest} to {largest}."),
            )),
        },
    }
}

/// The option `timeout`, which all storages over a network have.
pub(super) fn timeout(object: &Map<String, Value>) -> Result<Duration> {
    Ok(number(object, "timeout", 1, 3600)?.map_or(DEFAULT_TIMEOUT, Duration::from_secs))
}

/// The option `profile`, which all storages over a network have.
pub(super) fn profile(object: &Map<String, Value>) -> Result<Option<String>> {
    name(object, "profile", "_-.@+ ")
}
