//! Whole manifests through reader and presets, on a host that does not exist: the example, and broken ones in `bad/` with
//! what is said beside them (`BAREPOD_UPDATE=1` writes it).

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use barepod_manifest::{Assembled, Context, HostFacts, ManifestError, Objects};
use barepod_model::{PodUid, Reason, Source};
use barepod_presets::Catalogue;
use support::{FakeHost, debian};

fn pod(path: &Path, host: &FakeHost) -> Result<Assembled, Vec<ManifestError>> {
    let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
    let text = fs::read_to_string(path).expect("a manifest");
    let parsed = barepod_manifest::read(name, &text)?.remove(0);
    let catalogue = Catalogue::built_in().expect("valid");
    let uid = PodUid::new("0-1-2").expect("a UID");
    let (objects, facts) = (Objects::default(), HostFacts::default());
    let claims_root = Path::new("/var/lib/barepod/volumes");
    let context = Context { claims_root, objects: &objects, host: &facts, cluster: None, lives: false };
    parsed.into_pod(Source::File, uid, &context, |r| catalogue.resolve(r, host))
}

fn corpus() -> Vec<PathBuf> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad");
    let mut files: Vec<PathBuf> = fs::read_dir(dir).expect("the corpus").flatten().map(|e| e.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

#[test]
fn the_example_becomes_a_pod_without_a_warning() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/postgresql/pod.yaml");
    let assembled = pod(&example, &debian()).expect("the example is valid");
    assert_eq!(assembled.warnings, []);
    let data: Vec<_> = assembled.pod.data_paths.iter().map(|p| p.display().to_string()).collect();
    assert_eq!(data, ["/var/lib/barepod/volumes/default/pgdata"]);
    let container = &assembled.pod.containers[0];
    assert_eq!(container.preset, "postgresql 15.20");
    assert!(container.launch.notify.is_some(), "it says itself when it has started");
    assert!(container.startup.is_none() && container.readiness.is_some() && container.liveness.is_none());
}

#[test]
fn each_request_that_cannot_be_met_is_refused_with_what_where_and_the_likely_fix() {
    let mut stale = Vec::new();
    let mut seen = BTreeSet::new();
    for path in corpus() {
        let found = pod(&path, &debian()).expect_err(&path.display().to_string());
        seen.extend(found.iter().map(|e| e.reason));
        assert!(found.iter().all(|e| e.hint.is_some() && e.line > 1), "{found:?}");
        let said: String = found.iter().map(|e| format!("{e}\n")).collect();
        let beside = path.with_extension("txt");
        if std::env::var_os("BAREPOD_UPDATE").is_some() {
            fs::write(&beside, &said).expect("write");
        }
        if fs::read_to_string(&beside).unwrap_or_default() != said {
            stale.push(format!("{}:\n{said}", path.display()));
        }
    }
    assert!(stale.is_empty(), "not as expected:\n{}", stale.join("\n"));
    let wanted = [
        Reason::ImagePullBackOff,
        Reason::InvalidImageName,
        Reason::VersionNotInstalled,
        Reason::InvalidConfiguration,
        Reason::DataPathInUse,
        Reason::MissingField,
    ];
    wanted.iter().for_each(|reason| assert!(seen.contains(reason), "no broken manifest for {reason}"));
}

#[test]
fn a_host_without_the_account_or_with_a_broken_installation_says_so_at_the_image() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/postgresql/pod.yaml");
    let said = |host: &FakeHost| pod(&example, host).expect_err("refused")[0].to_string();
    let mut host = debian();
    host.accounts.clear();
    assert_eq!(
        said(&host),
        "pod.yaml:9:14: spec.containers[0].image: this host has no user \"postgres\", which the preset runs as; install the \
         service's package, or make it: useradd --system postgres [UnknownUser]"
    );
    let mut host = debian();
    host.version = "";
    assert_eq!(
        said(&host),
        "pod.yaml:9:14: spec.containers[0].image: its version cannot be read: /usr/lib/postgresql/15/bin/postgres could not \
         be run: Permission denied; mend its installation [VersionNotInstalled]"
    );
}
