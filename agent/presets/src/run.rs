//! What a preset says of how it is run, for those who have no manifest.

use std::collections::BTreeMap;

use barepod_model::{RequestError, Resources};

use crate::file::PresetFile;
use crate::host::Host;
use crate::image::{self, Image};
use crate::resolve::{chosen, scope};
use crate::version::Chosen;

/// What a pod of a preset is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPlan {
    /// The preset's name.
    pub preset: String,
    /// The image, with a tag that names what is installed: a newer major version is never started on the data by itself.
    pub image: String,
    /// Arguments of the container.
    pub args: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// What is to be kept: a name, and where the image has it.
    pub volumes: Vec<(String, String)>,
    /// Variables that passwords are made for.
    pub passwords: Vec<Password>,
}

/// A password that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Password {
    /// The variable.
    pub variable: String,
    /// The image also reads it from a file that `VARIABLE_FILE` names: it is then in no environment.
    pub in_file: bool,
}

/// How a pod of this preset is made for an image that it answers to.
pub(crate) fn plan(preset: &PresetFile, written: &str, host: &dyn Host) -> Result<RunPlan, RequestError> {
    let image = image::parse(written)?;
    let chosen = chosen(preset, &image, host)?;
    let mut plan = RunPlan {
        preset: preset.name.value.clone(),
        image: pinned(preset, written, &image, chosen.as_ref(), host),
        args: Vec::new(),
        env: BTreeMap::new(),
        volumes: Vec::new(),
        passwords: Vec::new(),
    };
    let Some(run) = &preset.run else { return Ok(plan) };
    let scope = scope(&image, &Resources::default(), chosen.as_ref());
    plan.args = scope.render_all(&run.args)?;
    for (name, text) in &run.env {
        plan.env.insert(name.clone(), scope.render(text)?);
    }
    for volume in &run.volumes {
        plan.volumes.push((volume.name.value.clone(), scope.render(&volume.path)?));
    }
    let documented = preset.service.iter().filter_map(|service| service.contract.as_ref()).flat_map(|of| &of.env);
    let in_file = |name: &str| documented.clone().any(|env| env.name.value == name && env.file);
    plan.passwords = run
        .passwords
        .iter()
        .map(|name| Password { variable: name.value.clone(), in_file: in_file(&name.value) })
        .collect();
    Ok(plan)
}

/// The image with the first number of the version that is installed, where that finds the same.
fn pinned(preset: &PresetFile, written: &str, image: &Image, chosen: Option<&Chosen>, host: &dyn Host) -> String {
    let major = chosen.and_then(|chosen| chosen.installed.version.0.first());
    let (Some(major), None, None) = (major, &image.tag, &image.digest) else { return written.to_owned() };
    let tagged = format!("{written}:{major}");
    let finds_it = image::parse(&tagged).and_then(|image| self::chosen(preset, &image, host)).is_ok_and(|found| {
        let versions = [found.as_ref(), chosen].map(|one| one.map(|one| one.installed.version.to_string()));
        versions[0] == versions[1]
    });
    if finds_it { tagged } else { written.to_owned() }
}
