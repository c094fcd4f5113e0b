//! What is written on this host: the driver's link, the agent's configuration of it, and the registrar's own.

use std::io;
use std::path::{Path, PathBuf};

use barepod_credentials::files::{self, Owner};

use super::{Step, Wanted};
use crate::Settings;

/// The file of the agent's configuration that is ours.
const FRAGMENT: &str = "barepod.hcl";
/// The plugin's name: that of the file in the plugin directory.
const PLUGIN: &str = "barepod-nomad-driver";
/// By this line a file is known again.
const MARK: &str = "# Written by `barepod nomad setup`, and written anew by it.";

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is no driver.
    #[error("there is no {}: name the driver's program by --driver", .0.display())]
    NoDriver(PathBuf),
    /// There is no such directory.
    #[error("there is no {}: name the directory of the agent's configuration files by --nomad-config", .0.display())]
    NoDirectory(PathBuf),
    /// A path that cannot be in HCL.
    #[error("{0:?} cannot be written into the agent's configuration: a path of letters, digits and common signs can")]
    Path(PathBuf),
    /// It is somebody else's.
    #[error("{} is there and was not written by `barepod nomad setup`: move it away, or write into it what is needed:\n{text}", .path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// What would be written.
        text: String,
    },
    /// It cannot be written.
    #[error("cannot write {}; this takes the rights of root", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Whether what must be there is, before anything is written.
pub(super) fn check(wanted: &Wanted) -> Result<(), HostError> {
    if !wanted.driver.is_file() {
        return Err(HostError::NoDriver(wanted.driver.clone()));
    }
    if !wanted.nomad_config.is_dir() {
        return Err(HostError::NoDirectory(wanted.nomad_config.clone()));
    }
    text(wanted).map(drop)
}

/// The driver in the plugin directory.
pub(super) fn link(wanted: &Wanted, directory: &Path) -> Result<Step, HostError> {
    let path = directory.join(PLUGIN);
    let step = |changed| Step::of(changed, format!("{}: the driver, {}", path.display(), wanted.driver.display()));
    match std::fs::read_link(&path) {
        Ok(target) if target == wanted.driver => return Ok(step(false)),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return Err(HostError::Foreign { path, text: format!("a link to {}", wanted.driver.display()) }),
    }
    let new = path.with_extension("new");
    let made = || {
        fs_err::create_dir_all(directory)?;
        files::remove(&new)?;
        std::os::unix::fs::symlink(&wanted.driver, &new)?;
        fs_err::rename(&new, &path)
    };
    made().map_err(|source| HostError::Write { path: path.clone(), source })?;
    Ok(step(true))
}

fn text(wanted: &Wanted) -> Result<String, HostError> {
    let socket = wanted
        .socket
        .to_str()
        .filter(|text| text.chars().all(|c| c.is_ascii_graphic() || c == ' ') && !text.contains(['"', '\\', '$', '%']));
    let socket = socket.ok_or_else(|| HostError::Path(wanted.socket.clone()))?;
    Ok(format!("{MARK}\nplugin \"{PLUGIN}\" {{\n  config {{\n    socket = \"{socket}\"\n  }}\n}}\n"))
}

/// The agent's configuration of it, in a file of its own.
pub(super) fn fragment(wanted: &Wanted) -> Result<Step, HostError> {
    let (path, text) = (wanted.nomad_config.join(FRAGMENT), text(wanted)?);
    let write = |source| HostError::Write { path: path.clone(), source };
    let there = files::read(&path).map_err(write)?;
    if there.as_ref().is_some_and(|there| *there != text && !there.starts_with(MARK)) {
        return Err(HostError::Foreign { path, text });
    }
    let changed = there.as_ref() != Some(&text);
    if changed {
        // Nomad may run as another user, and there is no secret in it.
        fs_err::write(&path, &text).map_err(write)?;
    }
    Ok(Step::of(changed, format!("{}: the agent's configuration of it", path.display())))
}

/// Takes that file away, if it is ours. The driver's link stays: an agent without it finds none of the tasks again that it runs.
pub(super) fn remove_fragment(nomad_config: &Path) -> Result<Step, HostError> {
    let path = nomad_config.join(FRAGMENT);
    let write = |source| HostError::Write { path: path.clone(), source };
    let is_ours = files::read(&path).map_err(write)?.is_some_and(|there| there.starts_with(MARK));
    let removed = is_ours && files::remove(&path).map_err(write)?;
    Ok(Step::of(removed, format!("{}: the agent's configuration of the driver", path.display())))
}

/// The registrar's settings, for the bridge.
pub(super) fn registrar(wanted: &Wanted, settings: &Settings, path: &Path) -> Result<Step, HostError> {
    let write = |source| HostError::Write { path: path.to_owned(), source };
    let text = serde_saphyr::to_string(settings).map_err(|error| write(io::Error::other(error)))?;
    let text = format!("{MARK}\n{text}");
    let changed = files::read(path).map_err(write)?.as_ref() != Some(&text);
    if changed {
        let owner = Owner::bridge(&wanted.root.join("etc/barepod/barepod.yaml"));
        if let Some(directory) = path.parent() {
            files::make_directory(directory, owner).map_err(write)?;
        }
        files::write(path, &text, owner).map_err(write)?;
    }
    Ok(Step::of(changed, format!("{}: where barepod-bridge finds Nomad", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(directory: &Path) -> Wanted {
        let driver = directory.join("driver");
        std::fs::write(&driver, "").unwrap();
        Wanted {
            settings: Settings::default(),
            management_token: None,
            token_ttl: None,
            root: directory.to_owned(),
            socket: "/run/barepod/barepod.sock".into(),
            driver,
            nomad_config: directory.to_owned(),
            plugin_dir: None,
        }
    }

    #[test]
    fn what_is_there_already_is_not_written_again_and_what_is_ours_is_exchanged() {
        let directory = tempfile::tempdir().unwrap();
        let mut wanted = wanted(directory.path());
        let plugins = directory.path().join("plugins");
        for changed in [true, false] {
            assert_eq!(link(&wanted, &plugins).unwrap().changed, changed);
            assert_eq!(fragment(&wanted).unwrap().changed, changed);
            let file = directory.path().join("etc/registrar.yaml");
            assert_eq!(registrar(&wanted, &Settings::default(), &file).unwrap().changed, changed);
            assert_eq!(Settings::read(&file).unwrap(), Some(Settings::default()));
        }
        wanted.driver = directory.path().join("driver-2");
        wanted.socket = "/other".into();
        assert!(link(&wanted, &plugins).unwrap().changed && fragment(&wanted).unwrap().changed);
    }

    #[test]
    fn what_is_somebody_elses_is_left_alone_and_said_to_be_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = wanted(directory.path());
        std::fs::write(directory.path().join("barepod.hcl"), "plugin {}").unwrap();
        let said = fragment(&wanted).unwrap_err().to_string();
        assert!(said.contains("move it away") && said.contains("socket = "), "{said}");
        std::fs::write(directory.path().join(PLUGIN), "a program").unwrap();
        assert!(matches!(link(&wanted, directory.path()), Err(HostError::Foreign { .. })));
    }

    #[test]
    fn what_is_missing_is_said_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let none = Wanted { nomad_config: "/nowhere".into(), ..wanted(directory.path()) };
        assert!(check(&none).unwrap_err().to_string().contains("--nomad-config"));
        let none = Wanted { driver: "/nowhere".into(), ..wanted(directory.path()) };
        assert!(check(&none).unwrap_err().to_string().contains("--driver"));
        let odd = Wanted { socket: "/run/${x}".into(), ..wanted(directory.path()) };
        assert!(matches!(check(&odd), Err(HostError::Path(_))));
    }
}
