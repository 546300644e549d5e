//! Waiting for a condition. A test never sleeps for a time that "should be enough".

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// Asks `condition` until it answers, and returns the answer.
///
/// # Panics
/// When `timeout` has passed, naming `what` was waited for.
pub fn wait_until<T>(what: &str, timeout: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(start.elapsed() < timeout, "waited {timeout:?} in vain for {what}");
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_first_answer() {
        let mut asked = 0;
        let answer = wait_until("three questions", Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some("yes")
        });
        assert_eq!(answer, "yes");
    }

    #[test]
    #[should_panic(expected = "in vain for the impossible")]
    fn names_what_never_came() {
        wait_until::<()>("the impossible", Duration::from_millis(50), || None);
    }
}
