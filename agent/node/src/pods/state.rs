//! What both sides say of one pod.

use std::sync::Arc;

use barepod_api::v1;
use k8s_openapi::api::core::v1::Pod;

/// Why it is certain that a pod is no longer wanted, though its object is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// A watch said DELETED of this UID.
    Deleted,
    /// Another UID is bound here under the same name.
    Replaced,
}

/// The newest of both sides.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Its object, as it was seen last; `None` if the API server has none.
    pub(crate) api: Option<Arc<Pod>>,
    /// Why its object is gone, if that is known.
    pub(crate) evidence: Option<Evidence>,
    /// The API server has listed all pods since this process began.
    pub(crate) listed: bool,
    /// The pod on this host; `None` if nothing of it is here.
    pub(crate) here: Option<Arc<v1::Pod>>,
    /// As it was when it went.
    pub(crate) last: Option<Arc<v1::Pod>>,
    /// The daemon has shown all its pods: `here` is the truth.
    pub(crate) asked: bool,
}

impl State {
    /// Nobody has anything of it.
    pub(crate) fn is_over(&self) -> bool {
        self.asked && self.api.is_none() && self.here.is_none()
    }
}
