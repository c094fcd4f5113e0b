//! A node under a real control plane: how soon what happens here is known there, and the other way round.
//!
//! No kubelet runs without containers, so there is no arm beside ours; its own figures are in its documents: it looks at its
//! containers once a second.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Context as _;
use barepod_statistics::Sample;
use barepod_test_programs::stamp::{self, monotonic};
use barepod_tests::Scratch;
use barepod_tests::cluster::Recipe;
use barepod_tests::joined::{Joined, NODE};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Config, ResourceExt as _};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::stamps::Stamps;
use super::supervisor::name_of_ours;
use super::table::{Arm, Goal, Line};
use super::{Course, process};

const BURST: usize = 200;
const BURSTS: usize = 3;
const LIMIT: Duration = Duration::from_secs(120);
/// No pause before a restart.
const CONFIG: &str = "crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n";

/// In a thread of its own, whose network is its own.
pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    std::thread::scope(|scope| {
        let measured = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let scratch = Scratch::new()?;
            let stamps = Stamps::bind(scratch.join("stamps"), LIMIT)?;
            let joined = Joined::of(course.built.clone(), &Recipe::default(), CONFIG, &["--max-pods", "500"])?;
            runtime.block_on(all(course, &joined, &stamps))
        });
        measured.join().map_err(|_| anyhow::anyhow!("the measuring thread panicked"))?
    })
}

async fn all(course: &Course, joined: &Joined, stamps: &Stamps) -> anyhow::Result<Vec<Line>> {
    // The client of this process and kube's both want one.
    let client = client(joined).await?;
    let cluster = Cluster {
        joined,
        pods: Api::namespaced(client, "default"),
        program: course.built.musl("stamp")?.display().to_string(),
        stamps,
    };
    let (status, bound) = (cluster.status(course).await?, cluster.bound(course).await?);
    let (burst, resident) = cluster.bursts().await?;
    Ok(vec![status, bound, burst, resident])
}

async fn client(joined: &Joined) -> anyhow::Result<Client> {
    let file = Kubeconfig::read_from(joined.plane.admin())?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

struct Cluster<'a> {
    joined: &'a Joined,
    pods: Api<Pod>,
    program: String,
    stamps: &'a Stamps,
}

impl Cluster<'_> {
    fn pod(&self, name: &str) -> anyhow::Result<Pod> {
        let parent = |path: &std::path::Path| path.parent().map(|p| p.display().to_string()).context("no directory");
        let programs = parent(std::path::Path::new(&self.program))?;
        let stamps = parent(self.stamps.path())?;
        let pod: Value = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "nodeName": NODE, "runtimeClassName": "barepod", "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "main", "image": "host", "command": [self.program],
                    "resources": {"requests": {"cpu": "1m"}},
                    "env": [{"name": stamp::SOCKET, "value": self.stamps.path().display().to_string()}],
                    "volumeMounts": [
                        {"name": "programs", "mountPath": programs, "readOnly": true},
                        {"name": "stamps", "mountPath": stamps},
                    ],
                }],
                "volumes": [
                    {"name": "programs", "hostPath": {"path": programs, "type": "Directory"}},
                    {"name": "stamps", "hostPath": {"path": stamps, "type": "Directory"}},
                ],
            },
        });
        Ok(serde_json::from_value(pod)?)
    }

    /// Waits until the cluster has no pods, and the host none either.
    async fn none(&self) -> anyhow::Result<()> {
        let parameters = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::default() };
        self.pods.delete_collection(&parameters, &ListParams::default()).await?;
        let gone = async {
            while !self.pods.list(&ListParams::default()).await?.items.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(LIMIT, gone).await.context("pods do not go")?
    }

    /// From SIGKILL of a process to the new status at another watcher.
    async fn status(&self, course: &Course) -> anyhow::Result<Line> {
        self.pods.create(&PostParams::default(), &self.pod("one")?).await?;
        let mut pid = self.stamps.receive()?.pid;
        let watch = watcher(self.pods.clone(), watcher::Config::default().fields("metadata.name=one"));
        let mut watch = std::pin::pin!(watch.applied_objects());
        let mut figures = Vec::new();
        for round in 0..=course.rounds {
            tokio::time::sleep(course.gap).await;
            let begin = monotonic()?;
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
            let restarts = i32::try_from(round)? + 1;
            loop {
                let pod = tokio::time::timeout(LIMIT, watch.try_next()).await??.context("the watch ended")?;
                if has_changed(&pod, restarts) {
                    break;
                }
            }
            let elapsed = monotonic()?.saturating_sub(begin);
            pid = self.stamps.receive()?.pid;
            // The first may meet what is not warm yet anywhere.
            if round > 0 {
                figures.push(elapsed.as_secs_f64() * 1e3);
            }
        }
        self.none().await?;
        let arms = vec![Arm { name: name_of_ours(), sample: Sample::new(figures).context("no figures")? }];
        Ok(Line {
            title: "Kubernetes: kill -9 of a container's process to the new status at another watcher".to_owned(),
            unit: "ms".into(),
            notes: "The API server, its store and the watcher share the machine with the node. kubelet looks once a second.".to_owned(),
            goals: vec![Goal::at_most(15.0, &arms)],
            arms,
        })
    }

    /// From before the call that makes a pod with a node's name to its first instruction.
    async fn bound(&self, course: &Course) -> anyhow::Result<Line> {
        let mut figures = Vec::new();
        for round in 0..=course.rounds {
            tokio::time::sleep(course.gap).await;
            let pod = self.pod(&format!("bound-{round}"))?;
            let begin = monotonic()?;
            self.pods.create(&PostParams::default(), &pod).await?;
            let began = self.stamps.receive()?.at;
            if round > 0 {
                figures.push(began.saturating_sub(begin).as_secs_f64() * 1e3);
            }
            self.none().await?;
        }
        let arms = vec![Arm { name: name_of_ours(), sample: Sample::new(figures).context("no figures")? }];
        Ok(Line {
            title: "Kubernetes: a pod of one container bound to the node, to its first instruction".to_owned(),
            unit: "ms".into(),
            notes: "From before the call that creates the pod, so that the API server's own time counts too."
                .to_owned(),
            goals: vec![Goal::at_most(25.0, &arms)],
            arms,
        })
    }

    /// Many at once, until the cluster shows all of them running; and what node and bridge hold then.
    async fn bursts(&self) -> anyhow::Result<(Line, Line)> {
        let (mut figures, mut held) = (Vec::new(), HashMap::<&str, Vec<f64>>::new());
        let bridge = self.joined.bridge.pid().context("the bridge is gone")?;
        let daemon = self.joined.host.daemon_pid().context("the daemon is gone")?;
        for burst in 0..BURSTS {
            let watch = watcher(self.pods.clone(), watcher::Config::default()).applied_objects();
            let mut watch = std::pin::pin!(watch);
            let begin = monotonic()?;
            let made = (0..BURST).map(|number| async move {
                let pod = self.pod(&format!("burst-{burst}-{number}"))?;
                anyhow::Ok(self.pods.create(&PostParams::default(), &pod).await?)
            });
            let make = futures::stream::iter(made).buffer_unordered(20).try_collect::<Vec<_>>();
            let see = async {
                let mut running = HashSet::new();
                while running.len() < BURST {
                    let pod = watch.try_next().await?.context("the watch ended")?;
                    if pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running") {
                        running.insert(pod.name_any());
                    }
                }
                anyhow::Ok(monotonic()?)
            };
            let (made, seen) = tokio::time::timeout(LIMIT, futures::future::join(make, see)).await?;
            made?;
            figures.push(seen?.saturating_sub(begin).as_secs_f64());
            for _ in 0..BURST {
                self.stamps.receive()?;
            }
            held.entry("barepod-bridge").or_default().push(process::resident(bridge)? / 1e3);
            held.entry("barepodd").or_default().push(process::resident(daemon)? / 1e3);
            self.none().await?;
        }
        let arms = vec![Arm { name: name_of_ours(), sample: Sample::new(figures).context("no figures")? }];
        let burst = Line {
            title: format!("Kubernetes: {BURST} pods created together, until all are Running in the cluster"),
            unit: "s".into(),
            notes: "With the time that the API server takes to create them, 20 calls at a time.".to_owned(),
            goals: vec![Goal::at_most(10.0, &arms)],
            arms,
        };
        let arms = ["barepod-bridge", "barepodd"].into_iter().map(|name| {
            let figures = held.remove(name).unwrap_or_default();
            Ok(Arm { name: name.to_owned(), sample: Sample::new(figures).context("no figures")? })
        });
        let arms = arms.collect::<anyhow::Result<Vec<_>>>()?;
        let resident = Line {
            title: format!("Kubernetes: resident memory with {BURST} pods of the cluster"),
            unit: "MB".into(),
            notes: "After the pods have begun.".to_owned(),
            goals: vec![Goal::at_most(30.0, &arms)],
            arms,
        };
        Ok((burst, resident))
    }
}

/// Whether the status tells of so many restarts, or of the end before that one.
fn has_changed(pod: &Pod, restarts: i32) -> bool {
    let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first());
    status.is_some_and(|status| {
        let has_ended = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
        status.restart_count >= restarts || (has_ended && status.restart_count == restarts - 1)
    })
}
