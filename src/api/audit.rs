//! The audit chain: append (for the triggers), check, and settle a fork.

use super::job::{require_reason, required};
use crate::catalog::{anchor, audit, database, key};
use crate::error::report;
use crate::pg::text::Text;
use crate::worker::anchor::begin_epoch as begin_epoch_after;
use crate::worker::anchor::comparison::{self, Stored};
use crate::worker::io::Io;
use crate::worker::start;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;
use walwarden_core::audit::{Problem, ProblemKind};
use walwarden_core::{Error, ErrorClass, Result as CoreResult};
use walwarden_store::Layout;

/// Append one entry; for the triggers that keep state and audit together.
#[pg_extern(sql = false)]
pub fn _append_audit(event: Text, job: Option<pgrx::Uuid>, detail: Text) -> Result<i64, ErrorReport> {
    let job = job.map(|id| Uuid::from_bytes(*id));
    audit::append(&event.0, job, &audit::actor(), &detail.0).map(|seq| seq as i64).map_err(report)
}

/// Check every entry's hash and link, and the head; with anchors also against every checkpoint in storage. A row for each problem, or
/// one when all agree; and one for each time the database was set back, which the chain itself says.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "the columns of a result")]
pub fn verify_audit_chain(
    anchors: Option<bool>,
) -> Result<
    TableIterator<
        'static,
        (name!(ok, bool), name!(seq, Option<i64>), name!(problem, Option<Text>), name!(message, Text)),
    >,
    ErrorReport,
> {
    Ok(TableIterator::new(verify(anchors.unwrap_or(false)).map_err(report)?))
}

type Finding = (bool, Option<i64>, Option<Text>, Text);

fn verify(with_anchors: bool) -> CoreResult<Vec<Finding>> {
    let stored = if with_anchors { stored_checkpoints()? } else { Stored::default() };
    let losses = audit::losses()?;
    let compared = stored.compare(&losses);
    let report = audit::verify(compared.anchors)?;
    let mut problems = compared.problems;
    problems.extend(report.problems);
    problems.sort_by_key(|problem| problem.seq);
    let mut findings: Vec<Finding> = problems.iter().map(|problem| finding(problem, &stored)).collect();
    if findings.is_empty() {
        let checkpoints = match stored.storages.as_slice() {
            [] if !with_anchors => String::new(),
            [] => "; no storage has a checkpoint yet".to_owned(),
            storages => {
                format!("; {} checkpoints in storage {} agree", stored.count(), storages.join(", "))
            }
        };
        let message = format!("{} entries: every hash and every link agrees{checkpoints}", report.rows);
        findings.push((true, Some(report.head.seq as i64), None, Text(message)));
    }
    findings.extend(losses.iter().map(|(seq, lost)| {
        let message = format!(
            "entries {} to {} as they were signed before are lost: the database was set back, and a new epoch began",
            lost.first, lost.last
        );
        (true, Some(*seq as i64), None, Text(message))
    }));
    Ok(findings)
}

fn finding(problem: &Problem, stored: &Stored) -> Finding {
    let mut message = problem.kind.to_string();
    if matches!(problem.kind, ProblemKind::RootDiffers | ProblemKind::AnchorMissing) {
        message.push_str(&stored.witnesses(problem.seq));
    }
    (false, Some(problem.seq), Some(Text::from(problem.kind.name())), Text(message))
}

fn stored_checkpoints() -> CoreResult<Stored> {
    let id = database::identity()?.id;
    let layout = Layout::new(&crate::guc::organization(), id)?;
    let keys = key::known_public()?;
    let io = Io::start_in_session()?;
    let mut stored = Stored::default();
    for storage in anchor::all()? {
        comparison::read(&io, &layout, id, &storage, &keys, &mut stored)?;
    }
    Ok(stored)
}

/// Say that this database was set back: what its storages had beyond that is lost, and signing goes on in a new epoch.
#[pg_extern(sql = false)]
pub fn begin_epoch(reason: Option<Text>) -> Result<i64, ErrorReport> {
    required("reason", reason).and_then(|reason| settle(reason.0.trim())).map_err(report)
}

fn settle(reason: &str) -> CoreResult<i64> {
    require_reason(reason)?;
    database::identity()?.require_this_database()?;
    let forks = anchor::forks()?;
    let Some(newest) = forks.iter().map(|fork| fork.lost.to_epoch).max() else {
        return Err(Error::new(ErrorClass::WrongState, "the audit chain has no fork to be settled")
            .hint("See walwarden.anchors."));
    };
    let epoch = newest.max(audit::standing()?.epoch) + 1;
    anchor::forget_forks()?;
    begin_epoch_after(epoch, &forks, Some(reason))?;
    start::start_anchor_at_commit();
    Ok(epoch as i64)
}
