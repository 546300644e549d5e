//! What a job is and which states it may pass through.
//!
//! The database enforces the same transitions with a trigger; [`JobState::can_become`] is the definition both
//! follow.

use crate::named::named;

/// Where a job stands. The name is stable: it stands in `jobs.state` and in the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Waiting to be taken up.
    Queued,
    /// A leader is being started for it.
    Claimed,
    /// Its work is under way.
    Running,
    /// The work is done; the proof of it (manifest, read-back) is being made.
    Finalizing,
    /// Done and proven.
    Completed,
    /// Ended by an error.
    Failed,
    /// Ended by a user.
    Canceled,
    /// Done and proven on some of the schedule's storages, not on all.
    Partial,
}

impl JobState {
    /// Every state, in the order a job may meet them.
    pub const ALL: [JobState; 8] = [
        Self::Queued,
        Self::Claimed,
        Self::Running,
        Self::Finalizing,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Partial,
    ];

    /// The stable name, as in `jobs.state`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Partial => "partial",
        }
    }

    /// Whether a job in this state may go to `next` in one step. No state may become itself.
    pub const fn can_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Claimed | Self::Canceled | Self::Failed),
            Self::Claimed => matches!(next, Self::Running | Self::Failed | Self::Canceled),
            Self::Running => matches!(next, Self::Finalizing | Self::Failed | Self::Canceled),
            Self::Finalizing => {
                matches!(next, Self::Completed | Self::Partial | Self::Failed | Self::Canceled)
            }
            Self::Completed | Self::Failed | Self::Canceled | Self::Partial => false,
        }
    }

    /// Whether nothing comes after this state.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Partial)
    }
}

/// What a job does. The name is stable: it stands in `jobs.kind` and begins the names of audit events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Make a backup.
    Backup,
    /// Check a backup against its manifest.
    Verify,
    /// Bring a backup back into a database.
    Restore,
    /// Restore into a throw-away database, to prove that it can be done.
    RestoreTest,
    /// Copy a backup from one storage into another.
    Copy,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [JobKind; 5] = [Self::Backup, Self::Verify, Self::Restore, Self::RestoreTest, Self::Copy];

    /// The stable name, as in `jobs.kind`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::Restore => "restore",
            Self::RestoreTest => "restore_test",
            Self::Copy => "copy",
        }
    }
}

/// What made a job exist. The name is stable: it stands in `jobs.trigger` and in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// A user asked for it.
    Manual,
    /// A schedule was due.
    Schedule,
}

impl Trigger {
    /// Every trigger.
    pub const ALL: [Trigger; 2] = [Self::Manual, Self::Schedule];

    /// The stable name, as in `jobs.trigger`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule => "schedule",
        }
    }
}

/// Whether a job is one of the few that run at once in a cluster, and waits until it may. A restore that somebody asked for
/// does not: an emergency must not wait behind nightly backups.
pub const fn waits_for_slot(kind: JobKind, trigger: Trigger) -> bool {
    !matches!((kind, trigger), (JobKind::Restore, Trigger::Manual))
}

/// How much of a backup is verified. The name is stable: it stands in `jobs.depth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Depth {
    /// The manifest with its signature, the globals, and that the archive has its size.
    Manifest,
    /// That, and every byte of the archive: checksums, blocks, rows.
    Full,
}

impl Depth {
    /// Every depth.
    pub const ALL: [Depth; 2] = [Self::Manifest, Self::Full];

    /// The stable name, as in `jobs.depth`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Full => "full",
        }
    }
}

named!(JobState, "job state");
named!(JobKind, "job kind");
named!(Trigger, "job trigger");
named!(Depth, "depth");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;
    use JobState::*;

    /// Written out apart from the code under test: every pair that is not here is refused.
    const ALLOWED: [(JobState, JobState); 13] = [
        (Queued, Claimed),
        (Queued, Canceled),
        (Queued, Failed),
        (Claimed, Running),
        (Claimed, Failed),
        (Claimed, Canceled),
        (Running, Finalizing),
        (Running, Failed),
        (Running, Canceled),
        (Finalizing, Completed),
        (Finalizing, Partial),
        (Finalizing, Failed),
        (Finalizing, Canceled),
    ];

    #[test]
    fn exactly_the_listed_transitions_are_allowed() {
        for from in JobState::ALL {
            for to in JobState::ALL {
                assert_eq!(from.can_become(to), ALLOWED.contains(&(from, to)), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn final_states_are_those_without_a_successor() {
        for state in JobState::ALL {
            let has_successor = JobState::ALL.into_iter().any(|next| state.can_become(next));
            assert_eq!(state.is_final(), !has_successor, "{state}");
        }
    }

    #[test]
    fn names_read_back() {
        for state in JobState::ALL {
            assert_eq!(state.name().parse::<JobState>().unwrap(), state);
        }
        for kind in JobKind::ALL {
            assert_eq!(kind.name().parse::<JobKind>().unwrap(), kind);
        }
        for depth in Depth::ALL {
            assert_eq!(depth.name().parse::<Depth>().unwrap(), depth);
        }
        for trigger in Trigger::ALL {
            assert_eq!(trigger.name().parse::<Trigger>().unwrap(), trigger);
        }
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        for name in ["", "Queued", "queued ", "done"] {
            let error = name.parse::<JobState>().unwrap_err();
            assert_eq!(error.class, ErrorClass::InvalidInput);
            assert!(error.hint.unwrap().contains("finalizing"));
        }
    }
}
