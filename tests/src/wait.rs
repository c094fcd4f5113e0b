//! Waiting for a condition, always with a limit and always with a name for what is waited for.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The environment variable by which every limit is multiplied: an emulated machine is slow, not wrong.
pub const PATIENCE: &str = "BAREPOD_PATIENCE";

/// The first pause between two looks; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// The limit passed first.
#[derive(Debug, thiserror::Error)]
#[error("waited {limit:?} in vain for {what}")]
pub struct WaitedInVain {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub limit: Duration,
}

/// Looks until `condition` yields a value; at least once, and once more at the limit, which [`PATIENCE`] multiplies.
pub fn wait_for<T>(
    what: impl Into<String>,
    limit: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T, WaitedInVain> {
    let begin = Instant::now();
    let limit = limit * patience();
    let mut pause = FIRST_PAUSE;
    loop {
        let over = begin.elapsed() >= limit;
        match condition() {
            Some(value) => return Ok(value),
            None if over => return Err(WaitedInVain { what: what.into(), limit }),
            None => std::thread::sleep(pause.min(limit.saturating_sub(begin.elapsed()))),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The factor of every limit.
pub(crate) fn patience() -> u32 {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    *FACTOR.get_or_init(|| std::env::var(PATIENCE).ok().and_then(|text| text.parse().ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_holds_is_seen_even_with_no_time_left() {
        assert_eq!(wait_for("nothing", Duration::ZERO, || Some(7)).unwrap(), 7);
    }

    #[test]
    fn a_condition_is_looked_at_until_it_holds() {
        let mut looks = 0;

        let seen = wait_for("the fifth look", Duration::from_secs(10), || {
            looks += 1;
            (looks == 5).then_some(looks)
        });

        assert_eq!(seen.unwrap(), 5);
    }

    #[test]
    fn a_wait_in_vain_names_what_it_waited_for() {
        let error = wait_for("the end of time", Duration::from_millis(3), || None::<()>).unwrap_err();

        assert_eq!(error.to_string(), "waited 3ms in vain for the end of time");
    }
}
