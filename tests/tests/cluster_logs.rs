//! `kubectl logs` against a node: through the API server, by the kubelet port, from the daemon's logs.

use barepod_tests::cluster::Recipe;
use barepod_tests::joined::{Joined, shell};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A node whose serving certificate nobody looks at, as in a cluster of kubeadm's defaults.
fn unverified() -> Recipe {
    Recipe { api_server: vec!["--kubelet-certificate-authority=".to_owned()], ..Recipe::default() }
}

#[test]
fn kubectl_shows_a_log() -> Result {
    let cluster = Joined::with(&unverified(), "")?;
    cluster.apply(&shell("hello", "echo one; echo two >&2; exec sleep 1000"))?;
    cluster.ready("hello")?;
    cluster.until("the log to be there", |cluster| {
        cluster.kubectl(&["logs", "hello"]).ok().filter(|log| log == "one\ntwo\n").map(drop)
    })?;
    Ok(())
}
