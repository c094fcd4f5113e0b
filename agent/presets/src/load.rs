//! A preset file, read and checked: what can be wrong with it is found before anybody needs it, and all at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use barepod_model::ContainerName;
use barepod_yaml::place::{FieldPath, Place};

use crate::error::Fault;
use crate::file::{
    API_VERSION, HostCheckFile, InitFile, PresetFile, ProbeFile, RenderedFileFile, RootFile, RunFile, ServiceFile,
    VersionsFile,
};
use crate::image;
use crate::read::{Faults, Placed, Read, Text};
use crate::template::{check_expression, check_template};
use crate::tree::{Branch, Entry, Origin, Spot, Tree};

/// The largest preset file, in bytes.
pub(crate) const MAX_BYTES: usize = 256 << 10;

/// Puts the contents of files beside the preset where their names are: a child of another directory then inherits them.
pub(crate) fn fetch_sources(tree: &mut Tree, beside: &dyn Fn(&str) -> Option<(String, String)>, faults: &mut Faults) {
    let Some(files) = tree.at_mut(&["service", "files"]) else { return };
    for (index, file) in files.items_mut().iter_mut().enumerate() {
        let path = FieldPath::default().key("service").key("files").index(index);
        let both = file.get("contents").is_some();
        let Some(entry) = file.entries_mut().and_then(|all| all.iter_mut().find(|e| e.key == "source")) else {
            continue;
        };
        let path = path.key("source");
        match entry.value.text() {
            Some(_) if both => {
                let fault = Fault::new(&entry.spot, &path, "source and contents exclude each other");
                faults.push(fault.hint("keep one of the two"));
            }
            Some(name) => match beside(name) {
                Some((file, text)) => *entry = contents(entry, file, text),
                None => {
                    let message = format!("there is no file {name:?} beside this preset");
                    faults.push(Fault::new(&entry.value.spot, &path, message).hint("put it there or correct its name"));
                }
            },
            // Its type is found wrong where all types are looked at.
            None => {}
        }
    }
}

fn contents(entry: &Entry, file: String, text: String) -> Entry {
    let origin = Arc::new(Origin { file, text: text.clone() });
    let value = Tree { spot: Spot { origin, place: Place::START }, value: Branch::Text(text) };
    Entry { key: "contents".to_owned(), spot: entry.spot.clone(), value }
}

/// Reads and checks a preset whose parents have been merged into it.
pub(crate) fn load(tree: &Tree, faults: &mut Faults) -> Option<PresetFile> {
    let before = faults.len();
    let preset = PresetFile::read(tree, &FieldPath::default(), faults)?;
    check(&preset, faults);
    (faults.len() == before).then_some(preset)
}

fn check(preset: &PresetFile, faults: &mut Faults) {
    identity(preset, faults);
    preset.images.iter().for_each(|text| image_name(text, faults));
    preset.env.values().for_each(|text| check_template(text, faults));
    preset.versions.iter().for_each(|v| versions(v, faults));
    preset.host_checks.iter().for_each(|check| host_check(check, faults));
    preset.root.iter().for_each(|r| root(r, faults));
    if preset.user.is_none() && preset.root.is_none() {
        let fault = preset.name.fault("it does not say whom it runs as");
        faults.push(fault.hint("add user: {name: ACCOUNT} with an account of the host"));
    }
    preset.service.iter().for_each(|s| service(s, faults));
    preset.run.iter().for_each(|r| run(r, preset, faults));
    if let (Some(_), Some(user)) = (&preset.root, preset.user.as_ref().filter(|user| !user.image_ids.is_empty())) {
        let fault = preset.name.fault(format!("user.imageIds stand for the host's account {}", user.name));
        faults.push(fault.hint("leave them out: a tree as root has accounts and ids of its own"));
    }
}

fn run(run: &RunFile, preset: &PresetFile, faults: &mut Faults) {
    run.args.iter().chain(run.env.values()).for_each(|text| check_template(text, faults));
    for volume in &run.volumes {
        check_template(&volume.path, faults);
        if ContainerName::new(volume.name.value.as_str()).is_err() {
            let fault = volume.name.fault(format!("{:?} cannot name a volume", volume.name.value));
            faults.push(fault.hint("use lower case letters, digits and '-'"));
        }
    }
    let contract = preset.service.iter().filter_map(|service| service.contract.as_ref()).flat_map(|of| &of.env);
    let known: Vec<_> = contract.map(|env| env.name.value.as_str()).collect();
    for name in run.passwords.iter().filter(|name| !known.contains(&name.value.as_str())) {
        let fault = name.fault(format!("the contract has no variable {:?}", name.value));
        faults.push(fault.hint("name it in service.contract.env, or correct it"));
    }
}

fn identity(preset: &PresetFile, faults: &mut Faults) {
    if preset.api_version.value != API_VERSION {
        let fault =
            preset.api_version.fault(format!("this barepod does not know the format {:?}", preset.api_version.value));
        faults.push(fault.hint(format!("write {API_VERSION}")));
    }
    if preset.kind.value != "Preset" {
        faults.push(
            preset.kind.fault(format!("this is a {:?}, not a Preset", preset.kind.value)).hint("write kind: Preset"),
        );
    }
    if ContainerName::new(preset.name.value.as_str()).is_err() {
        let fault = preset.name.fault(format!("{:?} cannot name a preset", preset.name.value));
        faults.push(fault.hint("use lower case letters, digits and '-'"));
    }
    if preset.images.is_empty() && preset.service.is_none() {
        faults.push(preset.name.fault("it answers to no image").hint("list names below images"));
    }
}

fn image_name(text: &Text, faults: &mut Faults) {
    if let Err((message, hint)) = image::Pattern::parse(&text.value) {
        faults.push(text.fault(message).hint(hint));
    }
}

fn versions(versions: &VersionsFile, faults: &mut Faults) {
    for place in &versions.places {
        let dir = &place.dir;
        if !dir.value.starts_with('/') || dir.value.matches("{version}").count() > 1 {
            let fault = dir.fault(format!("{:?} is not a place for software", dir.value));
            faults.push(fault.hint("write an absolute path with {version} in it once at most"));
        }
    }
    let install = versions.install.iter().flat_map(|i| i.about.iter().chain([&i.command]));
    versions.read.iter().chain(install).for_each(|text| check_template(text, faults));
}

fn root(root: &RootFile, faults: &mut Faults) {
    for text in root.config.iter().chain([&root.tree]) {
        if !text.value.starts_with('/') || text.value.contains("..") {
            let fault = text.fault(format!("{:?} is not an absolute path without '..'", text.value));
            faults.push(fault.hint("begin it with /"));
        }
        if let Some(name) = image::unknown_placeholder(&text.value) {
            let fault = text.fault(format!("{{{name}}} stands for nothing here"));
            faults.push(fault.hint("there are {name}, {repository}, {registry}, {tag}"));
        }
    }
}

fn host_check(check: &HostCheckFile, faults: &mut Faults) {
    let looked_at = [check.sysctl.is_some(), check.file.is_some(), check.limit.is_some(), check.clock];
    exactly_one(&looked_at, &check.name, "sysctl, file, limit, clock", faults);
    check_expression(&check.when, faults);
    let texts = [&check.message, &check.hint].into_iter().chain(&check.wants).chain(&check.command);
    texts.for_each(|text| check_template(text, faults));
}

fn exactly_one<T>(given: &[bool], at: &Placed<T>, names: &str, faults: &mut Faults) {
    if given.iter().filter(|is| **is).count() != 1 {
        faults.push(at.fault(format!("it needs one of {names}")).hint("give exactly one of them"));
    }
}

fn service(service: &Placed<ServiceFile>, faults: &mut Faults) {
    if service.argv.is_empty() {
        faults.push(service.fault("it has no program").hint("add argv: [PROGRAM]"));
    }
    if let Some(stop) = service.stop.as_ref().filter(|stop| stop.stages.is_empty()) {
        faults.push(stop.fault("it has no signal in its stages").hint("add - signal: SIGTERM"));
    }
    if let Some(limit) = service.pids_limit.as_ref().filter(|limit| limit.value < 1) {
        faults.push(limit.fault(format!("{limit} is out of range")).hint("write a number from 1, or leave it out"));
    }
    if let Some(adj) = service.oom_score_adj.as_ref().filter(|adj| !(-1000..=1000).contains(&adj.value)) {
        faults.push(adj.fault(format!("{adj} is out of range")).hint("write a number from -1000 to 1000"));
    }
    service.init.iter().for_each(|step| init(step, faults));
    service.files.iter().for_each(|file| rendered(file, faults));
    let probes = service.probes.iter().flat_map(|p| [&p.startup, &p.readiness, &p.liveness]).flatten();
    probes.for_each(|p| probe(p, faults));
    doubles(service, faults);
    templates(service).for_each(|text| check_template(text, faults));
    expressions(service).for_each(|text| check_expression(text, faults));
}

fn init(step: &InitFile, faults: &mut Faults) {
    exactly_one(&[!step.run.is_empty(), !step.exec.is_empty()], &step.name, "run, exec", faults);
}

fn rendered(file: &RenderedFileFile, faults: &mut Faults) {
    if file.contents.is_none() && file.source.is_none() {
        faults.push(file.path.fault("this file has neither source nor contents").hint("give it one of the two"));
    }
}

fn probe(probe: &Placed<ProbeFile>, faults: &mut Faults) {
    let asked = [probe.exec.is_some(), probe.http_get.is_some(), probe.tcp_socket.is_some(), probe.grpc.is_some()];
    exactly_one(&asked, probe, "exec, httpGet, tcpSocket, grpc", faults);
}

/// One name, two elements: the second would hide the first.
fn doubles(service: &ServiceFile, faults: &mut Faults) {
    let contract = service.contract.as_ref();
    let lists: [Vec<&Text>; 7] = [
        contract.iter().flat_map(|c| &c.env).map(|v| &v.name).collect(),
        contract.iter().flat_map(|c| &c.args).map(|a| &a.name).collect(),
        service.vars.iter().map(|v| &v.name).collect(),
        service.checks.iter().map(|c| &c.name).collect(),
        service.warnings.iter().map(|c| &c.name).collect(),
        service.tuning.iter().map(|t| &t.set).collect(),
        service.init.iter().map(|i| &i.name).collect(),
    ];
    for list in lists {
        let mut seen = BTreeSet::new();
        for text in list.into_iter().filter(|text| !seen.insert(text.value.as_str())) {
            faults
                .push(text.fault(format!("there is another {:?} before it", text.value)).hint("give it another name"));
        }
    }
}

fn templates(service: &ServiceFile) -> impl Iterator<Item = &Text> {
    let said = service.checks.iter().chain(&service.warnings).flat_map(|c| [&c.message, &c.hint]);
    let contract = service.contract.iter().flat_map(|c| {
        let variables = c.env.iter().flat_map(|v| v.warning.iter().chain(&v.refused));
        variables.chain(c.args.iter().flat_map(|a| [&a.message, &a.hint]))
    });
    let init = service.init.iter().flat_map(|i| i.run.iter().chain(&i.exec).chain([&i.creates]));
    let files = service.files.iter().filter(|f| !f.raw).filter_map(|f| f.contents.as_ref());
    let probes = service.probes.iter().flat_map(|p| [&p.startup, &p.readiness, &p.liveness]).flatten();
    service
        .argv
        .iter()
        .chain(&service.working_dir)
        .chain(&service.data_paths)
        .chain(&service.shm_bytes)
        .chain(service.owned_dirs.iter().map(|d| &d.path))
        .chain(service.tuning.iter().flat_map(|t| t.args.iter().chain([&t.value])))
        .chain(probes.flat_map(|p| probe_texts(p)))
        .chain(said)
        .chain(contract)
        .chain(init)
        .chain(files)
}

fn probe_texts(probe: &ProbeFile) -> impl Iterator<Item = &Text> {
    let http = probe.http_get.iter().flat_map(|h| [&h.path, &h.port.0]);
    let ports = probe.tcp_socket.iter().map(|p| &p.port.0).chain(probe.grpc.iter().map(|g| &g.port.0));
    probe.exec.iter().flat_map(|e| &e.command).chain(http).chain(ports)
}

fn expressions(service: &ServiceFile) -> impl Iterator<Item = &Text> {
    let conditions = service.checks.iter().chain(&service.warnings).map(|c| &c.when);
    let tuning = service.tuning.iter().flat_map(|t| t.when.iter().chain(&t.given));
    let probes = service.probes.iter().flat_map(|p| [&p.startup, &p.readiness, &p.liveness]).flatten();
    conditions
        .chain(probes.filter_map(|p| p.when.as_ref()))
        .chain(service.vars.iter().map(|v| &v.value))
        .chain(tuning)
        .chain(service.init.iter().filter_map(|i| i.when.as_ref()))
}
