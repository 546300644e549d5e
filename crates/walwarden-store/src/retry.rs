//! How often and how long an action is tried. All retries are made here and none by the client library, so that every
//! single answer is seen: a lost reply followed by "exists already" means something else than "exists already" alone.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::failure::Failure;
use crate::options::StorageOptions;

/// The slowest line an upload or download is waited for, in bytes a second.
const SLOWEST_LINE: u64 = 128 << 10;

/// The bounds of trying again. An action ends at the latest after `budget` and one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How long after the first attempt another one may begin.
    pub budget: Duration,
    /// How long one attempt may take, besides the time its bytes need at 128 KiB a second.
    pub attempt_timeout: Duration,
    /// The pause before the second attempt; it doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            budget: Duration::from_secs(120),
            attempt_timeout: Duration::from_secs(60),
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// The usual one, or what the storage option `timeout` makes of it.
    pub(crate) fn of(options: &StorageOptions) -> Self {
        let mut policy = Self::default();
        if let Some(timeout) = options.timeout() {
            policy.attempt_timeout = timeout;
            policy.budget = 2 * timeout;
        }
        policy
    }

    /// How long one attempt that moves `bytes` may take.
    pub(crate) fn attempt_timeout_for(&self, bytes: u64) -> Duration {
        self.attempt_timeout.saturating_add(Duration::from_secs(bytes / SLOWEST_LINE))
    }
}

/// The attempts of one action.
pub(crate) struct Retry<'a> {
    policy: &'a RetryPolicy,
    started: Instant,
    attempts: u32,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(policy: &'a RetryPolicy) -> Self {
        Self { policy, started: Instant::now(), attempts: 0 }
    }

    /// Waits until it is time for another attempt, or gives the failure back if there shall be none.
    pub(crate) async fn pause(&mut self, mut failure: Failure) -> Result<(), Failure> {
        self.attempts = self.attempts.saturating_add(1);
        let pause = self.next_pause();
        let elapsed = self.started.elapsed();
        if !failure.is_retriable {
            return Err(failure);
        }
        if elapsed + pause > self.policy.budget {
            let tried = format!(" (tried {} times in {:.1} s)", self.attempts, elapsed.as_secs_f32());
            failure.detail.push_str(&tried);
            return Err(failure);
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Between half of the doubled pause and all of it, so that parts that failed together do not come back together.
    fn next_pause(&self) -> Duration {
        let doublings = (self.attempts - 1).min(16);
        let full = self.policy.first_pause.saturating_mul(1 << doublings).min(self.policy.longest_pause);
        let random = (Uuid::new_v4().as_u128() & 0xffff) as u32;
        full / 2 + full.mul_f64(f64::from(random) / f64::from(0xffff_u32) / 2.0)
    }
}

/// Runs `attempt` until it succeeds or must not be repeated.
pub(crate) async fn retried<T, F, A>(policy: &RetryPolicy, mut attempt: A) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
    A: FnMut() -> F,
{
    let mut retry = Retry::new(policy);
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(failure) => retry.pause(failure).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use walwarden_core::ErrorClass;

    fn quick() -> RetryPolicy {
        RetryPolicy {
            budget: Duration::from_millis(60),
            attempt_timeout: Duration::from_millis(50),
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(8),
        }
    }

    fn failure() -> Failure {
        Failure::new(ErrorClass::StorageUnreachable, "503")
    }

    #[tokio::test]
    async fn what_cannot_help_is_not_repeated() {
        let attempts = Cell::new(0);
        let result: Result<(), _> = retried(&quick(), || async {
            attempts.set(attempts.get() + 1);
            Err(failure())
        })
        .await;
        assert_eq!(result.unwrap_err().detail, "503");
        assert_eq!(attempts.get(), 1);
    }

    #[tokio::test]
    async fn what_may_help_is_repeated_within_the_budget() {
        let attempts = Cell::new(0);
        let value = retried(&quick(), || async {
            attempts.set(attempts.get() + 1);
            if attempts.get() < 3 { Err(failure().retriable()) } else { Ok(7) }
        })
        .await;
        assert_eq!((value.unwrap(), attempts.get()), (7, 3));

        let started = Instant::now();
        let result: Result<(), _> = retried(&quick(), || async { Err(failure().retriable()) }).await;
        assert!(result.unwrap_err().detail.contains("tried"));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn large_parts_have_more_time() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.attempt_timeout_for(0), Duration::from_secs(60));
        assert_eq!(policy.attempt_timeout_for(8 << 20), Duration::from_secs(60 + 64));
    }
}
