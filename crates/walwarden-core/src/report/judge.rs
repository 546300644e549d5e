//! What the report comes to. Good is said only when all was looked at that the page can look at, and nothing was wrong.

use super::model::{Outcome, Report, Schedule};
use super::quantity::{count_text, counted, span_text, time_text};

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is wrong with what was looked at.
    Good,
    /// Somebody should look.
    Attention,
    /// Backups are not what they must be.
    Bad,
}

/// One reason for not being good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// How bad it is.
    pub level: Level,
    /// What it is.
    pub text: String,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The worst of the reasons.
    pub level: Level,
    /// All of them, the worst first.
    pub reasons: Vec<Reason>,
    /// What was looked at and is good.
    pub good: Vec<String>,
    /// What was not looked at.
    pub not_checked: Vec<String>,
}

/// What the report comes to.
pub fn judge(report: &Report) -> Verdict {
    let mut findings = Findings::default();
    recovery(report, &mut findings);
    schedules(report, &mut findings);
    backups(report, &mut findings);
    checks(report, &mut findings);
    storages(report, &mut findings);
    chain(report, &mut findings);
    let Findings { mut reasons, good } = findings;
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.level));
    let level = reasons.first().map_or(Level::Good, |reason| reason.level);
    Verdict { level, reasons, good, not_checked: not_checked(report) }
}

#[derive(Default)]
struct Findings {
    reasons: Vec<Reason>,
    good: Vec<String>,
}

impl Findings {
    fn add(&mut self, level: Level, text: impl Into<String>) {
        self.reasons.push(Reason { level, text: text.into() });
    }

    fn bad(&mut self, text: impl Into<String>) {
        self.add(Level::Bad, text);
    }

    fn attention(&mut self, text: impl Into<String>) {
        self.add(Level::Attention, text);
    }

    fn good(&mut self, text: impl Into<String>) {
        self.good.push(text.into());
    }
}

fn recovery(report: &Report, findings: &mut Findings) {
    let Some(point) = &report.recovery_point else {
        findings.bad(
            "There is no good backup in storage: if the database were lost now, all of it would be lost.",
        );
        return;
    };
    let age = (report.head.made_at - point.at).to_std().unwrap_or_default();
    findings.good(format!("There is a good backup; the data it holds is {} old.", span_text(age)));
    if point.filtered {
        findings.attention(
            "The newest good backup does not hold all of the database: patterns chose what it holds.",
        );
    }
    if point.verified.is_none() && point.tested_at.is_none() {
        findings.attention(
            "The newest good backup was read back when it was made, and was not verified or tested since.",
        );
    }
}

fn schedules(report: &Report, findings: &mut Findings) {
    let listed = &report.schedules.rows;
    if listed.is_empty() {
        findings.attention("There is no schedule: nobody makes backups unless somebody asks for each.");
    }
    if report.schedules.left_out() > 0 {
        findings.attention(format!(
            "{} more schedules are not on this page, and were not looked at.",
            count_text(report.schedules.left_out())
        ));
    }
    for schedule in listed {
        recovery_point_of(schedule, findings);
    }
    let on_time = listed.iter().filter(|s| s.enabled && s.rpo_met == Some(true)).count();
    if on_time > 0 {
        findings.good(format!(
            "The recovery point is within its target now, for {}.",
            counted(on_time as u64, "schedule", "schedules")
        ));
    }
    if report.scheduler != "running" && listed.iter().any(|schedule| schedule.next_run.is_some()) {
        let text = format!("Schedules do not fire here: {}.", scheduler_text(&report.scheduler));
        // Where it is a standby, they fire on the primary.
        if report.scheduler == "standby" { findings.attention(text) } else { findings.bad(text) }
    }
}

fn recovery_point_of(schedule: &Schedule, findings: &mut Findings) {
    let name = &schedule.name;
    if !schedule.enabled {
        findings.attention(format!("Schedule \"{name}\" is paused."));
    }
    let Some(rpo) = schedule.rpo else {
        findings.attention(format!(
            "Schedule \"{name}\" has no target (rpo): whether its recovery point is recent enough was not checked."
        ));
        return;
    };
    if schedule.enabled && schedule.rpo_met != Some(true) {
        let held = match &schedule.recovery_point {
            Some(at) => format!("its recovery point is {}", time_text(at)),
            None => "it has no good backup".to_owned(),
        };
        findings.bad(format!("Schedule \"{name}\" misses its target of {} now: {held}.", span_text(rpo)));
    }
    if let Some(window) = schedule.largest_window.filter(|window| *window > rpo) {
        findings.attention(format!(
            "Schedule \"{name}\" missed its target of {} in this time: up to {} could have been lost.",
            span_text(rpo),
            span_text(window)
        ));
    }
}

fn backups(report: &Report, findings: &mut Findings) {
    let backups = &report.backups;
    let ended = backups.good() + backups.failed;
    match (backups.good(), backups.failed) {
        (0, 0) => findings.attention("No backup ended in this time."),
        (0, _) => findings
            .bad(format!("No backup completed in this time, and {} failed.", count_text(backups.failed))),
        (_, 0) => {
            findings.good(format!("{} completed, and none failed.", counted(ended, "backup", "backups")))
        }
        (_, failed) => findings.attention(format!(
            "{} of {} failed.",
            count_text(failed),
            counted(ended, "backup", "backups")
        )),
    }
    if let Some(at) = &backups.newest_failed {
        findings.attention(format!("The newest backup, of {}, failed.", time_text(at)));
    }
    if backups.partial > 0 {
        findings.attention(format!(
            "{} did not reach all of their storages at once.",
            counted(backups.partial, "backup", "backups")
        ));
    }
    let gaps = &report.gaps;
    if gaps.missed > 0 {
        findings.attention(format!(
            "{} passed while nothing could run.",
            counted(gaps.missed, "scheduled time", "scheduled times")
        ));
    }
    if gaps.skipped > 0 {
        findings.attention(format!(
            "{} passed while the run before went on.",
            counted(gaps.skipped, "scheduled time", "scheduled times")
        ));
    }
}

fn checks(report: &Report, findings: &mut Findings) {
    let (tests, verifications) = (&report.checks.tests, &report.checks.verifications);
    if tests.ends_badly() {
        findings.bad("The latest restore test failed.");
    } else if tests.passed == 0 {
        findings
            .attention("That a backup can be restored was not checked: no restore test passed in this time.");
    } else {
        findings.good(format!("{} passed.", counted(tests.passed, "restore test", "restore tests")));
    }
    if tests.failed > 0 {
        findings.attention(format!("{} failed.", counted(tests.failed, "restore test", "restore tests")));
    }
    if verifications.ends_badly() {
        findings.attention("The latest verification failed.");
    }
    if verifications.failed > 0 {
        findings
            .attention(format!("{} failed.", counted(verifications.failed, "verification", "verifications")));
    }
    if verifications.passed > 0 {
        findings.good(format!(
            "{} found nothing wrong.",
            counted(verifications.passed, "verification", "verifications")
        ));
    }
    let unchecked = report
        .checks
        .newest
        .rows
        .iter()
        .filter(|check| check.outcome == Outcome::Completed && check.unchecked.is_some())
        .count();
    if unchecked > 0 {
        findings.attention(format!(
            "{} could not look at everything.",
            counted(unchecked as u64, "verification or test", "verifications and tests")
        ));
    }
}

fn storages(report: &Report, findings: &mut Findings) {
    if report.damaged.total > 0 {
        findings.bad(format!(
            "{} in storage {} known to be damaged.",
            counted(report.damaged.total, "copy of a backup", "copies of backups"),
            if report.damaged.total == 1 { "is" } else { "are" }
        ));
    }
    let missing: u64 = report.storages.rows.iter().map(|storage| storage.missing).sum();
    if missing > 0 {
        findings.attention(format!(
            "{} not where {} should be, and made later.",
            if missing == 1 { "1 copy is".to_owned() } else { format!("{} copies are", count_text(missing)) },
            if missing == 1 { "it" } else { "they" }
        ));
    }
    if report.storages.left_out() > 0 {
        findings.attention(format!(
            "{} more storages are not on this page, and were not looked at.",
            count_text(report.storages.left_out())
        ));
    }
    if report.deletions.pending > 0 {
        findings.attention(format!(
            "{} to be deleted more than an hour ago, and {} not yet gone from storage.",
            counted(report.deletions.pending, "backup was", "backups were"),
            if report.deletions.pending == 1 { "is" } else { "are" }
        ));
    }
}

fn chain(report: &Report, findings: &mut Findings) {
    let chain = &report.chain;
    if chain.problems.total > 0 {
        findings.bad(format!(
            "The audit chain is not what was written: {} found.",
            counted(chain.problems.total, "problem", "problems")
        ));
    } else if chain.checked > 0 {
        findings.good(format!(
            "The audit chain agrees with itself: {} checked.",
            counted(chain.checked, "entry", "entries")
        ));
    }
    if !chain.is_whole {
        findings.attention(format!(
            "Only the newest {} of {} audit entries were checked; walwarden.verify_audit_chain() checks all.",
            count_text(chain.checked),
            count_text(chain.entries)
        ));
    }
    if let Some(problem) = &report.keys.problem {
        findings.attention(format!("The signing key is not usable: {problem}"));
    }
}

/// What no page made from tables can know, so that nobody takes it for checked.
fn not_checked(report: &Report) -> Vec<String> {
    let mut list = vec![
        "Whether storage still has what it had: nothing was read from it for this page. walwarden.verify() and \
         walwarden.restore_test() do."
            .to_owned(),
        "Whether the audit chain is the one whose heads stand in storage: it was compared with itself only, and whoever \
         can write to the tables can write all of it anew."
            .to_owned(),
        "The signatures of manifests.".to_owned(),
        "Backups made by other means, and whatever is outside of this database.".to_owned(),
    ];
    if report.to < report.head.made_at {
        list.push(
            "How it was at the end of this time: what is said of storage, recovery point, schedules and audit chain \
             is as of when the page was made."
                .to_owned(),
        );
    }
    list
}

/// Why schedules do not fire, in words.
pub fn scheduler_text(state: &str) -> String {
    match state {
        "running" => "they fire".to_owned(),
        "not preloaded" => "the library is not in shared_preload_libraries".to_owned(),
        "off" => "walwarden.enabled is off".to_owned(),
        "stopped" => "the launcher does not run".to_owned(),
        "standby" => "this server is a standby".to_owned(),
        "suspended" => "this database is a copy of another one, and was not adopted".to_owned(),
        other => other.to_owned(),
    }
}
