//! Many nodes in one process, and what each asks of its API server: its Lease and nothing else while nothing changes, and one
//! removal of each pod that ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use barepod_tests::programs::Built;
use barepod_tests::simulated::{Kind, Simulated};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const NODES: usize = 5;
const LIMIT: Duration = Duration::from_secs(120);
/// So often each node renews its Lease while it is looked on; each time it looks at itself as well.
const RENEWALS: usize = 3;

#[test]
fn a_quiet_node_renews_its_lease_and_asks_for_nothing_else_and_a_pod_that_ends_is_removed_once() -> Result {
    let mut fleet = Simulated::start()?;
    fleet.begin_barepod(&Built::here()?, NODES, 50)?;
    fleet.ready(Kind::Barepod, NODES, LIMIT)?;
    let pods: Vec<_> = (0..NODES).map(|number| (format!("pod-{number}"), Kind::Barepod.node(number))).collect();
    fleet.create(&pods)?;
    fleet.running("pod-", NODES, LIMIT)?;
    let begun = fleet.audit.news()?;
    let of = |verb: &str, resource: &str| begun.iter().filter(|it| it.verb == verb && it.resource == resource).count();
    assert_eq!((of("create", "nodes"), of("watch", "nodes")), (NODES, NODES), "{begun:?}");
    // What was begun comes to its end: a minute at most, and mostly a second.
    let mut quiet_since = Instant::now();
    fleet.plane.until("a second without a request but of Leases", LIMIT, |_| {
        if fleet.audit.news().ok()?.iter().any(|it| it.resource != "leases") {
            quiet_since = Instant::now();
        }
        (quiet_since.elapsed() >= Duration::from_secs(1)).then_some(())
    })?;

    let before = fleet.bytes(Kind::Barepod)?;
    let (mut renewals, mut others) = (BTreeMap::<_, usize>::new(), Vec::new());
    fleet.plane.until("each node to have renewed its Lease", LIMIT, |_| {
        for asked in fleet.audit.news().ok()? {
            match (asked.verb.as_str(), asked.resource.as_str()) {
                ("patch", "leases") => *renewals.entry(asked.node).or_default() += 1,
                _ => others.push(asked),
            }
        }
        (renewals.len() == NODES && renewals.values().all(|count| *count >= RENEWALS)).then_some(())
    })?;
    assert!(renewals.values().all(|count| *count <= RENEWALS + 1), "none more often than the others: {renewals:?}");
    assert!(others.is_empty(), "{others:?}");
    assert!(fleet.bytes(Kind::Barepod)? > before);

    fleet.plane.kubectl(&["delete", "pod", "--all", "--wait=false"])?;
    fleet.running("pod-", 0, LIMIT)?;
    let mut removals = Vec::new();
    fleet.plane.until("the record of each removal", LIMIT, |_| {
        removals.extend(fleet.audit.news().ok()?.into_iter().filter(|it| it.verb == "delete"));
        (removals.len() >= NODES).then_some(())
    })?;
    assert_eq!(removals.len(), NODES, "each object is removed once: {removals:?}");
    fleet.check()?;
    Ok(())
}
