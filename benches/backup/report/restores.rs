//! The part on restores.

use super::processes::{self, Runs};
use super::text::{NONE, heading, line, megabytes, row, rule, signed, spread};
use super::{RATIOS, Report};
use crate::data::DataSet;
use crate::restores::{Contender, Kind, Run};
use crate::statistics::Spread;
use crate::usage::Usage;
use serde_json::{Value, json};

/// The restores of one data set: a list for each round, in the order of the contenders.
#[derive(Debug)]
pub struct RestoreResult {
    pub set: DataSet,
    pub rounds: Vec<Vec<Run>>,
}

impl RestoreResult {
    fn seconds(&self, index: usize) -> Spread {
        Spread::of_runs(&self.rounds, index, |run| run.seconds)
    }

    /// How many times as fast as `rival`, in the same round.
    fn times(&self, index: usize, rival: usize) -> Spread {
        Spread::of_ratios(&self.rounds, rival, index, |run| run.seconds)
    }

    fn usages(&self, index: usize) -> impl Iterator<Item = &Usage> {
        self.rounds.iter().map(move |round| &round[index].usage)
    }
}

impl Report {
    pub(super) fn write_restores(&self, text: &mut String) {
        self.write_restore_times(text);
        for result in &self.restores {
            self.write_restore_set(text, result);
            let rows: Vec<Runs<'_>> = self
                .restorers
                .iter()
                .enumerate()
                .map(|(index, contender)| Runs {
                    label: contender.label(),
                    usages: result.usages(index).collect(),
                    seconds: result.seconds(index).median,
                })
                .collect();
            processes::write_cpu(text, &rows, None);
        }
        heading(text, "Peak memory of restores");
        let peaks = self.restorers.iter().enumerate().map(|(index, contender)| {
            let runs = self.restores.iter().flat_map(|result| result.usages(index));
            (contender.label(), Usage::peaks(runs))
        });
        processes::write_peaks(text, peaks, &self.at_rest);
    }

    /// Nothing but medians, as the first thing to look at.
    fn write_restore_times(&self, text: &mut String) {
        heading(text, "Time of one restore, s");
        let mut columns = vec![""];
        columns.extend(self.restores.iter().map(|result| result.set.name()));
        row(text, &columns);
        rule(text, 1, self.restores.len());
        for (index, contender) in self.restorers.iter().enumerate() {
            let mut cells = vec![contender.label().to_owned()];
            cells.extend(self.restores.iter().map(|result| format!("{:.2}", result.seconds(index).median)));
            row(text, &cells);
        }
        line(text, "");
        line(text, RATIOS);
    }

    fn write_restore_set(&self, text: &mut String, result: &RestoreResult) {
        heading(text, &format!("Restores of `{}`: {}", result.set.name(), result.set.description()));
        let rival = format!("× `pg_restore -j{}`, same codec", self.options.jobs);
        let columns = [
            "",
            "time, s",
            &rival,
            "archive",
            "memory",
            "WAL",
            "sorts on disk",
            "other disk beyond the database",
        ];
        row(text, &columns);
        rule(text, 1, columns.len() - 1);
        for (index, contender) in self.restorers.iter().enumerate() {
            let rival = self.restore_rival(contender).filter(|rival| *rival != index);
            let peak = Usage::peaks(result.usages(index));
            let disk = peak.disk.unwrap_or_default();
            let archive = result.rounds[0][index].archive_bytes;
            let wal = result.rounds.iter().map(|round| round[index].wal_bytes).max().unwrap_or(0);
            let mut cells = vec![
                contender.label().to_owned(),
                spread(result.seconds(index), 2),
                rival.map_or(NONE.to_owned(), |rival| spread(result.times(index, rival), 2)),
            ];
            let sizes = [archive, peak.together_bytes, wal, disk.sort_bytes, disk.other_bytes];
            cells.extend(sizes.map(|bytes| megabytes(signed(bytes))));
            row(text, &cells);
        }
    }

    /// The number of pg_restore with the same codec, where there is one.
    fn restore_rival(&self, contender: &Contender) -> Option<usize> {
        let is_rival =
            |other: &Contender| other.kind() == Kind::PgRestore && other.codec() == contender.codec();
        self.restorers.iter().position(is_rival)
    }

    pub(super) fn restores_json(&self) -> Vec<Value> {
        let contender = |result: &RestoreResult, index: usize| {
            let contender = &self.restorers[index];
            let rival = self.restore_rival(contender);
            json!({
                "label": contender.label().replace('`', ""),
                "codec": contender.codec().to_string(),
                "seconds": result.seconds(index),
                "times_pg_restore": rival.map(|rival| result.times(index, rival)),
                "runs": result.rounds.iter().map(|round| &round[index]).collect::<Vec<_>>(),
            })
        };
        let of_set = |result: &RestoreResult| {
            let contenders: Vec<Value> =
                (0..self.restorers.len()).map(|index| contender(result, index)).collect();
            json!({"set": result.set.name(), "contenders": contenders})
        };
        self.restores.iter().map(of_set).collect()
    }
}
