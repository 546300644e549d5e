//! Processes seen from outside: by id, in /proc.

use rustix::process::{Pid, Signal, kill_process};

/// One process below another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildProcess {
    /// Its id.
    pub pid: u32,
    /// Its command line, which PostgreSQL uses as the process title.
    pub title: String,
    /// When it started, in clock ticks since boot: tells it from a later process with the same id.
    started: u64,
}

impl ChildProcess {
    /// Whether this very process is still there. A zombie is not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| !stat.is_zombie && stat.started == self.started)
    }

    /// Stops it where it is (`kill -STOP`), so that it cannot end by itself before the test kills it. `false` when it was
    /// gone before.
    #[must_use]
    pub fn freeze(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("a process id");
        // Whether it is gone is what the state says.
        let _ = kill_process(pid, Signal::STOP);
        loop {
            match Stat::read(self.pid) {
                Some(stat) if stat.started == self.started && !stat.is_zombie => {
                    if stat.is_stopped {
                        return true;
                    }
                    std::thread::yield_now();
                }
                _ => return false,
            }
        }
    }

    /// The processes it has started, such as the `pg_dump` of a worker.
    #[must_use]
    pub fn children(&self) -> Vec<Self> {
        children(self.pid)
    }
}

/// Whether a process with this id is there. A zombie is not.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    Stat::read(pid).is_some_and(|stat| !stat.is_zombie)
}

/// The most memory that a process has had, in bytes, shared memory that it has touched among it (VmHWM, proc(5)).
#[must_use]
pub fn peak_memory(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// `kill -9`, to this process only.
pub fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

/// `kill -TERM`, to this process only.
pub fn terminate(pid: u32) {
    send(pid, Signal::TERM);
}

pub(crate) fn send(pid: u32, signal: Signal) {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(target, signal).unwrap_or_else(|e| panic!("cannot send {signal:?} to process {pid}: {e}"));
}

/// The processes whose parent is `parent`.
pub(crate) fn children(parent: u32) -> Vec<ChildProcess> {
    let entries = std::fs::read_dir("/proc").expect("/proc is mounted");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let stat = Stat::read(pid).filter(|stat| stat.parent == parent && !stat.is_zombie)?;
            let title = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let title = String::from_utf8_lossy(&title).replace('\0', " ").trim().to_owned();
            Some(ChildProcess { pid, title, started: stat.started })
        })
        .collect()
}

struct Stat {
    is_zombie: bool,
    is_stopped: bool,
    parent: u32,
    started: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let text = String::from_utf8_lossy(&text);
        // The second field is the name in parentheses and may itself hold anything; the third follows the last ')'.
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        Some(Self {
            is_zombie: matches!(*fields.first()?, "Z" | "X"),
            is_stopped: matches!(*fields.first()?, "T" | "t"),
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_child_come_and_go() {
        let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let seen = children(std::process::id()).into_iter().find(|child| child.pid == sleeper.id());
        let seen = seen.expect("the child is listed");
        assert!(seen.is_running());
        assert!(seen.freeze());
        assert!(seen.is_running());
        kill(seen.pid);
        sleeper.wait().expect("our child");
        assert!(!seen.is_running());
        assert!(!seen.freeze());
    }
}
