//! `barepod preset render`: all that containers become.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use barepod_model::{ContainerRequest, Launch, Probe, Resolved, Root};
use barepod_presets::{Catalogue, LocalHost};

use super::{Surroundings, pods};
use crate::args::Subject;
use crate::output::print;

pub(super) async fn run(surroundings: &Surroundings<'_>, catalogue: &Catalogue, what: Subject) -> Result<ExitCode> {
    let mut text = String::new();
    let sound = pods::each(surroundings, catalogue, &what, |request| {
        let resolved = catalogue.resolve(request, &LocalHost)?;
        // Writing to a String cannot fail.
        one(&mut text, request, &resolved).ok();
        Ok(resolved)
    })
    .await?;
    print(&text)?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(text: &mut String, request: &ContainerRequest, resolved: &Resolved) -> std::fmt::Result {
    let launch = &resolved.launch;
    writeln!(text, "container {}: image {}, preset {}", request.name, request.image, resolved.preset)?;
    match &launch.root {
        Root::Host => writeln!(text, "  root       the host's, read-only")?,
        Root::Tree(tree) => writeln!(text, "  root       {}", tree.display())?,
    }
    writeln!(text, "  user       {}:{} {:?}", launch.user.uid, launch.user.gid, launch.user.groups)?;
    writeln!(text, "  in         {}", launch.cwd.display())?;
    for step in &launch.init {
        writeln!(text, "  first      {}  unless there is {}", words(&step.argv_prefix), step.creates.display())?;
    }
    writeln!(text, "  runs       {}", words(&launch.argv))?;
    environment(text, request, launch)?;
    for path in &resolved.data_paths {
        writeln!(text, "  data       {}", path.display())?;
    }
    for (kind, probe) in
        [("startup", &resolved.startup), ("readiness", &resolved.readiness), ("liveness", &resolved.liveness)]
    {
        probe.iter().try_for_each(|probe| asked(text, kind, probe))?;
    }
    for stage in &resolved.stop.stages {
        let when =
            stage.before_end.map_or_else(|| "at once".to_owned(), |d| format!("{} s before the end", d.as_secs()));
        writeln!(text, "  stop       signal {} {when}", stage.signal)?;
    }
    writeln!(text, "  grace      at least {} s", resolved.stop.min_grace.as_secs())?;
    for file in &launch.files {
        writeln!(text, "  file       {} ({:04o})", file.path.display(), file.mode)?;
        file.contents.lines().try_for_each(|line| writeln!(text, "    | {line}"))?;
    }
    Ok(())
}

/// What the manifest sets is there to be read; its values may be secret and are not repeated.
fn environment(text: &mut String, request: &ContainerRequest, launch: &Launch) -> std::fmt::Result {
    for (name, value) in &launch.env.0 {
        if request.env.0.contains_key(name) {
            writeln!(text, "  env        {name}  (of the manifest)")?;
        } else {
            writeln!(text, "  env        {name}={value}")?;
        }
    }
    Ok(())
}

fn asked(text: &mut String, kind: &str, probe: &Probe) -> std::fmt::Result {
    writeln!(text, "  {kind:<10} {:?} every {} s", probe.handler, probe.period.as_secs())
}

fn words(words: &[String]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ")
}
