//! When pods are evicted for others, in kubelet's words: `evictionHard` and what stands beside it.

use std::collections::BTreeMap;
use std::time::Duration;

use barepod_core::{Least, PressureRules, Signal, Threshold};
use barepod_model::Bytes;

/// The keys as they are written, by signal where there is one for each.
#[derive(Debug, Default, Clone)]
pub(super) struct Raw {
    pub(super) hard: BTreeMap<String, String>,
    pub(super) soft: BTreeMap<String, String>,
    pub(super) soft_grace_period: BTreeMap<String, String>,
    pub(super) minimum_reclaim: BTreeMap<String, String>,
    pub(super) max_pod_grace_period: Option<u64>,
    pub(super) pressure_transition_period: Option<String>,
    pub(super) exempt_priority: Option<i32>,
}

/// Reads the keys.
///
/// # Errors
/// The key, and what is wrong with its value.
pub(super) fn parse(raw: &Raw) -> Result<PressureRules, (&'static str, String)> {
    const SOFT: &str = "resources.evictionSoft";
    const GRACE: &str = "resources.evictionSoftGracePeriod";
    const PERIOD: &str = "resources.evictionPressureTransitionPeriod";
    let hard = by_signal(&raw.hard, least).map_err(|message| ("resources.evictionHard", message))?;
    let soft = by_signal(&raw.soft, least).map_err(|message| (SOFT, message))?;
    let patience = by_signal(&raw.soft_grace_period, duration).map_err(|message| (GRACE, message))?;
    let reclaim =
        by_signal(&raw.minimum_reclaim, least).map_err(|message| ("resources.evictionMinimumReclaim", message))?;
    if let Some(signal) = soft.keys().find(|signal| !patience.contains_key(signal)) {
        return Err((GRACE, format!("{} has none; write for example 1m30s", signal.name())));
    }
    if let Some(signal) = patience.keys().find(|signal| !soft.contains_key(signal)) {
        return Err((SOFT, format!("{} has no threshold that it could be patient with", signal.name())));
    }
    let mut rules = PressureRules::default();
    for threshold in &mut rules.thresholds {
        if let Some(least) = hard.get(&threshold.signal) {
            threshold.least = *least;
        }
    }
    let soft = soft.into_iter().map(|(signal, least)| Threshold {
        signal,
        least,
        patience: patience.get(&signal).copied(),
        reclaim: Least::Amount(0),
    });
    rules.thresholds.extend(soft);
    for threshold in &mut rules.thresholds {
        threshold.reclaim = reclaim.get(&threshold.signal).copied().unwrap_or(threshold.reclaim);
    }
    if let Some(seconds) = raw.max_pod_grace_period {
        rules.max_grace = Duration::from_secs(seconds);
    }
    if let Some(text) = &raw.pressure_transition_period {
        rules.transition = duration(text).map_err(|message| (PERIOD, message))?;
    }
    rules.exempt_from = raw.exempt_priority.unwrap_or(rules.exempt_from);
    Ok(rules)
}

fn by_signal<T>(
    raw: &BTreeMap<String, String>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<BTreeMap<Signal, T>, String> {
    let one = |(name, text): (&String, &String)| {
        let signal = Signal::ALL.into_iter().find(|signal| signal.name() == name).ok_or_else(|| {
            let names = Signal::ALL.map(Signal::name).join(", ");
            format!("there is no signal {name:?}; use one of {names}")
        })?;
        Ok((signal, read(text).map_err(|message| format!("{name}: {message}"))?))
    };
    raw.iter().map(one).collect()
}

fn least(text: &str) -> Result<Least, String> {
    let read = match text.strip_suffix('%') {
        Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Least::Percent),
        None => text.parse::<Bytes>().ok().map(|bytes| Least::Amount(bytes.0)),
    };
    read.ok_or_else(|| format!("{text:?} is no threshold; write for example 100Mi or 10%"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    read.ok_or_else(|| format!("{text:?} is no time; write for example 1m30s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), text.to_owned())])
    }

    #[test]
    fn thresholds_are_amounts_or_parts_and_stand_in_for_the_default_of_their_signal() {
        let hard = |text: &str| parse(&Raw { hard: of("nodefs.available", text), ..Raw::default() });
        let least = |rules: PressureRules| {
            rules.thresholds.into_iter().find(|threshold| threshold.signal == Signal::Disk).unwrap().least
        };
        assert_eq!(least(hard("2Gi").unwrap()), Least::Amount(2 << 30));
        assert_eq!(least(hard("15%").unwrap()), Least::Percent(15));
        assert_eq!(hard("15%").unwrap().thresholds.len(), 4);
        assert!(hard("101%").is_err() && hard("much").is_err());
        assert!(parse(&Raw { hard: of("disk", "1%"), ..Raw::default() }).is_err());
    }

    #[test]
    fn a_soft_threshold_needs_its_patience_and_stands_beside_the_hard_one() {
        let soft = Raw { soft: of("memory.available", "1Gi"), ..Raw::default() };
        assert_eq!(parse(&soft).unwrap_err().0, "resources.evictionSoftGracePeriod");
        let grace = of("memory.available", "1m30s");
        assert!(parse(&Raw { soft_grace_period: grace.clone(), ..Raw::default() }).is_err());
        let both = Raw { soft_grace_period: grace, minimum_reclaim: of("memory.available", "2Gi"), ..soft };
        let rules = parse(&both).unwrap();
        let of_memory: Vec<_> = rules.thresholds.iter().filter(|one| one.signal == Signal::Memory).collect();
        assert_eq!(of_memory[0].patience, None);
        assert_eq!(of_memory[1].patience, Some(Duration::from_secs(90)));
        assert!(of_memory.iter().all(|threshold| threshold.reclaim == Least::Amount(2 << 30)));
    }

    #[test]
    fn times_and_priorities_are_taken() {
        let raw = Raw {
            max_pod_grace_period: Some(60),
            pressure_transition_period: Some("30s".to_owned()),
            exempt_priority: Some(2_000_000_000),
            ..Raw::default()
        };
        let rules = parse(&raw).unwrap();
        let times = (rules.max_grace.as_secs(), rules.transition.as_secs());
        assert_eq!((times, rules.exempt_from), ((60, 30), 2_000_000_000));
        assert!(parse(&Raw { pressure_transition_period: Some("-1s".to_owned()), ..Raw::default() }).is_err());
    }
}
