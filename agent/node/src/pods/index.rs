//! All pods by UID, and what each news means for which of them. No waiting: workers act.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::Context;
use super::daemon::News;
use super::mirror::{self, Told};
use super::state::{Evidence, State};
use super::worker::Worker;
use crate::SOURCE;

/// A pod's name with its namespace.
type Name = (String, String);

/// All pods of either side.
pub(crate) struct Index {
    context: Arc<Context>,
    pods: HashMap<String, Entry>,
    /// Which UID the API server showed under a name last.
    names: HashMap<Name, String>,
    /// UIDs of a list that is being shown.
    listing: Option<HashSet<String>>,
    /// The API server has listed all pods.
    listed: bool,
    /// UIDs that the daemon has shown since it began.
    showing: Option<HashSet<String>>,
    /// The daemon has shown all its pods.
    asked: bool,
    mirrors: mpsc::UnboundedSender<Told>,
    /// Mirrors in the list that is being shown.
    listed_mirrors: Vec<Name>,
    tell_done: mpsc::UnboundedSender<String>,
    told_done: mpsc::UnboundedReceiver<String>,
}

struct Entry {
    state: watch::Sender<State>,
    worker: JoinHandle<()>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

impl Index {
    pub(crate) fn new(context: Arc<Context>, mirrors: mpsc::UnboundedSender<Told>) -> Self {
        let (tell_done, told_done) = mpsc::unbounded_channel();
        Self {
            context,
            pods: HashMap::new(),
            names: HashMap::new(),
            listing: None,
            listed: false,
            showing: None,
            asked: false,
            mirrors,
            listed_mirrors: Vec::new(),
            tell_done,
            told_done,
        }
    }

    /// The next pod whose worker has nothing left to do. Cancel-safe.
    pub(crate) async fn done(&mut self) -> String {
        match self.told_done.recv().await {
            Some(uid) => uid,
            // The sending end is held here.
            None => std::future::pending().await,
        }
    }

    /// Forgets a pod, unless it has come back meanwhile.
    pub(crate) fn retire(&mut self, uid: &str) {
        if self.pods.get(uid).is_some_and(|entry| entry.state.borrow().is_over()) {
            self.pods.remove(uid);
            self.names.retain(|_, known| known != uid);
            self.context.tokens.forget(uid);
        } else if let Some(entry) = self.pods.get_mut(uid) {
            entry.worker = spawn(&self.context, uid, entry.state.subscribe(), &self.tell_done);
        }
    }

    /// Some pod runs here of which the API server shows no object, and nobody knows why.
    pub(crate) fn lacks_some(&self) -> bool {
        let is_orphan = |state: &State| state.api.is_none() && state.evidence.is_none() && state.here.is_some();
        self.pods.values().any(|entry| is_orphan(&entry.state.borrow()))
    }

    fn change(&mut self, uid: &str, change: impl FnOnce(&mut State)) {
        let start = || {
            let state = watch::Sender::new(State { listed: self.listed, asked: self.asked, ..State::default() });
            let worker = spawn(&self.context, uid, state.subscribe(), &self.tell_done);
            Entry { state, worker }
        };
        self.pods.entry(uid.to_owned()).or_insert_with(start).state.send_modify(change);
    }

    fn change_all(&self, change: impl Fn(&str, &mut State)) {
        for (uid, entry) in &self.pods {
            entry.state.send_modify(|state| change(uid, state));
        }
    }

    // ---- the API server ----

    /// The keeper of mirrors lives as long as this.
    fn tell_mirrors(&self, told: Told) {
        self.mirrors.send(told).ok();
    }

    pub(crate) fn api(&mut self, event: Event<Pod>) {
        match event {
            Event::InitApply(pod) if mirror::is_mirror(&pod) => {
                self.listed_mirrors.push(name_of(&pod));
                self.tell_mirrors(Told::Shown(Arc::new(pod)));
            }
            Event::Apply(pod) if mirror::is_mirror(&pod) => self.tell_mirrors(Told::Shown(Arc::new(pod))),
            Event::Delete(pod) if mirror::is_mirror(&pod) => self.tell_mirrors(Told::Hidden(name_of(&pod))),
            Event::Init => {
                self.listing = Some(HashSet::new());
                self.listed_mirrors.clear();
            }
            Event::InitApply(pod) => {
                if let (Some(listing), Some(uid)) = (&mut self.listing, pod.uid()) {
                    listing.insert(uid);
                }
                self.applied(pod);
            }
            Event::InitDone => {
                let seen = self.listing.take().unwrap_or_default();
                self.listed = true;
                let mirrors = std::mem::take(&mut self.listed_mirrors);
                self.tell_mirrors(Told::AllShown(mirrors));
                self.change_all(|uid, state| {
                    state.listed = true;
                    if !seen.contains(uid) {
                        // Why it is not there, nobody has said.
                        state.api = None;
                    }
                });
            }
            Event::Apply(pod) => self.applied(pod),
            Event::Delete(pod) => {
                if let Some(uid) = pod.uid() {
                    self.change(&uid, |state| {
                        state.api = None;
                        state.evidence = Some(Evidence::Deleted);
                    });
                }
            }
        }
    }

    fn applied(&mut self, pod: Pod) {
        let Some(uid) = pod.uid() else { return };
        let name = name_of(&pod);
        let pod = Arc::new(pod);
        if let Some(before) = self.names.insert(name, uid.clone()).filter(|before| *before != uid) {
            self.change(&before, |state| {
                // A server that was restored from an older copy shows older pods: that proves nothing.
                let is_older = state.api.as_ref().is_some_and(|known| created(known) <= created(&pod));
                if is_older {
                    state.evidence = Some(Evidence::Replaced);
                }
                state.api = None;
            });
        }
        self.change(&uid, |state| {
            state.api = Some(pod);
            state.evidence = None;
        });
    }

    // ---- the daemon ----

    pub(crate) fn daemon(&mut self, news: News) {
        match news {
            News::Begin => self.showing = Some(HashSet::new()),
            News::Gone(pod) if pod.source != SOURCE => self.tell_mirrors(Told::Gone(Arc::new(*pod))),
            News::Present(pod) => {
                if let Some(showing) = &mut self.showing {
                    showing.insert(pod.uid.clone());
                }
                let pod = Arc::new(*pod);
                if pod.source != SOURCE {
                    return self.tell_mirrors(Told::Here(pod));
                }
                self.change(&pod.uid.clone(), |state| state.here = Some(pod));
            }
            News::Gone(pod) => {
                let pod = Arc::new(*pod);
                self.change(&pod.uid.clone(), |state| {
                    state.here = None;
                    state.last = Some(pod);
                });
            }
            News::Synced => {
                let seen = self.showing.take().unwrap_or_default();
                self.asked = true;
                self.tell_mirrors(Told::AllHere(seen.clone()));
                self.change_all(|uid, state| {
                    state.asked = true;
                    if !seen.contains(uid) {
                        state.last = state.here.take().or_else(|| state.last.take());
                    }
                });
            }
            News::Lost => {
                self.asked = false;
                self.change_all(|_, state| state.asked = false);
            }
        }
    }
}

fn name_of(pod: &Pod) -> Name {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

fn created(pod: &Pod) -> Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    pod.metadata.creation_timestamp.as_ref()
}

fn spawn(
    context: &Arc<Context>,
    uid: &str,
    state: watch::Receiver<State>,
    done: &mpsc::UnboundedSender<String>,
) -> JoinHandle<()> {
    let (worker, uid, done) = (Worker::new(Arc::clone(context), uid, state), uid.to_owned(), done.clone());
    tokio::spawn(async move {
        worker.run().await;
        // Whoever is told may have ended with all of this.
        done.send(uid).ok();
    })
}
