//! Several hosts on one machine, each with an address of its own.

use std::process::Command;
use std::time::Duration;

use barepod_tests::cluster::{ControlPlane, Recipe};
use barepod_tests::network::{Network, NetworkHost};
use barepod_tests::process;

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
