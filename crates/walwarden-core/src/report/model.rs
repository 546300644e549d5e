//! What the page shows. Times carry the offset of the reader's time zone; lists are cut by whoever fills them.

use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use uuid::Uuid;

use crate::job::JobKind;
use crate::retention::Policy;

/// A moment as the reader's clock shows it.
pub type Time = DateTime<FixedOffset>;

/// Everything on the page.
#[derive(Debug, Clone)]
pub struct Report {
    /// What it is about, and who made it.
    pub head: Head,
    /// From then on, by when jobs ended.
    pub from: Time,
    /// Up to then, which is not part of it.
    pub to: Time,
    /// `scheduler` of `walwarden.status`: `running`, or why schedules do not fire.
    pub scheduler: String,
    /// The newest backup that is not known to be damaged, as of now.
    pub recovery_point: Option<RecoveryPoint>,
    /// The schedules as of now.
    pub schedules: Listing<Schedule>,
    /// The backups that ended in the range.
    pub backups: Backups,
    /// Backups in storage that are known to be damaged, as of now.
    pub damaged: Listing<Damaged>,
    /// What could have been lost, and which times were passed over.
    pub gaps: Gaps,
    /// Jobs of any kind that failed in the range.
    pub failures: Failures,
    /// Verifications and restore tests.
    pub checks: Checks,
    /// What was deleted in the range.
    pub deletions: Deletions,
    /// The storages, as of now.
    pub storages: Listing<Storage>,
    /// What the check of the audit chain found, now.
    pub chain: Chain,
    /// Which keys signed.
    pub keys: Keys,
}

/// What the page is about, and who made it.
#[derive(Debug, Clone)]
pub struct Head {
    /// Its name.
    pub database: String,
    /// walwarden's id of it.
    pub database_id: Uuid,
    /// As the server calls itself.
    pub server_version: String,
    /// Of this library.
    pub walwarden_version: String,
    /// When the page was made.
    pub made_at: Time,
    /// Who asked for it.
    pub made_by: String,
    /// The name of the session's time zone.
    pub time_zone: String,
    /// When the first job of this database was queued, if there ever was one.
    pub first_job: Option<Time>,
}

/// The beginning of a list, and how long it is.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    /// Those that are shown.
    pub rows: Vec<T>,
    /// How many there are.
    pub total: u64,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), total: 0 }
    }
}

impl<T> Listing<T> {
    /// All there is.
    pub fn whole(rows: Vec<T>) -> Self {
        Self { total: rows.len() as u64, rows }
    }

    /// How many are not shown.
    pub fn left_out(&self) -> u64 {
        self.total.saturating_sub(self.rows.len() as u64)
    }
}

/// The backup that would be restored if the database were lost now.
#[derive(Debug, Clone)]
pub struct RecoveryPoint {
    /// Its job.
    pub job: Uuid,
    /// The moment whose data it holds.
    pub at: Time,
    /// Of the archive.
    pub size: Option<u64>,
    /// It does not hold all of the database.
    pub filtered: bool,
    /// The storages that have it.
    pub storage: String,
    /// When it was last verified, and how deep.
    pub verified: Option<(Time, String)>,
    /// When restoring it last passed a test.
    pub tested_at: Option<Time>,
    /// Bytes of write-ahead log that the cluster has written since.
    pub wal_since: Option<u64>,
    /// Rows changed since.
    pub changed_rows: Option<u64>,
}

/// A schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// When it runs; none runs by hand only.
    pub cron: Option<String>,
    /// The zone of that.
    pub time_zone: String,
    /// It is not paused.
    pub enabled: bool,
    /// Where its backups go.
    pub storage: String,
    /// When it runs next.
    pub next_run: Option<Time>,
    /// The moment that its newest good backup holds.
    pub recovery_point: Option<Time>,
    /// How old that may be.
    pub rpo: Option<Duration>,
    /// Whether it is no older.
    pub rpo_met: Option<bool>,
    /// The most that could have been lost at any time in the range, with nothing but its backups.
    pub largest_window: Option<Duration>,
    /// What is kept of its backups.
    pub retention: Policy,
    /// How many of its backups are in storage.
    pub kept: u64,
    /// The oldest of these, by the moment it holds.
    pub oldest_kept: Option<Time>,
}

/// The backups that ended in the range.
#[derive(Debug, Clone, Default)]
pub struct Backups {
    /// In all of their storages.
    pub completed: u64,
    /// In some of their storages.
    pub partial: u64,
    /// Ended by an error.
    pub failed: u64,
    /// Ended by somebody.
    pub canceled: u64,
    /// Of the good ones, those that do not hold all of the database.
    pub filtered: u64,
    /// How the newest one of all times ended, if it failed.
    pub newest_failed: Option<Time>,
    /// They, one by one or by calendar.
    pub series: Series,
}

impl Backups {
    /// Those that can be restored, or could.
    pub const fn good(&self) -> u64 {
        self.completed + self.partial
    }
}

/// Backups over time.
#[derive(Debug, Clone)]
pub enum Series {
    /// Each of them, the oldest first.
    Each(Vec<Backup>),
    /// Too many for that: one for each hour, day or longer in which one ended, the oldest first.
    Periods(Unit, Listing<Period>),
}

impl Default for Series {
    fn default() -> Self {
        Self::Each(Vec::new())
    }
}

/// One backup.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Its job.
    pub job: Uuid,
    /// Its schedule.
    pub schedule: Option<String>,
    /// Where it was to go.
    pub storage: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When.
    pub ended_at: Time,
    /// The moment it holds.
    pub snapshot_at: Option<Time>,
    /// From its start to its end, the proof included.
    pub took: Option<Duration>,
    /// Of the archive.
    pub size: Option<u64>,
    /// In it.
    pub rows: Option<u64>,
    /// It does not hold all of the database.
    pub filtered: bool,
    /// It is in storage no more, or is about to go.
    pub deleted: bool,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done and proven.
    Completed,
    /// The same, but not in all storages.
    Partial,
    /// By an error.
    Failed,
    /// By somebody.
    Canceled,
}

/// How long the periods are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week, from Monday on.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Unit {
    /// The shortest of which a span has no more than about a hundred.
    pub fn for_span(span: Duration) -> Self {
        let hours = span.as_secs() / 3600;
        match hours {
            0..96 => Self::Hour,
            96..2400 => Self::Day,
            2400..17_520 => Self::Week,
            17_520..87_600 => Self::Month,
            _ => Self::Year,
        }
    }

    /// As `date_trunc` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// The backups that ended in an hour, day or longer.
#[derive(Debug, Clone)]
pub struct Period {
    /// When it began.
    pub begins: Time,
    /// Good ones, in all of their storages or in some.
    pub good: u64,
    /// Ended by an error.
    pub failed: u64,
    /// Ended by somebody.
    pub canceled: u64,
    /// Of the archives; none when no good one ended.
    pub size: Option<Spread<u64>>,
    /// From start to end.
    pub took: Option<Spread<Duration>>,
}

/// Of several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread<T> {
    /// The smallest.
    pub low: T,
    /// Their mean.
    pub mean: T,
    /// The largest.
    pub high: T,
}

/// A backup that is known to be damaged.
#[derive(Debug, Clone)]
pub struct Damaged {
    /// Its job.
    pub job: Uuid,
    /// The moment it holds.
    pub snapshot_at: Option<Time>,
    /// The storage that has it so.
    pub storage: String,
    /// What is wrong.
    pub damage: String,
}

/// What could have been lost, and which times were passed over.
#[derive(Debug, Clone, Default)]
pub struct Gaps {
    /// The longest ones, the longest first.
    pub windows: Vec<Window>,
    /// Scheduled times that passed while the run before went on.
    pub skipped: u64,
    /// Scheduled times that passed while nothing could run.
    pub missed: u64,
    /// Both, the newest first.
    pub passed_over: Listing<PassedOver>,
}

/// From the moment that a good backup holds to the end of the next good one: just before that end, so much would have been lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The moment that the earlier one holds.
    pub since: Time,
    /// When the next one was done; or the end of the range, or now.
    pub until: Time,
    /// There was no next one.
    pub is_open: bool,
}

impl Window {
    /// How long it is; nothing when the clock was set back.
    pub fn length(&self) -> Duration {
        (self.until - self.since).to_std().unwrap_or_default()
    }
}

/// Scheduled times that did not run.
#[derive(Debug, Clone)]
pub struct PassedOver {
    /// When it was noticed.
    pub at: Time,
    /// `backup.missed`, `verify.skipped` and the like.
    pub event: String,
    /// Whose times.
    pub schedule: String,
    /// The last of these times, UTC.
    pub scheduled_for: String,
    /// How many.
    pub count: u64,
}

/// Jobs that failed in the range.
#[derive(Debug, Clone, Default)]
pub struct Failures {
    /// How many of each kind and class, the most first.
    pub by_class: Listing<FailedClass>,
    /// The newest first.
    pub newest: Listing<Failure>,
}

/// How many jobs failed alike.
#[derive(Debug, Clone)]
pub struct FailedClass {
    /// Of the jobs.
    pub kind: JobKind,
    /// Of the error.
    pub class: String,
    /// How many.
    pub count: u64,
    /// The newest.
    pub last: Time,
}

/// A job that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// When.
    pub at: Time,
    /// The job.
    pub job: Uuid,
    /// Of the job.
    pub kind: JobKind,
    /// Of the job.
    pub schedule: Option<String>,
    /// Of the error.
    pub class: String,
    /// What failed.
    pub message: String,
    /// What was seen.
    pub detail: Option<String>,
}

/// Verifications and restore tests.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    /// Restore tests in the range.
    pub tests: Tally,
    /// Verifications in the range.
    pub verifications: Tally,
    /// Both, the newest first.
    pub newest: Listing<Check>,
}

/// How often something was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Well.
    pub passed: u64,
    /// Not well.
    pub failed: u64,
    /// When it last went well, in the range or before.
    pub last_passed: Option<Time>,
    /// When it last did not.
    pub last_failed: Option<Time>,
}

impl Tally {
    /// Whether the latest one failed.
    pub fn ends_badly(&self) -> bool {
        match (self.last_passed, self.last_failed) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(passed), Some(failed)) => failed > passed,
        }
    }
}

/// A verification or a restore test.
#[derive(Debug, Clone)]
pub struct Check {
    /// When it ended.
    pub at: Time,
    /// What it was.
    pub kind: JobKind,
    /// How deep a verification was.
    pub depth: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The backup's job.
    pub backup: Uuid,
    /// The moment that backup holds, where it is known here.
    pub snapshot_at: Option<Time>,
    /// Which copy.
    pub storage: String,
    /// That were counted.
    pub rows: Option<u64>,
    /// A query was asked of what was restored.
    pub smoke: bool,
    /// What it could not look at.
    pub unchecked: Option<String>,
    /// Why it failed.
    pub message: Option<String>,
    /// From its start to its end.
    pub took: Option<Duration>,
}

/// What was deleted in the range.
#[derive(Debug, Clone, Default)]
pub struct Deletions {
    /// How many for each reason, the most first.
    pub by_reason: Listing<DeletedFor>,
    /// The newest first.
    pub newest: Listing<Deletion>,
    /// Decided more than an hour ago; no storage holds them by a lock, and something of them is still there.
    pub pending: u64,
    /// In storage, and of no schedule that is there: no retention deletes them.
    pub kept_without_schedule: u64,
}

/// How many backups were deleted alike.
#[derive(Debug, Clone)]
pub struct DeletedFor {
    /// Who decided it; `walwarden` is the retention of a schedule.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// A backup that was to go.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// When that was decided.
    pub decided_at: Time,
    /// Its job.
    pub job: Uuid,
    /// Its schedule.
    pub schedule: Option<String>,
    /// The moment it held.
    pub snapshot_at: Option<Time>,
    /// Why.
    pub reason: String,
    /// Who decided it.
    pub by: String,
    /// When its last object was gone.
    pub deleted_at: Option<Time>,
}

/// A storage.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Backups in it.
    pub stored: u64,
    /// Of these.
    pub bytes: u64,
    /// Copies that it should have and does not.
    pub missing: u64,
    /// Copies that it does not let go.
    pub retained: u64,
    /// When it last got one.
    pub newest: Option<Time>,
}

/// What the check of the audit chain found.
#[derive(Debug, Clone)]
pub struct Chain {
    /// How many entries were looked at, the newest.
    pub checked: u64,
    /// The number of the head: how many there should be.
    pub entries: u64,
    /// The check began with the first entry.
    pub is_whole: bool,
    /// Of the head, hexadecimal.
    pub head: String,
    /// What is wrong, by the number of the entry.
    pub problems: Listing<(i64, String)>,
}

/// Which keys signed.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// The id of the key that signs now; none before the first backup.
    pub current: Option<String>,
    /// Why that is not known.
    pub problem: Option<String>,
    /// By the manifests of the newest backups of the range, the oldest key first.
    pub used: Listing<KeyUse>,
    /// How many manifests were looked at.
    pub manifests: u64,
    /// What the audit chain has of keys in the range, the newest first.
    pub events: Listing<KeyEvent>,
}

/// A key and what it signed.
#[derive(Debug, Clone)]
pub struct KeyUse {
    /// The key's id; none where the manifest names none.
    pub id: Option<String>,
    /// When the first of these backups ended.
    pub first: Time,
    /// When the last one did.
    pub last: Time,
    /// How many.
    pub backups: u64,
}

/// Something that happened to a key.
#[derive(Debug, Clone)]
pub struct KeyEvent {
    /// When.
    pub at: Time,
    /// `key.rotated` and the like.
    pub event: String,
    /// Who did it.
    pub actor: String,
}
