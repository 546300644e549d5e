//! One measured run of one contender.

use crate::contenders::{Contender, Outcome};
use crate::hot::HotTable;
use crate::stage::{Database, Stage, flush_disks};
use crate::usage::{Sampler, Usage};
use serde::Serialize;
use std::time::Duration;

/// How long the idle cluster is watched.
const REST: Duration = Duration::from_millis(600);

/// What one run gave.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub outcome: Outcome,
    pub usage: Usage,
    /// Pages of the hot table that were in shared buffers before the run and not after it.
    pub hot_pages_lost: Option<i64>,
}

/// Runs a contender once, with everything around it as it was for the others.
pub fn measure(stage: &Stage, database: &Database, contender: &Contender, hot: Option<&HotTable>) -> Run {
    let before = hot.map(|hot| {
        hot.warm_up(stage);
        hot.resident(stage)
    });
    flush_disks();
    let sampler = Sampler::start(stage.cluster.pid());
    let outcome = contender.run(stage, database, &|pid| sampler.watch(pid));
    let usage = sampler.stop();
    let hot_pages_lost = hot.zip(before).map(|(hot, before)| before - hot.resident(stage));
    Run { outcome, usage, hot_pages_lost }
}

/// What the cluster uses when nobody uses it.
pub fn at_rest(stage: &Stage) -> Usage {
    // The session of the last statement may still be leaving.
    std::thread::sleep(REST);
    let sampler = Sampler::start(stage.cluster.pid());
    std::thread::sleep(REST);
    sampler.stop()
}
