//! The hands: carry the core's effects out and tell it what came of them.
//!
//! An effect never waits for another pod's. Each container has a task of its own that talks to its shim; everything else
//! is a short task on the blocking pool.

mod command;
mod confine;
mod container;
mod exec;
mod hook;
mod host;
mod last_words;
mod launch;
mod ledger;
mod notify;
mod oom;
mod prepare;
mod probe;
mod renewal;
mod resize;
mod teardown;
mod translate;

use std::collections::HashMap;
use std::sync::Arc;

use barepod_core::{Effect, PodRecord};
use barepod_model::{ContainerKey, PodUid};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use self::container::{ContainerTask, Order};
use crate::supervisor::Handle;

pub(crate) use confine::Confining;
pub(crate) use exec::{ExecError, Executed, Stdio, exec};
pub(crate) use host::{Host, MountTable, Process, Processes};

/// Carries effects out.
#[derive(Debug)]
pub(crate) struct Hands {
    host: Arc<Host>,
    supervisor: Handle,
    tasks: TaskTracker,
    containers: HashMap<ContainerKey, mpsc::UnboundedSender<Order>>,
}

impl Hands {
    pub(crate) fn new(host: Arc<Host>, supervisor: Handle, tasks: TaskTracker) -> Self {
        Self { host, supervisor, tasks, containers: HashMap::new() }
    }

    /// Begins to carry an effect out; never waits.
    pub(crate) fn carry_out(&mut self, effect: Effect) {
        let (host, supervisor) = (Arc::clone(&self.host), self.supervisor.clone());
        match effect {
            Effect::Store { pod, revision, record, sync } => {
                let tell = self.told_when_known(&record);
                self.spawn(ledger::store(host, supervisor, pod, revision, record, sync, tell));
            }
            Effect::Forget { pod } => self.spawn(ledger::forget(host, supervisor, pod)),
            Effect::Prepare { pod, generation } => self.spawn(prepare::prepare(host, supervisor, pod, generation)),
            Effect::Start { key, pod } => self.order(&key.container_key(), Order::Start { key, pod }),
            Effect::Observe { key } => self.order(&key, Order::Observe),
            Effect::Signal { key, signal } => {
                self.order(&key.container_key(), Order::Signal { attempt: key.attempt, signal });
            }
            Effect::Kill { key } => self.order(&key.container_key(), Order::Kill { attempt: key.attempt }),
            Effect::Resize { key, generation, pod } => {
                self.spawn(resize::resize(host, supervisor, key, generation, pod));
            }
            Effect::Probe { key, kind, ticket, probe } => {
                self.spawn(probe::probe(host, supervisor, key, kind, ticket, probe));
            }
            Effect::Hook { key, kind, hook } => self.spawn(hook::hook(host, supervisor, key, kind, hook)),
            Effect::TearDown { pod } => {
                let containers = self.dismiss(&pod.uid);
                self.spawn(teardown::tear_down(host, supervisor, pod, containers));
            }
            Effect::Confine { table } => {
                host.set_cpus(table);
                self.spawn(async move { host.blocking(Host::confine_all).await });
            }
            Effect::Reply { .. } | Effect::Emit(_) => unreachable!("the supervisor answers and tells by itself"),
        }
    }

    /// What tells the pod's containers that the ends in this record are written down.
    fn told_when_known(&self, record: &PodRecord) -> impl FnOnce() + Send + use<> {
        let tasks: Vec<_> = record
            .known_ends()
            .filter_map(|(container, attempt)| {
                let key = ContainerKey { pod: record.pod.uid.clone(), container };
                Some((self.containers.get(&key)?.clone(), attempt))
            })
            .collect();
        move || {
            for (task, attempt) in tasks {
                // One that has ended needs to know nothing.
                task.send(Order::Known { attempt }).ok();
            }
        }
    }

    // `barepodd` may end at any moment; no task needs to be waited for, the next daemon looks for itself.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    fn order(&mut self, key: &ContainerKey, order: Order) {
        let sender = self.containers.entry(key.clone()).or_insert_with(|| {
            let (sender, orders) = mpsc::unbounded_channel();
            let task = ContainerTask::new(key.clone(), Arc::clone(&self.host), self.supervisor.clone(), orders);
            tokio::spawn(task.run());
            sender
        });
        if sender.send(order).is_err() {
            tracing::error!(container = %key, "the container's task has ended; its orders are not carried out");
        }
    }

    /// Takes the pod's container tasks off; the tear-down ends them.
    fn dismiss(&mut self, pod: &PodUid) -> Vec<(ContainerKey, mpsc::UnboundedSender<Order>)> {
        self.containers.extract_if(|key, _| key.pod == *pod).collect()
    }
}
