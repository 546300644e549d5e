//! The direct encoder beside COPY: type by type in shared buffers, and whole backups of what no cache holds.
//!
//! `scripts/bench PG encoder` runs it; `docs/bench.md` says what is measured. Nothing here asserts a time: it prints what was
//! measured, as Markdown on stdout. What is going on is told on stderr. A byte that differs ends it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking, with a message that says what failed"
)]

mod cold;
#[path = "../backup/data.rs"]
#[expect(dead_code, reason = "the other benchmark has more data sets")]
mod data;
#[path = "../operations/table.rs"]
#[expect(dead_code, reason = "the other benchmark has another number of digits")]
mod table;
mod types;

use data::DataSet;
use std::process::ExitCode;
use std::str::FromStr;
use table::Table;
use walwarden_testkit::{Cluster, Installation};

const HELP: &str = "\
WALWARDEN_BENCH_SCALE=128   megabytes of each table
WALWARDEN_BENCH_ROUNDS=5    how often each table is written both ways";

/// What the tables are in.
const DATABASE: &str = "encoder";

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this program too, and without this word.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("this is a benchmark: run it with make bench");
        return ExitCode::SUCCESS;
    }
    match (number("SCALE", 128), number("ROUNDS", 5)) {
        (Ok(megabytes), Ok(rounds)) => {
            measure(megabytes, rounds);
            ExitCode::SUCCESS
        }
        (Err(message), _) | (_, Err(message)) => {
            eprintln!("{message}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn measure(megabytes: u64, rounds: usize) {
    let mut cluster = Cluster::builder()
        .preload_walwarden()
        // All of a table, with its TOAST, stays where both read it.
        .config(&format!("shared_buffers = {}MB", 8 * megabytes.max(16)))
        .config("max_wal_size = 8GB")
        .config("autovacuum = off")
        .start();
    cluster.create_database(DATABASE);
    cluster.sql(DATABASE, "SET client_min_messages = warning; CREATE EXTENSION walwarden");
    println!(
        "\n### Types, four columns of each, in shared buffers\n\n{}",
        types::measure(&cluster, megabytes, rounds)
    );
    let sets = [DataSet::Wide, DataSet::Numeric, DataSet::Giant, DataSet::Toast];
    for set in sets {
        cluster.sql(DATABASE, &set.script(megabytes));
    }
    println!(
        "\n### Tables of the data sets, in shared buffers\n\n{}",
        types::measure_tables(&cluster, rounds)
    );
    println!("\n### Backups of all of them, nothing cached\n\n{}", cold::measure(&mut cluster, rounds));
    let build = std::env::var("WALWARDEN_BENCH_BUILD").unwrap_or_else(|_| "unknown build".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut circumstances = Table::new(&["circumstances", ""]);
    circumstances.row("PostgreSQL", Installation::current().major());
    circumstances.row("walwarden", build);
    circumstances.row("megabytes of a table, rounds", format!("{megabytes}, {rounds}"));
    circumstances.row("cores", cores);
    circumstances.row("load average at the end", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    println!("\n{circumstances}");
}

fn number<N: FromStr>(name: &str, default: N) -> Result<N, String> {
    match std::env::var(format!("WALWARDEN_BENCH_{name}")).ok().filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("WALWARDEN_BENCH_{name}={text} is no number")),
    }
}
