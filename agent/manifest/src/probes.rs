//! Probes, with the defaults and rules of `core/v1.Probe`.

use std::time::Duration;

use barepod_model::{Probe, ProbeKind, Reason};
use k8s_openapi::api::core::v1;

use crate::actions::Actions;
use crate::error::{Finding, Findings};
use crate::place::FieldPath;

/// Reads a probe that is there.
pub(crate) fn parse(
    from: &v1::Probe,
    kind: ProbeKind,
    actions: &Actions<'_>,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<Probe> {
    let mut number = |value: Option<i32>, name: &str, default: u32| figure(value, default, &path.key(name), out);
    let initial_delay = number(from.initial_delay_seconds, "initialDelaySeconds", 0);
    let period = number(from.period_seconds, "periodSeconds", 10);
    let timeout = number(from.timeout_seconds, "timeoutSeconds", 1);
    let success_threshold = number(from.success_threshold, "successThreshold", 1);
    let failure_threshold = number(from.failure_threshold, "failureThreshold", 3);
    if kind != ProbeKind::Readiness && success_threshold != 1 {
        let path = path.key("successThreshold");
        let message = "one success is enough for startup and liveness probes";
        out.error(Finding::new(Reason::InvalidValue, &path, message).hint("set it to 1 or remove it"));
    }
    let termination_grace = grace(from.termination_grace_period_seconds, kind, path, out);
    Some(Probe {
        handler: actions.probe(from, path, out)?,
        initial_delay: seconds(initial_delay),
        period: seconds(period),
        timeout: seconds(timeout),
        success_threshold,
        failure_threshold,
        termination_grace,
    })
}

fn seconds(value: u32) -> Duration {
    Duration::from_secs(value.into())
}

/// A figure that must not be negative; 0 stands for the default, as in Kubernetes.
fn figure(value: Option<i32>, default: u32, path: &FieldPath, out: &mut Findings) -> u32 {
    match value.map(u32::try_from) {
        None | Some(Ok(0)) => default,
        Some(Ok(value)) => value,
        Some(Err(_)) => {
            let finding = Finding::new(Reason::InvalidValue, path, "it must not be negative");
            out.error(finding.hint(format!("remove it for the default of {default}")));
            default
        }
    }
}

/// The grace of a stop that a probe asks for.
fn grace(from: Option<i64>, kind: ProbeKind, path: &FieldPath, out: &mut Findings) -> Option<Duration> {
    let path = path.key("terminationGracePeriodSeconds");
    let seconds = from?;
    if kind == ProbeKind::Readiness {
        let message = "a readiness probe stops nothing";
        out.error(Finding::new(Reason::InvalidValue, &path, message).hint("remove it"));
    }
    match u64::try_from(seconds) {
        Ok(seconds) if seconds > 0 => Some(Duration::from_secs(seconds)),
        _ => {
            let finding = Finding::new(Reason::InvalidValue, &path, "it must be at least 1");
            out.error(finding.hint("remove it for the pod's own grace"));
            None
        }
    }
}
