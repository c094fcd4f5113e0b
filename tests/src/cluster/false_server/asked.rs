//! A request in Kubernetes' words.

use std::time::Instant;

use hyper::{Method, Uri};

/// What was asked of an API server.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When.
    pub at: Instant,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`; of what is no resource, the method.
    pub verb: String,
    /// Such as `pods`, `pods/status` or `leases.coordination.k8s.io`; of what is no resource, its path.
    pub resource: String,
    /// Where it has one.
    pub namespace: Option<String>,
    /// Of one object.
    pub name: Option<String>,
    /// What was asked besides, as it stands in the URL.
    pub query: String,
    /// Who asked, by certificate.
    pub user: Option<String>,
}

impl Asked {
    /// Whether this is asked of such a resource.
    pub fn is(&self, verb: &str, resource: &str) -> bool {
        self.verb == verb && self.resource == resource
    }

    pub(super) fn new(method: &Method, uri: &Uri, user: Option<String>) -> Self {
        let query = uri.query().unwrap_or_default().to_owned();
        let segments: Vec<_> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, rest) = match segments.as_slice() {
            ["api", _, rest @ ..] => (None, rest),
            ["apis", group, _, rest @ ..] => (Some(*group), rest),
            _ => (None, &[][..]),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if is_within(rest) => (Some(*namespace), rest),
            _ => (None, rest),
        };
        let (resource, name) = match rest {
            [] => (uri.path().to_owned(), None),
            [resource] => (qualified(resource, group), None),
            [resource, name] => (qualified(resource, group), Some(*name)),
            [resource, name, below @ ..] => {
                (format!("{}/{}", qualified(resource, group), below.join("/")), Some(*name))
            }
        };
        let verb = if rest.is_empty() { method.as_str().to_lowercase() } else { verb(method, name, &query).to_owned() };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self { at: Instant::now(), verb, resource, namespace: owned(namespace), name: owned(name), query, user }
    }
}

/// Whether what follows `namespaces/NAME` is something in that namespace, and not of the namespace itself.
fn is_within(rest: &[&str]) -> bool {
    !matches!(rest, [] | ["status" | "finalize"])
}

fn qualified(resource: &str, group: Option<&str>) -> String {
    group.map_or_else(|| resource.to_owned(), |group| format!("{resource}.{group}"))
}

fn verb(method: &Method, name: Option<&str>, query: &str) -> &'static str {
    let watches = query.split('&').any(|pair| matches!(pair, "watch" | "watch=1" | "watch=true"));
    match (method.as_str(), name) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", Some(_)) => "delete",
        ("DELETE", None) => "deletecollection",
        (_, _) if watches => "watch",
        (_, Some(_)) => "get",
        (_, None) => "list",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `VERB RESOURCE NAMESPACE NAME`.
    fn words(method: Method, path: &str) -> String {
        let asked = Asked::new(&method, &path.parse().unwrap(), None);
        let [namespace, name] = [asked.namespace, asked.name].map(|word| word.unwrap_or_else(|| "-".to_owned()));
        format!("{} {} {namespace} {name}", asked.verb, asked.resource)
    }

    #[test]
    fn requests_are_named_as_kubernetes_rules_for_access_name_them() {
        let cases = [
            (Method::GET, "/api/v1/pods?fieldSelector=a", "list pods - -"),
            (Method::GET, "/api/v1/pods?watch=true&timeoutSeconds=3", "watch pods - -"),
            (Method::GET, "/api/v1/namespaces/default/pods/a", "get pods default a"),
            (Method::PATCH, "/api/v1/namespaces/default/pods/a/status", "patch pods/status default a"),
            (Method::POST, "/api/v1/namespaces/ns/serviceaccounts/sa/token", "create serviceaccounts/token ns sa"),
            (Method::DELETE, "/api/v1/namespaces/default/pods/a", "delete pods default a"),
            (Method::DELETE, "/api/v1/namespaces/default/pods", "deletecollection pods default -"),
            (Method::GET, "/api/v1/namespaces", "list namespaces - -"),
            (Method::GET, "/api/v1/namespaces/default", "get namespaces - default"),
            (Method::PUT, "/api/v1/namespaces/default/finalize", "update namespaces/finalize - default"),
            (
                Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a",
                "update leases.coordination.k8s.io kube-node-lease a",
            ),
            (Method::GET, "/readyz", "get /readyz - -"),
            (Method::GET, "/apis/apps/v1", "get /apis/apps/v1 - -"),
        ];

        for (method, path, expected) in cases {
            assert_eq!(words(method, path), expected, "{path}");
        }
    }
}
