//! What was measured, for people (Markdown) and for programs (JSON).

mod processes;
mod restores;
mod text;

use crate::contenders::{Contender, Kind};
use crate::data::DataSet;
use crate::load::LoadRun;
use crate::machine::Machine;
use crate::measure::Run;
use crate::options::{Codec, Options};
use crate::stage::DatabaseSize;
use crate::statistics::Spread;
use crate::usage::Usage;
use processes::Runs;
pub use restores::RestoreResult;
use serde_json::{Value, json};
use std::path::Path;
pub use text::megabytes;
use text::{NONE, duration, heading, line, row, rule, signed, spread};

/// How to read the tables.
const RATIOS: &str = "In the next tables `×` is how many times as fast as that one, `÷` the time divided by that one's, \
                      each within the same round: median (lowest–highest).";

/// The whole result.
#[derive(Debug)]
pub struct Report {
    pub machine: Machine,
    pub options: Options,
    pub contenders: Vec<Contender>,
    pub restorers: Vec<crate::restores::Contender>,
    pub data: Vec<(DataSet, DatabaseSize)>,
    /// The size of the hot table, if there was one.
    pub hot_pages: Option<i64>,
    /// The cluster's memory when nothing runs.
    pub at_rest: Usage,
    pub sets: Vec<SetResult>,
    pub restores: Vec<RestoreResult>,
    pub loads: Vec<LoadResult>,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
    /// How long all of it took.
    pub seconds: f64,
}

/// The runs on one data set: a list for each round, in the order of the contenders.
#[derive(Debug)]
pub struct SetResult {
    pub set: DataSet,
    pub rounds: Vec<Vec<Run>>,
}

/// The same beside pgbench.
#[derive(Debug)]
pub struct LoadResult {
    pub set: DataSet,
    pub rounds: Vec<Vec<LoadRun>>,
}

impl SetResult {
    fn seconds(&self, index: usize) -> Spread {
        Spread::of_runs(&self.rounds, index, |run| run.outcome.seconds)
    }

    /// The time of one contender divided by that of another in the same round.
    fn ratio(&self, dividend: usize, divisor: usize) -> Spread {
        Spread::of_ratios(&self.rounds, dividend, divisor, |run| run.outcome.seconds)
    }

    /// The middle one of each round's value, where there is one.
    fn median(&self, index: usize, number: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        let numbers: Vec<f64> = self.rounds.iter().filter_map(|round| number(&round[index])).collect();
        (!numbers.is_empty()).then(|| Spread::of(&numbers).median)
    }

    fn peaks(&self, index: usize) -> Usage {
        Usage::peaks(self.rounds.iter().map(|round| &round[index].usage))
    }
}

impl Report {
    /// The tables for the README.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        self.write_circumstances(&mut text);
        self.write_data(&mut text);
        if !self.contenders.is_empty() {
            self.write_times(&mut text);
            for result in &self.sets {
                self.write_set(&mut text, result);
                self.write_cpu(&mut text, result);
            }
            self.write_memory(&mut text);
        }
        if !self.restorers.is_empty() {
            self.write_restores(&mut text);
        }
        for result in &self.loads {
            self.write_load(&mut text, result);
        }
        text
    }

    /// Writes everything, each run by itself.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_json(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, format!("{:#}\n", self.json()))
    }

    fn write_circumstances(&self, text: &mut String) {
        let Machine { postgresql, walwarden, build, cores, cpu, kernel, file_system, .. } = &self.machine;
        let gib = self.machine.ram_bytes >> 30;
        line(
            text,
            &format!(
                "PostgreSQL {postgresql}, walwarden {walwarden} ({build}); {cores} cores ({cpu}), {gib} GiB of RAM, Linux {kernel}, \
             {file_system}. Clients, server and S3 server share these cores; the data is in the page cache.",
            ),
        );
        line(text, "");
        line(
            text,
            &format!(
                "{} MB a data set, rounds in turns: {}; {} in all; load average at the end {}.",
                self.options.scale_mb,
                self.options.rounds,
                duration(self.seconds),
                self.machine.load_average
            ),
        );
        for note in &self.notes {
            line(text, "");
            line(text, note);
        }
    }

    /// Nothing but medians, as the first thing to look at.
    fn write_times(&self, text: &mut String) {
        heading(text, "Time of one backup, s");
        let mut columns = vec![""];
        columns.extend(self.sets.iter().map(|result| result.set.name()));
        row(text, &columns);
        rule(text, 1, self.sets.len());
        for (index, contender) in self.contenders.iter().enumerate() {
            let mut cells = vec![contender.label().to_owned()];
            cells.extend(self.sets.iter().map(|result| format!("{:.2}", result.seconds(index).median)));
            row(text, &cells);
        }
        line(text, "");
        line(text, RATIOS);
    }

    fn write_data(&self, text: &mut String) {
        heading(text, "Data");
        row(text, &["data set", "what", "tables", "rows", "heap", "TOAST", "indexes"].map(str::to_owned));
        rule(text, 2, 5);
        for (set, size) in &self.data {
            row(
                text,
                &[
                    set.name().to_owned(),
                    set.description().to_owned(),
                    size.tables.to_string(),
                    size.rows.to_string(),
                    megabytes(size.heap_bytes),
                    megabytes(size.toast_bytes),
                    megabytes(size.index_bytes),
                ],
            );
        }
    }

    fn write_set(&self, text: &mut String, result: &SetResult) {
        heading(text, &format!("Backups of `{}`: {}", result.set.name(), result.set.description()));
        let mut columns = vec!["", "time, s"];
        let rivals = self.rivals();
        columns.extend(rivals.iter().map(|(title, _)| *title));
        columns.extend(["time ÷ floor", "archive", "copy + proof, s", "memory"]);
        if self.hot_pages.is_some() {
            columns.push("hot pages lost");
        }
        row(text, &columns);
        rule(text, 1, columns.len() - 1);
        let floor = self.find(&Kind::Floor);
        for (index, contender) in self.contenders.iter().enumerate() {
            let mut cells = vec![contender.label().to_owned(), spread(result.seconds(index), 2)];
            for (_, rival) in &rivals {
                let ratio = rival(contender).filter(|rival| *rival != index && floor != Some(index));
                cells.push(ratio.map_or(NONE.to_owned(), |rival| spread(result.ratio(rival, index), 2)));
            }
            let floor = floor.filter(|floor| *floor != index);
            cells.push(floor.map_or(NONE.to_owned(), |floor| spread(result.ratio(index, floor), 2)));
            let bytes = result.rounds[0][index].outcome.bytes;
            cells.push(bytes.map_or(NONE.to_owned(), |bytes| megabytes(signed(bytes))));
            let copy = result.median(index, |run| run.outcome.phases.map(|phases| phases.copy_seconds));
            let proof = result.median(index, |run| run.outcome.phases.map(|phases| phases.proof_seconds));
            cells.push(
                copy.zip(proof).map_or(NONE.to_owned(), |(copy, proof)| format!("{copy:.2} + {proof:.2}")),
            );
            cells.push(megabytes(signed(result.peaks(index).together_bytes)));
            #[expect(clippy::cast_precision_loss, reason = "a few thousand pages")]
            let lost = result.median(index, |run| run.hot_pages_lost.map(|pages| pages as f64));
            if let (Some(lost), Some(pages)) = (lost, self.hot_pages) {
                cells.push(format!("{lost:.0} of {pages}"));
            }
            row(text, &cells);
        }
        if let Some(floor) = floor {
            let Spread { median, min, max } = result.seconds(floor);
            let percent = (max - min) / median * 100.0;
            line(text, "");
            line(
                text,
                &format!("How noisy it was: the floor took {min:.2} to {max:.2} s, {percent:.0} % apart."),
            );
        }
    }

    /// The columns of contenders that others are compared with: a title, and whom a contender is compared with.
    fn rivals(&self) -> Vec<(&'static str, Rival<'_>)> {
        let same = |kind: Kind| -> Rival<'_> {
            let index = self.find(&kind);
            Box::new(move |_| index)
        };
        let same_codec: Rival<'_> =
            Box::new(|contender| self.find(&Kind::DumpDirectory(contender.codec().cloned()?)));
        vec![
            ("× `-Fc -Z9`", same(Kind::DumpMax)),
            ("× `-Fc`", same(Kind::Dump)),
            ("× `-Fd`, same codec", same_codec),
        ]
    }

    fn find(&self, kind: &Kind) -> Option<usize> {
        self.contenders.iter().position(|contender| contender.kind() == kind)
    }

    /// Where the time goes: with as many processes as cores, wall time is this sum divided by the cores that were busy.
    fn write_cpu(&self, text: &mut String, result: &SetResult) {
        let rows: Vec<Runs<'_>> = self
            .contenders
            .iter()
            .enumerate()
            .map(|(index, contender)| Runs {
                label: contender.label(),
                usages: result.rounds.iter().map(|round| &round[index].usage).collect(),
                seconds: result.seconds(index).median,
            })
            .collect();
        processes::write_cpu(text, &rows, self.find(&Kind::Floor));
    }

    /// The peaks over all data sets.
    fn write_memory(&self, text: &mut String) {
        heading(text, "Peak memory of backups");
        let peaks = self.contenders.iter().enumerate().map(|(index, contender)| {
            let runs = self.sets.iter().flat_map(|result| &result.rounds).map(|round| &round[index].usage);
            (contender.label(), Usage::peaks(runs))
        });
        processes::write_peaks(text, peaks, &self.at_rest);
    }

    fn write_load(&self, text: &mut String, result: &LoadResult) {
        heading(text, &format!("pgbench beside a backup of `{}`", result.set.name()));
        line(
            text,
            &format!(
                "Two clients of pgbench (TPC-B-like) in another database of the same cluster, alone and right after that beside the \
             backup, on the same {} cores.",
                self.machine.cores
            ),
        );
        line(text, "");
        row(text, &["beside", "tps alone", "tps beside it", "loss, %", "time of one backup, s"]);
        rule(text, 1, 4);
        for (index, contender) in self.contenders.iter().enumerate() {
            let each = |number: fn(&LoadRun) -> f64| Spread::of_runs(&result.rounds, index, number);
            row(
                text,
                &[
                    contender.label().to_owned(),
                    spread(each(|run| run.alone_tps), 0),
                    spread(each(|run| run.beside_tps), 0),
                    spread(each(|run| run.loss() * 100.0), 1),
                    spread(each(|run| run.backup_seconds), 2),
                ],
            );
        }
    }

    fn json(&self) -> Value {
        let options = &self.options;
        let sets: Vec<Value> = self.sets.iter().map(|result| self.set_json(result)).collect();
        let loads: Vec<Value> = self
            .loads
            .iter()
            .map(|result| {
                let of = |index: usize| -> Vec<Value> {
                    result
                        .rounds
                        .iter()
                        .map(|round| json!({"run": round[index], "loss": round[index].loss()}))
                        .collect()
                };
                json!({"set": result.set.name(), "contenders": self.by_contender(of)})
            })
            .collect();
        let data: Vec<Value> = self
            .data
            .iter()
            .map(|(set, size)| json!({"set": set.name(), "description": set.description(), "size": size}))
            .collect();
        json!({
            "machine": self.machine,
            "scale_mb": options.scale_mb,
            "rounds": options.rounds,
            "jobs": options.jobs,
            "seconds": self.seconds,
            "notes": self.notes,
            "data": data,
            "hot_pages": self.hot_pages,
            "memory_at_rest": self.at_rest,
            "backups": sets,
            "restores": self.restores_json(),
            "pgbench": loads,
        })
    }

    fn set_json(&self, result: &SetResult) -> Value {
        let of = |index: usize| -> Vec<&Run> { result.rounds.iter().map(|round| &round[index]).collect() };
        let mut contenders = self.by_contender(of);
        for (index, value) in contenders.iter_mut().enumerate() {
            value["seconds"] = json!(result.seconds(index));
            let floor = self.find(&Kind::Floor);
            value["time_by_floor"] = json!(floor.map(|floor| result.ratio(index, floor)));
            for ((_, rival), name) in
                self.rivals().iter().zip(["times_dump_z9", "times_dump", "times_dump_directory"])
            {
                value[name] = json!(rival(&self.contenders[index]).map(|rival| result.ratio(rival, index)));
            }
        }
        json!({"set": result.set.name(), "contenders": contenders})
    }

    /// An object for each contender, with the runs that `of` gives for its number.
    fn by_contender<T: serde::Serialize>(&self, of: impl Fn(usize) -> T) -> Vec<Value> {
        let object = |(index, contender): (usize, &Contender)| {
            let codec = contender.codec().map(Codec::to_string);
            json!({"label": contender.label().replace('`', ""), "codec": codec, "runs": of(index)})
        };
        self.contenders.iter().enumerate().map(object).collect()
    }
}

/// Whom a contender is compared with: the number of another one, where there is one.
type Rival<'a> = Box<dyn Fn(&Contender) -> Option<usize> + 'a>;
