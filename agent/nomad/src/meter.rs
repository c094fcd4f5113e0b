//! What all pods use, measured once for all tasks: the daemon measures all of them in any case.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barepod_api::v1::{StatsRequest, Usage};
use tokio::sync::Mutex;

use crate::daemon::Daemon;

/// So long a measurement is everybody's. Shorter than any interval, so that nobody is given the same one twice.
const FRESH: Duration = Duration::from_millis(900);

/// By the UIDs of pods.
type Usages = HashMap<String, Usage>;

/// The last measurement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<Option<(Instant, Usages)>>>);

impl Meter {
    /// What a pod uses; nothing while the daemon is away, or where it does not measure the pod.
    pub(crate) async fn usage(&self, daemon: &Daemon, uid: &str) -> Option<Usage> {
        self.read(uid, async || {
            let pods = daemon.client().stats(StatsRequest { disk: false }).await.ok()?.into_inner().pods;
            Some(pods.into_iter().filter_map(|pod| Some((pod.uid, pod.usage?))).collect())
        })
        .await
    }

    /// Who comes meanwhile waits for the same.
    async fn read(&self, uid: &str, measure: impl AsyncFnOnce() -> Option<Usages>) -> Option<Usage> {
        let mut last = self.0.lock().await;
        if last.as_ref().is_none_or(|(at, _)| at.elapsed() >= FRESH) {
            *last = measure().await.map(|all| (Instant::now(), all));
        }
        last.as_ref()?.1.get(uid).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Usages {
        ["a", "b"].map(|uid| (uid.to_owned(), Usage { memory: Some(5), ..Usage::default() })).into()
    }

    #[tokio::test]
    async fn who_asks_at_the_same_time_is_given_one_measurement() {
        let (meter, times) = (Meter::default(), std::cell::Cell::new(0));
        let measure = async || {
            times.set(times.get() + 1);
            tokio::task::yield_now().await;
            Some(all())
        };

        let (a, b, none) =
            tokio::join!(meter.read("a", measure), meter.read("b", measure), meter.read("none", measure));

        assert_eq!((a.is_some(), b.is_some(), none, times.get()), (true, true, None, 1));
    }

    #[tokio::test]
    async fn a_daemon_that_was_away_is_asked_again_and_what_is_old_is_measured_anew() {
        let meter = Meter::default();
        assert_eq!(meter.read("a", async || None).await, None);
        assert!(meter.read("a", async || Some(all())).await.is_some());
        let old = Instant::now().checked_sub(FRESH).unwrap();
        *meter.0.lock().await = Some((old, all()));

        assert_eq!(meter.read("a", async || Some(Usages::new())).await, None, "it is gone");
    }
}
