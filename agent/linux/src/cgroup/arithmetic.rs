//! From Kubernetes' resources to the kernel's figures, as kubelet and the runtimes under it reckon.

use barepod_model::{MilliCpu, Pod, QosClass, Resources};

/// The period over which a CPU quota is counted, in microseconds: kubelet's `cpuCFSQuotaPeriod` by default.
pub const CFS_PERIOD_US: u64 = 100_000;

const MIN_SHARES: u64 = 2;
const MAX_SHARES: u64 = 262_144;
const MIN_QUOTA_US: u64 = 1_000;

/// What a group gets of the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// `cpu.shares` of v1, 2 to 262144.
    pub shares: u64,
    /// Microseconds of CPU in each period; `None` is no limit.
    pub quota_us: Option<u64>,
}

impl Cpu {
    /// As kubelet does for a container: the request counts, and where only a limit is given that is the request.
    #[must_use]
    pub fn of(resources: &Resources, period_us: u64) -> Self {
        let request = resources.cpu_request.or(resources.cpu_limit).unwrap_or_default();
        let quota_us = resources.cpu_limit.and_then(|limit| cpu_quota_us(limit, period_us));
        Self { shares: cpu_shares(request), quota_us }
    }

    /// As kubelet does for a pod: what its containers ask for together, or what it asks for as a whole. Only a limit of the
    /// whole is one here, since those of the containers hold by themselves.
    #[must_use]
    pub fn of_pod(pod: &Pod, period_us: u64) -> Self {
        let shares = if pod.qos() == QosClass::BestEffort { MIN_SHARES } else { cpu_shares(pod.requests().cpu) };
        let limit = pod.resources.level.as_ref().and_then(|level| level.cpu_limit);
        Self { shares, quota_us: limit.and_then(|limit| cpu_quota_us(limit, period_us)) }
    }
}

/// kubelet's `MilliCPUToShares`.
#[must_use]
pub fn cpu_shares(cpu: MilliCpu) -> u64 {
    (cpu.0.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

/// kubelet's `MilliCPUToQuota`; zero is no limit.
#[must_use]
pub fn cpu_quota_us(cpu: MilliCpu, period_us: u64) -> Option<u64> {
    (cpu.0 > 0).then(|| (cpu.0.saturating_mul(period_us) / 1000).max(MIN_QUOTA_US))
}

/// `cpu.weight` for `cpu.shares`, by the curve that runc 1.3.2, crun 1.23 and kubelet 1.35 use in place of the old straight
/// line: it meets both ends (2 to 1, 262144 to 10000) and the defaults (1024 to 100).
#[must_use]
pub fn cpu_weight(shares: u64) -> u64 {
    if shares <= MIN_SHARES {
        return 1;
    }
    if shares >= MAX_SHARES {
        return 10_000;
    }
    let log = (shares as f64).log2();
    let exponent = log.mul_add(log, 125.0 * log) / 612.0 - 7.0 / 34.0;
    (10_f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_quota_are_kubelets() {
        // Figures of kubelet's own TestMilliCPUToShares and TestMilliCPUToQuota.
        for (milli, shares) in [(0, 2), (1, 2), (2, 2), (3, 3), (1000, 1024), (1500, 1536), (100_000_000, 262_144)] {
            assert_eq!(cpu_shares(MilliCpu(milli)), shares, "{milli}m");
        }
        for (milli, quota) in [(0, None), (1, Some(1000)), (5, Some(1000)), (200, Some(20_000)), (1500, Some(150_000))]
        {
            assert_eq!(cpu_quota_us(MilliCpu(milli), CFS_PERIOD_US), quota, "{milli}m");
        }
    }

    #[test]
    fn the_weight_meets_both_ends_the_default_and_a_runtimes_figure() {
        // 2000 shares gave 170 under runc 1.4.0-rc.1.
        for (shares, weight) in [(0, 1), (2, 1), (1024, 100), (2000, 170), (262_144, 10_000), (u64::MAX, 10_000)] {
            assert_eq!(cpu_weight(shares), weight, "{shares} shares");
        }
        let weights: Vec<u64> = (2..262_144).step_by(997).map(cpu_weight).collect();
        assert!(weights.is_sorted());
    }

    #[test]
    fn a_limit_alone_is_also_the_request() {
        let limited = Resources { cpu_limit: Some(MilliCpu(500)), ..Resources::default() };
        assert_eq!(Cpu::of(&limited, CFS_PERIOD_US), Cpu { shares: 512, quota_us: Some(50_000) });
        assert_eq!(Cpu::of(&Resources::default(), CFS_PERIOD_US), Cpu { shares: 2, quota_us: None });
    }
}
