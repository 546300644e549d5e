//! Backups over time: two charts, and a table with the same.

use std::time::Duration;

use maud::{Markup, html};

use super::checks::outcome;
use super::section;
use super::table::{Column, left_out, none, table};
use crate::report::chart::{Chart, Cross, Mark, description};
use crate::report::model::{Backup, Outcome, Period, Report, Series, Spread, Time, Unit};
use crate::report::quantity::{
    count_text, counted, maybe_count, maybe_size, maybe_span, maybe_text, maybe_time, size, size_text, span,
    span_text, time, time_text,
};
use crate::report::scale::Measure;

/// The section.
pub fn draw(report: &Report) -> Markup {
    let backups = &report.backups;
    let is_empty = match &backups.series {
        Series::Each(all) => all.is_empty(),
        Series::Periods(_, periods) => periods.rows.is_empty(),
    };
    section(
        1,
        &html! {
            @if is_empty {
                (none("No backup ended in this time."))
            } @else {
                p {
                    (counted(backups.good(), "backup", "backups")) " completed"
                    @if backups.partial > 0 { " (" (count_text(backups.partial)) " of them not in all storages at once)" }
                    ", " (count_text(backups.failed)) " failed, " (count_text(backups.canceled)) " canceled."
                    @if backups.filtered > 0 { " " (count_text(backups.filtered)) " of the completed ones hold only a part of the database." }
                }
                (charts(report))
                @match &backups.series {
                    Series::Each(all) => { (each(all)) }
                    Series::Periods(unit, periods) => {
                        (by_period(*unit, &periods.rows))
                        (left_out("The newest", periods.rows.len(), periods.total))
                    }
                }
            }
        },
    )
}

fn charts(report: &Report) -> Markup {
    let series = &report.backups.series;
    let (from, to) = edges(report);
    let figure = |id: &str, title: &str, measure: Measure, marks: Vec<Mark>| {
        let failures = failures(series);
        let description = description(title, &marks, failures.len(), measure, &from, &to);
        let chart = Chart { id, title, description: &description, measure, from, to, marks, failures };
        html! { figure { figcaption aria-hidden="true" { (title) } (chart.draw()) } }
    };
    html! {
        div.charts {
            (figure("size-chart", "Size of each backup", Measure::Bytes, sizes(series)))
            (figure("duration-chart", "Duration of each backup", Measure::Seconds, durations(series)))
        }
        p.note.legend {
            @if let Series::Periods(unit, _) = series {
                "A dot is the mean of " (a(*unit)) ", the thick line goes from the smallest to the largest. "
            } @else {
                "A dot is a backup; a hollow one is not in all of its storages. "
            }
            "A cross on the base line is a failure."
        }
    }
}

fn a(unit: Unit) -> String {
    format!("{} {}", if unit == Unit::Hour { "an" } else { "a" }, unit.name())
}

/// The range, without what comes before the first job ever and after now.
fn edges(report: &Report) -> (Time, Time) {
    let to = report.to.min(report.head.made_at);
    let from = report.head.first_job.map_or(report.from, |first| first.max(report.from));
    // A range that is wholly in the future, or before the first job, has nothing to draw.
    if from < to { (from, to) } else { (report.from, report.to) }
}

#[expect(clippy::cast_precision_loss, reason = "a tenth of a unit is what is drawn")]
fn sizes(series: &Series) -> Vec<Mark> {
    match series {
        Series::Each(all) => all
            .iter()
            .filter_map(|backup| Some(mark(backup, backup.size? as f64, &size_text(backup.size?))))
            .collect(),
        Series::Periods(unit, periods) => periods
            .rows
            .iter()
            .filter_map(|period| {
                let Spread { low, mean, high } = period.size?;
                let text = format!("{} to {}", size_text(low), size_text(high));
                Some(mark_of(
                    *unit,
                    period,
                    Spread { low: low as f64, mean: mean as f64, high: high as f64 },
                    &text,
                ))
            })
            .collect(),
    }
}

fn durations(series: &Series) -> Vec<Mark> {
    match series {
        Series::Each(all) => all
            .iter()
            .filter_map(|backup| Some(mark(backup, backup.took?.as_secs_f64(), &span_text(backup.took?))))
            .collect(),
        Series::Periods(unit, periods) => periods
            .rows
            .iter()
            .filter_map(|period| {
                let Spread { low, mean, high } = period.took?;
                let text = format!("{} to {}", span_text(low), span_text(high));
                let spread = [low, mean, high].map(|span: Duration| span.as_secs_f64());
                Some(mark_of(
                    *unit,
                    period,
                    Spread { low: spread[0], mean: spread[1], high: spread[2] },
                    &text,
                ))
            })
            .collect(),
    }
}

fn mark(backup: &Backup, value: f64, text: &str) -> Mark {
    Mark {
        at: backup.ended_at,
        low: value,
        value,
        high: value,
        partial: backup.outcome == Outcome::Partial,
        text: format!("{}: {text}", time_text(&backup.ended_at)),
    }
}

fn mark_of(unit: Unit, period: &Period, spread: Spread<f64>, text: &str) -> Mark {
    let name = period_name(unit, &period.begins);
    Mark {
        at: period.begins,
        low: spread.low,
        value: spread.mean,
        high: spread.high,
        partial: false,
        text: format!("{name}: {}, {text}", counted(period.good, "backup", "backups")),
    }
}

fn failures(series: &Series) -> Vec<Cross> {
    match series {
        Series::Each(all) => all
            .iter()
            .filter(|backup| backup.outcome == Outcome::Failed)
            .map(|backup| Cross {
                at: backup.ended_at,
                text: format!("{}: failed", time_text(&backup.ended_at)),
            })
            .collect(),
        Series::Periods(unit, periods) => periods
            .rows
            .iter()
            .filter(|period| period.failed > 0)
            .map(|period| Cross {
                at: period.begins,
                text: format!("{}: {} failed", period_name(*unit, &period.begins), count_text(period.failed)),
            })
            .collect(),
    }
}

fn each(all: &[Backup]) -> Markup {
    let row = |backup: &Backup| {
        vec![
            time(&backup.ended_at),
            outcome(backup.outcome, "completed"),
            html! {
                (maybe_text(backup.schedule.as_deref()))
                @if backup.filtered { " (a part)" }
            },
            maybe_time(backup.snapshot_at.as_ref()),
            maybe_span(backup.took),
            maybe_size(backup.size),
            maybe_count(backup.rows),
            html! { span.name { (backup.storage) } @if backup.deleted { " (deleted)" } },
            html! { code.id { (backup.job) } },
        ]
    };
    table(
        "backups-table",
        "Each backup, the newest first",
        &[
            Column::Text("Ended"),
            Column::Text("Result"),
            Column::Text("Schedule"),
            Column::Text("Data of"),
            Column::Number("Took"),
            Column::Number("Size"),
            Column::Number("Rows"),
            Column::Text("Storage"),
            Column::Text("Job"),
        ],
        &all.iter().rev().map(row).collect::<Vec<_>>(),
    )
}

fn by_period(unit: Unit, periods: &[Period]) -> Markup {
    let row = |period: &Period| {
        vec![
            html! { (period_name(unit, &period.begins)) },
            html! { (count_text(period.good)) },
            html! { @if period.failed > 0 { strong.warn { (count_text(period.failed)) } } @else { "0" } },
            html! { (count_text(period.canceled)) },
            of(period.size, |spread| spread.low, size),
            of(period.size, |spread| spread.mean, size),
            of(period.size, |spread| spread.high, size),
            of(period.took, |spread| spread.low, span),
            of(period.took, |spread| spread.mean, span),
            of(period.took, |spread| spread.high, span),
        ]
    };
    table(
        "backups-table",
        &format!("Backups by {}, the newest first", unit.name()),
        &[
            Column::Text("Begins"),
            Column::Number("Good"),
            Column::Number("Failed"),
            Column::Number("Canceled"),
            Column::Number("Smallest"),
            Column::Number("Mean size"),
            Column::Number("Largest"),
            Column::Number("Shortest"),
            Column::Number("Mean time"),
            Column::Number("Longest"),
        ],
        &periods.iter().rev().map(row).collect::<Vec<_>>(),
    )
}

fn of<T>(spread: Option<Spread<T>>, which: fn(Spread<T>) -> T, show: fn(T) -> Markup) -> Markup {
    spread.map_or_else(|| maybe_text(None), |spread| show(which(spread)))
}

fn period_name(unit: Unit, begins: &Time) -> String {
    let form = match unit {
        Unit::Hour => "%Y-%m-%d %H:%M",
        Unit::Day => "%Y-%m-%d",
        Unit::Week => "week of %Y-%m-%d",
        Unit::Month => "%Y-%m",
        Unit::Year => "%Y",
    };
    begins.format(form).to_string()
}
