//! Whether what an unfinished job left in storage may be removed.
//!
//! Whoever finds the note of a lost job may be a copy of the server that ran it: a base backup, a promoted standby,
//! a virtual machine set back to a snapshot. There the job's row says "running" while the original went on and
//! completed the backup. So only the server that ran the job removes its objects without asking.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// How long a copy waits before it removes what its original's job left: longer than any backup runs.
const LONGEST_BACKUP: TimeDelta = TimeDelta::days(3);

/// A running server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Where it runs: host, data directory and timeline, as one text.
    pub place: String,
    /// When its postmaster started.
    pub started_at: DateTime<Utc>,
}

/// What may be done with the remains of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Remove them.
    Now,
    /// Remove them if there is no manifest: with one they are a backup, which somebody completed.
    UnlessProven,
    /// Leave them: the job may be running on the original server.
    NotYet,
}

impl Removal {
    /// Of what a job on the server `writer` noted at `noted_at`, by another process of the server `present`. A job
    /// that was not `finalizing` has written no manifest, unless the database was set back since.
    pub fn of(
        writer: &Server,
        noted_at: DateTime<Utc>,
        finalizing: bool,
        present: &Server,
        now: DateTime<Utc>,
    ) -> Self {
        if writer == present || (writer.place == present.place && finalizing) {
            Self::Now
        } else if writer.place == present.place || now - noted_at > LONGEST_BACKUP {
            Self::UnlessProven
        } else {
            Self::NotYet
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(place: &str, started_at: i64) -> Server {
        Server {
            place: place.to_owned(),
            started_at: DateTime::from_timestamp(started_at, 0).expect("a time"),
        }
    }

    #[test]
    fn only_the_same_server_removes_without_asking() {
        let writer = server("a:/data timeline 1", 1000);
        let noted = writer.started_at + TimeDelta::seconds(10);
        let soon = noted + TimeDelta::seconds(10);
        let of = |present: &Server, now| Removal::of(&writer, noted, false, present, now);
        assert_eq!(of(&writer, soon), Removal::Now);
        let restarted = server("a:/data timeline 1", 2000);
        assert_eq!(of(&restarted, soon), Removal::UnlessProven, "started again, or set back");
        assert_eq!(
            Removal::of(&writer, noted, true, &restarted, soon),
            Removal::Now,
            "crashed at the very end"
        );
        let copy = server("b:/data timeline 2", 2000);
        assert_eq!(of(&copy, soon), Removal::NotYet);
        assert_eq!(of(&copy, noted + LONGEST_BACKUP), Removal::NotYet);
        assert_eq!(of(&copy, noted + LONGEST_BACKUP + TimeDelta::seconds(1)), Removal::UnlessProven);
        // A clock that was set back makes nobody bolder.
        assert_eq!(of(&copy, noted - TimeDelta::days(9)), Removal::NotYet);
    }
}
