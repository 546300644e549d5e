//! What would be restored now, and how that agrees with each schedule's target.

use maud::{Markup, html};

use super::section;
use super::table::{Column, left_out, none, table};
use crate::report::judge::scheduler_text;
use crate::report::model::{RecoveryPoint, Report, Schedule};
use crate::report::quantity::{maybe_count, maybe_size, maybe_span, maybe_text, maybe_time, span, time};

/// The section.
pub fn draw(report: &Report) -> Markup {
    section(
        0,
        &html! {
            @match &report.recovery_point {
                Some(point) => { (newest(point, report)) }
                None => { (none("There is no good backup in storage.")) }
            }
            @if report.schedules.rows.is_empty() {
                (none("There is no schedule."))
            } @else {
                p { "Whether schedules fire: " (scheduler_text(&report.scheduler)) "." }
                (table("recovery-table", "Each schedule and its target, now and in the range", &[
                    Column::Text("Schedule"), Column::Text("Runs"), Column::Text("Recovery point"), Column::Number("Age"),
                    Column::Number("Target (rpo)"), Column::Text("Met now"), Column::Number("Most in the range"), Column::Text("Next run"),
                ], &report.schedules.rows.iter().map(|schedule| row(schedule, report)).collect::<Vec<_>>()))
                (left_out("The first", report.schedules.rows.len(), report.schedules.total))
                p.note { "“Most in the range” is the longest time from the moment a backup holds to the end of the next one: what could have been lost at worst." }
            }
        },
    )
}

fn newest(point: &RecoveryPoint, report: &Report) -> Markup {
    let age = (report.head.made_at - point.at).to_std().unwrap_or_default();
    html! {
        dl.facts {
            div { dt { "Newest good backup holds" } dd { (time(&point.at)) } }
            div { dt { "That was" } dd { (span(age)) " before this page" } }
            div { dt { "Job" } dd { code { (point.job) } } }
            div { dt { "In storage" } dd { span.name { (point.storage) } } }
            div { dt { "Size" } dd { (maybe_size(point.size)) } }
            div { dt { "Holds" } dd { @if point.filtered { "a part of the database, chosen by patterns" } @else { "the whole database" } } }
            div { dt { "Verified since" } dd {
                @match &point.verified { Some((at, depth)) => { (time(at)) " (" (depth) ")" } None => { "never" } }
            } }
            div { dt { "Restore tested" } dd { @match &point.tested_at { Some(at) => { (time(at)) } None => { "never" } } } }
            div { dt { "Log written since" } dd { (maybe_size(point.wal_since)) " by the cluster" } }
            div { dt { "Rows changed since" } dd { (maybe_count(point.changed_rows)) } }
        }
    }
}

fn row(schedule: &Schedule, report: &Report) -> Vec<Markup> {
    let age = schedule.recovery_point.map(|at| (report.head.made_at - at).to_std().unwrap_or_default());
    let missed = schedule.rpo.is_some_and(|rpo| schedule.largest_window.is_some_and(|window| window > rpo));
    vec![
        html! { span.name { (schedule.name) } },
        html! {
            @match &schedule.cron { Some(cron) => { code { (cron) } " " (schedule.time_zone) } None => { "by hand" } }
            @if !schedule.enabled { " (paused)" }
        },
        maybe_time(schedule.recovery_point.as_ref()),
        maybe_span(age),
        maybe_span(schedule.rpo),
        match schedule.rpo_met.filter(|_| schedule.rpo.is_some()) {
            Some(true) => html! { span.tag.good { "yes" } },
            Some(false) => html! { span.tag.bad { "no" } },
            None => maybe_text(None),
        },
        html! { @if missed { strong.warn { (maybe_span(schedule.largest_window)) } } @else { (maybe_span(schedule.largest_window)) } },
        maybe_time(schedule.next_run.as_ref()),
    ]
}
