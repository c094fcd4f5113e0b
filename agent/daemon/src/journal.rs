//! Recent events of all pods, bounded, for `describe` and `events`. They are kept over the daemon's death in
//! `/var/lib/barepod/history/events.jsonl`, a line each.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use barepod_core::{Event, PodView, Severity};
use barepod_model::{PodUid, Reason, Source, WallTime};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::lines::{self, Bounds, Lines};

/// An event with its time and its pod's name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Grows with each event of this host.
    #[serde(default)]
    pub(crate) number: u64,
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
    entries: Mutex<Entries>,
    new: broadcast::Sender<Arc<Entry>>,
    history: Lines,
}

#[derive(Debug, Default)]
struct Entries {
    /// Oldest first.
    known: VecDeque<Arc<Entry>>,
    /// The number of the last one.
    last: u64,
}

impl Entries {
    /// Gives it its number, and drops the oldest beyond the capacity.
    fn add(&mut self, mut entry: Entry) -> Arc<Entry> {
        // Those of a release that did not count them have none.
        entry.number = entry.number.max(self.last + 1);
        self.last = entry.number;
        let entry = Arc::new(entry);
        if self.known.len() == CAPACITY {
            self.known.pop_front();
        }
        self.known.push_back(Arc::clone(&entry));
        entry
    }
}

/// In the place of a pod's UID.
const HOST: &str = "host";
/// About ten events for each of 200 pods.
const CAPACITY: usize = 2048;
/// A daemon that was killed may have told of so many more than it has written, at most: their numbers are not given again.
const UNWRITTEN: u64 = 1 << 16;
/// An event has some 300 bytes: two files hold more than that many.
const BOUNDS: Bounds = Bounds { bytes: 1 << 20, old: 1 };

impl Journal {
    /// With what former daemons have left there.
    ///
    /// # Errors
    /// There can be no thread that writes.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        // What a power cut tore, or another release wrote, is no event.
        let known = lines::read(&path, BOUNDS).into_iter().filter_map(|line| serde_json::from_str(&line).ok());
        let mut entries = Entries::default();
        known.for_each(|entry| drop(entries.add(entry)));
        entries.last += UNWRITTEN;
        Ok(Self { entries: Mutex::new(entries), new: broadcast::channel(256).0, history: Lines::open(path, BOUNDS)? })
    }

    /// Keeps an event, drops the oldest beyond the capacity, and logs it.
    pub(crate) fn add(&self, event: Event, view: Option<&PodView>) {
        let name = view.and_then(|v| v.name.as_ref());
        self.keep(Entry {
            number: 0,
            time: WallTime(jiff::Timestamp::now()),
            namespace: name.map(|(namespace, _)| namespace.to_string()).unwrap_or_default(),
            pod: name.map(|(_, name)| name.to_string()).unwrap_or_default(),
            source: view.and_then(|view| view.pod.as_ref()).map(|pod| pod.source),
            event,
        });
    }

    /// Keeps an event of the host itself. It has no pod, and is where Kubernetes has those of what is in no namespace.
    pub(crate) fn add_host(&self, severity: Severity, reason: Reason, message: String) {
        let pod = PodUid::new(HOST).expect("a UID");
        self.keep(Entry {
            number: 0,
            time: WallTime(jiff::Timestamp::now()),
            namespace: "default".to_owned(),
            pod: String::new(),
            source: None,
            event: Event { pod, container: None, severity, reason, message },
        });
    }

    fn keep(&self, entry: Entry) {
        log(&entry);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.add(entry);
        let kept = Arc::clone(&entry);
        // In the order of their numbers.
        self.history.add(move || serde_json::to_string(&*kept));
        // Nobody listening is no error.
        self.new.send(entry).ok();
    }

    /// What there is after this number, oldest first, and every event after that. With a number that no event has yet, from
    /// a history that is lost, all that there is.
    pub(crate) fn follow(&self, after: u64) -> (Vec<Arc<Entry>>, broadcast::Receiver<Arc<Entry>>) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let after = if after > entries.last { 0 } else { after };
        (entries.known.iter().filter(|entry| entry.number > after).cloned().collect(), self.new.subscribe())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize) -> Event {
        let (pod, message) = (PodUid::new("u").expect("a UID"), format!("event {number}"));
        Event { pod, container: None, severity: Severity::Warning, reason: Reason::OOMKilled, message }
    }

    #[test]
    fn events_outlive_the_daemon_and_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let journal = Journal::open(path.clone()).unwrap();
        (0..CAPACITY).for_each(|number| journal.add(event(number), None));
        drop(journal);
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"torn\":\n").unwrap();
        let journal = Journal::open(path).unwrap();
        journal.add(event(CAPACITY), None);
        let (known, _) = journal.follow(0);
        assert_eq!(known.len(), CAPACITY);
        assert_eq!((&known[0].event, &known[CAPACITY - 1].event), (&event(1), &event(CAPACITY)));
    }

    #[test]
    fn events_are_counted_over_the_daemons_death_and_followed_by_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let numbers = |journal: &Journal, after| -> Vec<u64> {
            journal.follow(after).0.iter().map(|entry| entry.number).collect()
        };
        let journal = Journal::open(path.clone()).unwrap();
        (0..3).for_each(|number| journal.add(event(number), None));
        let first = numbers(&journal, 0);
        assert!(first.is_sorted() && first.len() == 3, "{first:?}");
        drop(journal);
        // It was killed before it had written the last one.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let journal = Journal::open(path.clone()).unwrap();
        assert_eq!(numbers(&journal, 0), first[..2]);
        journal.add(event(3), None);
        let new = numbers(&journal, first[2]);
        assert!(new.len() == 1 && new[0] > first[2], "to who was told of the last one: {new:?}");
        assert_eq!(numbers(&journal, new[0]), Vec::<u64>::new());
        assert_eq!(numbers(&journal, new[0] + 1).len(), 3, "of a history that is lost");
        drop(journal);
        // As a release before this one has written them.
        std::fs::write(&path, text.replace(&format!("\"number\":{},", first[0]), "")).unwrap();
        assert!(numbers(&Journal::open(path).unwrap(), 0).is_sorted());
    }
}
