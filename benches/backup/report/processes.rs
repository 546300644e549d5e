//! What processes used, by kind: time on cores and memory.

use super::text::{NONE, line, megabytes, row, rule, signed};
use crate::statistics::Spread;
use crate::usage::Usage;
use std::collections::BTreeSet;

/// The runs of one contender on one data set.
pub struct Runs<'a> {
    pub label: &'a str,
    pub usages: Vec<&'a Usage>,
    /// The median of their times.
    pub seconds: f64,
}

/// Time on cores; `floor` is the row that others are compared with.
pub fn write_cpu(text: &mut String, rows: &[Runs<'_>], floor: Option<usize>) {
    let all = || rows.iter().flat_map(|runs| &runs.usages);
    let kinds: BTreeSet<&String> = all().flat_map(|usage| usage.cpu_seconds.keys()).collect();
    let of_kind = |runs: &Runs<'_>, kind: &String| {
        let seconds = |usage: &&Usage| usage.cpu_seconds.get(kind).copied().unwrap_or(0.0);
        Spread::of(&runs.usages.iter().map(seconds).collect::<Vec<_>>()).median
    };
    line(text, "");
    line(text, "Time on cores, s, by process:");
    line(text, "");
    let sums: Vec<f64> = rows.iter().map(|runs| kinds.iter().map(|kind| of_kind(runs, kind)).sum()).collect();
    let floor = floor.map(|floor| sums[floor]);
    let mut columns = vec![""];
    columns.extend(kinds.iter().map(|kind| kind.as_str()));
    columns.push("sum");
    columns.extend(floor.map(|_| "sum ÷ floor's"));
    columns.push("cores busy");
    row(text, &columns);
    rule(text, 1, columns.len() - 1);
    for (runs, sum) in rows.iter().zip(&sums) {
        let mut cells = vec![runs.label.to_owned()];
        cells.extend(kinds.iter().map(|kind| match of_kind(runs, kind) {
            seconds if seconds < 0.005 => NONE.to_owned(),
            seconds => format!("{seconds:.2}"),
        }));
        cells.push(format!("{sum:.2}"));
        cells.extend(floor.map(|floor| format!("{:.2}", sum / floor)));
        cells.push(format!("{:.2}", sum / runs.seconds));
        row(text, &cells);
    }
}

/// Peaks of memory; the last row is the cluster at rest.
pub fn write_peaks<'a>(text: &mut String, peaks: impl Iterator<Item = (&'a str, Usage)>, at_rest: &Usage) {
    let peaks: Vec<(&str, Usage)> = peaks.collect();
    line(
        text,
        "Private memory (`RssAnon`), without shared buffers and other shared memory, sampled every 50 ms; the highest \
         over all data sets and rounds. `× 2`: so many at one moment, each with at most this. \
         `Pss` divides what processes share among them and so holds the shared buffers in use. Without the S3 server.",
    );
    line(text, "");
    let all = || peaks.iter().map(|(label, peak)| (*label, peak)).chain([("nothing", at_rest)]);
    let kinds: BTreeSet<&String> = all().flat_map(|(_, peak)| peak.kinds.keys()).collect();
    let mut columns = vec![""];
    columns.extend(kinds.iter().map(|kind| kind.as_str()));
    columns.extend(["all together", "all, Pss"]);
    row(text, &columns);
    rule(text, 1, columns.len() - 1);
    for (label, peak) in all() {
        let mut cells = vec![label.to_owned()];
        cells.extend(kinds.iter().map(|kind| match peak.kinds.get(*kind) {
            None => NONE.to_owned(),
            Some(usage) if usage.most > 1 => {
                format!("{} × {}", megabytes(signed(usage.largest_bytes)), usage.most)
            }
            Some(usage) => megabytes(signed(usage.largest_bytes)),
        }));
        cells.push(megabytes(signed(peak.together_bytes)));
        let pss = peak.together_pss_bytes;
        cells.push(if pss == 0 { NONE.to_owned() } else { megabytes(signed(pss)) });
        row(text, &cells);
    }
    let sum = |number: fn(&Usage) -> f64| peaks.iter().map(|(_, peak)| number(peak)).sum::<f64>();
    let share = sum(|peak| peak.sampler_seconds) / sum(|peak| peak.watched_seconds);
    line(text, "");
    line(text, &format!("Taking these samples took {:.1} % of one core.", share * 100.0));
}
