//! Starting the workers: registrations in one place, and the start of a leader at the caller's commit.

use crate::pg::bgworker::{Assignment, Handle, Worker, no_free_slot};
use crate::pg::shared::{self, Letter};
use crate::pg::{clock, server};
use crate::worker::copier::Post;
use pgrx::PgXactCallbackEvent;
use std::cell::{Cell, RefCell};
use uuid::Uuid;

/// Seconds until a launcher that failed is started again.
const LAUNCHER_RESTART_SECONDS: i32 = 10;

thread_local! {
    /// Jobs queued by the transaction that is open in this session: their leaders start when it commits.
    static QUEUED_HERE: RefCell<Vec<Uuid>> = const { RefCell::new(Vec::new()) };
    /// Whether the transaction that is open in this process has queued a notification.
    static NOTIFIED_HERE: Cell<bool> = const { Cell::new(false) };
}

/// Register the launcher; only while preloading.
pub fn register_launcher() {
    Worker {
        function: "walwarden_launcher_main",
        name: "walwarden launcher",
        assignment: Assignment { database: 0, task: String::new() },
        restart_seconds: Some(LAUNCHER_RESTART_SECONDS),
    }
    .register_static();
}

/// Start a tick in a database.
pub fn start_tick(database: u32) -> Option<Handle> {
    noticed(Worker {
        function: "walwarden_tick_main",
        name: "walwarden tick",
        assignment: Assignment { database, task: String::new() },
        restart_seconds: None,
    })
}

/// Start the cleaner in this database.
pub fn start_cleaner() -> Option<Handle> {
    noticed(Worker {
        function: "walwarden_cleaner_main",
        name: "walwarden cleaner",
        assignment: Assignment { database: server::database_oid(), task: String::new() },
        restart_seconds: None,
    })
}

/// Start the worker that puts checkpoints into storage, in this database.
pub fn start_anchor() -> Option<Handle> {
    noticed(Worker {
        function: "walwarden_anchor_main",
        name: "walwarden anchor",
        assignment: Assignment { database: server::database_oid(), task: String::new() },
        restart_seconds: None,
    })
}

/// Start it when, and only if, the open transaction commits.
pub fn start_anchor_at_commit() {
    pgrx::register_xact_callback(PgXactCallbackEvent::Commit, || {
        if start_anchor().is_none() {
            // An error is impossible here: the transaction has committed.
            pgrx::warning!("nothing is signed yet: every worker slot is taken (max_worker_processes)");
        }
    });
}

/// Start it when, and only if, the open transaction commits.
pub fn start_cleaner_at_commit() {
    pgrx::register_xact_callback(PgXactCallbackEvent::Commit, || {
        if start_cleaner().is_none() {
            // An error is impossible here: the transaction has committed.
            pgrx::warning!("nothing is deleted yet: every worker slot is taken (max_worker_processes)");
        }
    });
}

/// Start a leader for a job of this database. None when every worker slot is taken: the job stays queued.
pub fn start_leader(job: Uuid) -> Option<Handle> {
    leader(server::database_oid(), job.to_string())
}

/// Start a leader in a database whose turn it is: it takes the job that has waited longest.
pub fn start_leader_in(database: u32) -> Option<Handle> {
    leader(database, String::new())
}

fn leader(database: u32, task: String) -> Option<Handle> {
    noticed(Worker {
        function: "walwarden_leader_main",
        name: "walwarden leader",
        assignment: Assignment { database, task },
        restart_seconds: None,
    })
}

/// Start it, and let everybody know whether there was a worker slot for it.
fn noticed(worker: Worker<'_>) -> Option<Handle> {
    let started = worker.start();
    if shared::notice().no_free_worker != started.is_none() {
        shared::change_notice(|notice| notice.no_free_worker = started.is_none());
    }
    started
}

/// Start a messenger in this database.
pub fn start_messenger() -> Option<Handle> {
    Worker {
        function: "walwarden_messenger_main",
        name: "walwarden messenger",
        assignment: Assignment { database: server::database_oid(), task: String::new() },
        restart_seconds: None,
    }
    .start()
}

/// Start a copier of this database.
pub fn start_copier(post: Post) -> Option<Handle> {
    Worker {
        function: "walwarden_copier_main",
        name: "walwarden copier",
        assignment: Assignment { database: server::database_oid(), task: post.to_task() },
        restart_seconds: None,
    }
    .start()
}

/// Start a loader in a database that is being restored.
pub fn start_loader(database: u32, post: Post) -> Option<Handle> {
    Worker {
        function: "walwarden_loader_main",
        name: "walwarden loader",
        assignment: Assignment { database, task: post.to_task() },
        restart_seconds: None,
    }
    .start()
}

/// Start an examiner in a database that was restored.
pub fn start_examiner(database: u32, post: Post) -> Option<Handle> {
    Worker {
        function: "walwarden_examiner_main",
        name: "walwarden examiner",
        assignment: Assignment { database, task: post.to_task() },
        restart_seconds: None,
    }
    .start()
}

/// Start the leader of a job when, and only if, the open transaction commits.
pub fn start_leader_at_commit(job: Uuid) {
    let first = QUEUED_HERE.with_borrow_mut(|jobs| {
        jobs.push(job);
        jobs.len() == 1
    });
    if first {
        pgrx::register_xact_callback(PgXactCallbackEvent::Commit, || {
            for job in QUEUED_HERE.take() {
                if start_leader(job).is_none() {
                    // An error is impossible here: the transaction has committed.
                    pgrx::warning!(
                        "job {job} stays queued: every worker slot is taken (max_worker_processes)"
                    );
                    let since = clock::now().timestamp_micros();
                    shared::post(Letter::waits(server::database_oid(), since));
                }
            }
        });
        pgrx::register_xact_callback(PgXactCallbackEvent::Abort, || {
            QUEUED_HERE.take();
        });
        pgrx::register_xact_callback(PgXactCallbackEvent::Prepare, || {
            QUEUED_HERE.take();
        });
    }
}

/// Start a messenger when, and only if, the open transaction commits.
pub fn start_messenger_at_commit() {
    if NOTIFIED_HERE.replace(true) {
        return;
    }
    pgrx::register_xact_callback(PgXactCallbackEvent::Commit, || {
        // Every worker slot taken: the next tick, or the next notification, starts one.
        if NOTIFIED_HERE.take() && start_messenger().is_none() {
            crate::error::log(&no_free_slot("messenger"), "notifications wait");
        }
    });
    pgrx::register_xact_callback(PgXactCallbackEvent::Abort, || NOTIFIED_HERE.set(false));
    pgrx::register_xact_callback(PgXactCallbackEvent::Prepare, || NOTIFIED_HERE.set(false));
}

/// Whether the open transaction itself queued this job, which therefore cannot start before it commits.
pub fn waits_for_this_transaction(job: Uuid) -> bool {
    QUEUED_HERE.with_borrow(|jobs| jobs.contains(&job))
}
