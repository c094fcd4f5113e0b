//! How often probes were answered, and how long that took, for those who watch a host. They begin anew with the daemon, as
//! kubelet's do.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use barepod_api::v1;
use barepod_core::ProbeOutcome;
use barepod_model::{ContainerKey, PodUid, ProbeKind};

/// The usual bounds of a Prometheus histogram, in seconds, which kubelet's `prober_probe_duration_seconds` has.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Of all containers that have been asked.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<HashMap<ContainerKey, HashMap<ProbeKind, Counts>>>);

#[derive(Debug, Default)]
struct Counts {
    successful: u64,
    failed: u64,
    unknown: u64,
    took: Duration,
    within: [u64; BOUNDS.len()],
}

impl Answers {
    /// One more.
    pub(crate) fn count(&self, key: &ContainerKey, kind: ProbeKind, outcome: &ProbeOutcome, took: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = all.entry(key.clone()).or_default().entry(kind).or_default();
        let outcome = match outcome {
            ProbeOutcome::Success | ProbeOutcome::Warning(_) => &mut counts.successful,
            ProbeOutcome::Failure(_) => &mut counts.failed,
            ProbeOutcome::Unavailable(_) => &mut counts.unknown,
        };
        *outcome += 1;
        counts.took += took;
        for (within, bound) in counts.within.iter_mut().zip(BOUNDS) {
            *within += u64::from(took.as_secs_f64() <= bound);
        }
    }

    /// Of one container.
    pub(crate) fn of(&self, key: &ContainerKey) -> Vec<v1::ProbeStats> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shown: Vec<_> = all.get(key).into_iter().flatten().map(|(kind, counts)| counts.shown(*kind)).collect();
        shown.sort_by(|one, other| one.kind.cmp(&other.kind));
        shown
    }

    /// A pod that is no more.
    pub(crate) fn forget(&self, pod: &PodUid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| key.pod != *pod);
    }
}

impl Counts {
    fn shown(&self, kind: ProbeKind) -> v1::ProbeStats {
        v1::ProbeStats {
            kind: format!("{kind:?}"),
            successful: self.successful,
            failed: self.failed,
            unknown: self.unknown,
            seconds: self.took.as_secs_f64(),
            within: self.within.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use barepod_model::ContainerName;

    use super::*;

    fn key(pod: &str) -> ContainerKey {
        ContainerKey { pod: PodUid::new(pod).unwrap(), container: ContainerName::new("main").unwrap() }
    }

    #[test]
    fn outcomes_are_counted_apart_with_how_long_they_took_until_their_pod_is_gone() {
        let (answers, one, other) = (Answers::default(), key("one"), key("other"));
        let quick = Duration::from_millis(10);
        answers.count(&one, ProbeKind::Readiness, &ProbeOutcome::Success, quick);
        answers.count(&one, ProbeKind::Readiness, &ProbeOutcome::Failure("no".to_owned()), Duration::from_secs(3));
        answers.count(&one, ProbeKind::Liveness, &ProbeOutcome::Unavailable("?".to_owned()), quick);
        answers.count(&other, ProbeKind::Liveness, &ProbeOutcome::Success, quick);

        let shown = answers.of(&one);
        let [live, ready] = &shown[..] else { panic!("{shown:?}") };
        assert_eq!((live.kind.as_str(), live.successful, live.failed, live.unknown), ("Liveness", 0, 0, 1));
        assert_eq!((ready.kind.as_str(), ready.successful, ready.failed, ready.unknown), ("Readiness", 1, 1, 0));
        assert_eq!(ready.within, [0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2]);
        assert!((ready.seconds - 3.01).abs() < 1e-9);

        answers.forget(&one.pod);
        assert_eq!((answers.of(&one), answers.of(&other).len()), (Vec::new(), 1));
    }
}
