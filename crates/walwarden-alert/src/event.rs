//! The events that a webhook can choose.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use walwarden_core::job::JobKind;
use walwarden_core::{Error, Result};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// All is well.
    Info,
    /// Somebody should know.
    Warning,
    /// Something did not happen that should have.
    Error,
    /// What is relied on may not be relied on.
    Critical,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Severity {
    type Err = Error;

    /// The severity with exactly this name.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.name() == name)
            .ok_or_else(|| Error::invalid(format!("unknown severity \"{name}\"")))
    }
}

/// How a job may end, as the second half of an event's name.
const ENDS: [&str; 4] = ["completed", "failed", "timed_out", "canceled"];
/// What is not about the state of a job.
const OTHERS: [&str; 7] = [
    "schedule.missed",
    "schedule.skipped",
    "rpo.exceeded",
    "rpo.met",
    "audit.problem",
    "storage.nearly_full",
    TEST,
];
/// What `send_test_notification()` sends.
pub const TEST: &str = "test";

/// What wakes an operator: the choice of who chooses nothing.
pub const DEFAULT: [&str; 10] = [
    "backup.failed",
    "backup.timed_out",
    "backup.partial",
    "verify.failed",
    "restore_test.failed",
    "schedule.missed",
    "rpo.exceeded",
    "audit.problem",
    "storage.nearly_full",
    "restore_test.timed_out",
];

/// Every event that can be chosen, by name.
pub fn all() -> impl Iterator<Item = String> {
    let ends = |kind| ENDS.into_iter().chain((kind == JobKind::Backup).then_some("partial"));
    let of_jobs =
        JobKind::ALL.into_iter().flat_map(move |kind| ends(kind).map(move |end| format!("{kind}.{end}")));
    of_jobs.chain(OTHERS.into_iter().map(str::to_owned))
}

/// The events that were chosen: by name, or a whole family as `family.*`. Sorted, each once.
///
/// # Errors
/// `InvalidInput` for what does not exist, with all that can be chosen; and where nothing was.
pub fn chosen(names: &[String]) -> Result<Vec<String>> {
    if names.is_empty() {
        return Err(
            Error::invalid("a webhook needs events").hint("NULL chooses those that wake an operator.")
        );
    }
    let mut events = BTreeSet::new();
    for name in names {
        let meant = |event: &String| match name.strip_suffix(".*") {
            Some(family) => event.split_once('.').is_some_and(|(of, _)| of == family),
            None => event == name,
        };
        let found: Vec<String> = all().filter(meant).collect();
        if found.is_empty() {
            return Err(Error::invalid(format!("there is no event \"{name}\"")).hint(format!(
                "Events: {}; or a family, such as backup.*.",
                all().collect::<Vec<_>>().join(", ")
            )));
        }
        events.extend(found);
    }
    Ok(events.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_must_exist() {
        let chosen =
            |names: &[&str]| chosen(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(chosen(&DEFAULT).unwrap().len(), DEFAULT.len());
        assert_eq!(
            chosen(&["verify.*", "test", "verify.failed"]).unwrap(),
            ["test", "verify.canceled", "verify.completed", "verify.failed", "verify.timed_out"]
        );
        assert_eq!(chosen(&["schedule.*"]).unwrap(), ["schedule.missed", "schedule.skipped"]);
        for bad in [
            "",
            "backup",
            "*",
            ".*",
            "backup.queued",
            "Backup.failed",
            "test.*",
            "backups.*",
            "backup.failed ",
        ] {
            let error = chosen(&["test", bad]).unwrap_err();
            assert!(error.hint.unwrap().contains("backup.timed_out"), "{bad}");
        }
        assert!(chosen(&[]).is_err());
    }

    #[test]
    fn severities_read_back() {
        for severity in Severity::ALL {
            assert_eq!(severity.name().parse::<Severity>().unwrap(), severity);
        }
        assert!("bad".parse::<Severity>().is_err());
    }
}
