//! Requests and limits of containers.

use std::collections::BTreeMap;
use std::str::FromStr;

use barepod_model::{Bytes, HugePageSize, InvalidQuantity, MilliCpu, Reason, Resources};
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::error::{Finding, Findings};
use crate::place::FieldPath;

/// Less than this is no limit that a process could start with.
const LEAST_MEMORY: Bytes = Bytes(1 << 20);

/// What is given out to containers.
const OF_CONTAINERS: &[&str] = &["cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "hugepages-1Gi"];
/// What is given out to pods as a whole (KEP-2837).
const OF_PODS: &[&str] = &["cpu", "memory", "hugepages-2Mi", "hugepages-1Gi"];

/// Reads those of a container; where only a limit is given, it is also the request, as Kubernetes has it.
pub(crate) fn parse(from: Option<&ResourceRequirements>, path: &FieldPath, out: &mut Findings) -> Resources {
    let Some(from) = from else { return Resources::default() };
    let mut resources = written(from, OF_CONTAINERS, path, out);
    resources.cpu_request = resources.cpu_request.or(resources.cpu_limit);
    resources.memory_request = resources.memory_request.or(resources.memory_limit);
    resources.storage_request = resources.storage_request.or(resources.storage_limit);
    compare(&resources, path, out);
    if !resources.huge_pages.is_empty() && resources.cpu_request.is_none() && resources.memory_request.is_none() {
        let finding = Finding::new(Reason::InvalidValue, path, "huge pages need cpu or memory beside them");
        out.error(finding.hint("add a request of cpu or memory"));
    }
    resources
}

/// Reads those of a pod as a whole, as they are written; `None` where there are none.
pub(crate) fn of_pod(from: Option<&ResourceRequirements>, path: &FieldPath, out: &mut Findings) -> Option<Resources> {
    let from = from?;
    let resources = written(from, OF_PODS, path, out);
    compare(&resources, path, out);
    (resources != Resources::default()).then_some(resources)
}

fn written(from: &ResourceRequirements, known: &[&str], path: &FieldPath, out: &mut Findings) -> Resources {
    let lists = [("limits", from.limits.as_ref()), ("requests", from.requests.as_ref())];
    for (name, quantities) in lists {
        names(quantities, known, &path.key(name), out);
    }
    let [limits, requests] = lists.map(|(name, list)| List { list, path: path.key(name) });
    let mut resources = Resources {
        cpu_limit: limits.get::<MilliCpu>("cpu", out),
        cpu_request: requests.get::<MilliCpu>("cpu", out),
        memory_limit: limits.get::<Bytes>("memory", out),
        memory_request: requests.get::<Bytes>("memory", out),
        storage_limit: limits.get::<Bytes>("ephemeral-storage", out),
        storage_request: requests.get::<Bytes>("ephemeral-storage", out),
        ..Resources::default()
    };
    for size in HugePageSize::ALL {
        *resources.huge_pages.of_mut(size) = huge_pages(size, &limits, &requests, out);
    }
    resources
}

/// Request and limit must be the same, and whole pages.
fn huge_pages(size: HugePageSize, limits: &List<'_>, requests: &List<'_>, out: &mut Findings) -> Option<Bytes> {
    let name = size.resource();
    let (limit, request) = (limits.get::<Bytes>(name, out), requests.get::<Bytes>(name, out));
    let path = requests.path.key(name);
    match (limit, request) {
        (None, Some(_)) => {
            let finding = Finding::new(Reason::InvalidValue, &path, "huge pages are limited to what is requested");
            out.error(finding.hint(format!("give the same under limits[{name}]")));
        }
        (Some(limit), Some(request)) if limit != request => {
            let message = format!("the request of {request} must be equal to the limit of {limit}");
            out.error(Finding::new(Reason::InvalidValue, &path, message).hint("remove the request"));
        }
        _ => {}
    }
    let page = size.bytes().0;
    if limit.is_some_and(|limit| limit.0 % page != 0) {
        let message = format!("huge pages are given out whole, by {}", size.bytes());
        let finding = Finding::new(Reason::InvalidValue, &limits.path.key(name), message);
        out.error(finding.hint(format!("use a multiple of {}", size.bytes())));
    }
    limit
}

/// `limits` or `requests`.
struct List<'a> {
    list: Option<&'a BTreeMap<String, Quantity>>,
    path: FieldPath,
}

impl List<'_> {
    fn get<T>(&self, name: &str, out: &mut Findings) -> Option<T>
    where
        T: FromStr<Err = InvalidQuantity>,
    {
        quantity(&self.list?.get(name)?.0, &self.path.key(name), out)
    }
}

fn names(quantities: Option<&BTreeMap<String, Quantity>>, known: &[&str], path: &FieldPath, out: &mut Findings) {
    for name in quantities.into_iter().flat_map(BTreeMap::keys).filter(|name| !known.contains(&name.as_str())) {
        let message = format!("barepod gives out {} here, and nothing else", known.join(", "));
        let finding = Finding::new(Reason::UnsupportedField, &path.key(name), message);
        let hint = crate::check::nearest(name, known.iter().copied());
        out.error(finding.hint(hint.map_or("remove it".to_owned(), |name| format!("did you mean {name:?}?"))));
    }
}

/// Reads one quantity.
pub(crate) fn quantity<T>(text: &str, path: &FieldPath, out: &mut Findings) -> Option<T>
where
    T: FromStr<Err = InvalidQuantity>,
{
    out.take(T::from_str(text).map_err(|e| {
        let finding = Finding::new(Reason::InvalidValue, path, format!("{text:?} is not a quantity"));
        finding.hint(e.rule)
    }))
}

fn compare(resources: &Resources, path: &FieldPath, out: &mut Findings) {
    let mut too_much = |name: &str, request: String, limit: String| {
        let message = format!("the request of {request} is larger than the limit of {limit}");
        let finding = Finding::new(Reason::InvalidValue, &path.key("requests").key(name), message);
        out.error(finding.hint("raise the limit or lower the request"));
    };
    if let (Some(request), Some(limit)) = (resources.cpu_request, resources.cpu_limit)
        && request > limit
    {
        too_much("cpu", request.to_string(), limit.to_string());
    }
    for (name, request, limit) in [
        ("memory", resources.memory_request, resources.memory_limit),
        ("ephemeral-storage", resources.storage_request, resources.storage_limit),
    ] {
        if let (Some(request), Some(limit)) = (request, limit)
            && request > limit
        {
            too_much(name, request.to_string(), limit.to_string());
        }
    }
    if let Some(limit) = resources.memory_limit.filter(|l| *l < LEAST_MEMORY) {
        let message = format!("a limit of {} bytes leaves room for nothing", limit.0);
        let finding = Finding::new(Reason::InvalidValue, &path.key("limits").key("memory"), message);
        out.error(finding.hint("use a suffix such as Mi or Gi"));
    }
}
