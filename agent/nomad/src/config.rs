//! What a job says in a task's `config`.
//!
//! A task is one of: a pod made of `image` (a preset's, or `host` for a program of the host) and `command`; a pod whose manifest
//! is given, as text or as a file of the task's directory; a pod that runs here already and is adopted.

use serde::Deserialize;

use crate::cty::{self, Malformed};
use crate::schema::{attr, object};
use crate::wire::hclspec::Spec;

/// What the task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// One container.
    Container(Container),
    /// A pod by its manifest.
    Pod(Manifest),
    /// A pod that somebody else has made.
    Adopted {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// A container by its image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) work_dir: Option<String>,
    /// Who starts it again: the job's `restart`, or barepod at once.
    pub(crate) restart: RestartPolicy,
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Manifest {
    /// Its text.
    Text(String),
    /// A file, by its path in the task's directory.
    File(String),
}

/// A pod's `restartPolicy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    #[default]
    Never,
    OnFailure,
    Always,
}

impl RestartPolicy {
    /// As a manifest has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Never => "Never",
            Self::OnFailure => "OnFailure",
            Self::Always => "Always",
        }
    }
}

/// What becomes of the pod when Nomad stops the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnStop {
    /// It is ended, in its own way.
    Stop,
    /// It runs on, and the next task of its place takes it over.
    Detach,
}

/// A task's `config`, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) what: What,
    pub(crate) on_stop: OnStop,
    /// Labels of ports of the group that the pod has for itself.
    pub(crate) ports: Vec<String>,
    /// `HOST:INSIDE[:ro]`.
    pub(crate) volumes: Vec<String>,
    /// Whether the allocation's directories are in the pod.
    pub(crate) alloc_dirs: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Written {
    image: Option<String>,
    command: Option<String>,
    args: Option<Vec<String>>,
    work_dir: Option<String>,
    restart: Option<String>,
    pod: Option<String>,
    pod_file: Option<String>,
    adopt: Option<String>,
    on_stop: Option<String>,
    ports: Option<Vec<String>>,
    volumes: Option<Vec<String>>,
    alloc_dirs: Option<bool>,
}

/// What is wrong with a `config`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("config.{key} is {value:?}: use one of {words}")]
    Word { key: &'static str, value: String, words: &'static str },
    #[error("config has {0}: give exactly one of image (or command), pod, pod_file, adopt")]
    NotOne(String),
    #[error("config.{key} is for a task of an image or a command, and this one has {of}: say it in the pod's manifest")]
    Misplaced { key: &'static str, of: &'static str },
    #[error("config.adopt is {0:?}: write NAMESPACE/NAME of a pod that runs here, as `barepod get pods -A` shows it")]
    Adopt(String),
}

impl Config {
    pub(crate) fn schema() -> Spec {
        object([
            attr("image", "string"),
            attr("command", "string"),
            attr("args", "list(string)"),
            attr("work_dir", "string"),
            attr("restart", "string"),
            attr("pod", "string"),
            attr("pod_file", "string"),
            attr("adopt", "string"),
            attr("on_stop", "string"),
            attr("ports", "list(string)"),
            attr("volumes", "list(string)"),
            attr("alloc_dirs", "bool"),
        ])
    }

    /// # Errors
    /// What is wrong with it, for who wrote the job.
    pub(crate) fn decode(value: &[u8]) -> Result<Self, ConfigError> {
        cty::decode::<Written>(value)?.understood()
    }
}

impl Written {
    fn understood(self) -> Result<Config, ConfigError> {
        let what = self.what()?;
        let on_stop = match (self.on_stop.as_deref(), &what) {
            (Some("stop"), _) | (None, What::Container(_) | What::Pod(_)) => OnStop::Stop,
            (Some("detach"), _) | (None, What::Adopted { .. }) => OnStop::Detach,
            (Some(other), _) => return Err(word("on_stop", other, "stop, detach")),
        };
        Ok(Config {
            // What outlives its allocation has no directories of it.
            alloc_dirs: self.alloc_dirs.unwrap_or(on_stop == OnStop::Stop),
            what,
            on_stop,
            ports: self.ports.unwrap_or_default(),
            volumes: self.volumes.unwrap_or_default(),
        })
    }

    fn what(&self) -> Result<What, ConfigError> {
        let container = self.image.as_ref().or(self.command.as_ref());
        let given: Vec<_> = [
            ("an image or a command", container),
            ("pod", self.pod.as_ref()),
            ("pod_file", self.pod_file.as_ref()),
            ("adopt", self.adopt.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        let [(of, value)] = given[..] else {
            let names: Vec<_> = given.iter().map(|(name, _)| *name).collect();
            let names = if names.is_empty() { "nothing to run".to_owned() } else { names.join(" and ") };
            return Err(ConfigError::NotOne(names));
        };
        let misplaced =
            [("args", self.args.is_some()), ("work_dir", self.work_dir.is_some()), ("restart", self.restart.is_some())];
        match (of, misplaced.into_iter().find(|(_, given)| *given)) {
            ("pod" | "pod_file" | "adopt", Some((key, _))) => Err(ConfigError::Misplaced { key, of }),
            ("pod", None) => Ok(What::Pod(Manifest::Text(value.clone()))),
            ("pod_file", None) => Ok(What::Pod(Manifest::File(value.clone()))),
            ("adopt", None) => match value.split_once('/') {
                Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                    Ok(What::Adopted { namespace: namespace.to_owned(), name: name.to_owned() })
                }
                Some(_) | None => Err(ConfigError::Adopt(value.clone())),
            },
            (_, _) => self.container().map(What::Container),
        }
    }

    fn container(&self) -> Result<Container, ConfigError> {
        let restart = match self.restart.as_deref() {
            None | Some("never") => RestartPolicy::Never,
            Some("on-failure") => RestartPolicy::OnFailure,
            Some("always") => RestartPolicy::Always,
            Some(other) => return Err(word("restart", other, "never, on-failure, always")),
        };
        Ok(Container {
            image: self.image.clone().unwrap_or_else(|| "host".to_owned()),
            command: self.command.iter().cloned().collect(),
            args: self.args.clone().unwrap_or_default(),
            work_dir: self.work_dir.clone(),
            restart,
        })
    }
}

fn word(key: &'static str, value: &str, words: &'static str) -> ConfigError {
    ConfigError::Word { key, value: value.to_owned(), words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(written: Written) -> Result<Config, String> {
        written.understood().map_err(|error| error.to_string())
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_command_alone_is_a_program_of_the_host() {
        let config = understood(Written { command: text("/bin/sleep"), ..Written::default() }).unwrap();
        let What::Container(container) = &config.what else { panic!("{config:?}") };
        assert_eq!((container.image.as_str(), config.on_stop), ("host", OnStop::Stop));
    }

    #[test]
    fn an_adopted_pod_is_left_alone_unless_the_job_says_otherwise() {
        let adopt = || Written { adopt: text("default/pg"), ..Written::default() };
        let config = understood(adopt()).unwrap();
        assert_eq!((config.on_stop, config.alloc_dirs), (OnStop::Detach, false));
        assert_eq!(understood(Written { on_stop: text("stop"), ..adopt() }).unwrap().on_stop, OnStop::Stop);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_likely_fix() {
        let wrong = |written| understood(written).unwrap_err();
        assert!(wrong(Written::default()).contains("nothing to run"));
        assert!(wrong(Written { image: text("a"), adopt: text("b/c"), ..Written::default() }).contains("exactly one"));
        assert!(wrong(Written { adopt: text("pg"), ..Written::default() }).contains("NAMESPACE/NAME"));
        let restart = Written { image: text("a"), restart: text("often"), ..Written::default() };
        assert!(wrong(restart).contains("never, on-failure, always"));
        let args = Written { pod: text("x"), args: Some(Vec::new()), ..Written::default() };
        assert!(wrong(args).contains("config.args"));
    }
}
