//! Many nodes in one process, and what each asks of its API server: its Lease and nothing else while nothing changes, and one
//! removal of each pod that ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use barepod_tests::programs::Built;
use barepod_tests::simulated::{Kind, Simulated};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const NODES: usize = 5;
const LIMIT: Duration = Duration::from_secs(120);
/// Three times a node looks at itself, and renews its Lease.
const QUIET: Duration = Duration::from_secs(30);

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
    fleet.plane.until("a second without a request but of Leases", LIMIT, |_| {
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(50));
        }
        fleet.audit.news().ok()?.iter().all(|it| it.resource == "leases").then_some(())
    })?;

    let before = fleet.bytes(Kind::Barepod)?;
    std::thread::sleep(QUIET);
    let mut counts = BTreeMap::<_, usize>::new();
    for asked in fleet.audit.news()? {
        *counts.entry((asked.verb, asked.resource)).or_default() += 1;
    }
    let leases = counts.remove(&("patch".to_owned(), "leases".to_owned())).unwrap_or_default();
    assert!((2 * NODES..=4 * NODES).contains(&leases), "{leases} renewals");
    assert!(counts.is_empty(), "{counts:?}");
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
