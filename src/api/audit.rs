//! The audit chain: append (for the triggers) and check.

use crate::catalog::audit;
use crate::error::report;
use crate::pg::text::Text;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use uuid::Uuid;
use walwarden_core::Result as CoreResult;

/// Append one entry; for the triggers that keep state and audit together.
#[pg_extern(sql = false)]
pub fn _append_audit(event: Text, job: Option<pgrx::Uuid>, detail: Text) -> Result<i64, ErrorReport> {
    let job = job.map(|id| Uuid::from_bytes(*id));
    audit::append(&event.0, job, &audit::actor(), &detail.0).map(|seq| seq as i64).map_err(report)
}

/// Check every entry's hash and link, and the head. One row when all agree, else one row for each problem.
#[pg_extern(sql = false)]
pub fn verify_audit_chain() -> Result<
    TableIterator<'static, (name!(ok, bool), name!(seq, Option<i64>), name!(message, Text))>,
    ErrorReport,
> {
    Ok(TableIterator::new(verify().map_err(report)?))
}

type Finding = (bool, Option<i64>, Text);

fn verify() -> CoreResult<Vec<Finding>> {
    let report = audit::verify()?;
    if report.problems.is_empty() {
        let message = format!("{} entries: every hash and every link agrees", report.rows);
        return Ok(vec![(true, Some(report.head.seq as i64), Text(message))]);
    }
    Ok(report
        .problems
        .iter()
        .map(|problem| (false, Some(problem.seq), Text(problem.kind.to_string())))
        .collect())
}
