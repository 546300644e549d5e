//! What a cluster's processes have used, from /proc.

use std::path::Path;

/// USER_HZ: what the kernel counts in for others (proc(5)).
const TICKS_A_SECOND: f64 = 100.0;

/// Seconds on a core of a process and of those it has seen end, as the postmaster sees all of its children.
pub fn cpu_seconds_with_the_ended(pid: u32) -> f64 {
    let text = read(pid, "stat");
    // The name in parentheses may itself hold anything; utime, stime, cutime and cstime are fields 14 to 17.
    let fields = text.rsplit(')').next().expect("a line").split_whitespace().skip(11).take(4);
    fields.map(|field| field.parse::<f64>().expect("clock ticks")).sum::<f64>() / TICKS_A_SECOND
}

/// How often a process has gone to sleep of its own accord: once a wake-up.
pub fn sleeps(pid: u32) -> u64 {
    field(pid, "voluntary_ctxt_switches:")
}

/// The memory that a process has for itself, kB.
pub fn private_kb(pid: u32) -> u64 {
    field(pid, "RssAnon:")
}

fn field(pid: u32, name: &str) -> u64 {
    let text = read(pid, "status");
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} of {pid}"));
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn read(pid: u32, file: &str) -> String {
    let path = Path::new("/proc").join(pid.to_string()).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
