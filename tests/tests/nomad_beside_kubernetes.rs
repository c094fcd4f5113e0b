//! One host, two schedulers: a real Nomad client and a node of a real Kubernetes cluster. Each knows what the other has given away.

use std::time::{Duration, Instant};

use barepod_tests::bridge::Bridge;
use barepod_tests::joined::{ADDRESS, Joined, NODE, shell};
use barepod_tests::nomad::{Nomad, ONE, Options, raw_exec};
use barepod_tests::pods::IDLE;
use barepod_tests::{Tier, free_port, nomad, tier};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const MIB: u64 = 1 << 20;
/// Four times, on a machine that has other things to do: at every look of its own it would be forty seconds.
const AT_ONCE: Duration = Duration::from_secs(24);

/// What the node says it has for pods, in bytes.
fn allocatable(cluster: &Joined) -> Option<u64> {
    bytes(cluster.get(&["node", NODE])?["status"]["allocatable"]["memory"].as_str()?)
}

/// A quantity as the API server writes it: what is divisible by a thousand has a suffix.
fn bytes(quantity: &str) -> Option<u64> {
    let end = quantity.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(end);
    let factor = ["", "k", "M", "G"].iter().position(|known| *known == suffix)?;
    Some(number.parse::<u64>().ok()? * 1000_u64.pow(u32::try_from(factor).ok()?))
}

/// A pod of the cluster, bound to the node, which asks for so much memory.
fn asking(name: &str, bytes: u64) -> Value {
    let mut pod = shell(name, IDLE);
    // Past the scheduler, which would not ask.
    pod["spec"]["nodeName"] = json!(NODE);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"memory": bytes.to_string()}});
    pod
}

/// A host that is both, and whose bridge keeps both books.
fn both() -> Result<(Joined, Nomad)> {
    let mut cluster = Joined::start()?;
    let mut nomad =
        Nomad::start_with(&cluster.host, Options { bare: true, acl: true, raw_exec: true, ..Options::default() })?;
    nomad.prepare(&cluster.host)?;
    cluster.bridge.kill()?;
    let settings = nomad::settings(&cluster.host).display().to_string();
    let kubeconfig = cluster.plane.kubeconfig_of_node(NODE)?;
    let more = ["--nomad-config", &settings];
    cluster.bridge = Bridge::start_with(&cluster.host, NODE, ADDRESS.into(), &kubeconfig, &more)?;
    Ok((cluster, nomad))
}

#[test]
fn what_the_one_has_given_away_the_other_does_not_have() -> Result {
    let (cluster, nomad) = both()?;

    // Kubernetes learns what Nomad has given away, and what it has back, at once: it looks by itself every ten seconds.
    let all = cluster.until("the node to say what it has", allocatable)?;
    let begun = Instant::now();
    for _ in 0..2 {
        nomad.run(&raw_exec("web", 50, 300, free_port()?))?;
        nomad.has("web", "running", None)?;
        cluster.until("the node to have less", |cluster| (allocatable(cluster)? == all - 300 * MIB).then_some(()))?;
        nomad.stop("web", true)?;
        cluster.until("the node to have all", |cluster| (allocatable(cluster)? == all).then_some(()))?;
    }
    let taken = begun.elapsed();
    assert!(taken < AT_ONCE, "told four times in {taken:?}");
    nomad.run(&raw_exec("web", 50, 300, free_port()?))?;
    nomad.has("web", "running", None)?;
    cluster.until("the node to have less", |cluster| (allocatable(cluster)? == all - 300 * MIB).then_some(()))?;

    // Nomad learns what Kubernetes has given away: there is room for one of two halves.
    let half = all / 2 - 200 * MIB;
    cluster.apply(&asking("half", half))?;
    let process = cluster.ready("half")?;
    nomad
        .counted("half", |one| one["AllocatedResources"]["Tasks"]["pod"]["Memory"]["MemoryMB"] == half.div_ceil(MIB))?;
    let mib = u32::try_from(half / MIB)?;
    nomad.run(&raw_exec("fits", 50, mib - 300, free_port()?))?;
    nomad.has("fits", "running", None)?;
    nomad.run(&raw_exec("does-not-fit", 50, 600, free_port()?))?;
    let refused = nomad.until("the job to be refused", |nomad| {
        let all = nomad.get("/v1/job/does-not-fit/evaluations").ok()?;
        let failed = |one: &&Value| one["FailedTGAllocs"]["main"]["DimensionExhausted"].is_object();
        all.as_array()?.iter().find(failed).cloned()
    })?;
    assert!(refused["FailedTGAllocs"]["main"]["DimensionExhausted"]["memory"].is_u64(), "{refused}");

    // And so does the node itself, whatever a scheduler believes.
    cluster
        .until("the node to have nearly nothing", |cluster| (allocatable(cluster)? < half + 600 * MIB).then_some(()))?;
    cluster.apply(&asking("late", 600 * MIB))?;
    let late = cluster.pod_until("late", "refused", |pod| pod["status"]["phase"] == "Failed")?;
    assert_eq!(late["status"]["reason"], "OutOfmemory", "{late}");

    // What is given back is there again.
    nomad.stop("fits", true)?;
    nomad.has("does-not-fit", "running", None)?;
    assert_eq!(cluster.ready("half")?, process);
    Ok(())
}

// ---- filled to the brim from both sides ----

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Who was asked for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Kubernetes,
    Nomad,
}

/// What has a part of the host.
#[derive(Debug, Clone)]
struct Held {
    side: Side,
    name: String,
    memory: u64,
    port: Option<u16>,
}

/// Says how long it took.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    println!("    {what}: {:.1} s", begun.elapsed().as_secs_f64());
    done
}

/// What both sides count in: they round differently.
const GRAIN: u64 = 64 * MIB;

/// The host, as it is held and as both sides know it.
struct Estate {
    cluster: Joined,
    nomad: Nomad,
    /// The host's identity there.
    node: String,
    all: u64,
    held: Vec<Held>,
}

impl Estate {
    fn free(&self) -> u64 {
        self.all - self.held.iter().map(|held| held.memory).sum::<u64>()
    }

    /// One more, and whether it was let in; who is not is told why, and taken back.
    fn place(&mut self, wanted: Held) -> Result<bool> {
        let has_room = wanted.memory <= self.free();
        let has_port = !self.held.iter().any(|held| held.port.is_some() && held.port == wanted.port);
        let expected = has_room && has_port;
        let (name, fits) = (wanted.name.clone(), if expected { "fits" } else { "does not fit" });
        println!("{wanted:?} {fits}; {} MiB are free", self.free() / MIB);
        let why = match wanted.side {
            Side::Kubernetes => self.ask_kubernetes(&wanted)?,
            Side::Nomad => self.ask_nomad(&wanted)?,
        };
        match &why {
            None => assert!(expected, "{name} was let in: {wanted:?} beside {:?}", self.held),
            Some(why) => {
                assert!(!expected, "{name} was refused for {why}: {wanted:?} beside {:?}", self.held);
                let reasons = match (wanted.side, has_room, has_port) {
                    (Side::Kubernetes, true, _) => ["NodePorts"].as_slice(),
                    (Side::Kubernetes, false, true) => &["OutOfmemory"],
                    (Side::Kubernetes, false, false) => &["OutOfmemory", "NodePorts"],
                    (Side::Nomad, true, _) => &["port"],
                    (Side::Nomad, false, true) => &["memory"],
                    (Side::Nomad, false, false) => &["memory", "port"],
                };
                assert!(reasons.iter().any(|reason| why.contains(reason)), "{name}: {why} is none of {reasons:?}");
            }
        }
        match why {
            None => self.held.push(wanted),
            Some(_) => self.take_back(&wanted)?,
        }
        Ok(expected)
    }

    /// Why it was refused.
    fn ask_kubernetes(&self, wanted: &Held) -> Result<Option<String>> {
        let mut pod = asking(&wanted.name, wanted.memory);
        if let Some(port) = wanted.port {
            pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": port, "hostPort": port}]);
        }
        timed("applied", || self.cluster.apply(&pod))?;
        let is_judged =
            |pod: &Value| pod["status"]["phase"] == "Failed" || pod["status"]["containerStatuses"][0]["ready"] == true;
        let pod = timed("judged", || self.cluster.pod_until(&wanted.name, "judged", is_judged))?;
        if pod["status"]["phase"] == "Failed" {
            return Ok(Some(pod["status"]["reason"].as_str().unwrap_or_default().to_owned()));
        }
        let is_right =
            |one: &Value| one["AllocatedResources"]["Tasks"]["pod"]["Memory"]["MemoryMB"] == wanted.memory / MIB;
        let one = timed("counted", || self.nomad.counted(&wanted.name, is_right))?;
        let ports = one["AllocatedResources"]["Shared"]["Ports"].as_array();
        let port = ports.and_then(|ports| ports.first()).and_then(|port| port["Value"].as_u64());
        assert_eq!(port, wanted.port.map(u64::from), "{one}");
        Ok(None)
    }

    /// The same.
    fn ask_nomad(&self, wanted: &Held) -> Result<Option<String>> {
        let memory = u32::try_from(wanted.memory / MIB)?;
        let mut job = raw_exec(&wanted.name, 50, memory, wanted.port.unwrap_or_default());
        // Nomad gives a port once for each address of the network it is asked on; of this one there is one.
        job = match wanted.port {
            Some(port) => {
                job.replace(&format!("static = {port}"), &format!("static = {port}\nhost_network = \"{ONE}\""))
            }
            None => job.replace("static = 0", ""),
        };
        self.nomad.run(&job)?;
        let name = &wanted.name;
        let judge = |nomad: &Nomad| {
            if nomad.allocation(name).is_some_and(|one| one["ClientStatus"] == "running") {
                return Some(None);
            }
            let all = nomad.get(&format!("/v1/job/{name}/evaluations")).ok()?;
            let failed = all.as_array()?.iter().find(|one| one["FailedTGAllocs"]["main"].is_object())?;
            Some(Some(failed["FailedTGAllocs"]["main"]["DimensionExhausted"].to_string()))
        };
        let judged = timed("judged", || self.nomad.until(&format!("{name} to be judged"), judge))?;
        if judged.is_none() {
            self.told_kubernetes(wanted.memory)?;
        }
        Ok(judged)
    }

    /// Waits until the node has as much for Kubernetes as Nomad's tasks leave, with so much more of them.
    fn told_kubernetes(&self, more: u64) -> Result {
        let theirs = self.held.iter().filter(|held| held.side == Side::Nomad).map(|held| held.memory).sum::<u64>();
        let left = self.all - theirs - more;
        let is_told = |cluster: &Joined| (allocatable(cluster)?.abs_diff(left) < GRAIN).then_some(());
        let told = timed("told", || self.cluster.until("the node to have what Nomad leaves", is_told));
        told.map_err(|error| format!("{error}\n--- Nomad has:\n{}", self.allocations()).into())
    }

    /// What Nomad says of all allocations here.
    fn allocations(&self) -> String {
        let all = self.nomad.get(&format!("/v1/node/{}/allocations", self.node)).unwrap_or_default();
        let line = |one: &Value| {
            let events: Vec<_> = one["TaskStates"].as_object().into_iter().flatten().collect();
            let events = events.iter().flat_map(|(_, task)| task["Events"].as_array().into_iter().flatten());
            let events: Vec<_> = events.map(|event| format!("{} {}", event["Type"], event["Time"])).collect();
            let status = [&one["JobID"], &one["DesiredStatus"], &one["ClientStatus"]].map(ToString::to_string);
            format!("{} {}\n", status.join(" "), events.join(", "))
        };
        all.as_array().into_iter().flatten().map(line).collect()
    }

    fn take_back(&mut self, held: &Held) -> Result {
        self.held.retain(|other| other.name != held.name);
        match held.side {
            Side::Kubernetes => {
                timed("deleted", || self.cluster.kubectl(&["delete", "pod", &held.name]))?;
                let is_purged = |nomad: &Nomad| nomad.job_of(&held.name).is_none().then_some(());
                timed("purged", || self.nomad.until("its job to be purged", is_purged))?;
            }
            Side::Nomad => {
                // What is purged Nomad forgets in the same moment, and tells nobody who waits for news.
                let purge = held.name.ends_with(['0', '5']);
                self.nomad.stop(&held.name, purge)?;
                let is_over = |nomad: &Nomad| {
                    let all = nomad.get(&format!("/v1/node/{}/allocations", self.node)).ok()?;
                    let mut its = all.as_array()?.iter().filter(|one| one["JobID"] == *held.name);
                    its.all(|one| one["ClientStatus"] == "complete").then_some(())
                };
                timed(if purge { "purged" } else { "ended" }, || self.nomad.until("its task to be over", is_over))?;
                self.told_kubernetes(0)?;
            }
        }
        Ok(())
    }

    /// What both sides have given away is what is held, and no more than there is.
    fn is_right(&self) -> Result {
        let all = self.nomad.get(&format!("/v1/node/{}/allocations", self.node))?;
        let is_wanted = |one: &&Value| one["DesiredStatus"] == "run" && one["ClientStatus"] == "running";
        let allocated: Vec<_> = all.as_array().ok_or("no list")?.iter().filter(is_wanted).collect();
        let memory = |one: &&Value| -> u64 {
            let tasks = one["AllocatedResources"]["Tasks"].as_object().into_iter().flatten();
            tasks.filter_map(|(_, task)| task["Memory"]["MemoryMB"].as_u64()).sum()
        };
        let known: u64 = allocated.iter().map(memory).sum();
        let held: u64 = self.held.iter().map(|held| held.memory / MIB).sum();
        assert_eq!(known, held, "{:?}", self.held);
        assert!(held * MIB <= self.all, "{held} MiB of {}", self.all);
        let ports =
            allocated.iter().filter_map(|one| one["AllocatedResources"]["Shared"]["Ports"].as_array()).flatten();
        let mut ports: Vec<_> = ports.filter_map(|port| port["Value"].as_u64()).collect();
        let all = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), all, "a port was given twice");
        Ok(())
    }
}

#[test]
fn filled_to_the_brim_from_both_sides_nothing_is_booked_twice() -> Result {
    // Of all orders the everyday one is that which found the first fault; the reserved tier goes on looking.
    let (placements, seed) = match tier() {
        Tier::Everyday => (8, 27_283),
        Tier::All => (200, u64::from(std::process::id())),
    };
    let seed = std::env::var("BAREPOD_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(seed);
    let (cluster, nomad) = both()?;
    let all = cluster.until("the node to say what it has", allocatable)? / GRAIN * GRAIN;
    let node = nomad.node().ok_or("no node")?["ID"].as_str().unwrap_or_default().to_owned();
    let mut estate = Estate { cluster, nomad, node, all, held: Vec::new() };
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let ports = [free_port()?, free_port()?, free_port()?];
    let (mut refused, mut number) = (0, 0);
    while number < placements || refused == 0 {
        let is_full = estate.free() < 2 * GRAIN;
        if !estate.held.is_empty() && (is_full || dice.below(4) == 0) {
            let index = usize::try_from(dice.below(estate.held.len() as u64))?;
            let held = estate.held[index].clone();
            println!("{held:?} goes");
            timed("gone", || estate.take_back(&held))?;
        }
        number += 1;
        // At the brim itself each side rounds its own way.
        let grains = [estate.free() / GRAIN - 1, 1 + dice.below(all / GRAIN / 2)];
        let mut grains = grains[usize::from(dice.below(3) > 0)].max(1);
        if grains.abs_diff(estate.free() / GRAIN) == 0 {
            grains += 2;
        }
        let side = if dice.below(2) == 0 { Side::Kubernetes } else { Side::Nomad };
        let port = (dice.below(2) == 0).then(|| ports[usize::try_from(dice.below(3)).unwrap_or_default()]);
        let name = format!("{}-{number}", if side == Side::Nomad { "task" } else { "pod" });
        if !timed("placed", || estate.place(Held { side, name, memory: grains * GRAIN, port }))? {
            refused += 1;
        }
        estate.is_right()?;
    }
    println!("{number} placements, {refused} of them refused");
    Ok(())
}
