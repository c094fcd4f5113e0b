//! What is told about the node's own work: `/metrics` and `/metrics/slis`, under kubelet's names where they mean the same.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use barepod_api::v1;
use hyper::Method;
use jiff::Timestamp;
use nix::unistd::{SysconfVar, sysconf};
use tonic::Status;

use super::text::Kind;
use super::{Page, stats};
use crate::dealings::Dealt;
use crate::handlers::about::STARTED;
use crate::handlers::{health, pods};
use crate::port::Port;
use crate::route::Place;

/// Requests that were let in, by what they asked for.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<BTreeMap<(String, &'static str), u64>>);

impl Requests {
    /// One more. What is asked for at no known path counts as `other`, so that nobody makes the table longer.
    pub(crate) fn count(&self, method: &Method, place: Option<Place>) {
        let method = match *method {
            Method::GET | Method::POST | Method::PUT | Method::DELETE | Method::HEAD => method.to_string(),
            _ => "other".to_owned(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry((method, place.map_or("other", Place::word))).or_default() += 1;
    }

    fn all(&self) -> Vec<((String, &'static str), u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(key, count)| (key.clone(), *count)).collect()
    }
}

/// `/metrics`.
///
/// # Errors
/// The daemon does not answer.
pub(crate) async fn page(port: &Port) -> Result<Page, Status> {
    let pods = pods::list(port, v1::ListRequest::default()).await?;
    let mut page = Page::default();
    let node = vec![("node", port.settings.node.to_string())];
    page.family("kubelet_node_name", Kind::Gauge, "The node's name; always 1", [(node, 1.0, None)]);
    let is_running = |container: &v1::Container| container.state == "running";
    let running = pods.iter().filter(|pod| pod.containers.iter().any(is_running)).count();
    page.one("kubelet_running_pods", Kind::Gauge, "Pods of which something runs", Some(running as f64), None);
    let mut states = BTreeMap::from([("created", 0_u32), ("exited", 0), ("running", 0)]);
    for container in pods.iter().flat_map(|pod| &pod.containers) {
        let state = match container.state.as_str() {
            "running" => "running",
            "terminated" => "exited",
            _ => "created",
        };
        *states.entry(state).or_default() += 1;
    }
    let states =
        states.into_iter().map(|(state, count)| (vec![("container_state", state.to_owned())], f64::from(count), None));
    page.family("kubelet_running_containers", Kind::Gauge, "Containers by their state", states);
    let requests = port.requests.all().into_iter().map(|((method, path), count)| {
        let long = if matches!(path, "exec" | "attach" | "portForward") { "true" } else { "false" };
        let labels = [("long_running", long), ("method", &method), ("path", path), ("server_type", "readwrite")];
        (labels.map(|(label, value)| (label, value.to_owned())).into(), count as f64, None)
    });
    page.family("kubelet_http_requests_total", Kind::Counter, "Requests to this port that were let in", requests);
    volumes(&mut page, &stats(port, true).await?);
    standing(&mut page, port);
    let version = vec![("git_version", concat!("v1.36.3-barepod.", env!("CARGO_PKG_VERSION")).to_owned())];
    page.family("kubernetes_build_info", Kind::Gauge, "Always 1", [(version, 1.0, None)]);
    process(&mut page);
    Ok(page)
}

/// Claims that are in use, under the names by which one is warned of a volume that gets full.
fn volumes(page: &mut Page, found: &v1::StatsResponse) {
    type Read = fn(&v1::FsUsage) -> Option<u64>;
    let figures: [(&str, &str, Read); 6] = [
        ("kubelet_volume_stats_capacity_bytes", "Size of the file system of a claim", |fs| fs.capacity),
        ("kubelet_volume_stats_available_bytes", "Of it, what is free", |fs| fs.available),
        ("kubelet_volume_stats_used_bytes", "Of it, what is taken", |fs| fs.used),
        ("kubelet_volume_stats_inodes", "Inodes of the file system of a claim", |fs| fs.inodes),
        ("kubelet_volume_stats_inodes_free", "Of them, those that are free", |fs| fs.inodes_free),
        ("kubelet_volume_stats_inodes_used", "Of them, those that are taken", |fs| fs.inodes_used),
    ];
    // A claim of several pods is one volume.
    let claims: BTreeMap<_, _> = found
        .pods
        .iter()
        .flat_map(|pod| pod.volumes.iter().map(move |volume| ((pod.namespace.as_str(), volume.claim.as_str()), volume)))
        .filter(|((_, claim), _)| !claim.is_empty())
        .collect();
    for (name, help, read) in figures {
        let samples = claims.iter().filter_map(|((namespace, claim), volume)| {
            let labels = [("namespace", (*namespace).to_owned()), ("persistentvolumeclaim", (*claim).to_owned())];
            Some((labels.into(), read(volume.fs.as_ref()?)? as f64, None))
        });
        page.family(name, Kind::Gauge, help, samples);
    }
}

/// The node before its API server: what its certificates have left to live, and what it was answered.
fn standing(page: &mut Page, port: &Port) {
    let Dealt { client_ends, answers } = (port.known.dealings)();
    let serving_ends = port.known.serving.borrow().as_ref().map(|identity| identity.certificate().not_after);
    let now = Timestamp::now();
    for (name, help, ends) in [
        ("kubelet_certificate_manager_client_ttl_seconds", "What the client certificate has left", client_ends),
        ("kubelet_certificate_manager_server_ttl_seconds", "What the serving certificate has left", serving_ends),
    ] {
        page.one(name, Kind::Gauge, help, ends.map(|ends| ends.duration_since(now).as_secs_f64().trunc()), None);
    }
    let answers = answers
        .into_iter()
        .map(|(method, code, count)| (vec![("code", code.to_string()), ("method", method)], count as f64, None));
    page.family("rest_client_requests_total", Kind::Counter, "Answers of the API server", answers);
}

/// `/metrics/slis`.
pub(crate) async fn slis(port: &Port) -> Page {
    let mut samples = Vec::new();
    for check in health::CHECKS {
        let well = f64::from(u8::from(health::look(port, check).await.is_ok()));
        samples.push((vec![("name", check.to_owned()), ("type", "healthz".to_owned())], well, None));
    }
    let mut page = Page::default();
    page.family("kubernetes_healthcheck", Kind::Gauge, "1 if a health check passes, else 0", samples);
    page
}

pub(super) fn process_start(page: &mut Page) {
    let started = STARTED.as_millisecond() as f64 / 1e3;
    page.one("process_start_time_seconds", Kind::Gauge, "Start of this process since 1970", Some(started), None);
}

/// This process, the bridge, under the names that every program of Kubernetes has.
fn process(page: &mut Page) {
    process_start(page);
    let unit = |variable| sysconf(variable).ok().flatten().map(|value| value as f64);
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything but ends with the last parenthesis.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let field = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let cpu =
        field(11).zip(field(12)).zip(unit(SysconfVar::CLK_TCK)).map(|((user, system), tick)| (user + system) / tick);
    page.one("process_cpu_seconds_total", Kind::Counter, "CPU time of this process", cpu, None);
    page.one("process_virtual_memory_bytes", Kind::Gauge, "Its address space", field(20), None);
    let resident = field(21).zip(unit(SysconfVar::PAGE_SIZE)).map(|(pages, size)| pages * size);
    page.one("process_resident_memory_bytes", Kind::Gauge, "Its memory", resident, None);
    let files = std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    page.one("process_open_fds", Kind::Gauge, "Its open files", files, None);
}
