//! What all processes of a cluster and the clients beside it use, sampled from /proc while something runs.
//!
//! **Time** is `utime` and `stime` of `/proc/PID/stat`, all threads together, in hundredths of a second. What a process
//! uses between the last look at it and its end is lost.
//!
//! **Memory**: what counts is `RssAnon` of `/proc/PID/status`: the memory a process has for itself. Shared buffers and queues in shared
//! memory are not in it. Pages that a process shares with the postmaster since its fork are, so the sum is rather too
//! high than too low. `Pss`, which divides shared pages among those who share them, costs the kernel more to tell and is
//! read less often.

use crate::disk::{DiskUse, DiskWatch};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(50);
/// `Pss` is read once in so many samples, first in the one with this number: the very first sees nothing at work.
const SAMPLES_PER_PSS: u64 = 20;
const FIRST_PSS: u64 = 4;
/// The disk is looked at in one of so many samples, and in the first and the last.
const SAMPLES_PER_DISK: u64 = 2;
const KIB: u64 = 1024;
/// USER_HZ: what the kernel counts in for others, whatever it counts in itself (proc(5)).
const TICKS_A_SECOND: f64 = 100.0;

/// Peaks over one run, in bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Usage {
    /// The highest sum of `RssAnon` over all processes at one moment.
    pub together_bytes: u64,
    /// The highest sum of `Pss`; zero where it could not be read, or the run was too short.
    pub together_pss_bytes: u64,
    /// By kind of process: `leader`, `copier`, `loader`, `backend`, `pg_dump`, `pg_restore`, ...
    pub kinds: BTreeMap<String, KindUsage>,
    /// Time on cores by kind of process, in seconds.
    pub cpu_seconds: BTreeMap<String, f64>,
    /// Where it was watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskUse>,
    pub samples: u64,
    /// How long somebody looked on, and the time on a core that took, in seconds.
    pub watched_seconds: f64,
    pub sampler_seconds: f64,
}

/// Peaks of the processes of one kind, `RssAnon` in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct KindUsage {
    /// Of one process.
    pub largest_bytes: u64,
    /// Of all at one moment.
    pub together_bytes: u64,
    /// How many there were at one moment.
    pub most: u64,
}

/// A thread that looks on.
pub struct Sampler {
    shared: Arc<Shared>,
    thread: JoinHandle<Usage>,
}

struct Shared {
    is_over: AtomicBool,
    /// The heads of the families of processes that are watched.
    heads: Mutex<HashSet<u32>>,
}

impl Sampler {
    /// Watches the postmaster and everything below it. Returns after the first sample, which costs more than others.
    pub fn start(postmaster: u32) -> Self {
        Self::start_thread(postmaster, None)
    }

    /// The same, and the disk.
    pub fn start_with_disk(postmaster: u32, disk: DiskWatch) -> Self {
        Self::start_thread(postmaster, Some(disk))
    }

    fn start_thread(postmaster: u32, disk: Option<DiskWatch>) -> Self {
        let shared = Arc::new(Shared {
            is_over: AtomicBool::new(false),
            heads: Mutex::new(HashSet::from([postmaster])),
        });
        let for_thread = Arc::clone(&shared);
        let (sampled, first_sample) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || look_on(postmaster, &for_thread, disk, &sampled));
        first_sample.recv().expect("the sampler takes a sample");
        Self { shared, thread }
    }

    /// Watches this process and everything below it, too.
    pub fn watch(&self, pid: u32) {
        self.shared.heads.lock().expect("not poisoned").insert(pid);
    }

    /// Ends it.
    pub fn stop(self) -> Usage {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().expect("the sampler does not panic")
    }
}

fn look_on(postmaster: u32, shared: &Shared, mut disk: Option<DiskWatch>, sampled: &Sender<()>) -> Usage {
    let started = Instant::now();
    let mut usage = Usage::default();
    let mut family = Family::default();
    let mut clocks = Clocks::default();
    loop {
        let is_last = shared.is_over.load(Ordering::Relaxed);
        let heads = shared.heads.lock().expect("not poisoned").clone();
        family.update(&heads);
        if (is_last || usage.samples.is_multiple_of(SAMPLES_PER_DISK))
            && let Some(disk) = &mut disk
        {
            disk.look(family.members.keys().copied());
        }
        usage.add(postmaster, &family, &mut clocks);
        if is_last {
            break;
        }
        if usage.samples == 1 {
            sampled.send(()).expect("the one who started this waits");
        }
        std::thread::park_timeout(INTERVAL);
    }
    usage.cpu_seconds = clocks.by_kind();
    usage.disk = disk.as_ref().map(DiskWatch::peak);
    usage.watched_seconds = started.elapsed().as_secs_f64();
    usage.sampler_seconds = own_cpu_seconds();
    usage
}

impl Usage {
    /// The peaks over several runs.
    pub fn peaks<'a>(runs: impl Iterator<Item = &'a Self>) -> Self {
        let mut peak = Self::default();
        runs.for_each(|run| peak.merge(run));
        peak
    }

    /// The higher of both peaks, the sum of what adds up; `cpu_seconds` stays what it is.
    pub fn merge(&mut self, other: &Self) {
        self.together_bytes = self.together_bytes.max(other.together_bytes);
        self.together_pss_bytes = self.together_pss_bytes.max(other.together_pss_bytes);
        if let Some(theirs) = other.disk {
            self.disk.get_or_insert_default().merge(theirs);
        }
        self.samples += other.samples;
        self.watched_seconds += other.watched_seconds;
        self.sampler_seconds += other.sampler_seconds;
        for (kind, theirs) in &other.kinds {
            self.kinds.entry(kind.clone()).or_default().merge(*theirs);
        }
    }

    /// Takes one sample.
    fn add(&mut self, postmaster: u32, family: &Family, clocks: &mut Clocks) {
        let mut now: BTreeMap<String, KindUsage> = BTreeMap::new();
        let (mut together, mut together_pss) = (0, 0);
        let titles: HashMap<u32, String> =
            family.members.keys().filter_map(|pid| Some((*pid, title(*pid)?))).collect();
        for (pid, parent) in &family.members {
            let Some(title) = titles.get(pid) else { continue };
            let kind = kind(*pid == postmaster, title, titles.get(parent));
            clocks.look_at(*pid, kind.as_deref(), self.samples == 0);
            let bytes = field(&format!("/proc/{pid}/status"), "RssAnon:");
            let (Some(bytes), Some(kind)) = (bytes, kind) else { continue };
            together += bytes;
            now.entry(kind).or_default().add_process(bytes);
            if self.samples % SAMPLES_PER_PSS == FIRST_PSS {
                together_pss += field(&format!("/proc/{pid}/smaps_rollup"), "Pss:").unwrap_or(0);
            }
        }
        self.samples += 1;
        self.together_bytes = self.together_bytes.max(together);
        self.together_pss_bytes = self.together_pss_bytes.max(together_pss);
        for (kind, usage) in now {
            self.kinds.entry(kind).or_default().merge(usage);
        }
    }
}

impl KindUsage {
    fn add_process(&mut self, bytes: u64) {
        self.largest_bytes = self.largest_bytes.max(bytes);
        self.together_bytes += bytes;
        self.most += 1;
    }

    fn merge(&mut self, other: Self) {
        self.largest_bytes = self.largest_bytes.max(other.largest_bytes);
        self.together_bytes = self.together_bytes.max(other.together_bytes);
        self.most = self.most.max(other.most);
    }
}

/// How long each process has been on a core.
#[derive(Default)]
struct Clocks(HashMap<u32, Clock>);

/// In clock ticks.
#[derive(Default)]
struct Clock {
    kind: Option<String>,
    before: u64,
    now: u64,
}

impl Clocks {
    fn look_at(&mut self, pid: u32, kind: Option<&str>, is_first_sample: bool) {
        let Some(ticks) = ticks(pid) else { return };
        let clock = self.0.entry(pid).or_default();
        if is_first_sample {
            clock.before = ticks;
        }
        clock.now = ticks;
        if let Some(kind) = kind {
            clock.kind = Some(kind.to_owned());
        }
    }

    fn by_kind(self) -> BTreeMap<String, f64> {
        let mut seconds = BTreeMap::new();
        for clock in self.0.into_values() {
            #[expect(clippy::cast_precision_loss, reason = "some thousands")]
            let used = (clock.now - clock.before) as f64 / TICKS_A_SECOND;
            if let Some(kind) = clock.kind.filter(|_| used > 0.0) {
                *seconds.entry(kind).or_default() += used;
            }
        }
        seconds
    }
}

/// The processes that are watched. To look at every process of the machine twenty times a second would itself be a load, so
/// each is asked for its parent once.
#[derive(Default)]
struct Family {
    heads: HashSet<u32>,
    /// Process to parent.
    members: HashMap<u32, u32>,
    strangers: HashSet<u32>,
}

impl Family {
    fn update(&mut self, heads: &HashSet<u32>) {
        if self.heads != *heads {
            self.heads.clone_from(heads);
            // The new head, or a child of it, may have been seen before anybody said that it is one.
            self.strangers.clear();
        }
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        let present: HashSet<u32> =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        self.members.retain(|pid, _| present.contains(pid));
        self.strangers.retain(|pid| present.contains(pid));
        let mut unknown: Vec<u32> = present
            .into_iter()
            .filter(|pid| !self.members.contains_key(pid) && !self.strangers.contains(pid))
            .collect();
        // Parents mostly have lower ids than their children.
        unknown.sort_unstable();
        for pid in unknown {
            match parent(pid) {
                Some(parent) if self.heads.contains(&pid) || self.members.contains_key(&parent) => {
                    self.members.insert(pid, parent);
                }
                Some(_) => {
                    self.strangers.insert(pid);
                }
                None => {}
            }
        }
    }
}

/// What sort of process it is, by its title; `None` for one that is only just becoming something.
fn kind(is_postmaster: bool, title: &str, parent: Option<&String>) -> Option<String> {
    if is_postmaster {
        return Some("postmaster".to_owned());
    }
    let Some(title) = title.strip_prefix("postgres: ") else {
        let program = title.split(' ').next()?.rsplit('/').next()?;
        // A child of the postmaster that has not taken its own title yet, or one that is ending and has none any more.
        return (program != "postgres" && !program.is_empty()).then(|| program.to_owned());
    };
    // A backend has no backends for children: this one is about to become pg_dump or pg_restore.
    if parent.is_some_and(|parent| parent.starts_with("postgres: ")) {
        return None;
    }
    let is_one_of = |names: &[&str]| names.iter().any(|name| title.starts_with(name));
    if let Some(worker) = title.strip_prefix("walwarden ") {
        return worker.split(' ').next().map(str::to_owned);
    }
    let auxiliary = [
        "checkpointer",
        "background writer",
        "walwriter",
        "logical replication launcher",
        "autovacuum",
        "io worker",
    ];
    Some(if is_one_of(&auxiliary) { "auxiliary" } else { "backend" }.to_owned())
}

fn title(pid: u32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned())
}

/// A line of the form `Name:   123 kB`, in bytes.
fn field(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * KIB)
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid, |mut fields| fields.nth(1)?.parse().ok())
}

/// `utime` and `stime`.
fn ticks(pid: u32) -> Option<u64> {
    stat(pid, |fields| {
        let mut times = fields.skip(11).map(str::parse::<u64>);
        Some(times.next()?.ok()? + times.next()?.ok()?)
    })
}

/// Something of `/proc/PID/stat`, from the third field on.
fn stat<T>(pid: u32, read: impl FnOnce(std::str::SplitWhitespace<'_>) -> Option<T>) -> Option<T> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold anything.
    read(text[text.rfind(')')? + 1..].split_whitespace())
}

/// What the calling thread has used. Zero where the kernel does not count it.
fn own_cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds: u64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
    Duration::from_nanos(nanoseconds).as_secs_f64()
}
