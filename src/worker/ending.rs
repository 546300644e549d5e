//! The line that the server's log has of a job's end. docs/monitoring.md has its form.

use crate::catalog::job::{self, Ending, Job};
use crate::pg::extension;
use crate::pg::transaction::transaction;
use std::fmt::Write as _;
use walwarden_core::job::JobState;
use walwarden_core::{Error, Result};

/// Say in the log how a job ended: with what its row says, or, where nobody can read that any more, what is known without.
pub fn log(job: &Job, otherwise: JobState, error: Option<&Error>) {
    let ending = match read(job) {
        Ok(ending) => ending,
        Err(trouble) => {
            crate::error::log(&trouble, &format!("job {}: reading how it ended", job.id));
            None
        }
    };
    let state = ending.as_ref().map_or(otherwise, |ending| ending.state);
    let doing = format!("job {} {}", job.id, state.name());
    let fields = fields(job, ending.as_ref());
    match error {
        Some(error) => crate::error::log_with(error, &doing, &fields),
        None => pgrx::log!("walwarden: {doing} [{}]", crate::error::sayable(&fields)),
    }
}

fn read(job: &Job) -> Result<Option<Ending>> {
    transaction(|| if extension::exists() { job::ending(job.id) } else { Ok(None) })
}

fn fields(job: &Job, ending: Option<&Ending>) -> String {
    let mut fields = format!("kind={}", job.task.kind().name());
    if let Some(schedule) = &job.schedule {
        // As JSON has it: one word in quotation marks, whatever is in it.
        append(&mut fields, "schedule", &serde_json::Value::from(schedule.as_str()).to_string());
    }
    append(&mut fields, "attempt", &job.attempt.to_string());
    if let Some(seconds) = ending.and_then(|ending| ending.seconds.as_deref()) {
        append(&mut fields, "duration_seconds", seconds);
    }
    if let Some(size) = ending.and_then(|ending| ending.size) {
        append(&mut fields, "size_bytes", &size.to_string());
    }
    fields
}

fn append(fields: &mut String, name: &str, value: &str) {
    // Writing into a String does not fail.
    let _ = write!(fields, " {name}={value}");
}
