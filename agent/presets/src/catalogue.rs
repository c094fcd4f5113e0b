//! All presets of a host, in layers: those that are built in, and over them the administrator's.
//!
//! ```text
//!   /etc/barepod/presets/*.yaml   ──extends──▶  one of the same layer, or of the one below
//!   built in                      ──extends──▶  one of the same layer
//! ```
//!
//! An image gets the preset that names it most precisely; of two that are equally precise, that of the higher layer.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;
use std::{fs, io};

use barepod_model::{ContainerRequest, Reason, RequestError, Resolved, Resources};
use barepod_yaml::place::FieldPath;

use crate::error::{Fault, PresetError, near, refuse};
use crate::explain::Explanation;
use crate::file::PresetFile;
use crate::host::Host;
use crate::image::{self, COMMAND, Image, Pattern};
use crate::load::{MAX_BYTES, fetch_sources, load};
use crate::resolve::{HostWants, host_wants, resolve};
use crate::run::RunPlan;
use crate::service::Judge;
use crate::tree::{Origin, Tree, parse};
use crate::{inherit, run, version};

/// A preset file as it was found.
pub struct PresetSource<'a> {
    /// What errors call it.
    pub file: &'a str,
    /// Its contents.
    pub text: &'a str,
    /// A file that lies beside it, by its path relative to the directory of presets: what errors call it, and its contents.
    pub beside: &'a dyn Fn(&str) -> Option<(String, String)>,
}

/// The presets there are.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// By name; one of a higher layer has taken the place of the one below.
    presets: BTreeMap<String, Preset>,
    /// The layer that is being added, from 1.
    layer: usize,
}

#[derive(Debug)]
struct Preset {
    file: PresetFile,
    /// With its parents merged into it, for its children.
    tree: Tree,
    patterns: Vec<Pattern>,
    layer: usize,
    /// Where the presets that it replaces, or extends, lie: from near to far.
    above: Vec<String>,
}

/// A preset as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// The file that it is written in.
    pub file: String,
    /// The preset that it extends.
    pub extends: Option<String>,
    /// The images it answers to, as written.
    pub images: Vec<String>,
    /// The files of presets that it extends or takes the place of, from near to far.
    pub above: Vec<String>,
    /// Versions of its software on this host, the highest first; nothing if it has none to ask for.
    pub installed: Option<Vec<String>>,
}

macro_rules! built_in {
    ($($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../configs/presets/", $file)))),+]
    };
}

/// The presets in `configs/presets`, and what lies beside them.
const PRESETS: &[(&str, &str)] = built_in![
    "coredns.yaml",
    "etcd.yaml",
    "host.yaml",
    "kafka.yaml",
    "kube-proxy.yaml",
    "loki.yaml",
    "minio.yaml",
    "mongodb.yaml",
    "postgresql.yaml",
    "prometheus.yaml",
    "redis.yaml",
    "valkey.yaml",
    "weaviate.yaml",
];
const PARTS: &[(&str, &str)] = built_in![
    "kafka/server.properties",
    "postgresql/init.sh",
    "postgresql/postgresql.conf",
    "postgresql/probe.sh",
    "redis/probe.sh",
];

/// How the file of a built-in preset is called.
const BUILT_IN: &str = "built-in ";

impl Catalogue {
    /// The presets that come with barepod.
    ///
    /// # Errors
    /// The first fault in them, which their tests would have found.
    pub fn built_in() -> Result<Self, PresetError> {
        let part = |name: &str| PARTS.iter().find(|(file, _)| *file == name);
        let beside = |name: &str| part(name).map(|(file, text)| (format!("{BUILT_IN}{file}"), (*text).to_owned()));
        let files: Vec<_> = PRESETS.iter().map(|(file, text)| (format!("{BUILT_IN}{file}"), *text)).collect();
        let sources: Vec<_> = files.iter().map(|(file, text)| PresetSource { file, text, beside: &beside }).collect();
        let mut catalogue = Self::default();
        let faults = catalogue.add_layer(&sources);
        faults.into_iter().next().map_or(Ok(catalogue), Err)
    }

    /// Adds a layer of one preset.
    ///
    /// # Errors
    /// What is wrong with the file, with lines and columns. The catalogue is then as it was.
    pub fn add(&mut self, source: &PresetSource<'_>) -> Result<(), Vec<PresetError>> {
        let faults = self.add_layer(std::slice::from_ref(source));
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Adds presets that may extend each other and those that are here, and take the place of those that are here. What
    /// is wrong with one is no reason to leave out the others.
    #[must_use = "a preset that was refused is missing"]
    pub fn add_layer(&mut self, sources: &[PresetSource<'_>]) -> Vec<PresetError> {
        self.layer += 1;
        let mut layer = Layer { below: &self.presets, drafts: BTreeMap::new(), faults: Vec::new() };
        sources.iter().for_each(|source| layer.read(source));
        let names: Vec<String> = layer.drafts.keys().cloned().collect();
        let number = self.layer;
        let added: Vec<Preset> = names.iter().filter_map(|name| layer.make(name, number)).collect();
        let mut faults = layer.faults;
        let mut added = without_rivals(added, &mut faults);
        let mut errors: Vec<PresetError> = Vec::new();
        for fault in faults {
            let error = match fault {
                Found::Fault(fault) => fault.into(),
                Found::Error(error) => error,
            };
            // A fault of a parent is seen again by each of its children.
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        self.presets.extend(added.drain(..).map(|preset| (preset.file.name.value.clone(), preset)));
        errors
    }

    /// Adds the presets of a directory, `*.yaml`; a directory that is not there holds none.
    #[must_use = "a preset that was refused is missing"]
    pub fn add_dir(&mut self, dir: &Path) -> Vec<PresetError> {
        let mut paths = match fs::read_dir(dir) {
            Ok(entries) => entries.flatten().map(|e| e.path()).collect::<Vec<_>>(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return vec![unreadable(dir, &e)],
        };
        paths.retain(|file| file.extension().is_some_and(|e| e == "yaml"));
        paths.sort();
        let (mut files, mut errors) = (Vec::new(), Vec::new());
        for path in paths {
            match fs::read_to_string(&path) {
                Ok(text) => files.push((path.display().to_string(), text)),
                Err(e) => errors.push(unreadable(&path, &e)),
            }
        }
        let beside = |name: &str| {
            let path = inside(name).then(|| dir.join(name))?;
            Some((path.display().to_string(), fs::read_to_string(&path).ok()?))
        };
        let sources: Vec<_> = files.iter().map(|(file, text)| PresetSource { file, text, beside: &beside }).collect();
        errors.extend(self.add_layer(&sources));
        errors
    }

    /// The names of the presets, in order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.presets.keys().map(String::as_str).collect()
    }

    /// The images that each answers to, as written, in order of the presets' names.
    pub fn images(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        self.presets.values().map(|preset| (preset.file.name.value.as_str(), preset.images()))
    }

    /// The presets, in order of their names.
    #[must_use]
    pub fn list(&self, host: &dyn Host) -> Vec<Listed> {
        self.presets.values().map(|preset| preset.listed(host)).collect()
    }

    /// A preset with all that it inherits, as YAML; each line says which file it comes from, if asked for.
    #[must_use]
    pub fn show(&self, name: &str, origins: bool) -> Option<String> {
        self.presets.get(name).map(|preset| crate::print::yaml(&preset.tree, origins))
    }

    /// What stands in for the image of a container.
    ///
    /// # Errors
    /// `InvalidImageName`, `ImagePullBackOff` (no preset answers), `VersionNotInstalled`, `UnknownUser`,
    /// `InvalidConfiguration` (the contract of the image is not met), `MissingField` (no program), `HostCheckFailed`,
    /// `InvalidPreset`.
    pub fn resolve(&self, request: &ContainerRequest, host: &dyn Host) -> Result<Resolved, RequestError> {
        let image = image::parse(&request.image)?;
        let preset = self.answering(&image)?;
        resolve(&preset.file, &image, request, host, Judge::Refuse).map(|(resolved, _)| resolved)
    }

    /// What a preset computes for a container, and why.
    ///
    /// # Errors
    /// As [`Catalogue::resolve`].
    pub fn explain(&self, request: &ContainerRequest, host: &dyn Host) -> Result<Explanation, RequestError> {
        self.explained(request, host, Judge::Refuse)
    }

    /// The same for a request that need not keep the contract of the image: what is missing is a warning.
    ///
    /// # Errors
    /// As [`Catalogue::resolve`], but for `InvalidConfiguration`.
    pub fn explain_alone(&self, request: &ContainerRequest, host: &dyn Host) -> Result<Explanation, RequestError> {
        self.explained(request, host, Judge::Note)
    }

    fn explained(
        &self,
        request: &ContainerRequest,
        host: &dyn Host,
        judge: Judge,
    ) -> Result<Explanation, RequestError> {
        let image = image::parse(&request.image)?;
        let preset = self.answering(&image)?;
        let (resolved, settings) = resolve(&preset.file, &image, request, host, judge)?;
        let (file, above) = (preset.file.name.spot.origin.file.clone(), preset.above.clone());
        let contract = preset.file.service.as_ref().and_then(|service| service.contract.as_ref());
        let documented = contract.map(|contract| contract.source.clone());
        let paths = contract.iter().flat_map(|c| &c.files).map(|f| (f.path.0.clone(), f.about.clone())).collect();
        Ok(Explanation { file, above, documented, paths, resolved, settings })
    }

    /// What the preset of an image wants of the host for a container with these limits, whether the host is so or not.
    ///
    /// # Errors
    /// `InvalidImageName`, `ImagePullBackOff`, `VersionNotInstalled`, `InvalidPreset`.
    pub fn host_wants(&self, image: &str, resources: &Resources, host: &dyn Host) -> Result<HostWants, RequestError> {
        let image = image::parse(image)?;
        host_wants(&self.answering(&image)?.file, &image, resources, host)
    }

    /// What a pod is made of that runs a preset, or an image, by nothing but its name.
    ///
    /// # Errors
    /// `InvalidImageName`, `ImagePullBackOff`, `VersionNotInstalled`, `InvalidPreset`.
    pub fn run_plan(&self, name: &str, host: &dyn Host) -> Result<RunPlan, RequestError> {
        let written = self.image_of(name).unwrap_or_else(|| name.to_owned());
        let image = image::parse(&written)?;
        run::plan(&self.answering(&image)?.file, &written, host)
    }

    /// An image that a preset of this name answers to, without a tag.
    #[must_use]
    pub fn image_of(&self, name: &str) -> Option<String> {
        let preset = self.presets.get(name)?;
        let plain = preset.file.images.iter().find(|text| !text.value.contains('*'));
        Some(plain.map_or_else(|| format!("{COMMAND}:{name}"), |text| text.value.clone()))
    }

    fn answering(&self, image: &Image) -> Result<&Preset, RequestError> {
        let fits =
            |preset: &&Preset| preset.patterns.iter().filter_map(|p| p.fits(image)).max().map(|p| (p, preset.layer));
        let best =
            self.presets.values().filter_map(|preset| Some((fits(&preset)?, preset))).max_by_key(|(fits, _)| *fits);
        best.map(|(_, preset)| preset).ok_or_else(|| self.nobody(image))
    }

    fn nobody(&self, image: &Image) -> RequestError {
        let message = format!("no preset answers to the image {:?}", image.name);
        let images = self.presets.values().flat_map(|p| &p.file.images).map(|i| i.value.as_str());
        let presets = format!("presets here: {}", self.names().join(", "));
        let hint = match near(&image.name, images) {
            Some(near) => format!("did you mean {near:?}? {presets}"),
            None => format!("{presets}; or put one of your own into /etc/barepod/presets"),
        };
        refuse(Reason::ImagePullBackOff, "image", message, hint)
    }
}

impl Preset {
    /// Its file, and those above it.
    fn files(&self) -> Vec<String> {
        let own = self.file.name.spot.origin.file.clone();
        std::iter::once(own).chain(self.above.iter().cloned()).collect()
    }

    fn images(&self) -> Vec<String> {
        let images: Vec<String> = self.file.images.iter().map(|text| text.value.clone()).collect();
        if images.is_empty() { vec![format!("{COMMAND}:{}", self.file.name.value)] } else { images }
    }

    fn listed(&self, host: &dyn Host) -> Listed {
        let installed = self.file.versions.as_ref().map(|versions| version::all(versions, host));
        let names = |all: Vec<version::Installed>| all.iter().map(|one| one.version.to_string()).collect();
        let name = &self.file.name.value;
        Listed {
            name: name.clone(),
            title: self.file.title().to_owned(),
            file: self.file.name.spot.origin.file.clone(),
            extends: self.file.extends.as_ref().map(|text| text.value.clone()),
            images: self.images(),
            above: self.above.clone(),
            installed: installed.map(names),
        }
    }
}

enum Found {
    Fault(Fault),
    Error(PresetError),
}

/// Presets that are being read.
struct Layer<'a> {
    below: &'a BTreeMap<String, Preset>,
    drafts: BTreeMap<String, Tree>,
    faults: Vec<Found>,
}

impl Layer<'_> {
    fn read(&mut self, source: &PresetSource<'_>) {
        if source.text.len() > MAX_BYTES {
            let message = format!("it is {} bytes long; a preset has at most {MAX_BYTES}", source.text.len());
            let error = PresetError::of_file(source.file, message, "put large files beside it");
            return self.faults.push(Found::Error(error));
        }
        let origin = Arc::new(Origin { file: source.file.to_owned(), text: source.text.to_owned() });
        match parse(&origin) {
            Ok(tree) => self.draft(tree, source),
            Err(fault) => self.faults.push(Found::Fault(fault)),
        }
    }

    fn draft(&mut self, mut tree: Tree, source: &PresetSource<'_>) {
        let mut faults = Vec::new();
        fetch_sources(&mut tree, source.beside, &mut faults);
        let Some(name) = tree.get("name").and_then(Tree::text).map(str::to_owned) else {
            // Without a name it can only be found out what else is wrong with it.
            load(&tree, &mut faults);
            return self.faults.extend(faults.into_iter().map(Found::Fault));
        };
        let path = FieldPath::default().key("name");
        if let Some(other) = self.drafts.get(&name) {
            let message = format!("there is another preset {name:?} beside it, in {}", other.spot.origin.file);
            let spot = tree.get("name").map_or(&tree.spot, |name| &name.spot);
            faults.push(Fault::new(spot, &path, message).hint("give it another name, or move one of the two away"));
        } else if faults.is_empty() {
            self.drafts.insert(name, tree);
        }
        self.faults.extend(faults.into_iter().map(Found::Fault));
    }

    fn make(&mut self, name: &str, layer: usize) -> Option<Preset> {
        let mut faults = Vec::new();
        let whole = self.whole(name, &mut Vec::new(), &mut faults);
        let preset = whole.and_then(|(tree, above)| {
            let file = load(&tree, &mut faults)?;
            // Checked by `load`.
            let mut patterns: Vec<Pattern> =
                file.images.iter().filter_map(|text| Pattern::parse(&text.value).ok()).collect();
            if patterns.is_empty() {
                patterns.extend(Pattern::parse(&format!("{COMMAND}:{name}")));
            }
            Some(Preset { file, tree, patterns, layer, above })
        });
        self.faults.extend(faults.into_iter().map(Found::Fault));
        preset
    }

    /// A preset with its parents merged into it, and their files. `children` are those on the way to it.
    fn whole(&self, name: &str, children: &mut Vec<String>, faults: &mut Vec<Fault>) -> Option<(Tree, Vec<String>)> {
        let tree = self.drafts.get(name)?.clone();
        let Some(extends) = tree.get("extends") else {
            return Some((tree, self.below.get(name).map(Preset::files).unwrap_or_default()));
        };
        let path = FieldPath::default().key("extends");
        let Some(parent) = extends.text() else {
            faults.push(Fault::new(&extends.spot, &path, "this is not the name of a preset").hint("write one name"));
            return None;
        };
        children.push(name.to_owned());
        let (parent_tree, above) = match self.below.get(parent) {
            _ if parent != name && self.drafts.contains_key(parent) => {
                if children.iter().any(|child| child == parent) {
                    let message = format!("it extends itself: {} -> {parent}", children.join(" -> "));
                    faults.push(Fault::new(&extends.spot, &path, message).hint("take one of these out of the circle"));
                    return None;
                }
                let (tree, above) = self.whole(parent, children, faults)?;
                let own = tree.get("name").unwrap_or(&tree).spot.origin.file.clone();
                (tree, [vec![own], above].concat())
            }
            Some(below) => (below.tree.clone(), below.files()),
            None => {
                faults.push(self.no_parent(parent, name, extends, &path));
                return None;
            }
        };
        Some((inherit::merge(&parent_tree, tree, faults), above))
    }

    fn no_parent(&self, parent: &str, name: &str, extends: &Tree, path: &FieldPath) -> Fault {
        let names = || self.drafts.keys().chain(self.below.keys()).map(String::as_str).filter(|n| *n != name);
        let hint = match near(parent, names()).filter(|_| parent != name) {
            None if parent == name => "it would change a built-in preset of its own name, and there is none".to_owned(),
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        Fault::new(&extends.spot, path, format!("there is no preset {parent:?} to extend")).hint(hint)
    }
}

/// Two presets of one layer that name the same image: nobody could tell which is meant, so the second is left out.
fn without_rivals(added: Vec<Preset>, faults: &mut Vec<Found>) -> Vec<Preset> {
    let mut kept: Vec<Preset> = Vec::new();
    for preset in added {
        let mut rival = None;
        for (pattern, text) in preset.patterns.iter().zip(&preset.file.images) {
            rival = rival.or(kept.iter().find(|other| other.patterns.contains(pattern)).map(|other| (other, text)));
        }
        match rival {
            None => kept.push(preset),
            Some((other, text)) => {
                let message = format!("the preset {} answers to {text} already", other.file.name);
                faults.push(Found::Fault(text.fault(message).hint("take the image out of one of the two")));
            }
        }
    }
    kept
}

/// Whether a path stays in the directory it is relative to.
fn inside(name: &str) -> bool {
    Path::new(name).components().all(|c| matches!(c, Component::Normal(_)))
}

fn unreadable(path: &Path, error: &io::Error) -> PresetError {
    let message = format!("it cannot be read: {error}");
    PresetError::of_file(&path.display().to_string(), message, "look at its owner, mode and encoding")
}
