//! When the host is short of something, in kubelet's words: `evictionHard`.

use std::collections::BTreeMap;

use barepod_model::Bytes;

/// An amount of what there is, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threshold {
    /// Bytes, or a number.
    Amount(u64),
    /// Hundredths of all.
    Percent(u64),
}

impl Threshold {
    /// Whether so much is too little of so much.
    pub(crate) fn is_crossed(self, available: u64, all: u64) -> bool {
        match self {
            Threshold::Amount(least) => available < least,
            Threshold::Percent(least) => u128::from(available) * 100 < u128::from(all) * u128::from(least),
        }
    }
}

/// With less than this, the host is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Thresholds {
    pub(crate) memory: Threshold,
    pub(crate) disk: Threshold,
    pub(crate) inodes: Threshold,
    pub(crate) pids: Threshold,
}

impl Default for Thresholds {
    /// kubelet's (`DefaultEvictionHard` in `pkg/kubelet/apis/config/v1beta1/defaults_linux.go`). It has none for process ids:
    /// where so few of a hundred are left, nothing new starts for long.
    fn default() -> Self {
        Self {
            memory: Threshold::Amount(100 << 20),
            disk: Threshold::Percent(10),
            inodes: Threshold::Percent(5),
            pids: Threshold::Percent(5),
        }
    }
}

/// Reads the key.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(raw: &BTreeMap<String, String>) -> Result<Thresholds, String> {
    let mut thresholds = Thresholds::default();
    for (signal, text) in raw {
        let place = match signal.as_str() {
            "memory.available" => &mut thresholds.memory,
            "nodefs.available" => &mut thresholds.disk,
            "nodefs.inodesFree" => &mut thresholds.inodes,
            "pid.available" => &mut thresholds.pids,
            other => {
                return Err(format!(
                    "there is no signal {other:?}; use memory.available, nodefs.available, nodefs.inodesFree or pid.available"
                ));
            }
        };
        *place = threshold(text)
            .ok_or_else(|| format!("{signal}: {text:?} is no threshold; write for example 100Mi or 10%"))?;
    }
    Ok(thresholds)
}

fn threshold(text: &str) -> Option<Threshold> {
    match text.strip_suffix('%') {
        Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Threshold::Percent),
        None => text.parse::<Bytes>().ok().map(|bytes| Threshold::Amount(bytes.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_amounts_or_parts() {
        let raw = |text: &str| BTreeMap::from([("nodefs.available".to_owned(), text.to_owned())]);
        assert_eq!(parse(&raw("2Gi")).unwrap().disk, Threshold::Amount(2 << 30));
        assert_eq!(parse(&raw("15%")).unwrap().disk, Threshold::Percent(15));
        assert!(parse(&raw("101%")).is_err() && parse(&raw("much")).is_err());
        assert!(parse(&BTreeMap::from([("disk".to_owned(), "1%".to_owned())])).is_err());
        assert!(Threshold::Percent(10).is_crossed(9, 100) && !Threshold::Percent(10).is_crossed(10, 100));
        assert!(!Threshold::Percent(0).is_crossed(0, 100));
    }
}
