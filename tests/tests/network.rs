//! Several hosts on one machine, each with an address of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use barepod_tests::cluster::{ControlPlane, Recipe};
use barepod_tests::host::Host;
use barepod_tests::network::{Network, NetworkHost};
use barepod_tests::{pods, process};
use serde_json::json;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What a program says that is run on a host of a network.
fn said(host: &NetworkHost, program: &str, args: &[&str]) -> Result<String> {
    let output = process::output(host.command(program).args(args), program, Duration::from_secs(60))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned().into()) }
}

#[test]
fn hosts_of_a_network_reach_a_control_plane_and_each_other_and_nothing_is_left() -> Result {
    let network = Network::new(2)?;
    let [a, b] = network.hosts() else { return Err("not two hosts".into()) };
    let plane = ControlPlane::start(&Recipe { address: network.address(), ..Recipe::default() })?;
    let kubeconfig = plane.kubeconfig_of_node("node-a")?;

    let kubectl = plane.command(&kubeconfig, &["auth", "whoami"])?;
    let args: Vec<_> = kubectl.get_args().filter_map(|arg| arg.to_str()).collect();
    let who = said(a, &kubectl.get_program().to_string_lossy(), &args)?;
    said(a, "busybox", &["ping", "-c", "1", "-w", "10", &b.address().to_string()])?;

    assert!(who.contains("system:node:node-a"), "{who}");
    assert!(a.address() != b.address() && network.address().to_string().starts_with("10."));
    // The Service `kubernetes` has an address that hosts reach.
    let slices = plane.kubectl(&["get", "endpointslices", "kubernetes", "-o", "wide"])?;
    assert!(slices.contains(&network.address().to_string()), "{slices}");
    let (namespace, address) = (a.namespace(), network.address());
    drop(plane);
    drop(network);
    assert!(!namespace.exists());
    let left = process::run(Command::new("ip").args(["-o", "address"]))?;
    assert!(!String::from_utf8_lossy(&left.stdout).contains(&format!("{address}/")));
    Ok(())
}

#[test]
fn two_daemons_of_one_machine_have_each_their_own_ports() -> Result {
    let network = Network::new(2)?;
    let served = |place: &NetworkHost, word: &str| -> Result<Host> {
        let mut host = Host::new("")?;
        host.set_network(place);
        host.start()?;
        let mut pod = pods::idle("pod");
        pod["spec"]["containers"][0]["command"] =
            json!(["busybox", "nc", "-ll", "-p", "8080", "-e", "/bin/echo", word]);
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 8080, "hostPort": 8080}]);
        host.apply_object(&pod)?;
        host.running("pod")?;
        Ok(host)
    };
    let [a, b] = network.hosts() else { return Err("not two hosts".into()) };
    let (first, second) = (served(a, "first")?, served(b, "second")?);
    let asked = |place: &NetworkHost| said(a, "busybox", &["nc", &place.address().to_string(), "8080"]).ok();

    let answers = first.until("both to answer", barepod_tests::host::SOON, |_| asked(a).zip(asked(b)))?;

    assert_eq!(answers, ("first\n".to_owned(), "second\n".to_owned()));
    assert!(Path::new(&format!("/proc/{}", second.daemon_pid().unwrap_or(0))).exists());
    Ok(())
}
