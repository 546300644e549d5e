//! The names of what is recorded: `family.action`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::job::{JobKind, JobState};

/// An enum whose values have a name, all listed.
macro_rules! actions {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$variant_doc])* $variant),+ }

        impl $type {
            /// Every action.
            pub const ALL: &[$type] = &[$(Self::$variant),+];

            /// The stable name, the part of the event's name after the dot.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

actions! {
    /// What happens to a job.
    JobAction {
        /// It waits to be taken up.
        Queued = "queued",
        /// A leader is being started for it.
        Claimed = "claimed",
        /// Its work began.
        Running = "running",
        /// Its work is done, the proof is being made.
        Finalizing = "finalizing",
        /// Done and proven.
        Completed = "completed",
        /// Done and proven on some of the storages.
        Partial = "partial",
        /// Ended by an error.
        Failed = "failed",
        /// Ended by a user.
        Canceled = "canceled",
        /// A scheduled time was passed over, because the run before was still going on.
        Skipped = "skipped",
        /// A scheduled time went by while nothing could run.
        Missed = "missed",
        /// It was found without a process and given up.
        Reaped = "reaped",
        /// Its artifact reached the end of its retention.
        Expired = "expired",
        /// Its artifact was deleted.
        Deleted = "deleted",
        /// Its artifact was to be deleted, and a storage holds it by a lock.
        Retained = "retained",
    }
}

actions! {
    /// What happens to a schedule.
    ScheduleAction {
        /// It was defined.
        Created = "created",
        /// It was changed.
        Altered = "altered",
        /// It was paused.
        Paused = "paused",
        /// It was resumed.
        Resumed = "resumed",
        /// It was removed.
        Removed = "removed",
        /// The clock was set back: times up to where it had been come a second time, and do not run a second time.
        ClockSetBack = "clock_set_back",
    }
}

actions! {
    /// What happens to a storage.
    StorageAction {
        /// It was defined.
        Created = "created",
        /// It was changed.
        Altered = "altered",
        /// It was removed.
        Removed = "removed",
        /// The backups in it were looked for.
        Discovered = "discovered",
        /// Uploads that no job knew were given up.
        UploadsAborted = "uploads_aborted",
    }
}

actions! {
    /// What happens to a webhook.
    WebhookAction {
        /// It was defined.
        Created = "created",
        /// It was changed.
        Altered = "altered",
        /// It was removed.
        Removed = "removed",
    }
}

actions! {
    /// What happens to the signing key.
    KeyAction {
        /// The first key was met.
        Created = "created",
        /// Another key took its place, by a statement that the old one signed.
        Rotated = "rotated",
        /// Another key took its place without such a statement.
        Replaced = "replaced",
    }
}

actions! {
    /// What happens to the database as a whole.
    DatabaseAction {
        /// A copy was made a database of its own.
        Adopted = "adopted",
        /// It is in another place, and goes on there as itself.
        Moved = "moved",
    }
}

actions! {
    /// What happens to walwarden's own objects.
    ExtensionAction {
        /// ALTER EXTENSION UPDATE.
        Updated = "updated",
    }
}

actions! {
    /// What happens to the chain itself.
    ChainAction {
        /// A sign of life, so that silence is evidence.
        Heartbeat = "heartbeat",
        /// Storage holds a checkpoint of the same size with another root.
        Fork = "fork",
        /// Storage holds a newer checkpoint than the chain reaches.
        Rollback = "rollback",
    }
}

/// What an entry records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// `backup.*`, `verify.*`, `restore.*`, `restore_test.*`
    Job(JobKind, JobAction),
    /// `schedule.*`
    Schedule(ScheduleAction),
    /// `storage.*`
    Storage(StorageAction),
    /// `webhook.*`
    Webhook(WebhookAction),
    /// `key.*`
    Key(KeyAction),
    /// `database.*`
    Database(DatabaseAction),
    /// `extension.*`
    Extension(ExtensionAction),
    /// `chain.*`
    Chain(ChainAction),
}

impl Event {
    /// The event of a job's change to `state`.
    pub const fn of_state(kind: JobKind, state: JobState) -> Self {
        let action = match state {
            JobState::Queued => JobAction::Queued,
            JobState::Claimed => JobAction::Claimed,
            JobState::Running => JobAction::Running,
            JobState::Finalizing => JobAction::Finalizing,
            JobState::Completed => JobAction::Completed,
            JobState::Partial => JobAction::Partial,
            JobState::Failed => JobAction::Failed,
            JobState::Canceled => JobAction::Canceled,
        };
        Self::Job(kind, action)
    }

    /// Every event.
    pub fn all() -> impl Iterator<Item = Self> {
        let jobs = JobKind::ALL
            .into_iter()
            .flat_map(|kind| JobAction::ALL.iter().map(move |action| Self::Job(kind, *action)));
        jobs.chain(ScheduleAction::ALL.iter().copied().map(Self::Schedule))
            .chain(StorageAction::ALL.iter().copied().map(Self::Storage))
            .chain(WebhookAction::ALL.iter().copied().map(Self::Webhook))
            .chain(KeyAction::ALL.iter().copied().map(Self::Key))
            .chain(DatabaseAction::ALL.iter().copied().map(Self::Database))
            .chain(ExtensionAction::ALL.iter().copied().map(Self::Extension))
            .chain(ChainAction::ALL.iter().copied().map(Self::Chain))
    }

    /// The two halves of the name.
    const fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Job(kind, action) => (kind.name(), action.name()),
            Self::Schedule(action) => ("schedule", action.name()),
            Self::Storage(action) => ("storage", action.name()),
            Self::Webhook(action) => ("webhook", action.name()),
            Self::Key(action) => ("key", action.name()),
            Self::Database(action) => ("database", action.name()),
            Self::Extension(action) => ("extension", action.name()),
            Self::Chain(action) => ("chain", action.name()),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, action) = self.parts();
        write!(f, "{family}.{action}")
    }
}

impl FromStr for Event {
    type Err = Error;

    /// The event with exactly this name; anything else is `InvalidInput`.
    fn from_str(name: &str) -> Result<Self> {
        name.split_once('.')
            .and_then(|parts| Self::all().find(|event| event.parts() == parts))
            .ok_or_else(|| Error::invalid(format!("unknown audit event \"{name}\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_distinct_and_read_back() {
        let names: HashSet<String> = Event::all().map(|event| event.to_string()).collect();
        assert_eq!(names.len(), Event::all().count());
        for event in Event::all() {
            assert_eq!(event.to_string().parse::<Event>().unwrap(), event);
        }
    }

    #[test]
    fn state_changes_carry_the_state_in_their_name() {
        for kind in JobKind::ALL {
            for state in JobState::ALL {
                assert_eq!(Event::of_state(kind, state).to_string(), format!("{kind}.{state}"));
            }
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        for name in ["", "backup", "backup.", ".queued", "backup.queued.", "Backup.queued", "chain.queued"] {
            assert!(name.parse::<Event>().is_err(), "{name}");
        }
    }
}
