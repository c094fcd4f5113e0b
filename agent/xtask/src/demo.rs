//! `cargo xtask demo`: a real PostgreSQL from its manifest to its clean end, step by step, on this machine.
//!
//! Everything lies in a scratch root and a cgroup of its own; at the end nothing is left behind.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use barepod_tests::host::{Host, SOON, signal};

use crate::build;
use crate::repository::Repository;
use crate::setup::{self, Purpose};

const POD: &str = "postgresql";

/// Runs the demo.
pub(crate) fn run(repository: &Repository) -> Result<()> {
    setup::run(repository, Purpose::Demo)?;
    build::run(repository)?;
    let traces = {
        let mut host = Host::of(barepod_tests::programs::Built::at(repository.target(), "debug"), "")?;
        // What the built-in policy allows is enough.
        host.set_policy(None)?;
        host.start().context("the daemon does not start")?;
        show(&host, repository)?;
        [host.unified(), host.path("")]
    };
    step("Nothing is left behind");
    for trace in traces {
        ensure!(!trace.exists(), "{} is still there", trace.display());
        println!("{} is gone", trace.display());
    }
    Ok(())
}

fn show(host: &Host, repository: &Repository) -> Result<()> {
    let manifest = apply(host, repository)?;
    query(host)?;
    crash(host)?;
    limit(host, &manifest)?;
    stop(host)
}

fn apply(host: &Host, repository: &Repository) -> Result<PathBuf> {
    step("Apply examples/postgresql, on a free port, and wait until it is ready");
    let example = fs_err::read_to_string(repository.root().join("examples/postgresql/pod.yaml"))?;
    let port = barepod_tests::free_port()?;
    let image = "image: postgres:15\n";
    let text = example.replace(image, &format!("{image}      args: [\"-c\", \"port={port}\"]\n"));
    let manifest = host.path("pod.yaml");
    fs_err::write(&manifest, text)?;
    print!("{}", host.barepod(&["apply", "--wait", "-f", &manifest.display().to_string()])?);
    print!("{}", host.barepod(&["get", "pods", "-o", "wide"])?);
    Ok(manifest)
}

fn query(host: &Host) -> Result<()> {
    step("Run SQL in it");
    sql(host, "create table t (n int); insert into t select generate_series(1, 1000)")?;
    sql(host, "select version(), current_setting('shared_buffers') as shared_buffers, count(*) from t")
}

fn sql(host: &Host, statement: &str) -> Result<()> {
    println!("postgres=# {statement}");
    let shell = format!("psql -X -x -U postgres -p $(sed -n 4p $PGDATA/postmaster.pid) -c \"{statement}\"");
    print!("{}", host.barepod(&["exec", POD, "--", "sh", "-c", &shell])?);
    Ok(())
}

fn crash(host: &Host) -> Result<()> {
    let before = host.pid(POD).context("the pod has no process")?;
    step(&format!("Kill the postmaster, pid {before}, with -9"));
    signal(before, "KILL")?;
    host.until("another postmaster", SOON, |host| host.pid(POD).filter(|now| *now != before))?;
    host.ready(POD)?;
    print!("{}", host.barepod(&["get", "pods", "-o", "wide"])?);
    sql(host, "select count(*) from t")?;
    step("The log of the one that was killed");
    print!("{}", host.barepod(&["logs", POD, "--previous", "--tail", "5"])?);
    step("What is known of it");
    print!("{}", host.barepod(&["describe", POD])?);
    Ok(())
}

fn limit(host: &Host, manifest: &Path) -> Result<()> {
    step("Lower its memory limit from 512Mi to 384Mi in place");
    let file = memory_limit(host).context("the container has no memory limit")?;
    let pid = host.pid(POD);
    println!("{}: {}", file.display(), fs_err::read_to_string(&file)?.trim());
    let text = fs_err::read_to_string(manifest)?.replace("memory: 512Mi", "memory: 384Mi");
    fs_err::write(manifest, text)?;
    print!("{}", host.barepod(&["apply", "-f", &manifest.display().to_string()])?);
    let wanted = (384_u64 << 20).to_string();
    host.until("the lower limit", SOON, |_| (fs_err::read_to_string(&file).ok()?.trim() == wanted).then_some(()))?;
    println!("{}: {}", file.display(), fs_err::read_to_string(&file)?.trim());
    ensure!(host.pid(POD) == pid, "the postmaster was replaced");
    println!("the postmaster is still pid {}", pid.unwrap_or_default());
    Ok(())
}

/// The container's own file, in cgroup v1 or v2.
fn memory_limit(host: &Host) -> Option<PathBuf> {
    let pods = fs_err::read_dir(host.cgroup_of("memory")).ok()?;
    let groups = pods.flatten().map(|entry| entry.path().join(POD));
    let files = groups.flat_map(|group| ["memory.limit_in_bytes", "memory.max"].map(|name| group.join(name)));
    files.into_iter().find(|file| file.exists())
}

fn stop(host: &Host) -> Result<()> {
    step("Stop it; PostgreSQL's own log has the last word");
    let logs = log_directory(host).context("the container has no log")?;
    print!("{}", host.barepod(&["delete", POD])?);
    let log = fs_err::read_to_string(logs)?;
    let last: Vec<&str> = log.lines().rev().take(4).collect();
    last.iter().rev().for_each(|line| println!("{line}"));
    ensure!(log.contains("database system is shut down"), "PostgreSQL did not shut down cleanly");
    Ok(())
}

/// The newest log file of the only container there is.
fn log_directory(host: &Host) -> Option<PathBuf> {
    let newest = |at: PathBuf| fs_err::read_dir(at).ok()?.flatten().map(|entry| entry.path()).max();
    newest(newest(newest(host.path("var/log/barepod/pods"))?)?)
}

fn step(text: &str) {
    println!("\n== {text}");
}
