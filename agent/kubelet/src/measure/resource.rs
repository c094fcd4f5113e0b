//! `/metrics/resource`: what metrics-server asks, and with it `kubectl top` and the autoscalers.

use barepod_api::v1;
use tonic::Status;

use super::text::Kind;
use super::{Page, epoch, millis, seconds, stats, working_set};
use crate::port::Port;

/// # Errors
/// The daemon does not answer.
pub(crate) async fn page(port: &Port) -> Result<Page, Status> {
    Ok(of(&stats(port, false).await?))
}

fn of(found: &v1::StatsResponse) -> Page {
    let mut page = Page::default();
    let node = found.usage.unwrap_or_default();
    for Figure { name, kind, help, read } in FIGURES {
        let at = |usage: &v1::Usage| millis(usage.time);
        page.one(&format!("node_{name}"), kind, &format!("{help} of the node"), read(&node), at(&node));
        let containers = found.pods.iter().flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)));
        let samples = containers.filter_map(|(pod, container)| {
            let usage = container.usage.as_ref()?;
            Some((labels(pod, Some(container)), read(usage)?, at(usage)))
        });
        page.family(&format!("container_{name}"), kind, &format!("{help} of the container"), samples);
        let samples = found.pods.iter().filter_map(|pod| {
            let usage = pod.usage.as_ref()?;
            Some((labels(pod, None), read(usage)?, at(usage)))
        });
        page.family(&format!("pod_{name}"), kind, &format!("{help} of the pod"), samples);
    }
    let containers = found.pods.iter().flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)));
    let started = containers.filter_map(|(pod, of)| Some((labels(pod, Some(of)), epoch(of.started)?, None)));
    page.family("container_start_time_seconds", Kind::Gauge, "Start of the container since 1970", started);
    for name in ["scrape_error", "resource_scrape_error"] {
        page.one(name, Kind::Gauge, "1 if something could not be measured at all, else 0", Some(0.0), None);
    }
    page
}

struct Figure {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: fn(&v1::Usage) -> Option<f64>,
}

const FIGURES: [Figure; 3] = [
    Figure {
        name: "cpu_usage_seconds_total",
        kind: Kind::Counter,
        help: "CPU time in core-seconds",
        read: |usage| usage.cpu_ns.map(seconds),
    },
    Figure {
        name: "memory_working_set_bytes",
        kind: Kind::Gauge,
        help: "Working set in bytes",
        read: |usage| working_set(usage).map(|bytes| bytes as f64),
    },
    Figure {
        name: "swap_usage_bytes",
        kind: Kind::Gauge,
        help: "Swap space in bytes",
        read: |usage| usage.swap.map(|bytes| bytes as f64),
    },
];

fn labels(pod: &v1::PodStats, container: Option<&v1::ContainerStats>) -> Vec<(&'static str, String)> {
    let container = container.map(|container| ("container", container.name.clone()));
    container.into_iter().chain([("pod", pod.name.clone()), ("namespace", pod.namespace.clone())]).collect()
}
