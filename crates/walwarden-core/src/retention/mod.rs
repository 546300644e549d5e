//! Which backups of a schedule are kept, which are deleted, and why: a plan, made from what is in storage and shown
//! before anything happens. Nothing is deleted here.
//!
//! # What is looked at
//! The backups whose objects are in storage, of one schedule. A failed run is none of them, so it changes nothing.
//! Backups from before an upgrade with pg_upgrade are backups as any other. Their order is that of their snapshots,
//! never that of their names.
//!
//! A backup that is known to be damaged counts for no rule: it uses up no slot and is deleted, but where a rail holds it.
//!
//! # Rails: what is never deleted, whatever the policy says
//! - the newest good backup, and the newest good one that was verified;
//! - the newest `min_keep` good ones, by their number and not by their age;
//! - what a job is using, and what the storage has locked;
//! - good ones from the future (see below);
//! - all of them, if none is good.
//!
//! # Rules: a good backup is kept if any of them keeps it
//! - `keep_last`: the newest so many.
//! - `keep_for`: those whose snapshot is less than so long before that of the newest good one. It is not the present
//!   time that counts: when no more backups are made, none expires.
//! - `keep_hourly`, `keep_daily`, `keep_weekly`, `keep_monthly`, `keep_yearly`: the newest of each of the last so many
//!   hours (days, weeks as in ISO 8601, months, years) that have a backup, by the clock and calendar of the schedule's
//!   time zone. While there are fewer of them than that, the oldest backup is kept too, which makes the history as long
//!   as it can be.
//!
//! Without any of them everything good is kept, and with no `max_total_size` either nothing is ever deleted.
//!
//! # `max_total_size`
//! Afterwards, while the sizes of all that is kept add up to more, the oldest that no rail holds is deleted. If the
//! rails alone are larger than that, so is what stays.
//!
//! # When the clock is wrong
//! A backup from the future (its snapshot is later than now) was made under a clock that was ahead, or the clock is
//! behind now: from here one cannot tell. So it is kept, and it counts for no rule and no other rail until the clock
//! has passed it. Made by a clock that was ahead, it would push out for as long the backups made since; and if the
//! clock is behind, it is one of the last made.
//!
//! A clock that jumps ahead expires nothing, as no age is measured from the present time. A *backup* made under it
//! makes the others look old: then `keep_for` keeps none of them, the other rules do not care, and `min_keep` is
//! what stands for all of them. What was made while the clock was behind is as old, once it is right, as its snapshot
//! says.
//!
//! # Planning again
//! A plan says the same for any order of the backups. Once it is carried out, the next one deletes nothing more until
//! there is something new: a backup, a damage, the end of a use or of a lock, or a clock that has passed a backup from
//! the future. One that was carried out in part deletes nothing afterwards that it had kept.
//!
//! # Where this is not `restic forget`
//! Slots are filled as restic does (`internal/restic/snapshot_policy.go`), the oldest one included, and the hour that
//! the clock shows twice when summer time ends is one hour here too. But:
//! - damaged backups and those from the future fill no slot; restic knows no damaged ones, and lets those from the
//!   future count wherever it counts instead of measuring ages;
//! - hours and days are those of the schedule's time zone instead of those of the machine;
//! - a day or an hour that the clock enters again after it was in another (it was set back over midnight, or by two
//!   hours) is one; restic compares with the last slot only and counts it twice;
//! - `keep_for` is in seconds, restic's `--keep-within` in years, months, days and hours of the calendar;
//! - there are no `--keep-within-daily` and the like, no tags, and no `unlimited`;
//! - rails and `max_total_size` are ours.

mod period;
mod plan;
mod policy;
mod reason;

pub use period::Period;
pub use plan::{Backup, Decision, plan};
pub use policy::Policy;
pub use reason::Reason;

#[cfg(test)]
mod tests;
