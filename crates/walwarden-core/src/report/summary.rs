//! The report in plain words.

use super::model::Report;
use super::quantity::{counted, span_text, time_text};

/// A few sentences: what happened, what would be lost now, what was proven.
pub fn sentences(report: &Report) -> Vec<String> {
    [
        Some(what_happened(report)),
        Some(what_would_be_lost(report)),
        longest_window(report),
        Some(what_was_tested(report)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn what_happened(report: &Report) -> String {
    let backups = &report.backups;
    let mut text = format!(
        "From {} to {}, {} completed and {} failed",
        time_text(&report.from),
        time_text(&report.to),
        counted(backups.good(), "backup", "backups"),
        backups.failed
    );
    if backups.canceled > 0 {
        text.push_str(&format!(
            ", {} canceled",
            if backups.canceled == 1 { "1 was".to_owned() } else { format!("{} were", backups.canceled) }
        ));
    }
    text.push('.');
    text
}

fn what_would_be_lost(report: &Report) -> String {
    match &report.recovery_point {
        Some(point) => {
            let age = (report.head.made_at - point.at).to_std().unwrap_or_default();
            format!(
                "If the database had been lost when this page was made, what changed after {} would have been lost: {}.",
                time_text(&point.at),
                span_text(age)
            )
        }
        None => "If the database had been lost when this page was made, nothing could have been restored."
            .to_owned(),
    }
}

fn longest_window(report: &Report) -> Option<String> {
    let window = report.gaps.windows.first()?;
    Some(format!(
        "The most that could have been lost at any time was {}, from {} to {}.",
        span_text(window.length()),
        time_text(&window.since),
        time_text(&window.until)
    ))
}

fn what_was_tested(report: &Report) -> String {
    let (tests, verifications) = (&report.checks.tests, &report.checks.verifications);
    let last = match &tests.last_passed {
        Some(at) => format!("Restoring was last tested with success on {}", time_text(at)),
        None => "Restoring was never tested with success".to_owned(),
    };
    format!(
        "{last}; in this time {} passed and {} failed, and {} passed and {} failed.",
        counted(tests.passed, "restore test", "restore tests"),
        tests.failed,
        counted(verifications.passed, "verification", "verifications"),
        verifications.failed
    )
}
