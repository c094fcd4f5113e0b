//! Services other than PostgreSQL, as manifests written for their images run them: real ones, from start to clean end.

use std::path::Path;

use barepod_tests::host::{Host, signal};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn installed(program: &str) -> Result {
    if Path::new(program).exists() {
        Ok(())
    } else {
        Err(format!("there is no {program}: run `cargo xtask setup`").into())
    }
}

/// A pod of one container with a claim at `data`.
fn pod(name: &str, image: &str, data: &str, args: &[String]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "containers": [{
                "name": name, "image": image, "args": args,
                "resources": {"limits": {"memory": "256Mi", "cpu": "1"}},
                "volumeMounts": [{"name": "data", "mountPath": data}],
            }],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}],
        },
    })
}

fn inside(host: &Host, pod: &str, script: &str) -> Result<String> {
    Ok(host.barepod(&["exec", pod, "--", "sh", "-c", script])?.trim().to_owned())
}

/// Its process is killed; another one is ready with the same data.
fn heals(host: &Host, name: &str) -> Result {
    let before = host.running(name)?;
    signal(before, "KILL")?;
    host.until("another process", barepod_tests::host::SOON, |host| host.pid(name).filter(|pid| *pid != before))?;
    host.ready(name)?;
    Ok(())
}

/// A new limit is no reason for a new process, though arguments follow from it.
fn resizes(host: &Host, manifest: &Value) -> Result {
    let before = host.running("redis")?;
    let larger = manifest.to_string().replace("256Mi", "300Mi");
    host.apply("larger", &larger)?;
    host.until("the new limit", barepod_tests::host::SOON, |host| {
        host.barepod(&["events", "redis"]).ok().filter(|events| events.contains("Resized"))
    })?;
    assert_eq!(host.pid("redis"), Some(before));
    host.apply_object(manifest)?;
    Ok(())
}

fn log_of(host: &Host, name: &str) -> Result<String> {
    Ok(host.barepod(&["logs", name])?)
}

#[test]
fn redis_runs_heals_keeps_its_data_and_saves_when_it_is_stopped() -> Result {
    installed("/usr/bin/redis-server")?;
    let host = Host::started("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    let port = barepod_tests::free_port()?;
    let args = ["redis-server", "--port", &port.to_string(), "--appendonly", "yes", "--appendfsync", "always"];
    let manifest = pod("redis", "redis:7", "/data", &args.map(str::to_owned));
    host.apply_object(&manifest)?;
    host.ready("redis")?;

    let cli = |command: &str| inside(&host, "redis", &format!("redis-cli -p {port} {command}"));
    assert_eq!(cli("set key value")?, "OK");
    assert_eq!(inside(&host, "redis", "id -un")?, "redis");
    let limit = (256_u64 << 20) * 7 / 10;
    assert!(cli("config get maxmemory")?.ends_with(&limit.to_string()), "seven tenths of the limit");
    let overcommit = std::fs::read_to_string("/proc/sys/vm/overcommit_memory")?;
    if overcommit.trim() != "1" {
        let events = host.barepod(&["events", "redis"])?;
        assert!(
            events.contains("Degraded") && events.contains("set vm.overcommit_memory to 1"),
            "what to do: {events}"
        );
    }
    resizes(&host, &manifest)?;
    let explained = host.barepod(&["preset", "explain", "pod/redis"])?;
    assert!(
        explained.contains(&format!("maxmemory = {limit}")) && explained.contains("memory = 268435456"),
        "{explained}"
    );
    heals(&host, "redis")?;
    assert_eq!(cli("get key")?, "value", "what was acknowledged is there after kill -9");

    let data = host.path("var/lib/barepod/volumes/default/redis");
    host.barepod(&["delete", "redis"])?;
    host.gone("redis")?;
    assert!(data.join("appendonlydir").is_dir(), "the claim stays");
    host.apply_object(&manifest)?;
    host.ready("redis")?;
    assert_eq!(cli("get key")?, "value");
    Ok(())
}

#[test]
fn prometheus_runs_by_its_images_arguments_heals_and_ends_cleanly() -> Result {
    installed("/usr/bin/prometheus")?;
    let host = Host::started("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    let port = barepod_tests::free_port()?;
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: itself\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    );
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"prometheus.yml": config}});
    host.apply_object(&map)?;
    let args = [
        "--config.file=/etc/prometheus/prometheus.yml".to_owned(),
        "--storage.tsdb.path=/prometheus".to_owned(),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    let mut manifest = pod("prometheus", "docker.io/prom/prometheus:v2.42.0", "/prometheus", &args);
    manifest["spec"]["containers"][0]["volumeMounts"] = json!([
        {"name": "data", "mountPath": "/prometheus"}, {"name": "config", "mountPath": "/etc/prometheus"},
    ]);
    manifest["spec"]["volumes"] = json!([
        {"name": "data", "persistentVolumeClaim": {"claimName": "prometheus"}},
        {"name": "config", "configMap": {"name": "config"}},
    ]);
    host.apply_object(&manifest)?;
    host.ready("prometheus")?;

    assert_eq!(
        inside(&host, "prometheus", "id -un; echo $GOMEMLIMIT $GOMAXPROCS")?,
        format!("prometheus\n{} 1", (256_u64 << 20) * 9 / 10)
    );
    heals(&host, "prometheus")?;
    assert!(log_of(&host, "prometheus")?.contains("Server is ready to receive web requests"));
    assert_eq!(host.pod("prometheus")?["status"]["containerStatuses"][0]["restartCount"], 1, "no probe failed it");
    host.barepod(&["delete", "prometheus"])?;
    host.gone("prometheus")?;
    assert!(host.path("var/lib/barepod/volumes/default/prometheus/wal").is_dir(), "its data are in the claim");
    Ok(())
}
