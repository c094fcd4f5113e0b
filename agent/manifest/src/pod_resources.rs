//! What a pod asks for as a whole (`spec.resources`, and its part of the disks), and what containers may not ask for beside
//! it.

use std::collections::BTreeMap;

use barepod_model::{
    Amounts, Bytes, HugePageSize, Io, IoMax, OnResize, PodResources, Reason, ResizePolicy, Resources, VolumeKind, total,
};
use k8s_openapi::api::core::v1;

use crate::container::ParsedContainer;
use crate::error::{Finding, Findings};
use crate::place::FieldPath;
use crate::resources;
use crate::volumes::{ParsedKind, ParsedVolume};

const IO_WEIGHT: &str = "barepod.dev/io-weight";
const IO_MAX: &str = "barepod.dev/io-max";

/// Reads them. `metadata` and `spec` are the paths of both.
pub(crate) fn parse(
    pod: &v1::Pod,
    containers: &[ParsedContainer],
    metadata: &FieldPath,
    spec: &FieldPath,
    out: &mut Findings,
) -> PodResources {
    let path = spec.key("resources");
    let from = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let level = resources::of_pod(from, &path, out).map(|written| {
        let level = with_defaults(written, containers);
        hold_together(&level, containers, &path, out);
        level
    });
    PodResources { level, io: io(pod.metadata.annotations.as_ref(), &metadata.key("annotations"), out) }
}

fn requests(containers: &[ParsedContainer]) -> Amounts {
    total(containers.iter().map(|container| (container.request.kind, container.request.resources.requests())))
}

/// Kubernetes' defaults (`defaultHugePagePodLimits`, `defaultPodRequests` in `pkg/apis/core/v1/defaults.go`): a pod with
/// limits asks for what its containers ask for, or, where none does, for its limits.
fn with_defaults(written: Resources, containers: &[ParsedContainer]) -> Resources {
    let mut level = written;
    let asked = requests(containers);
    for (size, asked) in [(HugePageSize::TwoMi, asked.huge_two_mi), (HugePageSize::OneGi, asked.huge_one_gi)] {
        let own = level.huge_pages.of_mut(size);
        *own = own.or((asked != Bytes(0)).then_some(asked));
    }
    let has_limits = level.cpu_limit.is_some() || level.memory_limit.is_some() || !level.huge_pages.is_empty();
    if !has_limits {
        return level;
    }
    let any = |of: fn(&Resources) -> bool| containers.iter().any(|container| of(&container.request.resources));
    let cpu = any(|r| r.cpu_request.is_some()).then_some(asked.cpu);
    let memory = any(|r| r.memory_request.is_some()).then_some(asked.memory);
    level.cpu_request = level.cpu_request.or(cpu).or(level.cpu_limit);
    level.memory_request = level.memory_request.or(memory).or(level.memory_limit);
    level
}

/// The whole is not less than its parts.
fn hold_together(level: &Resources, containers: &[ParsedContainer], path: &FieldPath, out: &mut Findings) {
    let asked = requests(containers);
    let own = [
        ("cpu", level.cpu_request.map(|value| (value.to_string(), value.0)), (asked.cpu.to_string(), asked.cpu.0)),
        (
            "memory",
            level.memory_request.map(|value| (value.to_string(), value.0)),
            (asked.memory.to_string(), asked.memory.0),
        ),
    ];
    for (name, own, parts) in own {
        if let Some((own, _)) = own.filter(|(_, value)| *value < parts.1) {
            let message = format!("{own} is less than the containers ask for together, {}", parts.0);
            let finding = Finding::new(Reason::InvalidValue, &path.key("requests").key(name), message);
            out.error(finding.hint("raise it, or lower the requests of the containers"));
        }
    }
    for container in containers {
        let limits = &container.request.resources;
        let path = container.path.key("resources").key("limits");
        let mut too_much = |name: &str, own: String, whole: String| {
            let message = format!("{own} is more than the limit of the whole pod, {whole}");
            let finding = Finding::new(Reason::InvalidValue, &path.key(name), message);
            out.error(finding.hint("lower it, or raise spec.resources.limits"));
        };
        if let (Some(own), Some(whole)) = (limits.cpu_limit, level.cpu_limit)
            && own > whole
        {
            too_much("cpu", own.to_string(), whole.to_string());
        }
        let huge =
            HugePageSize::ALL.map(|size| (size.resource(), limits.huge_pages.of(size), level.huge_pages.of(size)));
        for (name, own, whole) in [("memory", limits.memory_limit, level.memory_limit)].into_iter().chain(huge) {
            if let (Some(own), Some(whole)) = (own, whole)
                && own > whole
            {
                too_much(name, own.to_string(), whole.to_string());
            }
        }
    }
}

/// Reads `resizePolicy` of a container.
pub(crate) fn resize_policy(
    from: &v1::Container,
    is_init: bool,
    policy: Option<&str>,
    path: &FieldPath,
    out: &mut Findings,
) -> ResizePolicy {
    let path = path.key("resizePolicy");
    let given = from.resize_policy.as_deref().unwrap_or_default();
    let mut parsed = ResizePolicy::default();
    if is_init && !given.is_empty() {
        let finding = Finding::new(Reason::InvalidValue, &path, "an init container runs to its end and is not resized");
        out.error(finding.hint("remove it"));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (i, one) in given.iter().enumerate() {
        let path = path.index(i);
        let name = one.resource_name.as_str();
        if seen.contains(&name) {
            let message = format!("there is another policy for {name:?}");
            out.error(Finding::new(Reason::Duplicate, &path.key("resourceName"), message).hint("remove one of them"));
        }
        seen.push(name);
        let slot = match name {
            "cpu" => &mut parsed.cpu,
            "memory" => &mut parsed.memory,
            other => {
                let message = format!("{other:?} is not changed in place");
                let finding = Finding::new(Reason::InvalidValue, &path.key("resourceName"), message);
                out.error(finding.hint("use cpu or memory"));
                continue;
            }
        };
        *slot = match one.restart_policy.as_str() {
            "NotRequired" => OnResize::NotRequired,
            "RestartContainer" if policy == Some("Never") => {
                let message = "a container that is never restarted cannot be restarted to be resized";
                let finding = Finding::new(Reason::InvalidValue, &path.key("restartPolicy"), message);
                out.error(finding.hint("use NotRequired, or another restartPolicy of the pod"));
                OnResize::NotRequired
            }
            "RestartContainer" => OnResize::RestartContainer,
            other => {
                let message = format!("there is no such policy as {other:?}");
                let finding = Finding::new(Reason::InvalidValue, &path.key("restartPolicy"), message);
                out.error(finding.hint("use NotRequired or RestartContainer"));
                OnResize::NotRequired
            }
        };
    }
    parsed
}

/// A volume of huge pages needs some: of its own size, or, where it names none, of the only one that the pod asks for
/// (`validateMediumHugePages`, `GetPageSize` in kubelet's `emptydir`).
pub(crate) fn huge_volumes(
    volumes: &mut [ParsedVolume],
    containers: &[ParsedContainer],
    resources: &PodResources,
    out: &mut Findings,
) {
    let all = containers.iter().map(|container| &container.request.resources).chain(&resources.level);
    let mut asked: Vec<_> = all
        .flat_map(|resources| HugePageSize::ALL.into_iter().filter(|size| resources.huge_pages.of(*size).is_some()))
        .collect();
    asked.sort_unstable();
    asked.dedup();
    for volume in volumes {
        let path = volume.path.key("emptyDir").key("medium");
        let ParsedKind::Known(VolumeKind::EmptyDir { huge_pages: Some(size), .. }) = &mut volume.kind else { continue };
        let any = volume.any_huge_page_size;
        match (any, asked.as_slice()) {
            (true, [only]) => *size = *only,
            (true, [_, _, ..]) => {
                let finding = Finding::new(Reason::InvalidValue, &path, "the pod asks for huge pages of several sizes");
                out.error(finding.hint("name one: HugePages-2Mi or HugePages-1Gi"));
            }
            (false, asked) if asked.contains(size) => {}
            (true | false, _) => {
                let finding = Finding::new(Reason::InvalidValue, &path, "no container asks for such pages");
                out.error(finding.hint(format!("add {} to the limits of one", size.resource())));
            }
        }
    }
}

fn io(annotations: Option<&BTreeMap<String, String>>, path: &FieldPath, out: &mut Findings) -> Io {
    let text = |name: &str| annotations.and_then(|all| all.get(name)).map(|text| (text.as_str(), path.key(name)));
    let weight = text(IO_WEIGHT).and_then(|(text, path)| {
        let weight = text.trim().parse().ok().filter(|weight| (1..=10_000).contains(weight));
        if weight.is_none() {
            let message = format!("{text:?} is no weight");
            out.error(Finding::new(Reason::InvalidValue, &path, message).hint("use a whole number from 1 to 10000"));
        }
        weight
    });
    let max = match text(IO_MAX) {
        None => Vec::new(),
        Some((text, path)) => {
            let devices = text.split([';', '\n']).map(str::trim).filter(|one| !one.is_empty());
            devices.filter_map(|one| io_max(one, &path, out)).collect()
        }
    };
    Io { weight, max }
}

/// `DEVICE rbps=10M wiops=100`.
fn io_max(text: &str, path: &FieldPath, out: &mut Findings) -> Option<IoMax> {
    let mut refuse = |message: String| {
        let hint =
            "write DEVICE rbps=N wbps=N riops=N wiops=N, of which one is enough; DEVICE is major:minor or a path";
        out.error(Finding::new(Reason::InvalidValue, path, message).hint(hint));
    };
    let mut words = text.split_whitespace();
    let device = words.next()?.to_owned();
    let is_number = device.split_once(':').is_some_and(|(a, b)| a.parse::<u32>().is_ok() && b.parse::<u32>().is_ok());
    if !is_number && !device.starts_with('/') {
        refuse(format!("{device:?} is no device"));
        return None;
    }
    let mut max = IoMax { device, ..IoMax::default() };
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let slot = match name {
            "rbps" => &mut max.rbps,
            "wbps" => &mut max.wbps,
            "riops" => &mut max.riops,
            "wiops" => &mut max.wiops,
            _ => {
                refuse(format!("{word:?} limits nothing"));
                return None;
            }
        };
        match value.parse::<Bytes>() {
            Ok(Bytes(value)) if value > 0 => *slot = Some(value),
            _ => {
                refuse(format!("{value:?} is no figure for {name}"));
                return None;
            }
        }
    }
    if max.rbps.or(max.wbps).or(max.riops).or(max.wiops).is_none() {
        refuse(format!("nothing of {} is limited", max.device));
        return None;
    }
    Some(max)
}

/// The restart policy that a container's resize would go by.
pub(crate) fn restart_policy<'a>(container: &'a v1::Container, spec: &'a v1::PodSpec) -> Option<&'a str> {
    container.restart_policy.as_deref().or(spec.restart_policy.as_deref())
}
