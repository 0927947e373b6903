//! Keeps calls below what AWS takes, so that throttling is rare and never a promotion's end.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// What is waited for after AWS has said that it is too much without saying how long: its bucket has then filled up again.
const THROTTLED: Duration = Duration::from_secs(1);
/// The longest that is waited for, whatever AWS says.
const LONGEST: Duration = Duration::from_secs(30);
/// The slowest pace, as a part of the full one.
const SLOWEST: f64 = 1.0 / 16.0;
/// How long it takes from a standstill back to the full pace.
const RECOVERY: Duration = Duration::from_secs(30);

/// A token bucket: `burst` calls at once, then one each interval. Where AWS throttles nevertheless, somebody else calls it
/// too, such as another promotion in the account: the pace halves then and comes back slowly, so that all get their share.
#[derive(Debug)]
pub struct Pacer {
    interval: Duration,
    /// How far the calls may be ahead of one each interval.
    ahead: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the bucket is full again; a call takes one interval of it.
    full_at: Option<Instant>,
    /// Since when it is slower, and the part of the full pace that it had then.
    slowed: Option<(Instant, f64)>,
}

impl State {
    /// The part of the full pace that holds now.
    fn pace(&self, now: Instant) -> f64 {
        let Some((since, pace)) = self.slowed else { return 1.0 };
        let recovered = now.saturating_duration_since(since).as_secs_f64() / RECOVERY.as_secs_f64();
        (pace + recovered).min(1.0)
    }
}

impl Pacer {
    /// A full bucket.
    #[must_use]
    pub fn new(calls_per_second: f64, burst: u32) -> Self {
        let interval = Duration::from_secs_f64(1.0 / calls_per_second);
        Self { interval, ahead: interval * burst.saturating_sub(1), state: Mutex::default() }
    }

    /// Waits for this call's turn.
    pub async fn turn(&self) {
        sleep_until(self.take(Instant::now())).await;
    }

    /// Empties the bucket, lets nothing go for the time that AWS wants to be left alone, and halves the pace: AWS has said
    /// that it is too much. What was under way by then and is throttled too halves it no further.
    pub fn throttled(&self, retry_after: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let until = now + retry_after.unwrap_or(THROTTLED).min(LONGEST);
        if state.slowed.is_none_or(|(since, _)| since <= now) {
            let pace = (state.pace(now) / 2.0).max(SLOWEST);
            state.slowed = Some((until, pace));
        }
        let empty = until + self.ahead;
        state.full_at = Some(state.full_at.map_or(empty, |full_at| full_at.max(empty)));
    }

    /// Takes a token; it may be used from the answered time on.
    fn take(&self, now: Instant) -> Instant {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.full_at.map_or(now, |full_at| full_at.max(now));
        let at = before.checked_sub(self.ahead).map_or(now, |at| at.max(now));
        state.full_at = Some(before + self.interval.div_f64(state.pace(at)));
        at
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
    /// A little below the quotas: no call of a promotion alone was throttled in the measured runs (`make bench`).
    #[must_use]
    pub fn of_lambda() -> Self {
        Self { looks: Pacer::new(90.0, 80), others: Pacer::new(14.5, 14) }
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
    async fn what_aws_throttles_waits_as_long_as_aws_says_and_goes_on_at_half_the_pace() {
        for (retry_after, wait) in [(None, 1_000), (Some(5), 5_000), (Some(3_600), 30_000)] {
            let pacer = Pacer::new(10.0, 3);
            // All that was under way hears of it at once.
            for _ in 0..7 {
                pacer.throttled(retry_after.map(Duration::from_secs));
            }
            let turns = turns(&pacer, 3).await;
            for (turn, due) in turns.iter().zip([wait, wait + 200, wait + 400]) {
                assert!(turn.abs_diff(due) <= 10, "{turns:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_pace_comes_back_and_halves_again_where_it_is_still_too_much() {
        let pacer = Pacer::new(10.0, 1);
        for pace in [0.5, 0.25, 0.125, SLOWEST, SLOWEST] {
            pacer.throttled(None);
            tokio::time::sleep(THROTTLED).await;
            let now = pacer.state.lock().unwrap().pace(Instant::now());
            assert!((now - pace).abs() < 0.01, "{now} instead of {pace}");
        }
        tokio::time::sleep(RECOVERY).await;
        let turns = turns(&pacer, 11).await;
        assert!(turns[10].abs_diff(1_000) <= 5, "{turns:?}");
    }

    /// Two that know nothing of each other and one quota of 15 a second.
    #[tokio::test(start_paused = true)]
    async fn two_promotions_in_one_account_share_its_quota() {
        let (one, other) = (Pacers::of_lambda().others, Pacers::of_lambda().others);
        let quota = Mutex::new((15.0, Instant::now()));
        let throttled = Mutex::new(0);
        let start = Instant::now();
        let run = async |pacer: &Pacer| {
            let mut answered = 0;
            while answered < 150 {
                pacer.turn().await;
                let now = Instant::now();
                let admitted = {
                    let (tokens, since) = &mut *quota.lock().unwrap();
                    *tokens = (*tokens + now.duration_since(*since).as_secs_f64() * 15.0).min(15.0);
                    *since = now;
                    let admitted = *tokens >= 1.0;
                    *tokens -= f64::from(u8::from(admitted));
                    admitted
                };
                if admitted {
                    answered += 1;
                } else {
                    *throttled.lock().unwrap() += 1;
                    pacer.throttled(None);
                }
            }
            start.elapsed().as_secs_f64()
        };
        let (first, second) = tokio::join!(run(&one), run(&other));
        let least = 300.0 / 15.0;
        let throttled = *throttled.lock().unwrap();
        assert!(
            first.max(second) < 1.6 * least && throttled < 300 / 10,
            "{first} s, {second} s, {throttled} throttled"
        );
    }
}
