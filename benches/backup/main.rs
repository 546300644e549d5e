//! Backups side by side: `pg_dump`, a bare `COPY` and walwarden on the same data, paired and in turns. Then restores:
//! `pg_restore` and walwarden.
//!
//! `make bench` runs it; `docs/bench.md` says what is measured and how to read it. Nothing here asserts a time: it prints
//! what was measured, as Markdown on stdout and as JSON into a file. What is going on is told on stderr.
//!
//! It knows walwarden only by its SQL. A contender that fails ends the whole run: a table with a hole would be read as
//! one without.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking, with a message that says what failed"
)]

mod contenders;
mod data;
mod disk;
mod floor;
mod hot;
mod jobs;
mod load;
mod machine;
mod measure;
mod options;
mod report;
mod restores;
mod stage;
mod statistics;
mod usage;

use contenders::Contender;
use data::DataSet;
use hot::HotTable;
use load::Load;
use measure::{Run, measure};
use options::Options;
use report::{LoadResult, Report, RestoreResult, SetResult};
use stage::{Database, Stage};
use std::process::ExitCode;
use std::time::Instant;

/// The database in which every contender shows once that it works, before the minutes of the others are spent.
const REHEARSAL: &str = "rehearsal";

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this program too, and without this word.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("this is a benchmark: run it with make bench");
        return ExitCode::SUCCESS;
    }
    let options = match Options::from_environment() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::HELP);
            return ExitCode::from(2);
        }
    };
    let started = Instant::now();
    let mut report = run(&options);
    report.seconds = started.elapsed().as_secs_f64();
    println!("{}", report.markdown());
    match report.write_json(&options.json) {
        Ok(()) => {
            eprintln!("the same as JSON: {}", options.json.display());
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("cannot write {}: {e}", options.json.display());
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Report {
    let mut notes = Vec::new();
    let stage = Stage::set_up(options, &mut notes);
    let contenders = contenders::list(&stage, options, &mut notes);
    let restorers = restores::list(&stage, options);
    let is_backing_up = !contenders.is_empty();
    let hot = is_backing_up.then(|| HotTable::create(&stage, &mut notes)).flatten();
    rehearse(&stage, &contenders, &restorers);

    let mut data = Vec::new();
    for set in &options.sets {
        data.push(build(&stage, *set, options.scale_mb));
    }
    let load = (is_backing_up && !options.load_sets.is_empty()).then(|| Load::create(&stage));
    stage.become_durable();

    let at_rest = measure::at_rest(&stage);
    let mut sets = Vec::new();
    for (set, database) in data.iter().filter(|_| is_backing_up) {
        let rounds = play(&stage, database, &contenders, hot.as_ref(), options.rounds);
        sets.push(SetResult { set: *set, rounds });
    }
    let mut restores = Vec::new();
    for (set, database) in data.iter().filter(|_| !restorers.is_empty()) {
        let rounds = restores::play(&stage, database, &restorers, options.rounds);
        restores.push(RestoreResult { set: *set, rounds });
    }
    let mut loads = Vec::new();
    if let Some(load) = &load {
        for (set, database) in data.iter().filter(|(set, _)| options.load_sets.contains(set)) {
            let rounds = load.play(&stage, database, &contenders, options);
            loads.push(LoadResult { set: *set, rounds });
        }
    }
    Report {
        machine: machine::Machine::look(&stage),
        options: options.clone(),
        contenders,
        restorers,
        data: data.into_iter().map(|(set, database)| (set, database.size)).collect(),
        hot_pages: hot.as_ref().map(HotTable::pages),
        at_rest,
        sets,
        restores,
        loads,
        notes,
        seconds: 0.0,
    }
}

/// Every contender once, on next to nothing, so that what is missing is told at once.
fn rehearse(stage: &Stage, contenders: &[Contender], restorers: &[restores::Contender]) {
    stage.create_database(
        REHEARSAL,
        "CREATE TABLE word AS SELECT n AS id, 'word ' || n AS word FROM generate_series(1, 100) AS n",
    );
    let database = Database::look(stage, REHEARSAL);
    for contender in contenders {
        eprintln!("rehearsing {}", contender.label());
        contender.run(stage, &database, &|_| ());
    }
    if !restorers.is_empty() {
        restores::play(stage, &database, restorers, 1);
    }
}

fn build(stage: &Stage, set: DataSet, megabytes: u64) -> (DataSet, Database) {
    let started = Instant::now();
    stage.create_database(set.name(), &set.script(megabytes));
    let database = Database::look(stage, set.name());
    eprintln!(
        "built {} in {:.0} s: {}",
        set.name(),
        started.elapsed().as_secs_f64(),
        report::megabytes(database.size.bytes)
    );
    (set, database)
}

/// All rounds on one data set: in each every contender once, forwards in the first, backwards in the second, and so on.
/// The result holds a list for each round, in the order of `contenders`.
fn play(
    stage: &Stage,
    database: &Database,
    contenders: &[Contender],
    hot: Option<&HotTable>,
    rounds: usize,
) -> Vec<Vec<Run>> {
    // Not counted: it brings the data into the page cache, where all the counted runs find it.
    floor::run(stage, database);
    (0..rounds)
        .map(|round| {
            in_turns(contenders.len(), round, |index| {
                let contender = &contenders[index];
                let run = measure(stage, database, contender, hot);
                let place = format!("{}, round {} of {rounds}", database.name, round + 1);
                eprintln!("{place}: {:>8.2} s  {}", run.outcome.seconds, contender.label());
                run
            })
        })
        .collect()
}

/// Calls `turn` with 0 to `count` - 1, backwards in every second round; the answers come in order.
pub(crate) fn in_turns<T>(count: usize, round: usize, mut turn: impl FnMut(usize) -> T) -> Vec<T> {
    if round.is_multiple_of(2) {
        (0..count).map(turn).collect()
    } else {
        let mut answers: Vec<T> = (0..count).rev().map(&mut turn).collect();
        answers.reverse();
        answers
    }
}
