//! The machine and the server, without which no number means anything.

use crate::stage::Stage;
use serde::Serialize;
use std::process::Command;

/// What the numbers were measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub ram_bytes: u64,
    pub kernel: String,
    /// Of the data, the archives and pg_dump's files.
    pub file_system: String,
    pub postgresql: String,
    pub walwarden: String,
    /// `release`, or what the caller said about an extension that was there before.
    pub build: String,
    /// The mean number of processes that wanted a core in the minutes before the end, the benchmark's own included.
    pub load_average: String,
}

impl Machine {
    /// Looks around.
    pub fn look(stage: &Stage) -> Self {
        let version = "SELECT extversion FROM pg_extension WHERE extname = 'walwarden'";
        Self {
            cpu: line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            ram_bytes: line_of("/proc/meminfo", "MemTotal")
                .and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok())
                .map_or(0, |kib| kib * 1024),
            kernel: first_line("/proc/sys/kernel/osrelease"),
            file_system: file_system(stage),
            postgresql: stage.cluster.sql("postgres", "SHOW server_version"),
            walwarden: stage.cluster.sql(crate::REHEARSAL, version),
            build: std::env::var("WALWARDEN_BENCH_BUILD").unwrap_or_else(|_| "unknown build".to_owned()),
            load_average: first_line("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
        }
    }
}

fn file_system(stage: &Stage) -> String {
    let output = Command::new("stat").args(["-f", "-c", "%T"]).arg(stage.cluster.folder()).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn first_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}

/// What follows `name` and a colon in the first line that begins with it.
fn line_of(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}
