//! What a schedule is defined by: as JSON in `schedule.definition`, and in every manifest, so that it can be brought back.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{CatchUp, Cron, Overlap, Timetable, parse_zone};
use crate::backup_options::BackupOptions;
use crate::error::{Error, Result};
use crate::job::{Depth, JobKind};
use crate::retention::{Backup, Decision, Policy, plan};

/// The longest name of a group, and the longest description, characters.
const LONGEST_GROUP: usize = 63;
const LONGEST_DESCRIPTION: usize = 1000;
/// More copies than anybody pays for.
const MOST_STORAGES: usize = 8;
/// The longest jitter, seconds: a day.
const LONGEST_JITTER: u32 = 24 * 3600;
/// The longest recovery point objective, seconds: a year.
const LONGEST_RPO: u64 = 366 * 24 * 3600;

/// A schedule, apart from its name and from whether it is paused. What is absent was not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it belongs to, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When to back up; none runs by hand only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The IANA zone of every time.
    pub time_zone: String,
    /// Seconds by which each time may be late, by its share of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jitter: u32,
    /// What becomes of a time while a job of the same kind is not done.
    #[serde(default = "skip", skip_serializing_if = "is_skip")]
    pub on_overlap: Overlap,
    /// What becomes of times that went by while nothing could run.
    #[serde(default = "no_catch_up", skip_serializing_if = "is_none")]
    pub catch_up: CatchUp,
    /// The names of the storages that each backup goes to.
    pub storages: Vec<String>,
    /// How a backup is made.
    #[serde(flatten)]
    pub backup: BackupOptions,
    /// When the newest backup is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_cron: Option<String>,
    /// How deep.
    #[serde(default = "full", skip_serializing_if = "is_full")]
    pub verify_depth: Depth,
    /// When the newest backup is restored for a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_test_cron: Option<String>,
    /// The query that is asked then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoke: Option<String>,
    /// What it must answer; none is anything but NULL and false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// What is kept of its backups.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retention: Policy,
    /// The recovery point objective: seconds of work that may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<u64>,
}

impl Default for Definition {
    fn default() -> Self {
        Self {
            description: None,
            group: None,
            cron: None,
            time_zone: "UTC".to_owned(),
            jitter: 0,
            on_overlap: Overlap::Skip,
            catch_up: CatchUp::None,
            storages: Vec::new(),
            backup: BackupOptions::default(),
            verify_cron: None,
            verify_depth: Depth::Full,
            restore_test_cron: None,
            smoke: None,
            expect: None,
            retention: Policy::default(),
            rpo: None,
        }
    }
}

fn skip() -> Overlap {
    Overlap::Skip
}

fn no_catch_up() -> CatchUp {
    CatchUp::None
}

fn full() -> Depth {
    Depth::Full
}

fn is_full(depth: &Depth) -> bool {
    *depth == Depth::Full
}

fn is_default(policy: &Policy) -> bool {
    *policy == Policy::default()
}

fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

fn is_skip(overlap: &Overlap) -> bool {
    *overlap == Overlap::Skip
}

fn is_none(catch_up: &CatchUp) -> bool {
    *catch_up == CatchUp::None
}

impl Definition {
    /// When its jobs of a kind run; None when never by themselves. `database` is what tells this schedule from one of the same
    /// name elsewhere, so that their jitters differ.
    ///
    /// # Errors
    /// `InvalidInput` for an expression or a jitter that cannot be.
    pub fn timetable(&self, kind: JobKind, database: &str, name: &str) -> Result<Option<Timetable>> {
        let Some((_, expression)) = self.crons().find(|(of, _)| *of == kind) else { return Ok(None) };
        let timetable = Timetable::parse(expression, &self.time_zone)?;
        timetable.with_jitter(self.jitter, &format!("{database} {name} {kind}")).map(Some)
    }

    /// The kinds of jobs it queues by itself, each with its cron expression.
    pub fn crons(&self) -> impl Iterator<Item = (JobKind, &str)> {
        [
            (JobKind::Backup, &self.cron),
            (JobKind::Verify, &self.verify_cron),
            (JobKind::RestoreTest, &self.restore_test_cron),
        ]
        .into_iter()
        .filter_map(|(kind, cron)| Some((kind, cron.as_deref()?)))
    }

    /// What is to happen to its backups.
    ///
    /// # Errors
    /// `InvalidInput` for a time zone that is not known.
    pub fn plan_retention(&self, backups: &[Backup], now: DateTime<Utc>) -> Result<Vec<Decision>> {
        Ok(plan(&self.retention, parse_zone(&self.time_zone)?, backups, now))
    }

    /// The same with what means nothing left out (blank expressions, spaces around names) and the zone's usual spelling.
    ///
    /// # Errors
    /// `InvalidInput` that names the option, for everything that can be told without a server.
    pub fn normalized(mut self) -> Result<Self> {
        for text in [
            &mut self.description,
            &mut self.group,
            &mut self.cron,
            &mut self.verify_cron,
            &mut self.restore_test_cron,
        ] {
            *text = text.take().map(|given| given.trim().to_owned()).filter(|given| !given.is_empty());
        }
        check_length("description", self.description.as_deref(), LONGEST_DESCRIPTION)?;
        check_length("group", self.group.as_deref(), LONGEST_GROUP)?;
        // The zone is checked also when nothing fires: given a cron later, it must be right.
        let any_time = Cron::parse("0 0 * * *", self.time_zone.trim())?;
        self.time_zone = any_time.time_zone().to_owned();
        if self.jitter > LONGEST_JITTER {
            return Err(Error::invalid("jitter must be at most a day"));
        }
        for (kind, _) in self.crons() {
            self.timetable(kind, "", "").map_err(|error| match kind {
                JobKind::Backup => error,
                kind => Error { message: format!("{kind}_cron: {}", error.message), ..error },
            })?;
        }
        self.backup.validate()?;
        self.check_storages()?;
        self.retention.validate()?;
        if self.rpo.is_some_and(|seconds| !(60..=LONGEST_RPO).contains(&seconds)) {
            return Err(Error::invalid("rpo must be at least a minute and at most a year")
                .hint("It is how much work may be lost: a little more than the time between two backups."));
        }
        Ok(self)
    }

    /// What was given here and is not in the definition that takes its place: storages that get no backups any more, and arguments
    /// that are back at their default. Whoever replaces a definition to add to it must hear of that.
    pub fn lost_in(&self, after: &Self) -> Vec<String> {
        let dropped = self.storages.iter().filter(|name| !after.storages.contains(name));
        let mut lost: Vec<String> = dropped.map(|name| format!("storage \"{name}\"")).collect();
        let (before, after) = (self.given(), after.given());
        lost.extend(before.into_iter().filter(|name| !after.contains(name)));
        lost
    }

    /// The names of the arguments that are not at their default, but for the storages.
    fn given(&self) -> Vec<String> {
        let usual = fields(&Self::default());
        let usual_retention = fields(&Policy::default());
        let mut names = Vec::new();
        for (name, value) in fields(self) {
            match value {
                _ if name == "storages" || usual.get(&name) == Some(&value) => {}
                Value::Object(inner) => {
                    names.extend(
                        inner
                            .into_iter()
                            .filter(|(name, value)| usual_retention.get(name) != Some(value))
                            .map(|(name, _)| name),
                    );
                }
                _ => names.push(name),
            }
        }
        names
    }

    fn check_storages(&self) -> Result<()> {
        if self.storages.is_empty() {
            return Err(Error::invalid("a schedule needs a storage"));
        }
        if self.storages.len() > MOST_STORAGES {
            return Err(Error::invalid(format!("a schedule writes to at most {MOST_STORAGES} storages")));
        }
        for (index, name) in self.storages.iter().enumerate() {
            if self.storages.iter().take(index).any(|earlier| earlier == name) {
                return Err(Error::invalid(format!("storage \"{name}\" is named twice")));
            }
        }
        Ok(())
    }
}

/// As JSON; what is at its default is mostly absent.
fn fields(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn check_length(what: &str, text: Option<&str>, most: usize) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    if text.chars().count() > most {
        return Err(Error::invalid(format!("the {what} is too long"))
            .detail(format!("It has {} characters; {most} are allowed.", text.chars().count())));
    }
    if text.chars().any(|character| character.is_control() && character != '\n') {
        return Err(Error::invalid(format!("the {what} has control characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(change: impl FnOnce(&mut Definition)) -> Result<Definition> {
        let mut definition = Definition { storages: vec!["local".to_owned()], ..Definition::default() };
        change(&mut definition);
        definition.normalized()
    }

    #[test]
    fn blank_texts_are_none_and_the_zone_has_its_usual_spelling() {
        let it = given(|d| {
            d.cron = Some("  ".to_owned());
            d.description = Some(" all of it ".to_owned());
            d.time_zone = " europe/berlin".to_owned();
        })
        .unwrap();
        assert_eq!(it.cron, None);
        assert_eq!(it.description.as_deref(), Some("all of it"));
        assert_eq!(it.time_zone, "Europe/Berlin");
        assert_eq!(it.clone().normalized().unwrap(), it);
    }

    #[test]
    fn json_holds_only_what_was_given_and_comes_back() {
        let it = given(|d| {
            d.cron = Some("0 2 * * *".to_owned());
            d.backup.retries = Some(2);
            d.rpo = Some(86_400);
        })
        .unwrap();
        let json = serde_json::to_value(&it).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"cron": "0 2 * * *", "time_zone": "UTC", "storages": ["local"], "retries": 2,
                               "rpo": 86_400})
        );
        assert_eq!(serde_json::from_value::<Definition>(json).unwrap(), it);
    }

    #[test]
    fn what_a_replacement_leaves_out_is_named() {
        let full = given(|d| {
            d.cron = Some("0 2 * * *".to_owned());
            d.time_zone = "Europe/Berlin".to_owned();
            d.storages = vec!["offsite".to_owned(), "local".to_owned()];
            d.backup.retries = Some(3);
            d.backup.filter.exclude_tables = vec!["log".to_owned()];
            (d.retention.keep_last, d.retention.keep_daily) = (Some(1), Some(7));
            d.rpo = Some(86_400);
        })
        .unwrap();
        let bare = given(|d| d.cron = Some("0 3 * * *".to_owned())).unwrap();
        let mut lost = full.lost_in(&bare);
        lost.sort();
        assert_eq!(
            lost,
            [
                "exclude_tables",
                "keep_daily",
                "keep_last",
                "retries",
                "rpo",
                "storage \"offsite\"",
                "time_zone"
            ]
        );
        assert!(full.lost_in(&full).is_empty());
        assert!(bare.lost_in(&full).is_empty());
        let fewer = Definition {
            retention: Policy { min_keep: 5, keep_last: Some(2), ..Policy::default() },
            ..full.clone()
        };
        assert_eq!(full.lost_in(&fewer), ["keep_daily"]);
        assert_eq!(fewer.lost_in(&full), ["min_keep"]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let message = |change: fn(&mut Definition)| given(change).unwrap_err().message;
        assert!(message(|d| d.verify_cron = Some("61 * * * *".to_owned())).starts_with("verify_cron: "));
        assert!(message(|d| d.restore_test_cron = Some("x".to_owned())).starts_with("restore_test_cron: "));
        assert!(message(|d| d.storages.clear()).contains("needs a storage"));
        assert!(message(|d| d.storages.push("local".to_owned())).contains("named twice"));
        assert!(message(|d| d.storages = (0..9).map(|n| n.to_string()).collect()).contains("at most 8"));
        assert!(message(|d| d.retention.keep_last = Some(0)).contains("keep_last"));
        assert!(message(|d| d.jitter = 86_401).contains("jitter"));
        let late = |d: &mut Definition| (d.cron, d.jitter) = (Some("@hourly".to_owned()), 3600);
        assert!(message(late).contains("too long"));
        assert!(message(|d| d.rpo = Some(59)).contains("rpo"));
        assert!(message(|d| d.backup.timeout = Some(0)).contains("timeout"));
        assert!(message(|d| d.backup.retries = Some(101)).contains("retries"));
        assert!(message(|d| d.backup.retry_delay = Some(0)).contains("retry_delay"));
        assert!(message(|d| d.group = Some("g".repeat(64))).contains("group"));
        assert!(message(|d| d.description = Some("a\u{7}b".to_owned())).contains("description"));
    }
}
