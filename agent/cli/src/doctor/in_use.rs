//! Which presets pods use, and what these want of the host.

use std::path::{Path, PathBuf};

use barepod_model::Resources;
use barepod_presets::{Account, Catalogue, Host, LocalHost};
use serde_json::Value;

use super::facts::InUse;

/// Something that a container asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) image: String,
    /// Limits alone.
    pub(crate) resources: Resources,
    /// `default/db`; empty where nobody runs it yet.
    pub(crate) pod: String,
}

impl Asked {
    /// All containers of a Kubernetes object: a Pod, or something with a template of one. What cannot be read is left out:
    /// whoever applies it is told.
    pub(crate) fn of_object(object: &Value) -> Vec<Self> {
        let text = |value: &Value, default: &str| value.as_str().unwrap_or(default).to_owned();
        let namespace = text(&object["metadata"]["namespace"], "default");
        let pod = format!("{namespace}/{}", text(&object["metadata"]["name"], "?"));
        let template = &object["spec"]["template"]["spec"];
        let spec = if template.is_object() { template } else { &object["spec"] };
        let containers =
            ["initContainers", "containers"].into_iter().filter_map(|list| spec[list].as_array()).flatten();
        let asked = |container: &Value| {
            let limit = |name: &str| container["resources"]["limits"][name].clone();
            let resources = Resources {
                memory_limit: quantity(&limit("memory")),
                cpu_limit: quantity(&limit("cpu")),
                ..Resources::default()
            };
            Some(Self { image: container["image"].as_str()?.to_owned(), resources, pod: pod.clone() })
        };
        containers.filter_map(asked).collect()
    }

    /// All containers of a manifest file.
    pub(crate) fn of_file(text: &str) -> Vec<Self> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_default();
        objects.iter().flat_map(Self::of_object).collect()
    }
}

fn quantity<T: std::str::FromStr>(value: &Value) -> Option<T> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// What is wanted, each image with its limits once.
pub(crate) fn wants(catalogue: &Catalogue, asked: Vec<Asked>, host: &dyn Host) -> Vec<InUse> {
    let mut kinds: Vec<(Asked, Vec<String>)> = Vec::new();
    for one in asked {
        let known = kinds.iter_mut().find(|(kind, _)| (&kind.image, &kind.resources) == (&one.image, &one.resources));
        match known {
            Some((_, pods)) if pods.contains(&one.pod) => {}
            Some((_, pods)) => pods.push(one.pod),
            None => {
                let pods = Some(one.pod.clone()).filter(|pod| !pod.is_empty()).into_iter().collect();
                kinds.push((one, pods));
            }
        }
    }
    let of = |(kind, pods): (Asked, Vec<String>)| {
        let wants = catalogue.host_wants(&kind.image, &kind.resources, host);
        InUse { image: kind.image, pods, wants }
    };
    kinds.into_iter().map(of).collect()
}

/// The host below a directory, with the limits of the daemon in the place of one's own: pods inherit them.
pub(crate) struct HostBelow {
    pub(crate) root: PathBuf,
    pub(crate) daemon: Option<u32>,
}

impl HostBelow {
    fn path(&self, path: &Path) -> PathBuf {
        let own_limits = Path::new("/proc/self/limits");
        let path = match self.daemon {
            Some(pid) if path == own_limits => PathBuf::from(format!("/proc/{pid}/limits")),
            Some(_) | None => path.to_owned(),
        };
        self.root.join(path.strip_prefix("/").unwrap_or(&path))
    }
}

impl Host for HostBelow {
    fn exists(&self, path: &Path) -> bool {
        LocalHost.exists(&self.path(path))
    }

    fn list_dir(&self, path: &Path) -> Vec<String> {
        LocalHost.list_dir(&self.path(path))
    }

    fn read(&self, path: &Path) -> Option<String> {
        LocalHost.read(&self.path(path))
    }

    fn read_inside(&self, tree: &Path, path: &Path) -> Option<String> {
        LocalHost.read_inside(&self.path(tree), path)
    }

    fn run_version(&self, argv: &[String]) -> Result<String, String> {
        let mut argv = argv.to_vec();
        // Others are found by the PATH, and are no software of the preset.
        if let Some(program) = argv.first_mut().filter(|program| program.starts_with('/')) {
            *program = self.path(Path::new(program)).display().to_string();
        }
        LocalHost.run_version(&argv)
    }

    fn account(&self, name: &str) -> Option<Account> {
        LocalHost.account(name)
    }

    fn account_of(&self, uid: u32) -> Option<Account> {
        LocalHost.account_of(uid)
    }

    fn group(&self, name: &str) -> Option<u32> {
        LocalHost.group(name)
    }

    fn clock_synchronised(&self) -> Option<bool> {
        LocalHost.clock_synchronised()
    }
}
