//! The restart back-off, with the semantics of client-go's `flowcontrol.Backoff` as kubelet uses it.
//!
//! The first restart is not waited for. Each restart doubles the wait before the next one, measured from the moment the
//! process ended; a process that ended more than twice the longest wait after the last restart is forgiven. Under
//! another boot everything is forgiven, as kubelet forgets too.

use std::time::Duration;

use barepod_model::{BootId, BootTime, Stamp};

use crate::planted::{self, Fault};
use crate::{Backoff, BackoffFigures};

/// When a container that ended at `ended` may be started again; `None` means at once.
pub(crate) fn due(backoff: Option<&Backoff>, ended: &Stamp, figures: BackoffFigures, now: &Stamp) -> Option<BootTime> {
    let backoff = backoff?;
    if planted::on(Fault::BackoffByWallClock) {
        let passed = now.wall.0.duration_since(ended.wall.0).as_secs_f64();
        return Some(now.boot + Duration::from_secs_f64((backoff.delay.as_secs_f64() - passed).max(0.0)));
    }
    let same_boot = backoff.updated.boot_id == now.boot_id && ended.boot_id == now.boot_id;
    if !(same_boot || planted::on(Fault::BackoffIgnoresBoot)) || is_forgiven(backoff, ended, figures) {
        return None;
    }
    // A stamp from the future is a lie; it must not lengthen the wait.
    let ended = if planted::on(Fault::BackoffIgnoresBoot) { ended.boot } else { ended.boot.min(now.boot) };
    Some(ended + backoff.delay.min(figures.max))
}

/// The back-off after a restart at `now` of what ended at `ended`.
pub(crate) fn grown(backoff: Option<&Backoff>, ended: &Stamp, figures: BackoffFigures, now: &Stamp) -> Backoff {
    let delay = match backoff {
        Some(backoff) if goes_on(backoff, now) && !is_forgiven(backoff, ended, figures) => {
            (backoff.delay * 2).min(figures.max)
        }
        Some(_) | None => figures.initial.min(figures.max),
    };
    Backoff { delay, updated: now.clone() }
}

fn goes_on(backoff: &Backoff, now: &Stamp) -> bool {
    same_boot(&backoff.updated, &now.boot_id)
}

fn same_boot(stamp: &Stamp, boot: &BootId) -> bool {
    stamp.boot_id == *boot
}

/// client-go's `hasExpired`.
fn is_forgiven(backoff: &Backoff, ended: &Stamp, figures: BackoffFigures) -> bool {
    ended.boot.since(backoff.updated.boot) > figures.max * 2
}

#[cfg(test)]
mod tests {
    use barepod_model::WallTime;

    use super::*;

    fn at(boot: &str, secs: u64) -> Stamp {
        Stamp {
            boot_id: BootId(boot.to_owned()),
            boot: BootTime(Duration::from_secs(secs)),
            wall: WallTime(jiff::Timestamp::UNIX_EPOCH),
        }
    }

    fn wait(backoff: Option<&Backoff>, ended: u64) -> u64 {
        let now = at("a", ended);
        due(backoff, &now, BackoffFigures::default(), &now).map_or(0, |t| t.since(now.boot).as_secs())
    }

    #[test]
    fn the_first_restart_is_at_once_and_the_waits_are_kubelets() {
        let figures = BackoffFigures::default();
        let (mut backoff, mut now, mut waits) = (None, 0, Vec::new());
        for _ in 0..8 {
            let wait = wait(backoff.as_ref(), now);
            waits.push(wait);
            backoff = Some(grown(backoff.as_ref(), &at("a", now), figures, &at("a", now + wait)));
            now += wait + 1;
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_process_that_ran_for_twice_the_longest_wait_is_forgiven() {
        let backoff = Backoff { delay: Duration::from_secs(300), updated: at("a", 100) };
        assert_eq!(wait(Some(&backoff), 700), 300, "exactly twice is not more than twice");
        assert_eq!(wait(Some(&backoff), 701), 0);
        let next = grown(Some(&backoff), &at("a", 701), BackoffFigures::default(), &at("a", 701));
        assert_eq!(next.delay, Duration::from_secs(10));
    }

    #[test]
    fn another_boot_forgives() {
        let backoff = Backoff { delay: Duration::from_secs(300), updated: at("a", 100) };
        let due = due(Some(&backoff), &at("a", 101), BackoffFigures::default(), &at("b", 5));
        assert_eq!(due, None);
    }

    #[test]
    fn a_stamp_from_the_future_does_not_lengthen_the_wait() {
        let backoff = Backoff { delay: Duration::from_secs(40), updated: at("a", 100) };
        let due = due(Some(&backoff), &at("a", 500), BackoffFigures::default(), &at("a", 110));
        assert_eq!(due, Some(BootTime(Duration::from_secs(150))));
    }

    #[test]
    fn an_initial_wait_of_zero_never_waits() {
        let figures = BackoffFigures { initial: Duration::ZERO, max: Duration::from_secs(300) };
        let once = grown(None, &at("a", 1), figures, &at("a", 1));
        let twice = grown(Some(&once), &at("a", 2), figures, &at("a", 2));
        assert_eq!(twice.delay, Duration::ZERO);
    }
}
