//! What is, for all who read: the latest view of each pod, and a stream of changes.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use barepod_core::{PodView, Pressure};
use barepod_model::PodUid;
use tokio::sync::broadcast;

/// One change: the pod's new view, or that it is gone.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// `None` when it is gone; `before` then still shows what it was.
    pub(crate) now: Option<Arc<PodView>>,
    pub(crate) before: Option<Arc<PodView>>,
}

/// The latest views. Written by the supervisor only.
#[derive(Debug)]
pub(crate) struct Board {
    pods: RwLock<BTreeMap<PodUid, Arc<PodView>>>,
    changes: broadcast::Sender<Change>,
    /// What the host is short of, each with a sentence for people.
    pressure: RwLock<BTreeMap<Pressure, String>>,
}

/// Changes a slow watcher may fall behind before it has to list again.
const BACKLOG: usize = 4096;

impl Board {
    pub(crate) fn new() -> Self {
        Self { pods: RwLock::default(), changes: broadcast::channel(BACKLOG).0, pressure: RwLock::default() }
    }

    /// Shows a pod's new view; `None` takes it off.
    pub(crate) fn put(&self, uid: PodUid, now: Option<Arc<PodView>>) {
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        let before = match &now {
            Some(view) => pods.insert(uid, Arc::clone(view)),
            None => pods.remove(&uid),
        };
        // Sent under the lock, so that a watcher's list and stream fit together. Nobody listening is no error.
        self.changes.send(Change { now, before }).ok();
    }

    /// Shows what the host is short of; says so when that has changed.
    pub(crate) fn put_pressure(&self, now: BTreeMap<Pressure, String>) {
        let mut shown = self.pressure.write().unwrap_or_else(PoisonError::into_inner);
        if *shown == now {
            return;
        }
        for (pressure, why) in now.iter().filter(|(pressure, _)| !shown.contains_key(pressure)) {
            tracing::warn!(condition = %pressure, "the host is short of something: {why}");
        }
        for pressure in shown.keys().filter(|pressure| !now.contains_key(pressure)) {
            tracing::info!(condition = %pressure, "the host is no longer short of it");
        }
        *shown = now;
    }

    /// What the host is short of.
    pub(crate) fn pressure(&self) -> BTreeMap<Pressure, String> {
        self.pressure.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All pods, by UID.
    pub(crate) fn list(&self) -> Vec<Arc<PodView>> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// One pod.
    pub(crate) fn get(&self, uid: &PodUid) -> Option<Arc<PodView>> {
        self.pods.read().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    /// All pods, and every change after that moment.
    pub(crate) fn watch(&self) -> (Vec<Arc<PodView>>, broadcast::Receiver<Change>) {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        (pods.values().cloned().collect(), self.changes.subscribe())
    }

    /// The pod of this name that is meant: the living one, else the youngest of those that are ending.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Arc<PodView>> {
        let named = |view: &Arc<PodView>| is_named(view, namespace, name);
        self.list().into_iter().filter(named).max_by_key(|v| (v.deletion.is_none(), v.created.as_ref().map(|c| c.wall)))
    }
}

/// Whether a pod has this name.
pub(crate) fn is_named(view: &PodView, namespace: &str, name: &str) -> bool {
    view.name.as_ref().is_some_and(|(its, own)| its.as_str() == namespace && own.as_str() == name)
}
