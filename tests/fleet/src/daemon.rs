//! A daemon that runs nothing: a pod that is bound begins, runs until it is ended, and is told of as barepodd tells it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use barepod_api::v1::{self, watch_response};
use tokio::sync::mpsc;
use tonic::Status;

use crate::pod;

/// How long anything takes there: some milliseconds, as with barepodd.
const STEP: Duration = Duration::from_millis(15);

/// Who follows something.
type Follower<T> = mpsc::UnboundedSender<Result<T, Status>>;

/// The daemon of one host.
pub(crate) struct Daemon {
    host: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By UID.
    pods: BTreeMap<String, v1::Pod>,
    watchers: Vec<Follower<v1::WatchResponse>>,
    listeners: Vec<Follower<v1::Event>>,
    /// How many events there were.
    told: u64,
}

impl Daemon {
    pub(crate) fn new(host: &str) -> Arc<Self> {
        Arc::new(Self { host: host.to_owned(), state: Mutex::default() })
    }

    /// What the host is.
    pub(crate) fn describe(&self) -> v1::HostResponse {
        pod::host(&self.host)
    }

    /// All pods, and what becomes of them.
    pub(crate) fn watch(&self) -> mpsc::UnboundedReceiver<Result<v1::WatchResponse, Status>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.state();
        let present = state.pods.values().map(|pod| shown(watch_response::Kind::Present, Some(pod.clone())));
        for message in present.chain([shown(watch_response::Kind::Synced, None)]) {
            // The receiving end is here yet.
            sender.send(Ok(message)).ok();
        }
        state.watchers.push(sender);
        receiver
    }

    /// Events from now on.
    pub(crate) fn events(&self) -> mpsc::UnboundedReceiver<Result<v1::Event, Status>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state().listeners.push(sender);
        receiver
    }

    /// Takes a pod; it runs a moment later. `None` where its object is none.
    pub(crate) fn bind(self: &Arc<Self>, object: &str) -> Option<&'static str> {
        let bound = pod::beginning(object)?;
        let uid = bound.uid.clone();
        let mut state = self.state();
        if let Some(known) = state.pods.get_mut(&uid) {
            if !pod::renew(known, object) {
                return Some("unchanged");
            }
            let known = known.clone();
            state.show(watch_response::Kind::Present, &known);
            return Some("configured");
        }
        state.pods.insert(uid.clone(), bound.clone());
        state.show(watch_response::Kind::Present, &bound);
        state.tell(&bound, "", "Accepted", "accepted from the cluster");
        let daemon = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(STEP).await;
            daemon.change(&uid, pod::run, "Started", "its process has started");
        });
        Some("created")
    }

    /// Ends a pod; whether there is one.
    pub(crate) fn end(self: &Arc<Self>, uid: &str) -> bool {
        let mut state = self.state();
        let Some(pod) = state.pods.get_mut(uid) else { return false };
        if pod.deletion.is_some() {
            return true;
        }
        pod.deletion = Some(timestamp());
        let pod = pod.clone();
        state.show(watch_response::Kind::Present, &pod);
        state.tell(&pod, "", "Deleted", "deleted in the cluster");
        let (daemon, uid) = (Arc::clone(self), uid.to_owned());
        tokio::spawn(async move {
            daemon.say(&uid, "Stopping", "is asked to end");
            tokio::time::sleep(STEP).await;
            daemon.change(&uid, pod::stop, "Exited", "has ended with exit code 0");
            tokio::time::sleep(STEP).await;
            let mut state = daemon.state();
            if let Some(pod) = state.pods.remove(&uid) {
                state.show(watch_response::Kind::Gone, &pod);
            }
        });
        true
    }

    fn say(&self, uid: &str, reason: &str, message: &str) {
        let mut state = self.state();
        if let Some(pod) = state.pods.get(uid).cloned() {
            state.tell(&pod, "main", reason, message);
        }
    }

    fn change(&self, uid: &str, change: fn(&mut v1::Pod), reason: &str, message: &str) {
        let mut state = self.state();
        let Some(pod) = state.pods.get_mut(uid) else { return };
        change(pod);
        let pod = pod.clone();
        state.show(watch_response::Kind::Present, &pod);
        state.tell(&pod, "main", reason, message);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn show(&mut self, kind: watch_response::Kind, pod: &v1::Pod) {
        self.watchers.retain(|watcher| watcher.send(Ok(shown(kind, Some(pod.clone())))).is_ok());
    }

    fn tell(&mut self, pod: &v1::Pod, container: &str, reason: &str, message: &str) {
        self.told += 1;
        let event = v1::Event {
            number: self.told,
            time: Some(timestamp()),
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            uid: pod.uid.clone(),
            container: container.to_owned(),
            warning: false,
            reason: reason.to_owned(),
            message: message.to_owned(),
            source: pod.source.clone(),
        };
        self.listeners.retain(|listener| listener.send(Ok(event.clone())).is_ok());
    }
}

fn shown(kind: watch_response::Kind, pod: Option<v1::Pod>) -> v1::WatchResponse {
    v1::WatchResponse { kind: kind.into(), pod }
}

fn timestamp() -> v1::Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    v1::Timestamp { seconds: now.as_secs().cast_signed(), nanos: now.subsec_nanos().cast_signed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"metadata": {"uid": "u", "name": "a", "namespace": "n", "generation": 1},
        "spec": {"containers": [{"name": "main", "image": "host"}]}}"#;

    async fn kinds(
        watch: &mut mpsc::UnboundedReceiver<Result<v1::WatchResponse, Status>>,
        count: usize,
    ) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let message = watch.recv().await.unwrap().unwrap();
            let phase = message.pod.as_ref().map_or("", |pod| pod.phase.as_str()).to_owned();
            seen.push(format!("{:?} {phase}", message.kind()));
        }
        seen
    }

    #[tokio::test]
    async fn a_pod_runs_until_it_is_ended_and_then_is_gone() {
        let daemon = Daemon::new("host");
        let mut watch = daemon.watch();
        assert_eq!(daemon.bind(POD), Some("created"));
        assert_eq!(kinds(&mut watch, 3).await, ["Synced ", "Present Pending", "Present Running"]);
        assert_eq!(daemon.bind(POD), Some("unchanged"));
        assert!(daemon.end("u") && daemon.end("u"));
        assert_eq!(kinds(&mut watch, 3).await, ["Present Running", "Present Succeeded", "Gone Succeeded"]);
        assert!(!daemon.end("u"));
        assert_eq!(daemon.bind("{}"), None);
    }
}
