//! The policy that comes with barepod.

use barepod_model::{Credentials, HostPathType, Source, Volume, VolumeKind};
use barepod_policy::{DEFAULT, Policy, Subject, User, judge, parse};

use crate::bench::{Made, pod, root, with_host_path};

fn default() -> Policy {
    parse("policy.yaml", DEFAULT).expect("it is sound")
}

#[test]
fn root_runs_presets_as_their_own_users_on_claims() {
    let mut pod = pod();
    let claim = VolumeKind::Claim { claim: "c".to_owned(), read_only: false };
    pod.volumes.push(Volume { name: "data".to_owned(), claim: None, kind: claim });
    let verdict = judge(&default(), &root(), &pod, &Made);
    assert!(verdict.is_allowed(), "{}", verdict.explain());
}

#[test]
fn everything_else_is_denied() {
    let denied = |change: fn(&mut barepod_model::Pod)| {
        let mut pod = pod();
        change(&mut pod);
        !judge(&default(), &root(), &pod, &Made).is_allowed()
    };
    assert!(denied(|pod| pod.containers[0].launch.user = Credentials { uid: 0, gid: 0, groups: Vec::new() }));
    assert!(denied(|pod| pod.containers[0].launch.user = Credentials { uid: 1000, gid: 1000, groups: Vec::new() }));
    assert!(denied(|pod| with_host_path(pod, "/srv", HostPathType::Directory, true)));
    assert!(denied(|pod| pod.containers[0].launch.capabilities.push(21)));
    assert!(denied(|pod| pod.containers[0].launch.namespaces.host_pid = true));
    assert!(denied(|pod| pod.containers[0].launch.confinement.privileged = true));
}

#[test]
fn nobody_but_root_gets_anything() {
    let alice = Subject { source: Source::File, user: Some(User { uid: 1000, groups: vec![1000] }) };
    assert!(!judge(&default(), &alice, &pod(), &Made).is_allowed());
    for source in [Source::Kubernetes, Source::Nomad] {
        assert!(!judge(&default(), &Subject { source, user: None }, &pod(), &Made).is_allowed());
    }
}

#[test]
fn the_examples_in_its_comments_are_words_that_are_known() {
    let example: Vec<&str> = DEFAULT.lines().skip_while(|line| !line.starts_with("# What else")).collect();
    let (allow, rule): (Vec<&str>, Vec<&str>) = {
        let at = example.iter().position(|line| line.starts_with("# A rule for")).expect("it is there");
        (example[1..at].to_vec(), example[at + 1..].to_vec())
    };
    let plain = |lines: Vec<&str>| -> String { lines.iter().map(|line| format!("{}\n", &line[1..])).collect() };
    let head = "apiVersion: barepod.dev/v1alpha1\nkind: Policy\nrules:\n";
    let one = "  - name: r\n    subjects: {sources: [nomad], namespaces: [x]}\n    verbs: [apply]\n    allow:\n";
    parse("allow", &format!("{head}{one}{}", plain(allow))).unwrap_or_else(|error| panic!("{error}"));
    parse("rule", &format!("{head}{}", plain(rule))).unwrap_or_else(|error| panic!("{error}"));
}
