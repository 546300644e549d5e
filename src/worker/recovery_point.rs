//! The loss window of each schedule beside its target, `rpo`: a tick looks, and tells when it rises above and when it is met
//! again, once each.

use crate::catalog::notification::{Alert, alert};
use crate::catalog::schedule::{self, RecoveryPoint};
use crate::pg::clock;
use crate::worker::installed::while_installed;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use walwarden_alert::Severity;
use walwarden_core::Result;

/// Tell what has changed; gives when the next target will be exceeded if no backup comes before that.
pub fn compare_with_targets() -> Result<Option<DateTime<Utc>>> {
    let next = while_installed(|| {
        let now = clock::now();
        let mut next = None;
        for point in schedule::recovery_points()? {
            let Some((target, exceeded_at)) = point.target else {
                // Nothing to tell: whoever took the target away knows.
                schedule::note_rpo(&point.schedule, false)?;
                continue;
            };
            let exceeded = exceeded_at < now;
            if exceeded != point.told && schedule::note_rpo(&point.schedule, exceeded)? {
                tell(&point, target, exceeded)?;
            }
            if !exceeded {
                next = [next, Some(exceeded_at)].into_iter().flatten().min();
            }
        }
        Ok(next)
    })?;
    Ok(next.flatten())
}

fn tell(point: &RecoveryPoint, target: TimeDelta, exceeded: bool) -> Result<()> {
    let RecoveryPoint { schedule, at, .. } = point;
    let seconds = target.num_seconds();
    let held = match at {
        Some(at) => format!("its newest good backup holds what was there at {}", clock::to_text(*at)),
        None => "it has no good backup".to_owned(),
    };
    let (event, severity, outcome) = if exceeded {
        ("rpo.exceeded", Severity::Error, "more would be lost than")
    } else {
        ("rpo.met", Severity::Info, "no more would be lost than")
    };
    alert(&Alert {
        event,
        schedule: Some(schedule),
        severity,
        message: &format!("schedule \"{schedule}\": {outcome} its rpo of {seconds} s allows: {held}"),
        detail: json!({ "rpo_seconds": seconds, "recovery_point": at.map(clock::to_text) }),
    })
}
