//! Keeps calls below what AWS takes, so that throttling is rare and never a promotion's end.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// A token bucket: `burst` calls at once, then one each `interval`.
#[derive(Debug)]
pub struct Pacer {
    interval: Duration,
    /// How far the calls may be ahead of one each interval.
    ahead: Duration,
    /// When the bucket is full again; a call takes one interval of it.
    full_at: Mutex<Option<Instant>>,
}

impl Pacer {
    /// A full bucket.
    #[must_use]
    pub fn new(calls_per_second: f64, burst: u32) -> Self {
        let interval = Duration::from_secs_f64(1.0 / calls_per_second);
        Self { interval, ahead: interval * burst.saturating_sub(1), full_at: Mutex::new(None) }
    }

    /// Waits for this call's turn.
    pub async fn turn(&self) {
        sleep_until(self.take(Instant::now())).await;
    }

    /// Empties the bucket and lets nothing go for `time`: AWS has said that it is too much.
    pub fn pause(&self, time: Duration) {
        let empty = Instant::now() + time + self.ahead;
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        *full_at = Some(full_at.map_or(empty, |full_at| full_at.max(empty)));
    }

    /// Takes a token; it may be used from the answered time on.
    fn take(&self, now: Instant) -> Instant {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let before = full_at.map_or(now, |full_at| full_at.max(now));
        *full_at = Some(before + self.interval);
        before.checked_sub(self.ahead).map_or(now, |at| at.max(now))
    }
}

/// The pacers of Lambda's control plane, one for each of its quotas of an account and region
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>, "API requests").
#[derive(Debug)]
pub struct Pacers {
    /// `GetFunction`: 100 a second.
    pub looks: Pacer,
    /// All other calls together: 15 a second.
    pub others: Pacer,
}

impl Pacers {
    /// A little below the quotas: at 14.5 a second with a burst of 14 no call was throttled in the measured runs.
    #[must_use]
    pub fn of_lambda() -> Self {
        Self { looks: Pacer::new(90.0, 45), others: Pacer::new(14.5, 14) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of `calls` calls that are made at once goes, in milliseconds.
    async fn turns(pacer: &Pacer, calls: u32) -> Vec<u128> {
        let start = Instant::now();
        let mut turns = Vec::new();
        for _ in 0..calls {
            pacer.turn().await;
            turns.push(start.elapsed().as_millis());
        }
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_pace() {
        let turns = turns(&Pacer::new(10.0, 3), 6).await;
        assert_eq!(turns[..3], [0, 0, 0]);
        for (turn, due) in turns[3..].iter().zip([100, 200, 300]) {
            assert!(turn.abs_diff(due) <= 2, "{turns:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn forty_functions_of_three_calls_take_what_the_quota_allows() {
        let turns = turns(&Pacers::of_lambda().others, 120).await;
        // 14 at once, then 106 at 14.5 a second.
        assert!(turns[119].abs_diff(7_310) <= 130, "{turns:?}");
        for window in turns.windows(30) {
            assert!(window[29] - window[0] >= 1_000, "more than a full bucket and a second's calls within a second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_bucket_fills_up_to_its_burst_and_no_further() {
        let pacer = Pacer::new(10.0, 3);
        turns(&pacer, 3).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        let turns = turns(&pacer, 4).await;
        assert_eq!(turns[..3], [0, 0, 0]);
        assert!(turns[3] >= 100, "{turns:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_every_call_back() {
        let pacer = Pacer::new(10.0, 3);
        pacer.pause(Duration::from_secs(1));
        let turns = turns(&pacer, 2).await;
        assert!(turns[0] >= 1_000 && turns[1] >= 1_100, "{turns:?}");
    }
}
