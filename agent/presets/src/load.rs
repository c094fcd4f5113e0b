//! A preset file, read and checked: what can be wrong with it is found before anybody needs it.

use barepod_model::ContainerName;
use serde_saphyr::{Location, Options, Spanned};

use crate::error::{Fault, PresetError};
use crate::file::{PresetFile, ServiceFile, Text, VersionsFile};
use crate::image;
use crate::template::{check_expression, check_template};

/// The largest preset file, in bytes.
const MAX_BYTES: usize = 256 << 10;

/// Reads a preset. `beside` gives the contents of a file that lies beside it.
pub(crate) fn load(file: &str, text: &str, beside: &dyn Fn(&str) -> Option<String>) -> Result<PresetFile, PresetError> {
    if text.len() > MAX_BYTES {
        let message = format!("it is {} bytes long; a preset has at most {MAX_BYTES}", text.len());
        return Err(Fault::new(Location::UNKNOWN, message).in_file(file));
    }
    let mut preset = parse(text).map_err(|fault| fault.in_file(file))?;
    fetch_sources(&mut preset, beside).and_then(|()| check(&preset)).map_err(|fault| fault.in_file(file))?;
    Ok(preset)
}

fn parse(text: &str) -> Result<PresetFile, Fault> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    parse_with(text, options).map_err(|error| {
        let at = error.location().unwrap_or(Location::UNKNOWN);
        let message = error.without_snippet().to_string();
        Fault::new(at, one_line(&message)).hint("compare with the presets in configs/presets")
    })
}

fn parse_with(text: &str, options: Options) -> Result<PresetFile, serde_saphyr::Error> {
    serde_saphyr::from_str_with_options(text, options)
}

/// An error's first line, without the place, which is told apart from it.
fn one_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.split(" at line ").next().unwrap_or(line).trim_start_matches("error: ").to_owned()
}

/// Puts the contents of files beside the preset where their names are.
fn fetch_sources(preset: &mut PresetFile, beside: &dyn Fn(&str) -> Option<String>) -> Result<(), Fault> {
    for file in preset.service.iter_mut().flat_map(|s| &mut s.files) {
        match (&file.source, &file.contents) {
            (None, Some(_)) => {}
            (Some(source), None) => {
                let Some(contents) = beside(&source.value) else {
                    let message = format!("there is no file {:?} beside this preset", source.value);
                    return Err(Fault::new(source.referenced, message).hint("put it there or correct its name"));
                };
                file.contents = Some(Spanned::new(contents, source.referenced, source.defined));
            }
            (Some(source), Some(_)) => return Err(Fault::new(source.referenced, "give source or contents, not both")),
            (None, None) => {
                let message = format!("the file {} has neither source nor contents", file.path.0.display());
                return Err(Fault::new(preset.preset.referenced, message).hint("give it one of the two"));
            }
        }
    }
    Ok(())
}

fn check(preset: &PresetFile) -> Result<(), Fault> {
    if ContainerName::new(preset.preset.value.as_str()).is_err() {
        let message = format!("{:?} cannot name a preset", preset.preset.value);
        return Err(Fault::new(preset.preset.referenced, message).hint("use lower case letters, digits and '-'"));
    }
    if preset.images.is_empty() {
        return Err(Fault::new(preset.preset.referenced, "it answers to no image").hint("list names below images"));
    }
    preset.images.iter().try_for_each(image_name)?;
    preset.env.values().try_for_each(check_template)?;
    preset.versions.iter().try_for_each(versions)?;
    preset.service.iter().try_for_each(|s| service(s, &preset.preset))
}

fn image_name(text: &Text) -> Result<(), Fault> {
    match image::parse(&text.value) {
        Ok(image) if image.tag.is_none() && image.digest.is_none() => Ok(()),
        Ok(_) => {
            Err(Fault::new(text.referenced, format!("{:?} has a tag", text.value))
                .hint("a preset answers to every tag"))
        }
        Err(e) => Err(Fault::new(text.referenced, e.message).hint(e.hint.unwrap_or_default())),
    }
}

fn versions(versions: &VersionsFile) -> Result<(), Fault> {
    for place in &versions.places {
        let dir = &place.dir;
        if !dir.value.starts_with('/') || dir.value.matches("{version}").count() > 1 {
            let message = format!("{:?} is not a place for software", dir.value);
            return Err(
                Fault::new(dir.referenced, message).hint("write an absolute path with {version} in it once at most")
            );
        }
    }
    versions.read.iter().chain(versions.install.iter().map(|i| &i.command)).try_for_each(check_template)
}

fn service(service: &ServiceFile, name: &Text) -> Result<(), Fault> {
    if service.argv.is_empty() || service.stop.stages.is_empty() {
        let message = "a service has a program in argv and a signal in stop.stages";
        return Err(Fault::new(name.referenced, message).hint("add what is missing"));
    }
    templates(service).try_for_each(check_template)?;
    expressions(service).try_for_each(check_expression)
}

fn templates(service: &ServiceFile) -> impl Iterator<Item = &Text> {
    let said = service.checks.iter().chain(&service.warnings).flat_map(|c| [&c.message, &c.hint]);
    let init = service.init.iter().flat_map(|i| i.argv_prefix.iter().chain([&i.creates]));
    let files = service.files.iter().filter(|f| !f.raw).filter_map(|f| f.contents.as_ref());
    let probes = [&service.probes.startup, &service.probes.readiness, &service.probes.liveness];
    service
        .argv
        .iter()
        .chain(&service.cwd)
        .chain(&service.data_paths)
        .chain(&service.shm_bytes)
        .chain(service.owned_dirs.iter().map(|d| &d.path))
        .chain(service.tuning.iter().map(|t| &t.value))
        .chain(probes.into_iter().flatten().flat_map(|p| &p.command))
        .chain(said)
        .chain(init)
        .chain(files)
}

fn expressions(service: &ServiceFile) -> impl Iterator<Item = &Text> {
    let conditions = service.checks.iter().chain(&service.warnings).map(|c| &c.when);
    conditions.chain(service.vars.iter().map(|v| &v.value)).chain(service.tuning.iter().map(|t| &t.when))
}
