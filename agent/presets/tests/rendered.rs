//! What the presets make of manifests that their images document, as text: for those services that no test can run, this is
//! what is known.

mod support;

use std::fmt::Write as _;

use barepod_model::{Bytes, ContainerRequest, MilliCpu, Reason, VolumeMount};
use barepod_presets::{Account, Catalogue, Explanation, Verdict};
use support::{FakeHost, debian, request, set, words};

/// A Debian with everything.
fn host() -> FakeHost {
    let mut host = debian();
    let names = ["redis", "valkey", "prometheus", "mongodb", "minio-user", "weaviate", "loki", "kafka", "etcd"];
    host.accounts.extend(names.iter().zip(200..).map(|(name, id)| Account {
        name: (*name).to_owned(),
        uid: id,
        gid: id,
        groups: Vec::new(),
    }));
    host.files.extend([
        "/usr/bin/redis-server",
        "/usr/bin/valkey-server",
        "/usr/bin/prometheus",
        "/usr/bin/mongod",
        "/usr/local/bin/minio",
        "/opt/weaviate-1.32.0/weaviate",
        "/usr/bin/loki",
        "/opt/kafka_2.13-3.9.0/bin/kafka-server-start.sh",
        "/usr/bin/etcd",
    ]);
    host.versions = vec![
        (
            "/usr/bin/redis-server",
            "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0\n",
        ),
        ("/usr/bin/valkey-server", "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64\n"),
        ("/usr/bin/prometheus", "prometheus, version 2.42.0+ds (branch: debian/sid, revision: 2.42.0+ds-5+b12)\n"),
        ("/usr/bin/mongod", "db version v8.0.4\nBuild Info: {}\n"),
        (
            "/usr/local/bin/minio",
            "minio version RELEASE.2025-09-07T16-13-09Z (commit-id=07c3a429)\nRuntime: go1.24.6\n",
        ),
        ("cat", "1.32.0\n"),
        ("/usr/bin/loki", "loki, version 3.5.1 (branch: release-3.5.x, revision: d4e637bf)\n"),
        ("sh", "3.9.0\n"),
        ("/usr/bin/etcd", "etcd Version: 3.4.23\nGit SHA: Not provided\n"),
    ];
    host
}

struct Case {
    image: &'static str,
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    data: &'static str,
}

const CASES: [Case; 9] = [
    Case { image: "redis:7.0", args: &["redis-server", "--appendonly", "yes"], env: &[], data: "/data" },
    Case { image: "valkey/valkey:8-alpine", args: &["--port", "6380"], env: &[], data: "/data" },
    Case { image: "prom/prometheus:v2.42.0", args: &[], env: &[], data: "/prometheus" },
    Case {
        image: "mongo:8",
        args: &["--replSet", "rs0", "--bind_ip_all", "--keyFile", "/key"],
        env: &[],
        data: "/data/db",
    },
    Case {
        image: "quay.io/minio/minio:RELEASE.2024-01-01T00-00-00Z",
        args: &["server", "/data", "--console-address", ":9001"],
        env: &[("MINIO_ROOT_USER", "admin"), ("MINIO_ROOT_PASSWORD", "secret")],
        data: "/data",
    },
    Case { image: "cr.weaviate.io/semitechnologies/weaviate:1.32.0", args: &[], env: &[], data: "/var/lib/weaviate" },
    Case { image: "grafana/loki:3.5", args: &["-config.file=/etc/loki/config.yaml"], env: &[], data: "/loki" },
    Case {
        image: "apache/kafka:3.9.0",
        args: &[],
        env: &[
            ("CLUSTER_ID", "-4L6g3nShT-eMCtK--X86sw"),
            ("KAFKA_NODE_ID", "1"),
            ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
            ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
            ("KAFKA_SSL_KEY__X___Y", "z"),
        ],
        data: "/var/lib/kafka/data",
    },
    Case {
        image: "quay.io/coreos/etcd:v3.4.20",
        args: &["--data-dir", "/var/lib/etcd", "--listen-client-urls=http://0.0.0.0:2379"],
        env: &[],
        data: "/var/lib/etcd",
    },
];

impl Case {
    fn request(&self) -> ContainerRequest {
        let mut request = request(self.image);
        request.args = words(self.args);
        self.env.iter().for_each(|(name, value)| set(&mut request, name, value));
        request.resources.memory_limit = Some(Bytes(4 << 30));
        request.resources.cpu_limit = Some(MilliCpu(2500));
        request.mounts = vec![VolumeMount {
            volume: "data".to_owned(),
            path: self.data.into(),
            sub_path: "".into(),
            sub_path_expr: None,
            read_only: false,
            recursive_read_only: false,
            propagation: barepod_model::MountPropagation::None,
        }];
        request
    }
}

fn text(explained: &Explanation) -> String {
    let resolved = &explained.resolved;
    let launch = &resolved.launch;
    let mut text = String::new();
    let mut line = |what: &str, value: String| writeln!(text, "  {what:<10} {value}").expect("a String takes all");
    line("user", format!("{}:{}", launch.user.uid, launch.user.gid));
    line("in", launch.cwd.display().to_string());
    launch
        .init
        .iter()
        .for_each(|step| line("first", format!("{:?} unless {}", step.argv_prefix, step.creates.display())));
    line("runs", format!("{:?}", launch.argv));
    launch
        .env
        .0
        .iter()
        .filter(|(name, _)| *name != "PATH")
        .for_each(|(name, value)| line("env", format!("{name}={value}")));
    line("data", format!("{:?}", resolved.data_paths));
    for (kind, probe) in
        [("startup", &resolved.startup), ("readiness", &resolved.readiness), ("liveness", &resolved.liveness)]
    {
        if let Some(probe) = probe {
            line(
                kind,
                format!(
                    "{:?} every {:?}, {} times {:?}",
                    probe.handler, probe.period, probe.failure_threshold, probe.timeout
                ),
            );
        }
    }
    line(
        "stop",
        format!(
            "{:?} within {:?}",
            resolved.stop.stages.iter().map(|s| s.signal).collect::<Vec<_>>(),
            resolved.stop.min_grace
        ),
    );
    for file in launch.files.iter().filter(|f| !f.path.ends_with("probe.sh")) {
        line("file", format!("{}\n{}", file.path.display(), file.contents.trim_end()));
    }
    for setting in &explained.settings {
        if let Verdict::Preset { value, by } = &setting.verdict {
            line("tuned", format!("{} = {value} by {by}", setting.name));
        }
    }
    resolved.warnings.iter().for_each(|warning| line("warning", format!("{}: {}", warning.field, warning.message)));
    text
}

#[test]
fn each_preset_makes_of_its_images_manifest_what_the_image_documents() {
    let catalogue = Catalogue::built_in().expect("valid");
    let mut said = String::new();
    for case in &CASES {
        let explained = catalogue.explain(&case.request(), &host()).unwrap_or_else(|e| panic!("{}: {e:?}", case.image));
        writeln!(said, "{}: {}", case.image, explained.resolved.preset).expect("a String takes all");
        said += &text(&explained);
    }
    insta::assert_snapshot!(said);
}

#[test]
fn no_service_gets_less_time_to_end_than_it_needs() {
    let catalogue = Catalogue::built_in().expect("valid");
    for case in &CASES {
        let resolved = catalogue.resolve(&case.request(), &host()).expect(case.image);
        assert!(resolved.stop.min_grace.as_secs() >= 120, "{}", case.image);
        assert!(resolved.stop.stages.iter().all(|stage| stage.signal != 9), "{}", case.image);
        assert_eq!(resolved.data_paths.len(), 1, "{}: two of them on one directory must be refused", case.image);
    }
}

#[test]
fn what_cannot_be_kept_of_a_contract_is_refused_and_not_ignored() {
    let catalogue = Catalogue::built_in().expect("valid");
    let refused = |index: usize, change: &dyn Fn(&mut ContainerRequest)| {
        let mut request: ContainerRequest = CASES[index].request();
        change(&mut request);
        catalogue.resolve(&request, &host()).map(|_| ()).map_err(|e| (e.reason, e.field))
    };
    let bad = |field: &str| Err((Reason::InvalidConfiguration, field.to_owned()));
    assert_eq!(refused(0, &|r| r.args = words(&["--dir", "/elsewhere"])), bad("args"));
    assert_eq!(refused(3, &|r| set(r, "MONGO_INITDB_ROOT_PASSWORD", "x")), bad("env[MONGO_INITDB_ROOT_PASSWORD]"));
    assert_eq!(refused(3, &|r| r.args.push("--fork".to_owned())), bad("args"));
    assert_eq!(refused(4, &|r| r.args = words(&["/data"])), bad("args"));
    assert_eq!(refused(4, &|r| drop(r.env.0.remove("MINIO_ROOT_PASSWORD"))), bad("env"));
    assert_eq!(refused(7, &|r| drop(r.env.0.remove("CLUSTER_ID"))), bad("env"));
    assert_eq!(refused(7, &|r| set(r, "KAFKA_PROCESS_ROLES", "borker")), bad("env[KAFKA_PROCESS_ROLES]"));
    assert_eq!(refused(8, &|r| r.args = words(&[])), bad("args"));
}
