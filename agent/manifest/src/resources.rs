//! Requests and limits.

use std::collections::BTreeMap;
use std::str::FromStr;

use barepod_model::{Bytes, InvalidQuantity, MilliCpu, Reason, Resources};
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::error::{Finding, Findings};
use crate::place::FieldPath;

/// Less than this is no limit that a process could start with.
const LEAST_MEMORY: Bytes = Bytes(1 << 20);

/// Reads them; where only a limit is given, it is also the request, as Kubernetes has it.
pub(crate) fn parse(from: Option<&ResourceRequirements>, path: &FieldPath, out: &mut Findings) -> Resources {
    let mut resources = Resources::default();
    let Some(from) = from else { return resources };
    for (name, quantities) in [("limits", from.limits.as_ref()), ("requests", from.requests.as_ref())] {
        names(quantities, &path.key(name), out);
    }
    let mut get =
        |of: &Option<BTreeMap<String, Quantity>>, list, name| cpu_or_memory(of.as_ref(), name, &path.key(list), out);
    resources.cpu_limit = get(&from.limits, "limits", "cpu").map(MilliCpu);
    resources.cpu_request = get(&from.requests, "requests", "cpu").map(MilliCpu).or(resources.cpu_limit);
    resources.memory_limit = get(&from.limits, "limits", "memory").map(Bytes);
    resources.memory_request = get(&from.requests, "requests", "memory").map(Bytes).or(resources.memory_limit);
    compare(&resources, path, out);
    resources
}

fn names(quantities: Option<&BTreeMap<String, Quantity>>, path: &FieldPath, out: &mut Findings) {
    for name in quantities.into_iter().flat_map(BTreeMap::keys).filter(|n| !matches!(n.as_str(), "cpu" | "memory")) {
        let message = "barepod gives out cpu and memory only";
        let finding = Finding::new(Reason::UnsupportedField, &path.key(name), message);
        let hint = crate::check::nearest(name, ["cpu", "memory"].into_iter());
        out.error(finding.hint(hint.map_or("remove it".to_owned(), |name| format!("did you mean {name:?}?"))));
    }
}

fn cpu_or_memory(
    of: Option<&BTreeMap<String, Quantity>>,
    name: &str,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<u64> {
    let text = &of?.get(name)?.0;
    if name == "cpu" {
        return quantity::<MilliCpu>(text, &path.key(name), out).map(|c| c.0);
    }
    quantity::<Bytes>(text, &path.key(name), out).map(|b| b.0)
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
    if let (Some(request), Some(limit)) = (resources.memory_request, resources.memory_limit)
        && request > limit
    {
        too_much("memory", request.to_string(), limit.to_string());
    }
    if let Some(limit) = resources.memory_limit.filter(|l| *l < LEAST_MEMORY) {
        let message = format!("a limit of {} bytes leaves room for nothing", limit.0);
        let finding = Finding::new(Reason::InvalidValue, &path.key("limits").key("memory"), message);
        out.error(finding.hint("use a suffix such as Mi or Gi"));
    }
}
