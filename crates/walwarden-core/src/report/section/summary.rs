//! The verdict, the reasons for it, the figures to look at first, and what was not checked.

use maud::{Markup, html};

use super::CONTENTS;
use crate::report::icon::icon;
use crate::report::judge::{Level, Verdict, judge};
use crate::report::model::{Report, Tally};
use crate::report::quantity::{NOTHING, count_text, size_text, span_text, time_text};
use crate::report::summary::sentences;

/// The first section.
pub fn draw(report: &Report) -> Markup {
    let verdict = judge(report);
    html! {
        section #summary aria-labelledby="summary-heading" {
            div class={ "verdict " (class(verdict.level)) } {
                (icon(verdict.level))
                div {
                    h2 #summary-heading { (headline(verdict.level)) }
                    p { (subline(&verdict)) }
                }
            }
            div.words { @for sentence in sentences(report) { p { (sentence) } } }
            (figures(report))
            div.findings {
                @if !verdict.reasons.is_empty() {
                    div.reasons {
                        h3 { "What is not good" }
                        ul {
                            @for reason in &verdict.reasons {
                                li class=(class(reason.level)) {
                                    (icon(reason.level))
                                    span { strong { (word(reason.level)) ": " } (reason.text) }
                                }
                            }
                        }
                    }
                }
                @if !verdict.good.is_empty() {
                    div.goods {
                        h3 { "What was checked and is good" }
                        ul { @for text in &verdict.good { li.good { (icon(Level::Good)) span { (text) } } } }
                    }
                }
                div.unchecked {
                    h3 { "What this page did not check" }
                    ul { @for text in &verdict.not_checked { li { (text) } } }
                }
            }
            nav aria-label="Sections" {
                ul { @for (id, heading) in CONTENTS { li { a href={ "#" (id) } { (heading) } } } }
            }
        }
    }
}

const fn class(level: Level) -> &'static str {
    match level {
        Level::Good => "good",
        Level::Attention => "attention",
        Level::Bad => "bad",
    }
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Good => "Good",
        Level::Attention => "Attention",
        Level::Bad => "Bad",
    }
}

const fn headline(level: Level) -> &'static str {
    match level {
        Level::Good => "Good, as far as was checked",
        Level::Attention => "Attention: somebody should look",
        Level::Bad => "Bad: backups are not what they must be",
    }
}

fn subline(verdict: &Verdict) -> String {
    let count = |level| verdict.reasons.iter().filter(|reason| reason.level == level).count();
    match (count(Level::Bad), count(Level::Attention)) {
        (0, 0) => "Everything that this page looks at is in order. What it does not look at stands below."
            .to_owned(),
        (0, attention) => format!("{} to look at; every one stands below.", things(attention)),
        (bad, 0) => format!("{bad} bad; every one stands below."),
        (bad, attention) => format!("{bad} bad, {} more to look at; every one stands below.", attention),
    }
}

fn things(count: usize) -> String {
    if count == 1 { "1 thing".to_owned() } else { format!("{count} things") }
}

fn figures(report: &Report) -> Markup {
    let backups = &report.backups;
    let age = report
        .recovery_point
        .as_ref()
        .map(|point| (report.head.made_at - point.at).to_std().unwrap_or_default());
    let newest_size = report.recovery_point.as_ref().and_then(|point| point.size);
    html! {
        dl.figures {
            (figure("Age of the newest good backup", &age.map_or(NOTHING.to_owned(), span_text),
                    &report.recovery_point.as_ref().map_or("there is none".to_owned(), |point| format!("as of {}", time_text(&point.at)))))
            (figure("Backups completed", &count_text(backups.good()), &format!("{} failed", count_text(backups.failed))))
            (figure("Most that could have been lost", &report.gaps.windows.first().map_or(NOTHING.to_owned(), |w| span_text(w.length())),
                    "longest time to the next good backup"))
            (figure("Restore tests passed", &count_text(report.checks.tests.passed), &last(&report.checks.tests)))
            (figure("Audit chain", if report.chain.problems.total > 0 { "broken" } else if report.chain.is_whole { "unbroken" } else { "in part" },
                    &format!("{} of {} entries checked", count_text(report.chain.checked), count_text(report.chain.entries))))
            (figure("Size of the newest", &newest_size.map_or(NOTHING.to_owned(), size_text), "in storage, compressed"))
        }
    }
}

fn last(tally: &Tally) -> String {
    tally
        .last_passed
        .as_ref()
        .map_or_else(|| "never passed".to_owned(), |at| format!("last on {}", time_text(at)))
}

fn figure(name: &str, value: &str, note: &str) -> Markup {
    html! {
        div { dt { (name) } dd.value { (value) } dd.remark { (note) } }
    }
}
