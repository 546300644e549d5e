//! Storage I/O beside the main thread: a small tokio runtime whose threads never call PostgreSQL and never see its
//! signals. The main thread waits for results on its latch and an eventfd, so that every wait can be interrupted.

use crate::pg::interrupts;
use crate::pg::process::with_signals_blocked;
use crate::pg::waker::Waker;
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use walwarden_core::{Error, ErrorClass, Result};

/// The longest sleep between looks at what else wants attention.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The runtime and what wakes the main thread.
pub struct Io {
    runtime: Option<Runtime>,
    waker: Waker,
    in_session: bool,
}

/// Work under way on the runtime; dropped, it is aborted.
pub struct Task<T> {
    outcome: oneshot::Receiver<Result<T>>,
    abort: tokio::task::AbortHandle,
}

impl Io {
    /// Start the threads, for a worker.
    pub fn start() -> Result<Self> {
        Self::start_in(false)
    }

    /// Start the threads, for a user's session.
    pub fn start_in_session() -> Result<Self> {
        Self::start_in(true)
    }

    fn start_in(in_session: bool) -> Result<Self> {
        let waker = Waker::new()?;
        let runtime = with_signals_blocked(|| {
            Builder::new_multi_thread()
                .worker_threads(2)
                .max_blocking_threads(16)
                .thread_name("walwarden io")
                .enable_all()
                .build()
        })
        .map_err(|cause| {
            Error::new(ErrorClass::Resources, "could not start threads for storage").detail(cause.to_string())
        })?;
        Ok(Self { runtime: Some(runtime), waker, in_session })
    }

    /// Wakes this process's main thread.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// The runtime itself, for a thread of ours that reads from storage.
    pub fn threads(&self) -> Result<tokio::runtime::Handle> {
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::internal("the storage threads are gone"))?;
        Ok(runtime.handle().clone())
    }

    /// Start work on the runtime.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<Task<T>> {
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::internal("the storage threads are gone"))?;
        let (sender, outcome) = oneshot::channel();
        let waker = self.waker.clone();
        let work = runtime.spawn(work);
        let abort = work.abort_handle();
        runtime.spawn(async move {
            let result = match work.await {
                Ok(result) => result,
                Err(end) if end.is_cancelled() => {
                    Err(Error::new(ErrorClass::Canceled, "storage work was aborted"))
                }
                Err(_) => Err(Error::internal("a storage thread panicked")),
            };
            // Nobody listens any more when the task was dropped.
            let _ = sender.send(result);
            waker.wake();
        });
        Ok(Task { outcome, abort })
    }

    /// Do one piece of work and wait for it; interruptible.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut task = self.spawn(work)?;
        self.wait_for(&mut task)
    }

    /// Wait for work that was started; interruptible. In a session an interrupt is raised as PostgreSQL raises it.
    pub fn wait_for<T>(&self, task: &mut Task<T>) -> Result<T> {
        loop {
            if let Some(outcome) = task.try_take() {
                return outcome;
            }
            if self.in_session {
                interrupts::wait_in_session(Some(&self.waker), LONGEST_SLEEP);
            } else {
                interrupts::wait(Some(&self.waker), LONGEST_SLEEP)?;
            }
        }
    }

    /// Do one piece of work within a time, or give up on it.
    pub fn run_within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        let mut task = self.spawn(work)?;
        loop {
            if let Some(outcome) = task.try_take() {
                return outcome;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::new(ErrorClass::StorageUnreachable, "storage did not answer in time")
                    .detail(format!("Gave up after {} ms.", limit.as_millis())));
            }
            interrupts::wait(Some(&self.waker), left.min(LONGEST_SLEEP))?;
        }
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        // Waiting for a stalled server here would keep the process from ending.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl<T> Task<T> {
    /// The outcome, once there is one; only once.
    pub fn try_take(&mut self) -> Option<Result<T>> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(Error::internal("storage work was lost"))),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.abort.abort();
    }
}
