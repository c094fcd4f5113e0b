//! Who may ask what: the cluster's authorizer says it (SubjectAccessReview), of this node and of what of it is asked for.
//!
//! A path is a subresource of the node, as kubelet has it (`pkg/kubelet/server/auth.go`); where there are two, one is enough:
//! the fine one, or `proxy`, which is nearly everything. A verb is the method's.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::Method;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use tokio::sync::Semaphore;

use crate::authentication::{AT_ONCE, LIMIT};
use crate::cache::{Cache, Key};
use crate::user::User;

/// kubelet's `authorization.webhook.cacheAuthorizedTTL`.
const LIFE_ALLOWED: Duration = Duration::from_secs(300);
/// kubelet's `authorization.webhook.cacheUnauthorizedTTL`.
const LIFE_DENIED: Duration = Duration::from_secs(30);
/// Answers that are kept.
const KEPT: usize = 2048;

/// Paths, with all below them, and what of the node they are.
const SUBRESOURCES: [(&str, &[&str]); 10] = [
    ("/pods", &["pods", "proxy"]),
    ("/runningpods", &["pods", "proxy"]),
    ("/healthz", &["healthz", "proxy"]),
    ("/configz", &["configz", "proxy"]),
    ("/stats", &["stats"]),
    ("/metrics", &["metrics"]),
    ("/logs", &["log"]),
    ("/checkpoint", &["checkpoint"]),
    ("/statusz", &["statusz"]),
    ("/flagz", &["configz"]),
];

/// What of the node a path is: any of these will do.
pub(crate) fn subresources(path: &str) -> &'static [&'static str] {
    let found = SUBRESOURCES.iter().find(|(root, _)| is_at(path, root));
    found.map_or(&["proxy"], |(_, subresources)| subresources)
}

/// Where something is done whatever the method.
const DONE: [&str; 4] = ["/exec", "/attach", "/run", "/portForward"];

fn is_at(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a method is to the authorizer; one that is none of these nobody is allowed but who may do all. A command that comes by
/// WebSocket comes as GET: unlike kubelet, who may only read the node may not run one.
pub(crate) fn verb(method: &Method, path: &str) -> &'static str {
    match *method {
        Method::GET if DONE.iter().any(|root| is_at(path, root)) => "create",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// Why a request is not carried out, as kubelet says it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{subresources}])\n")]
    Forbidden { user: String, verb: &'static str, subresources: String },
    #[error("Authorization error (user={user}, verb={verb}, resource=nodes, subresource={subresource})")]
    Unknown { user: String, verb: &'static str, subresource: &'static str },
}

/// Knows who may.
pub(crate) struct Authorization {
    node: String,
    client: kube::Client,
    known: Mutex<Cache<bool>>,
    turns: Semaphore,
}

impl Authorization {
    pub(crate) fn new(node: String, client: kube::Client) -> Self {
        Self { node, client, known: Mutex::new(Cache::new(KEPT)), turns: Semaphore::new(AT_ONCE) }
    }

    /// Whether a user may do this here.
    ///
    /// # Errors
    /// No, or nobody knows.
    pub(crate) async fn may(&self, user: &User, method: &Method, path: &str) -> Result<(), Denied> {
        let (verb, subresources) = (verb(method, path), subresources(path));
        for &subresource in subresources {
            match self.allowed(user, verb, subresource).await {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => return Err(Denied::Unknown { user: user.name.clone(), verb, subresource }),
            }
        }
        Err(Denied::Forbidden { user: user.name.clone(), verb, subresources: subresources.join(" ") })
    }

    async fn allowed(&self, user: &User, verb: &str, subresource: &str) -> Option<bool> {
        let spec = self.question(user, verb, subresource);
        let key = Key::of(&spec);
        if let Some(known) = self.known(&key) {
            return Some(known);
        }
        let asked = tokio::time::timeout(LIMIT, async {
            let _turn = self.turns.acquire().await.ok()?;
            match self.known(&key) {
                Some(known) => Some(known),
                None => self.review(spec).await,
            }
        });
        let allowed = asked.await.ok().flatten()?;
        let life = if allowed { LIFE_ALLOWED } else { LIFE_DENIED };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).put(key, allowed, Instant::now(), life);
        Some(allowed)
    }

    fn known(&self, key: &Key) -> Option<bool> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(key, Instant::now())
    }

    fn question(&self, user: &User, verb: &str, subresource: &str) -> SubjectAccessReviewSpec {
        SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            uid: user.uid.clone(),
            groups: Some(user.groups.clone()),
            extra: Some(user.extra.clone()),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                version: Some("v1".to_owned()),
                resource: Some("nodes".to_owned()),
                subresource: Some(subresource.to_owned()),
                name: Some(self.node.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        }
    }

    async fn review(&self, spec: SubjectAccessReviewSpec) -> Option<bool> {
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        match api.create(&PostParams::default(), &review).await {
            Ok(answer) => {
                let status = answer.status.unwrap_or_default();
                Some(status.allowed && status.denied != Some(true))
            }
            Err(error) => {
                tracing::warn!("nobody says whether a client may: {error}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_kubelet_takes_it_for() {
        for (path, wanted) in [
            ("/pods", &["pods", "proxy"][..]),
            ("/pods/", &["pods", "proxy"]),
            ("/podsandmore", &["proxy"]),
            ("/runningpods/", &["pods", "proxy"]),
            ("/healthz/syncloop", &["healthz", "proxy"]),
            ("/configz", &["configz", "proxy"]),
            ("/stats/summary", &["stats"]),
            ("/metrics", &["metrics"]),
            ("/metrics/cadvisor", &["metrics"]),
            ("/logs/", &["log"]),
            ("/checkpoint/a/b/c", &["checkpoint"]),
            ("/statusz", &["statusz"]),
            ("/flagz", &["configz"]),
            ("/containerLogs/a/b/c", &["proxy"]),
            ("/exec/a/b/c", &["proxy"]),
            ("/", &["proxy"]),
            ("/healthz2/../exec", &["proxy"]),
        ] {
            assert_eq!(subresources(path), wanted, "{path}");
        }
    }

    #[test]
    fn a_method_that_is_none_of_the_apis_has_no_verb() {
        let verbs = [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS].map(|method| verb(&method, "/pods"));
        assert_eq!(verbs, ["get", "create", "", ""]);
    }

    #[test]
    fn who_may_only_read_the_node_may_run_nothing_there() {
        for path in ["/exec/a/b/c", "/exec/a/b/u/c", "/attach/a/b/c", "/portForward/a/b", "/run/a/b/c", "/exec"] {
            assert_eq!(verb(&Method::GET, path), "create", "{path}");
        }
        for path in ["/containerLogs/a/b/c", "/executed", "/pods", "/runningpods"] {
            assert_eq!(verb(&Method::GET, path), "get", "{path}");
        }
    }
}
