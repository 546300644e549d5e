//! Tags of objects, for lifecycle rules, bills and policies.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use walwarden_core::Result;

use super::values::invalid;

/// Names and values, in the order of the names.
pub type Tags = BTreeMap<String, String>;

/// Amazon's limits ("Categorizing your objects using tags", Amazon S3 User Guide); Azure has the same.
const MAX_TAGS: usize = 10;
const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 256;

pub(super) fn parse(object: &Map<String, Value>) -> Result<Tags> {
    const OPTION: &str = "tags";
    let given = match object.get(OPTION) {
        None | Some(Value::Null) => return Ok(Tags::new()),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(invalid(OPTION, "The value must be an object of strings.")),
    };
    if given.len() > MAX_TAGS {
        return Err(invalid(OPTION, format!("An object can have {MAX_TAGS} tags.")));
    }
    let mut tags = Tags::new();
    for (name, value) in given {
        let Value::String(value) = value else {
            return Err(invalid(OPTION, "The value must be an object of strings."));
        };
        if name.is_empty() || name.chars().count() > MAX_NAME || value.chars().count() > MAX_VALUE {
            return Err(invalid(
                OPTION,
                format!("A tag's name has 1 to {MAX_NAME} characters, its value at most {MAX_VALUE}."),
            ));
        }
        // Others are allowed in some services and not in others.
        let is_plain =
            |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || " +-=._:/@".contains(c));
        if !is_plain(name) || !is_plain(value) {
            return Err(invalid(OPTION, "Tags hold ASCII letters, digits, spaces and any of \"+-=._:/@\"."));
        }
        if name.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid(OPTION, "Names that begin with \"aws:\" are Amazon's own."));
        }
        tags.insert(name.clone(), value.clone());
    }
    Ok(tags)
}
