//! Recent events of all pods, bounded, for `describe` and `events`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use barepod_core::{Event, PodView, Severity};
use barepod_model::{Source, WallTime};
use tokio::sync::broadcast;

/// An event with its time and its pod's name.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) time: WallTime,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    /// Where the pod comes from, if that is known.
    pub(crate) source: Option<Source>,
    pub(crate) event: Event,
}

/// The last [`CAPACITY`] events.
#[derive(Debug)]
pub(crate) struct Journal {
    entries: Mutex<VecDeque<Arc<Entry>>>,
    new: broadcast::Sender<Arc<Entry>>,
}

/// About ten events for each of 200 pods.
const CAPACITY: usize = 2048;

impl Journal {
    pub(crate) fn new() -> Self {
        Self { entries: Mutex::default(), new: broadcast::channel(256).0 }
    }

    /// Keeps an event, drops the oldest beyond the capacity, and logs it.
    pub(crate) fn add(&self, event: Event, view: Option<&PodView>) {
        let name = view.and_then(|v| v.name.as_ref());
        let entry = Arc::new(Entry {
            time: WallTime(jiff::Timestamp::now()),
            namespace: name.map(|(namespace, _)| namespace.to_string()).unwrap_or_default(),
            pod: name.map(|(_, name)| name.to_string()).unwrap_or_default(),
            source: view.and_then(|view| view.pod.as_ref()).map(|pod| pod.source),
            event,
        });
        log(&entry);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() == CAPACITY {
            entries.pop_front();
        }
        entries.push_back(Arc::clone(&entry));
        // Nobody listening is no error.
        self.new.send(entry).ok();
    }

    /// What there is, oldest first, and every event after that.
    pub(crate) fn follow(&self) -> (Vec<Arc<Entry>>, broadcast::Receiver<Arc<Entry>>) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        (entries.iter().cloned().collect(), self.new.subscribe())
    }
}

fn log(entry: &Entry) {
    let Entry { namespace, pod, event, .. } = entry;
    let container = event.container.as_ref().map_or("", |c| c.as_str());
    match event.severity {
        Severity::Normal => {
            tracing::info!(reason = %event.reason, namespace, pod, uid = %event.pod, container, "{}", event.message);
        }
        Severity::Warning => {
            tracing::warn!(reason = %event.reason, namespace, pod, uid = %event.pod, container, "{}", event.message);
        }
    }
}
