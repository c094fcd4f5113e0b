//! Many nodes on one API server: what each asks of it, beside what a kubelet asks.
//!
//! The nodes of barepod run the bridge's own code on simulated daemons, all in one process; the kubelets are Kubernetes' own hollow
//! ones, with a simulated runtime, a process each. Both are there at the same time, on the same control plane.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use barepod_statistics::Sample;
use barepod_tests::cluster::Audited;
use barepod_tests::peers::KUBERNETES_VERSION;
use barepod_tests::simulated::{Kind, Simulated};

use super::supervisor::name_of_ours;
use super::table::{Arm, Goal, Line};
use super::{Course, process};

/// Kubelets beside them: enough to see what one asks.
const KUBELETS: usize = 10;
/// Of each node, all the time.
const PODS: usize = 3;
/// Milliseconds from one node's begin to the next one's.
const PACE: u64 = 50;
const MINUTE: Duration = Duration::from_secs(60);
/// So long nothing is counted after all is there: what was begun comes to its end.
const SETTLE: Duration = Duration::from_secs(90);
/// How long all nodes, or all pods, may take.
const LIMIT: Duration = Duration::from_secs(900);
/// How long there is some life afterwards.
const LIVES: Duration = Duration::from_secs(120);
/// Then a pod is made so often on either kind of node, and ended as long after.
const LIFE: Duration = Duration::from_secs(5);
const KINDS: [Kind; 2] = [Kind::Barepod, Kind::Kubelet];

pub(super) fn measure(course: &Course) -> anyhow::Result<Vec<Line>> {
    let mut fleet = Fleet::start(course)?;
    let quiet = fleet.quiet(course.minutes)?;
    let held = fleet.held()?;
    let lives = fleet.lives()?;
    let mut lines = vec![fleet.requests(&quiet)?, fleet.bytes(&quiet)?, lives, fleet.servers(&quiet)?];
    lines.extend(held);
    Ok(lines)
}

/// One control plane with both kinds of nodes.
struct Fleet {
    simulated: Simulated,
    nodes: usize,
    /// How long it took until all nodes were ready.
    ready: Duration,
}

/// A minute in which nothing changes.
struct Minute {
    requests: [Vec<Audited>; 2],
    bytes: [u64; 2],
    /// By the name of the server, in percent of a core.
    servers: BTreeMap<&'static str, f64>,
}

impl Fleet {
    fn start(course: &Course) -> anyhow::Result<Self> {
        let mut simulated = Simulated::start()?;
        let begin = Instant::now();
        simulated.begin_barepod(&course.built, course.nodes, PACE)?;
        simulated.ready(Kind::Barepod, course.nodes, LIMIT)?;
        let ready = begin.elapsed();
        simulated.begin_kubelets(KUBELETS)?;
        simulated.ready(Kind::Kubelet, KUBELETS, LIMIT)?;
        let mut fleet = Self { simulated, nodes: course.nodes, ready };
        for kind in KINDS {
            let pods = (0..PODS * fleet.count(kind))
                .map(|number| (format!("{}{number}", kind.prefix()), kind.node(number / PODS)));
            fleet.simulated.create(&pods.collect::<Vec<_>>())?;
            fleet.simulated.running(kind.prefix(), PODS * fleet.count(kind), LIMIT)?;
        }
        std::thread::sleep(SETTLE);
        Ok(fleet)
    }

    fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Barepod => self.nodes,
            Kind::Kubelet => KUBELETS,
        }
    }

    fn name(&self, kind: Kind) -> String {
        match kind {
            Kind::Barepod => format!("{}, {} nodes", name_of_ours(), self.nodes),
            Kind::Kubelet => format!("kubelet {KUBERNETES_VERSION}, {KUBELETS} hollow nodes"),
        }
    }

    /// The requests since this was asked last, of either kind.
    fn news(&mut self) -> anyhow::Result<[Vec<Audited>; 2]> {
        self.simulated.check()?;
        let all = self.simulated.audit.news()?;
        Ok(KINDS.map(|kind| all.iter().filter(|it| it.node.starts_with(kind.prefix())).cloned().collect()))
    }

    fn traffic(&self) -> anyhow::Result<[u64; 2]> {
        Ok([self.simulated.bytes(KINDS[0])?, self.simulated.bytes(KINDS[1])?])
    }

    fn servers_time(&self) -> anyhow::Result<BTreeMap<&'static str, Duration>> {
        let pids = self.simulated.plane.pids();
        let names = ["kube-controller-manager", "kube-scheduler", "kube-apiserver", "etcd"];
        let of = |(name, pid): (&'static str, u32)| Ok((name, process::processor_time_of_all_threads(pid)?));
        names.into_iter().zip(pids).map(of).collect()
    }

    fn quiet(&mut self, minutes: usize) -> anyhow::Result<Vec<Minute>> {
        self.news()?;
        let mut quiet = Vec::new();
        for _ in 0..minutes {
            let (before, time, begin) = (self.traffic()?, self.servers_time()?, Instant::now());
            std::thread::sleep(MINUTE);
            let (requests, after, spent) = (self.news()?, self.traffic()?, self.servers_time()?);
            let took = begin.elapsed().as_secs_f64();
            let percent = |(name, spent): (&&'static str, &Duration)| {
                let spent = spent.saturating_sub(time.get(name).copied().unwrap_or_default());
                (*name, 100.0 * spent.as_secs_f64() / took)
            };
            quiet.push(Minute {
                requests,
                bytes: [after[0] - before[0], after[1] - before[1]],
                servers: spent.iter().map(percent).collect(),
            });
        }
        Ok(quiet)
    }

    /// A figure of each minute and either kind, by node.
    fn arms(&self, quiet: &[Minute], of: impl Fn(&Minute, usize) -> f64) -> anyhow::Result<Vec<Arm>> {
        let arm = |(index, kind): (usize, Kind)| {
            let figures = quiet.iter().map(|minute| of(minute, index) / self.count(kind) as f64).collect();
            Ok(Arm { name: self.name(kind), sample: Sample::new(figures).context("no figures")? })
        };
        KINDS.into_iter().enumerate().map(arm).collect()
    }

    fn requests(&self, quiet: &[Minute]) -> anyhow::Result<Line> {
        let arm = |(index, kind): (usize, Kind)| {
            let mut counts: BTreeMap<_, _> = (0..self.count(kind)).map(|number| (kind.node(number), 0)).collect();
            for asked in quiet.iter().flat_map(|minute| &minute.requests[index]) {
                *counts.entry(asked.node.clone()).or_insert(0) += 1;
            }
            let figures = counts.into_values().map(|count| f64::from(count) / quiet.len() as f64).collect();
            Ok(Arm { name: self.name(kind), sample: Sample::new(figures).context("no figures")? })
        };
        let arms = KINDS.into_iter().enumerate().map(arm).collect::<anyhow::Result<Vec<_>>>()?;
        let kinds = KINDS.into_iter().enumerate().map(|(index, kind)| {
            let all = quiet.iter().flat_map(|minute| &minute.requests[index]);
            format!("{}: {}", self.name(kind), by_kind(all, (self.count(kind) * quiet.len()) as f64))
        });
        let kinds = kinds.collect::<Vec<_>>().join(". ");
        Ok(Line {
            title: "Kubernetes: requests of a node and minute to its API server, while nothing changes".to_owned(),
            unit: "requests".into(),
            notes: format!(
                "One figure each node, over {} minutes, as the API server's audit log has them; watches count when they begin. Each node has {PODS} pods with the token of a \
                 ServiceAccount. On average: {kinds}. All nodes of barepod were ready {:.0} s after the first was begun, with \
                 one begun each {PACE} ms.",
                quiet.len(),
                self.ready.as_secs_f64()
            ),
            goals: vec![Goal::of_the_second(1.0, &arms)],
            arms,
        })
    }

    fn bytes(&self, quiet: &[Minute]) -> anyhow::Result<Line> {
        let arms = self.arms(quiet, |minute, index| minute.bytes[index] as f64 / 1e3)?;
        Ok(Line {
            title: "Kubernetes: bytes of a node and minute, both ways, while nothing changes".to_owned(),
            unit: "kB".into(),
            notes: "In the same minutes, as the kernel counts them at a network interface between the nodes and the API server, \
                    with TLS and all headers. barepod speaks JSON, a connection for each watch; kubelet speaks protocol buffers."
                .to_owned(),
            goals: Vec::new(),
            arms,
        })
    }

    fn servers(&self, quiet: &[Minute]) -> anyhow::Result<Line> {
        let arms = ["kube-apiserver", "etcd", "kube-controller-manager"].into_iter().map(|name| {
            let figures = quiet.iter().filter_map(|minute| minute.servers.get(name).copied()).collect();
            Ok(Arm { name: name.to_owned(), sample: Sample::new(figures).context("no figures")? })
        });
        Ok(Line {
            title: format!(
                "Kubernetes: processor time of the control plane with {} nodes, while nothing changes",
                self.nodes
            ),
            unit: "% of a core".into(),
            notes: format!(
                "In the same minutes. With what {KUBELETS} hollow kubelets ask, and with the audit log, which clusters need not \
                 have. Nodes and control plane share the cores."
            ),
            goals: Vec::new(),
            arms: arms.collect::<anyhow::Result<_>>()?,
        })
    }

    /// What a pod that comes and goes costs: pods are made and ended one after the other on either kind of node.
    fn lives(&mut self) -> anyhow::Result<Line> {
        self.news()?;
        let (begin, mut made, mut all) = (Instant::now(), 0, [Vec::new(), Vec::new()]);
        let pod = |kind: Kind, number: usize| format!("life-{}{number}", kind.prefix());
        while begin.elapsed() < LIVES {
            let pods = KINDS.map(|kind| (pod(kind, made), kind.node(made % self.count(kind))));
            self.simulated.create(&pods)?;
            made += 1;
            std::thread::sleep(LIFE);
            let names = KINDS.map(|kind| pod(kind, made - 1));
            let delete = ["delete", "pod", "--wait=false", &names[0], &names[1]];
            self.simulated.plane.kubectl(&delete)?;
        }
        self.simulated.running("life-", 0, LIMIT)?;
        // The last words about the last of them.
        std::thread::sleep(LIFE);
        for (all, news) in all.iter_mut().zip(self.news()?) {
            all.extend(news.into_iter().filter(is_of_pods));
        }
        let kinds = KINDS
            .into_iter()
            .zip(&all)
            .map(|(kind, all)| format!("{}: {}", self.name(kind), by_kind(all, made as f64)));
        let kinds = kinds.collect::<Vec<_>>().join(". ");
        let arms = KINDS.into_iter().zip(&all).map(|(kind, all)| {
            let sample = Sample::new(vec![all.len() as f64 / made as f64]).context("no figures")?;
            Ok(Arm { name: self.name(kind), sample })
        });
        let arms = arms.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Line {
            title: "Kubernetes: requests for the life of a pod".to_owned(),
            unit: "requests".into(),
            notes: format!(
                "{made} pods on either kind of node, each made and, {} s later, deleted; without watches, Leases and what is \
                 asked of nodes. On average: {kinds}. Hollow kubelets tell no events, real ones do.",
                LIFE.as_secs()
            ),
            goals: Vec::new(),
            arms,
        })
    }

    /// Memory and connections.
    fn held(&self) -> anyhow::Result<[Line; 2]> {
        let memory = KINDS.map(|kind| {
            let pids = self.simulated.pids(kind);
            let nodes_of_each = self.count(kind) / pids.len().max(1);
            let of = |pid: &u32| Ok(process::resident(*pid)? / 1e3 / nodes_of_each as f64);
            let figures = pids.iter().map(of).collect::<anyhow::Result<Vec<_>>>()?;
            Ok(Arm { name: self.name(kind), sample: Sample::new(figures).context("no figures")? })
        });
        let connections = KINDS.map(|kind| {
            let figure = self.simulated.connections(kind)? as f64 / self.count(kind) as f64;
            Ok(Arm { name: self.name(kind), sample: Sample::new(vec![figure]).context("no figures")? })
        });
        let all = |arms: [anyhow::Result<Arm>; 2]| arms.into_iter().collect::<anyhow::Result<Vec<_>>>();
        let (memory, connections) = (all(memory)?, all(connections)?);
        let memory = Line {
            title: "Kubernetes: resident memory of a node that is simulated".to_owned(),
            unit: "MB".into(),
            notes: "barepod: the process of all nodes, with their simulated daemons, by their number; a bridge of its own has its \
                    program and its kubelet port besides. kubelet: a process each, with its simulated runtime."
                .to_owned(),
            goals: Vec::new(),
            arms: memory,
        };
        let connections = Line {
            title: "Kubernetes: connections of a node to its API server".to_owned(),
            unit: "connections".into(),
            notes: "After the quiet minutes.".to_owned(),
            goals: Vec::new(),
            arms: connections,
        };
        Ok([memory, connections])
    }
}

/// Not what a node asks whatever it runs, and no watch, which others' pods share.
fn is_of_pods(asked: &Audited) -> bool {
    let own = ["nodes", "leases", "csinodes", "certificatesigningrequests"];
    asked.verb != "watch" && !own.iter().any(|own| asked.resource.split('/').next() == Some(own))
}

/// How often each verb was said of each kind of object, by so many; the most frequent first.
fn by_kind<'a>(all: impl IntoIterator<Item = &'a Audited>, by: f64) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for asked in all {
        let refused = if asked.code >= 400 { format!(" ({})", asked.code) } else { String::new() };
        *counts.entry(format!("{} {}{refused}", asked.verb, asked.resource)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.iter().map(|(kind, count)| format!("{kind} {:.2}", *count as f64 / by)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(verb: &str, resource: &str, code: u64) -> Audited {
        Audited { node: "a".to_owned(), verb: verb.to_owned(), resource: resource.to_owned(), code }
    }

    #[test]
    fn requests_are_told_by_verb_and_object_the_most_frequent_first() {
        let all = [asked("watch", "pods", 200), asked("patch", "leases", 200), asked("patch", "leases", 200)];
        assert_eq!(by_kind(&all, 2.0), "patch leases 1.00, watch pods 0.50");
        assert_eq!(by_kind(&[asked("create", "events", 403)], 1.0), "create events (403) 1.00");
    }

    #[test]
    fn what_a_node_asks_for_itself_is_no_part_of_a_pod_s_life() {
        let of_pods = [("patch", "pods/status"), ("create", "serviceaccounts/token"), ("list", "configmaps")];
        assert!(of_pods.iter().all(|(verb, resource)| is_of_pods(&asked(verb, resource, 200))));
        let others = [("watch", "pods"), ("patch", "nodes/status"), ("update", "leases"), ("get", "nodes")];
        assert!(others.iter().all(|(verb, resource)| !is_of_pods(&asked(verb, resource, 200))));
    }
}
