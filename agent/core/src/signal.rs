//! What a host can be short of, and from when on it is: kubelet's signals and thresholds (`pkg/kubelet/eviction`).

use std::fmt;
use std::time::Duration;

use barepod_model::Bytes;
use serde::{Deserialize, Serialize};

/// What is measured of a host, the most urgent first: kubelet gives memory back before all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Signal {
    /// `memory.available`, in bytes.
    Memory,
    /// `nodefs.available`, in bytes.
    Disk,
    /// `nodefs.inodesFree`.
    Inodes,
    /// `pid.available`.
    Pids,
}

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 4] = [Signal::Memory, Signal::Disk, Signal::Inodes, Signal::Pids];

    /// kubelet's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Signal::Memory => "memory.available",
            Signal::Disk => "nodefs.available",
            Signal::Inodes => "nodefs.inodesFree",
            Signal::Pids => "pid.available",
        }
    }

    /// The condition of a node that is short of it.
    #[must_use]
    pub fn pressure(self) -> Pressure {
        match self {
            Signal::Memory => Pressure::Memory,
            Signal::Disk | Signal::Inodes => Pressure::Disk,
            Signal::Pids => Pressure::Pids,
        }
    }

    /// What it is counted in, for people.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Signal::Memory => "memory",
            Signal::Disk => "disk space",
            Signal::Inodes => "inodes",
            Signal::Pids => "process ids",
        }
    }

    pub(crate) fn amount(self, amount: u64) -> String {
        match self {
            Signal::Memory | Signal::Disk if amount < 1 << 20 => format!("{amount} bytes"),
            Signal::Memory | Signal::Disk => format!("{} MiB", amount >> 20),
            Signal::Inodes | Signal::Pids => amount.to_string(),
        }
    }
}

/// A condition of a node that is short of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Pressure {
    /// `MemoryPressure`.
    Memory,
    /// `DiskPressure`.
    Disk,
    /// `PIDPressure`.
    Pids,
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pressure::Memory => "MemoryPressure",
            Pressure::Disk => "DiskPressure",
            Pressure::Pids => "PIDPressure",
        })
    }
}

/// An amount of what there is, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Least {
    /// Bytes, or a number.
    Amount(u64),
    /// Hundredths of all.
    Percent(u64),
}

impl Least {
    /// How much that is of so much.
    #[must_use]
    pub fn of(self, all: u64) -> u64 {
        match self {
            Least::Amount(amount) => amount,
            Least::Percent(percent) => u64::try_from(u128::from(all) * u128::from(percent) / 100).unwrap_or(u64::MAX),
        }
    }
}

impl fmt::Display for Least {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Least::Amount(amount) => Bytes(*amount).fmt(f),
            Least::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// How much of something there is, and how much of it is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// What is left.
    pub available: u64,
    /// All there is.
    pub all: u64,
}

/// With less than this a host is short, and pods are evicted until it no longer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// Of what.
    pub signal: Signal,
    /// The least that must be left.
    pub least: Least,
    /// `evictionSoftGracePeriod`: how long it may be less before anybody is evicted. `None` for `evictionHard`.
    pub patience: Option<Duration>,
    /// `evictionMinimumReclaim`: once somebody was evicted for it, so much more must be left.
    pub reclaim: Least,
}

impl Threshold {
    /// Whether so little is left. `reclaiming`: it was too little before, so that more is wanted.
    #[must_use]
    pub fn is_met(&self, level: Level, reclaiming: bool) -> bool {
        let more = if reclaiming { self.reclaim.of(level.all) } else { 0 };
        level.available < self.least.of(level.all).saturating_add(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_an_amount_or_a_part_and_more_is_wanted_once_it_was_met() {
        let level = |available| Level { available, all: 1000 };
        let of = |least, reclaim| Threshold { signal: Signal::Disk, least, patience: None, reclaim };
        let part = of(Least::Percent(10), Least::Percent(5));
        assert!(part.is_met(level(99), false) && !part.is_met(level(100), false));
        assert!(part.is_met(level(149), true) && !part.is_met(level(150), true));
        let amount = of(Least::Amount(7), Least::Amount(0));
        assert!(amount.is_met(level(6), false) && !amount.is_met(level(7), true));
        assert!(!of(Least::Percent(0), Least::Amount(0)).is_met(level(0), false));
    }
}
