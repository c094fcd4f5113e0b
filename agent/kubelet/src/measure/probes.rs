//! `/metrics/probes`: how often containers were asked by their probes, and how long that took.

use barepod_api::v1;
use tonic::Status;

use super::own::process_start;
use super::text::{Kind, Sample};
use super::{Page, stats};
use crate::port::Port;

/// The upper bounds that the daemon counts by: the usual ones of Prometheus' clients.
const BOUNDS: [&str; 11] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"];

type Labels = Vec<(&'static str, String)>;

/// # Errors
/// The daemon does not answer.
pub(crate) async fn page(port: &Port) -> Result<Page, Status> {
    let mut page = of(&stats(port, false).await?);
    process_start(&mut page);
    Ok(page)
}

fn of(found: &v1::StatsResponse) -> Page {
    let containers = found.pods.iter().flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)));
    let asked: Vec<_> = containers
        .flat_map(|(pod, container)| container.probes.iter().map(move |probe| (labels(pod, container, probe), probe)))
        .collect();
    let mut page = Page::default();
    let outcomes = asked.iter().flat_map(|((labels, uid), probe)| {
        let outcomes =
            [("successful", probe.successful), ("failed", probe.failed), ("unknown", probe.unknown)].into_iter();
        outcomes.filter(|(_, count)| *count > 0).map(move |(result, count)| {
            let more = [("pod_uid", uid.clone()), ("result", result.to_owned())];
            (with(labels, more), count as f64, None)
        })
    });
    page.family("prober_probe_total", Kind::Counter, "Answers of probes, by what they said", outcomes);
    let durations = asked.iter().flat_map(|((labels, _), probe)| durations(labels, probe));
    page.numbers("prober_probe_duration_seconds", Kind::Histogram, "How long they took", durations);
    page
}

fn labels(pod: &v1::PodStats, container: &v1::ContainerStats, probe: &v1::ProbeStats) -> (Labels, String) {
    let labels = [
        ("container", container.name.clone()),
        ("namespace", pod.namespace.clone()),
        ("pod", pod.name.clone()),
        ("probe_type", probe.kind.clone()),
    ];
    (labels.into(), pod.uid.clone())
}

fn with<const N: usize>(labels: &Labels, more: [(&'static str, String); N]) -> Labels {
    labels.iter().cloned().chain(more).collect()
}

fn durations<'a>(
    labels: &'a Labels,
    probe: &'a v1::ProbeStats,
) -> impl Iterator<Item = (&'static str, Sample<'static>)> + use<'a> {
    let all = probe.successful + probe.failed + probe.unknown;
    let within = BOUNDS.into_iter().zip(probe.within.iter().copied()).chain([("+Inf", all)]);
    let buckets =
        within.map(|(bound, count)| ("_bucket", (with(labels, [("le", bound.to_owned())]), count as f64, None)));
    buckets.chain([("_sum", (labels.clone(), probe.seconds, None)), ("_count", (labels.clone(), all as f64, None))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_their_durations_have_kubelets_names_and_labels() {
        let within = vec![0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2];
        let probe = v1::ProbeStats {
            kind: "Readiness".to_owned(),
            successful: 1,
            failed: 1,
            unknown: 0,
            seconds: 3.01,
            within,
        };
        let container =
            v1::ContainerStats { name: "main".to_owned(), probes: vec![probe], ..v1::ContainerStats::default() };
        let pod = v1::PodStats {
            uid: "u".to_owned(),
            namespace: "default".to_owned(),
            name: "db-0".to_owned(),
            containers: vec![container],
            ..v1::PodStats::default()
        };
        let text = of(&v1::StatsResponse { pods: vec![pod], ..v1::StatsResponse::default() }).into_text();
        let labels = "container=\"main\",namespace=\"default\",pod=\"db-0\",probe_type=\"Readiness\"";
        for line in [
            "# TYPE prober_probe_duration_seconds histogram".to_owned(),
            format!("prober_probe_total{{{labels},pod_uid=\"u\",result=\"failed\"}} 1"),
            format!("prober_probe_duration_seconds_bucket{{{labels},le=\"0.01\"}} 1"),
            format!("prober_probe_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
            format!("prober_probe_duration_seconds_sum{{{labels}}} 3.01"),
            format!("prober_probe_duration_seconds_count{{{labels}}} 2"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("unknown"), "what never happened is not there:\n{text}");
    }
}
