//! What it costs to have walwarden in many databases of one cluster, and a long history in one: processes, memory and time of
//! an idle cluster, of schedules that are due everywhere at once, of a tick, of the views, and of a long audit chain.
//!
//! `scripts/bench PG operations` runs it; `docs/bench.md` says what is measured. Nothing here asserts a time: it prints what was
//! measured, as Markdown on stdout. What is going on is told on stderr. It knows walwarden by its SQL alone.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking, with a message that says what failed"
)]

mod chain;
mod databases;
mod history;
mod processes;
mod table;

use std::process::ExitCode;
use std::str::FromStr;
use table::Table;

const HELP: &str = "\
WALWARDEN_BENCH_DATABASES=200     databases with walwarden and a schedule each; 0 for none
WALWARDEN_BENCH_LIMIT=4           walwarden.max_concurrent_jobs
WALWARDEN_BENCH_HISTORY=1000000   jobs in the history of one database; 0 for none
WALWARDEN_BENCH_ENTRIES=1000000   entries in an audit chain; 0 for none";

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this program too, and without this word.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("this is a benchmark: run it with make bench");
        return ExitCode::SUCCESS;
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn measure() -> Result<(), String> {
    let (databases, limit) = (number("DATABASES", 200usize)?, number("LIMIT", 4usize)?);
    let (jobs, entries) = (number("HISTORY", 1_000_000u64)?, number("ENTRIES", 1_000_000u64)?);
    if databases > 0 {
        let table = databases::measure(databases, limit);
        println!("\n### {databases} databases with a schedule each, {limit} jobs at once\n\n{table}");
    }
    if jobs > 0 {
        let (ticks, views) = history::measure(jobs);
        println!("\n### A history of {jobs} jobs\n\n{ticks}\n{views}");
    }
    if entries > 0 {
        println!("\n### An audit chain of {entries} entries\n\n{}", chain::measure(entries));
    }
    let build = std::env::var("WALWARDEN_BENCH_BUILD").unwrap_or_else(|_| "unknown build".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut circumstances = Table::new(&["circumstances", ""]);
    circumstances.row("PostgreSQL", walwarden_testkit::Installation::current().major());
    circumstances.row("walwarden", build);
    circumstances.row("cores", cores);
    circumstances.row("load average at the end", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    println!("\n{circumstances}");
    Ok(())
}

fn number<N: FromStr>(name: &str, default: N) -> Result<N, String> {
    match std::env::var(format!("WALWARDEN_BENCH_{name}")).ok().filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("WALWARDEN_BENCH_{name}={text} is no number")),
    }
}
