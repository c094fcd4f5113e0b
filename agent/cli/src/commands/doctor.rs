//! `barepod doctor`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::{ListRequest, Pod, VersionRequest};
use barepod_linux::Dirs;
use barepod_model::Resources;
use barepod_presets::Catalogue;
use tokio::net::UnixStream;

use crate::args::{Doctor, DoctorOutput};
use crate::doctor::{Asked, Daemon, HostBelow, Known, Places, Processes, gather, judge, wants};
use crate::output::print;
use crate::refusal::from_status;

/// Something is to be mended.
const ILL: u8 = 1;

pub(super) async fn run(socket: &Path, args: Doctor) -> Result<ExitCode> {
    let places = Places { host: args.host_root, dirs: Dirs::under(&args.root) };
    let mut catalogue = Catalogue::built_in()?;
    for fault in catalogue.add_dir(&places.dirs.config.join("presets")) {
        eprintln!("warning: a preset is left out: {fault}");
    }
    let pid = pid_of_daemon(socket).await;
    let (daemon, mut asked, processes) = match ask(socket).await {
        Ok((version, pods)) => (Daemon::Runs { version }, of_pods(&pods), pods.iter().filter_map(processes).collect()),
        Err(error) => (Daemon::Away(format!("{error:#}")), of_manifests(&places.dirs.manifests()), Vec::new()),
    };
    for name in args.presets {
        let image = catalogue.image_of(&name).unwrap_or(name);
        asked.push(Asked { image, resources: Resources::default(), pod: String::new() });
    }
    let in_use = wants(&catalogue, asked, &HostBelow { root: places.host.clone(), daemon: pid });
    let report = judge(&gather(&places, Known { daemon, pid, in_use, processes }), env!("CARGO_PKG_VERSION"));
    match args.output {
        Some(DoctorOutput::Json) => print(&format!("{:#}\n", serde_json::to_value(&report)?))?,
        None => print(&report.text())?,
    }
    Ok(if report.to_mend() == 0 { ExitCode::SUCCESS } else { ExitCode::from(ILL) })
}

/// The kernel knows who listens.
async fn pid_of_daemon(socket: &Path) -> Option<u32> {
    let stream = UnixStream::connect(socket).await.ok()?;
    stream.peer_cred().ok()?.pid()?.try_into().ok()
}

/// The daemon's version, and its pods.
async fn ask(socket: &Path) -> Result<(String, Vec<Pod>)> {
    let mut client = barepod_api::connect(socket).await?;
    let version = client.version(VersionRequest {}).await.map_err(from_status)?.into_inner().version;
    let pods = client.list(ListRequest::default()).await.map_err(from_status)?.into_inner().pods;
    Ok((version, pods))
}

/// What they ask for.
fn of_pods(pods: &[Pod]) -> Vec<Asked> {
    let objects = pods.iter().filter_map(|pod| serde_json::from_str(&pod.object).ok());
    objects.flat_map(|object| Asked::of_object(&object)).collect()
}

/// None of a pod that does not run.
fn processes(pod: &Pod) -> Option<Processes> {
    let pids: Vec<_> = pod.containers.iter().map(|container| container.pid).filter(|pid| *pid != 0).collect();
    (!pids.is_empty()).then(|| Processes { namespace: pod.namespace.clone(), name: pod.name.clone(), pids })
}

/// What it would run, while it does not.
fn of_manifests(directory: &Path) -> Vec<Asked> {
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    paths.sort();
    let texts = paths.into_iter().filter_map(|path| std::fs::read_to_string(path).ok());
    texts.flat_map(|text| Asked::of_file(&text)).collect()
}
