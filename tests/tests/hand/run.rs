//! `barepod run`: a real PostgreSQL by nothing but its preset's name.

use std::os::unix::fs::PermissionsExt as _;

use barepod_tests::host::Host;
use serde_json::Value;

use crate::Result;

/// The password that a run has shown.
fn shown(output: &str) -> Option<&str> {
    output.lines().find_map(|line| line.strip_prefix("POSTGRES_PASSWORD is "))
}

struct Runner {
    host: Host,
    config: String,
    port: String,
}

impl Runner {
    fn new() -> Result<Self> {
        let host = Host::started("")?;
        let config = host.path("etc/barepod").display().to_string();
        Ok(Self { host, config, port: barepod_tests::free_port()?.to_string() })
    }

    /// Runs PostgreSQL as `db`.
    fn run(&self, more: &[&str]) -> Result<std::process::Output> {
        let port = format!("port={}", self.port);
        let fixed = ["run", "postgresql", "--config", &self.config, "--name", "db", "--memory", "512Mi", "--cpu", "1"];
        Ok(self.host.run(&[&fixed[..], more, &["--", "-c", &port]].concat())?)
    }

    /// A question over TCP, with a password.
    fn ask(&self, password: &str, sql: &str) -> Result<std::process::Output> {
        let script =
            format!("PGPASSWORD={password} psql -X -A -t -h 127.0.0.1 -p {} -U postgres -c '{sql}'", self.port);
        Ok(self.host.run(&["exec", "db", "--", "sh", "-c", &script])?)
    }
}

#[test]
fn a_preset_runs_by_its_name_with_a_password_that_is_shown_once_and_kept_for_root_alone() -> Result {
    let runner = Runner::new()?;
    let output = runner.run(&["--storage", "1Gi", "--set", "POSTGRES_DB=shop"])?;
    let (text, errors) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert!(output.status.success(), "{text}{errors}");
    for line in
        ["persistentvolumeclaim/db-data created", "secret/db-credentials created", "pod/db created", "pod/db ready"]
    {
        assert!(text.lines().any(|known| known == line), "{line}: {text}");
    }
    assert!(errors.contains("pod/db: container postgresql: "), "it says what it waits for: {errors}");
    let password = shown(&text).ok_or("no password")?.to_owned();

    // It is the database's, and nowhere but in its file.
    assert_eq!(String::from_utf8(runner.ask(&password, "show shared_buffers")?.stdout)?, "128MB\n");
    assert_eq!(
        String::from_utf8(runner.ask(&password, "select datname from pg_database where datname = $$shop$$")?.stdout)?,
        "shop\n"
    );
    assert!(!runner.ask("another", "select 1")?.status.success());
    let manifests = runner.host.path("etc/barepod/manifests");
    let mut keepers = Vec::new();
    for entry in std::fs::read_dir(&manifests)? {
        let entry = entry?;
        if std::fs::read_to_string(entry.path())?.contains(&password) {
            assert_eq!(entry.metadata()?.permissions().mode() & 0o777, 0o600);
            keepers.push(entry.file_name());
        }
    }
    assert_eq!(keepers.len(), 1, "{keepers:?}");
    let pid = runner.host.pid("db").ok_or("no pid")?;
    for file in ["environ", "cmdline"] {
        let text = String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{file}"))?).into_owned();
        assert!(!text.contains(&password), "{file}");
    }
    assert!(!runner.host.log().contains(&password));
    assert!(!runner.host.barepod(&["get", "pod", "db", "-o", "yaml"])?.contains(&password));

    // A second run is refused; after a deletion the data are there again, with their password.
    let twice = runner.run(&[])?;
    assert_eq!(twice.status.code(), Some(1));
    assert!(String::from_utf8(twice.stderr)?.contains("there is a pod db in namespace default already"));
    runner.host.barepod(&["delete", "db"])?;
    let again = runner.run(&[])?;
    let text = String::from_utf8(again.stdout)?;
    assert!(again.status.success() && shown(&text).is_none(), "{text}");
    assert!(text.contains("passwords are those of Secret default/db-credentials, in "), "{text}");
    assert_eq!(String::from_utf8(runner.ask(&password, "select 1")?.stdout)?, "1\n");
    Ok(())
}

/// What a program of a pod prints, without the end of its last line.
fn asked(host: &Host, pod: &str, script: &str) -> Result<String> {
    Ok(host.barepod(&["exec", pod, "--", "sh", "-c", script])?.trim_end().to_owned())
}

#[test]
fn redis_runs_by_its_name_with_its_limits_and_what_it_has_acknowledged_is_there_for_the_next_one() -> Result {
    let host = Host::started("")?;
    let (config, port) = (host.path("etc/barepod").display().to_string(), barepod_tests::free_port()?.to_string());
    let run = ["run", "redis", "--config", &config, "--memory", "128Mi", "--storage", "1Gi"];
    let service = ["--", "--port", &port, "--appendonly", "yes", "--appendfsync", "always"];
    let text = host.barepod(&[&run[..], &service].concat())?;
    assert!(text.ends_with("persistentvolumeclaim/redis-data created\npod/redis created\npod/redis ready\n"), "{text}");
    let cli = |command: &str| asked(&host, "redis", &format!("redis-cli -p {port} {command}"));
    assert_eq!(cli("set key value")?, "OK");
    let seven_tenths = (128_u64 << 20) * 7 / 10;
    assert!(cli("config get maxmemory")?.ends_with(&seven_tenths.to_string()), "its limit is what it was run with");
    host.barepod(&["delete", "redis"])?;
    host.barepod(&[&run[..6], &service].concat())?;
    assert_eq!(cli("get key")?, "value");
    Ok(())
}

#[test]
fn prometheus_runs_by_its_name_with_the_configuration_of_this_host() -> Result {
    let host = Host::started("")?;
    let (config, port) = (host.path("etc/barepod").display().to_string(), barepod_tests::free_port()?.to_string());
    let address = format!("--web.listen-address=127.0.0.1:{port}");
    let run = ["run", "prometheus", "--config", &config, "--name", "metrics", "--memory", "256Mi", "--cpu", "1"];
    let service = ["--", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus", &address];
    let text = host.barepod(&[&run[..], &service].concat())?;
    assert!(text.ends_with("pod/metrics created\npod/metrics ready\n"), "{text}");
    let nine_tenths = (256_u64 << 20) * 9 / 10;
    assert_eq!(asked(&host, "metrics", "id -un; echo $GOMEMLIMIT")?, format!("prometheus\n{nine_tenths}"));
    let data = host.path("var/lib/barepod/volumes/default/metrics-data/wal");
    assert!(data.is_dir(), "its data are in a claim named after it");
    host.barepod(&["delete", "metrics"])?;
    assert!(data.is_dir());
    Ok(())
}

#[test]
fn a_dry_run_prints_manifests_that_can_be_applied_and_touches_nothing() -> Result {
    let runner = Runner::new()?;
    let output = runner.run(&["--dry-run", "-o", "yaml"])?;
    let text = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("image: postgres:15\n") || text.contains("image: \"postgres:15\"\n"), "{text}");
    assert_eq!(runner.host.barepod(&["get", "pods", "-o", "name"])?, "");
    assert_eq!(std::fs::read_dir(runner.host.path("etc/barepod/manifests"))?.count(), 0);
    assert_eq!(runner.host.apply("dry", &text)?, "secret/db-credentials created\npod/db created\n");
    runner.host.ready("db")?;
    let json = runner.run(&["--dry-run", "-o", "json"])?;
    let list: Value = serde_json::from_slice(&json.stdout)?;
    assert_eq!(list["items"][1]["spec"]["containers"][0]["resources"]["limits"]["memory"], "512Mi");
    Ok(())
}

#[test]
fn what_cannot_be_run_is_refused_with_what_to_write_instead() -> Result {
    let runner = Runner::new()?;
    for (args, expected) in [
        (&["run", "postgress"][..], "did you mean \"postgres\"?"),
        (&["run", "postgres:99"], "PostgreSQL 99 is not installed"),
        (&["run", "postgresql", "--set", "POSTGRES_PASSWORD=secret"], "--set POSTGRES_PASSWORD_FILE=PATH"),
        (&["run", "postgresql", "--set", "shared_buffers"], "write --set NAME=VALUE"),
        (&["run", "postgresql", "--memory", "1GB"], "1GB"),
        (&["run", "postgresql", "--name", "Data_Base"], "Data_Base"),
        (&["run", "postgresql", "--set", "POSTGRES_HOST_AUTH_METHOD=none"], "use scram-sha-256, the default"),
    ] {
        let output = runner.host.run(&[args, &["--config", &runner.config]].concat())?;
        let errors = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{args:?}: {errors}");
        assert!(errors.contains(expected), "{args:?}: {errors}");
    }
    assert_eq!(std::fs::read_dir(runner.host.path("etc/barepod/manifests"))?.count(), 0, "nothing is left behind");
    Ok(())
}
