//! What a node asks of its API server: few, and known by number.

use std::collections::BTreeMap;

use barepod_tests::bridge::Bridge;
use barepod_tests::cluster::false_server::FalseApiServer;
use barepod_tests::joined::{ADDRESS, Joined, NODE, shell};
use barepod_tests::pods::IDLE;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

type Counts = BTreeMap<(String, String), usize>;

/// What was asked for the pods alone: a node renews its Lease and looks at itself whatever it runs.
fn of_pods(counts: Counts) -> Counts {
    let own = |resource: &str| {
        resource.starts_with("nodes") || resource.starts_with("leases") || resource.starts_with("certificate")
    };
    counts.into_iter().filter(|((_, resource), _)| !own(resource)).collect()
}

/// Nothing that is not among these, and of each no more.
fn no_more(counts: &Counts, than: &Counts) -> bool {
    counts.iter().all(|(kind, times)| than.get(kind).is_some_and(|most| times <= most))
}

#[test]
fn a_pod_s_life_costs_a_dozen_requests() -> Result {
    let mut cluster = Joined::start()?;
    let server = FalseApiServer::start(&cluster.plane)?;
    cluster.bridge.kill()?;
    let kubeconfig = server.kubeconfig_of_node(&cluster.plane, NODE)?;
    cluster.bridge = Bridge::start(&cluster.host, NODE, ADDRESS.into(), &kubeconfig)?;
    // One of its kind has been there before.
    cluster.apply(&shell("first", IDLE))?;
    cluster.ready("first")?;
    server.forget();
    cluster.apply(&shell("second", IDLE))?;
    cluster.ready("second")?;
    let begun = of_pods(server.counts());
    server.forget();
    cluster.kubectl(&["delete", "pod", "second"])?;
    cluster.gone("second")?;
    let ended = of_pods(server.counts());
    let counts = |all: &[(&str, &str, usize)]| -> Counts {
        all.iter().map(|(verb, resource, times)| (((*verb).to_owned(), (*resource).to_owned()), *times)).collect()
    };
    let said =
        |counts: &Counts| counts.iter().map(|((verb, of), times)| format!("{verb} {of}: {times}")).collect::<Vec<_>>();
    // Its token, which is refused until the authorizer has heard of the pod. That it runs, and before that, where that takes long,
    // that it begins. Events that it was accepted and has started.
    let few = counts(&[
        ("create", "serviceaccounts/token", 2),
        ("patch", "pods/status", 2),
        ("create", "events.events.k8s.io", 2),
    ]);
    assert!(no_more(&begun, &few), "{:?}", said(&begun));
    // That it ends, and that it has ended; then its object goes. Events of its deletion, its stop, its end.
    let few = counts(&[("patch", "pods/status", 2), ("delete", "pods", 1), ("create", "events.events.k8s.io", 4)]);
    assert!(no_more(&ended, &few), "{:?}", said(&ended));
    Ok(())
}
