//! What is kept, and what was deleted and why.

use maud::{Markup, html};

use super::failures::cut;
use super::section;
use super::table::{Column, left_out, none, table};
use crate::report::model::{DeletedFor, Deletion, Report, Schedule};
use crate::report::quantity::{count_text, counted, maybe_text, maybe_time, size_text, span_text, time};
use crate::retention::{Period, Policy};
use std::time::Duration;

/// The section.
pub fn draw(report: &Report) -> Markup {
    let deletions = &report.deletions;
    section(
        5,
        &html! {
            @if report.schedules.rows.is_empty() {
                (none("There is no schedule, so no retention: backups stay until somebody deletes them."))
            } @else {
                (table("retention-rules", "What each schedule keeps", &[
                    Column::Text("Schedule"), Column::Long("Kept"), Column::Number("In storage"), Column::Text("The oldest holds"),
                ], &report.schedules.rows.iter().map(rule).collect::<Vec<_>>()))
                (left_out("The first", report.schedules.rows.len(), report.schedules.total))
            }
            @if deletions.kept_without_schedule > 0 {
                p {
                    (counted(deletions.kept_without_schedule, "backup", "backups")) " in storage belong to no schedule that is there: "
                    "no retention deletes them."
                }
            }
            @if deletions.newest.total == 0 {
                (none("No backup was deleted in this time."))
            } @else {
                (table("retention-reasons", "Deleted, by reason", &[
                    Column::Long("Reason"), Column::Text("Decided by"), Column::Number("Backups"),
                ], &deletions.by_reason.rows.iter().map(reason).collect::<Vec<_>>()))
                (left_out("The first", deletions.by_reason.rows.len(), deletions.by_reason.total))
                (table("retention-deletions", "Deleted backups, the newest decision first", &[
                    Column::Text("Decided"), Column::Text("Data of"), Column::Text("Schedule"), Column::Long("Reason"), Column::Text("By"),
                    Column::Text("Gone from storage"), Column::Text("Job"),
                ], &deletions.newest.rows.iter().map(deletion).collect::<Vec<_>>()))
                (left_out("The newest", deletions.newest.rows.len(), deletions.newest.total))
            }
            @if deletions.pending > 0 {
                p { (counted(deletions.pending, "backup was", "backups were")) " to be deleted more than an hour ago, and not yet gone from all storages." }
            }
        },
    )
}

fn rule(schedule: &Schedule) -> Vec<Markup> {
    vec![
        html! { span.name { (schedule.name) } },
        html! { (policy(&schedule.retention)) },
        html! { (count_text(schedule.kept)) },
        maybe_time(schedule.oldest_kept.as_ref()),
    ]
}

fn reason(deleted: &DeletedFor) -> Vec<Markup> {
    vec![html! { (cut(&deleted.reason)) }, html! { (by(&deleted.by)) }, html! { (count_text(deleted.count)) }]
}

fn deletion(deletion: &Deletion) -> Vec<Markup> {
    vec![
        time(&deletion.decided_at),
        maybe_time(deletion.snapshot_at.as_ref()),
        maybe_text(deletion.schedule.as_deref()),
        html! { (cut(&deletion.reason)) },
        html! { (by(&deletion.by)) },
        html! { @match &deletion.deleted_at { Some(at) => { (time(at)) } None => { span.tag.attention { "not yet" } } } },
        html! { code.id { (deletion.job) } },
    ]
}

fn by(who: &str) -> &str {
    if who == "walwarden" { "retention" } else { who }
}

/// The rules in words.
fn policy(policy: &Policy) -> String {
    if policy.is_empty() {
        return "every backup, for ever".to_owned();
    }
    let mut rules = Vec::new();
    if let Some(last) = policy.keep_last {
        rules.push(format!("the last {}", count_text(last.into())));
    }
    if let Some(seconds) = policy.keep_for {
        rules.push(format!("those of the last {}", span_text(Duration::from_secs(seconds))));
    }
    for period in Period::ALL {
        if let Some(count) = policy.keep_each(period) {
            let (one, many) = match period {
                Period::Hour => ("hour", "hours"),
                Period::Day => ("day", "days"),
                Period::Week => ("week", "weeks"),
                Period::Month => ("month", "months"),
                Period::Year => ("year", "years"),
            };
            rules.push(format!("the newest of each of {}", counted(count.into(), one, many)));
        }
    }
    if rules.is_empty() {
        rules.push("every backup".to_owned());
    }
    if let Some(bytes) = policy.max_total_size {
        rules.push(format!("no more than {} in all", size_text(bytes)));
    }
    rules.push(format!("never fewer than {} good ones", count_text(policy.min_keep.into())));
    rules.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_in_words() {
        assert_eq!(policy(&Policy::default()), "every backup, for ever");
        let some = Policy {
            keep_last: Some(7),
            keep_monthly: Some(1),
            max_total_size: Some(1 << 30),
            ..Policy::default()
        };
        assert_eq!(
            policy(&some),
            "the last 7; the newest of each of 1 month; no more than 1.0 GB in all; never fewer than 3 good ones"
        );
    }
}
