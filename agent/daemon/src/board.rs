//! What is, for all who read: the latest view of each pod, and a stream of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use barepod_core::{Booking, PodView, Pressure};
use barepod_model::PodUid;
use tokio::sync::{broadcast, watch};

/// One change: the pod's new view, or that it is gone.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// `None` when it is gone; `before` then still shows what it was.
    pub(crate) now: Option<Arc<PodView>>,
    pub(crate) before: Option<Arc<PodView>>,
}

/// Whether the host goes down, and which pods have not come to their end then, as NAMESPACE/NAME.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shutdown {
    pub(crate) goes_down: bool,
    pub(crate) remaining: BTreeSet<String>,
}

/// The latest views. Written by the supervisor only.
#[derive(Debug)]
pub(crate) struct Board {
    pods: RwLock<BTreeMap<PodUid, Arc<PodView>>>,
    changes: broadcast::Sender<Change>,
    /// What the host is short of, each with a sentence for people.
    pressure: RwLock<BTreeMap<Pressure, String>>,
    shutdown: watch::Sender<Shutdown>,
    /// What others have booked on the host.
    others: RwLock<Booking>,
}

/// Changes a slow watcher may fall behind before it has to list again.
const BACKLOG: usize = 4096;

impl Board {
    pub(crate) fn new() -> Self {
        Self {
            pods: RwLock::default(),
            changes: broadcast::channel(BACKLOG).0,
            pressure: RwLock::default(),
            shutdown: watch::Sender::default(),
            others: RwLock::default(),
        }
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

    /// Shows whether the host goes down: `None` if it does not, else the pods that are left.
    pub(crate) fn put_shutdown(&self, remaining: Option<Vec<PodUid>>) {
        let name = |uid: PodUid| match self.get(&uid).and_then(|view| view.name.clone()) {
            Some((namespace, name)) => format!("{namespace}/{name}"),
            None => uid.to_string(),
        };
        let goes_down = remaining.is_some();
        let remaining = remaining.into_iter().flatten().map(name).collect();
        self.shutdown.send_if_modified(|shown| {
            if shown.goes_down != goes_down {
                tracing::warn!("the host {}", if goes_down { "goes down" } else { "stays up" });
            }
            let now = Shutdown { goes_down, remaining };
            let is_new = *shown != now;
            *shown = now;
            is_new
        });
    }

    /// Whether the host goes down.
    pub(crate) fn shutdown(&self) -> watch::Receiver<Shutdown> {
        self.shutdown.subscribe()
    }

    /// Shows what others have booked on the host.
    pub(crate) fn put_others(&self, others: Booking) {
        *self.others.write().unwrap_or_else(PoisonError::into_inner) = others;
    }

    /// What others have booked on the host.
    pub(crate) fn others(&self) -> Booking {
        self.others.read().unwrap_or_else(PoisonError::into_inner).clone()
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
