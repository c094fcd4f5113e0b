//! All presets of a host: those that are built in, and the administrator's, which take their place.

use std::path::{Component, Path};
use std::{fs, io};

use barepod_model::{ContainerRequest, Reason, RequestError, Resolved};
use serde_saphyr::Location;

use crate::error::{Fault, PresetError, refuse};
use crate::file::PresetFile;
use crate::host::Host;
use crate::image::{self, Image};
use crate::load::load;
use crate::resolve::resolve;

/// A preset file as it was found.
pub struct PresetSource<'a> {
    /// What errors call it.
    pub file: &'a str,
    /// Its contents.
    pub text: &'a str,
    /// Contents of a file that lies beside it, by its path relative to the directory of presets.
    pub beside: &'a dyn Fn(&str) -> Option<String>,
}

/// The presets there are. A later preset takes the place of an earlier one of the same name.
#[derive(Debug, Default)]
pub struct Catalogue {
    presets: Vec<PresetFile>,
}

macro_rules! built_in {
    ($($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../configs/presets/", $file)))),+]
    };
}

/// The presets in `configs/presets`, and what lies beside them.
const PRESETS: &[(&str, &str)] = built_in!["host.yaml", "postgresql.yaml"];
const PARTS: &[(&str, &str)] = built_in!["postgresql/init.sh", "postgresql/postgresql.conf", "postgresql/probe.sh"];

impl Catalogue {
    /// The presets that come with barepod.
    ///
    /// # Errors
    /// A fault in one of them, which its tests would have found.
    pub fn built_in() -> Result<Self, PresetError> {
        let beside = |name: &str| PARTS.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned());
        let mut catalogue = Self::default();
        for (file, text) in PRESETS {
            catalogue.add(&PresetSource { file, text, beside: &beside })?;
        }
        Ok(catalogue)
    }

    /// Adds a preset; one of the same name gives way to it.
    ///
    /// # Errors
    /// What is wrong with the file, with its line and column. The catalogue is then as it was.
    pub fn add(&mut self, source: &PresetSource<'_>) -> Result<(), PresetError> {
        let preset = load(source.file, source.text, source.beside)?;
        self.presets.retain(|p| p.preset.value != preset.preset.value);
        self.presets.push(preset);
        Ok(())
    }

    /// Adds the presets of a directory, `*.yaml` in the order of their names; a directory that is not there holds none.
    /// What is wrong with one is no reason to leave out the others.
    #[must_use = "a preset that was refused is missing"]
    pub fn add_dir(&mut self, dir: &Path) -> Vec<PresetError> {
        let mut files = match fs::read_dir(dir) {
            Ok(entries) => entries.flatten().map(|e| e.path()).collect::<Vec<_>>(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return vec![unreadable(dir, &e)],
        };
        files.retain(|file| file.extension().is_some_and(|e| e == "yaml"));
        files.sort();
        files.iter().filter_map(|file| self.add_file(dir, file).err()).collect()
    }

    fn add_file(&mut self, dir: &Path, file: &Path) -> Result<(), PresetError> {
        let text = fs::read_to_string(file).map_err(|e| unreadable(file, &e))?;
        let beside = |name: &str| inside(name).then(|| fs::read_to_string(dir.join(name)).ok()).flatten();
        self.add(&PresetSource { file: &file.display().to_string(), text: &text, beside: &beside })
    }

    /// The names of the presets, in order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.presets.iter().map(|p| p.preset.value.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// What stands in for the image of a container.
    ///
    /// # Errors
    /// `InvalidImageName`, `ImagePullBackOff` (no preset answers), `VersionNotInstalled`, `UnknownUser`,
    /// `InvalidConfiguration` (the contract of the image is not met), `MissingField` (no program), `InvalidPreset`.
    pub fn resolve(&self, request: &ContainerRequest, host: &dyn Host) -> Result<Resolved, RequestError> {
        let image = image::parse(&request.image)?;
        match self.presets.iter().rev().find(|p| p.images.iter().any(|i| i.value == image.name)) {
            Some(preset) => resolve(preset, &image, request, host),
            None => Err(self.nobody(&image)),
        }
    }

    fn nobody(&self, image: &Image) -> RequestError {
        let message = format!("no preset answers to the image {:?}", image.name);
        let images = self.presets.iter().flat_map(|p| &p.images).map(|i| i.value.as_str());
        let near = images.map(|i| (strsim::osa_distance(&image.name, i), i)).min();
        let presets = format!("presets here: {}", self.names().join(", "));
        let hint = match near.filter(|(distance, i)| *distance <= 1 + i.len() / 4) {
            Some((_, near)) => format!("did you mean {near:?}? {presets}"),
            None => format!("{presets}; or put one of your own into /etc/barepod/presets"),
        };
        refuse(Reason::ImagePullBackOff, "image", message, hint)
    }
}

/// Whether a path stays in the directory it is relative to.
fn inside(name: &str) -> bool {
    Path::new(name).components().all(|c| matches!(c, Component::Normal(_)))
}

fn unreadable(path: &Path, error: &io::Error) -> PresetError {
    Fault::new(Location::UNKNOWN, format!("it cannot be read: {error}"))
        .hint("look at its owner, mode and encoding")
        .in_file(&path.display().to_string())
}
