//! The configuration in force, and what its file says by now.

use std::path::Path;

use barepod_api::v1;

use crate::config::{self, Config, Force, force};

pub(super) fn show(file: &Path, held: &Config) -> v1::ConfigResponse {
    let mut answer = v1::ConfigResponse {
        file: file.display().to_string(),
        config: held.shown().to_string(),
        ..v1::ConfigResponse::default()
    };
    match config::read(file) {
        Ok(written) => {
            let differ = held.difference(&written);
            let (after_restart, after_reload) = differ.into_iter().partition(|key| force(key) == Force::Restart);
            (answer.after_restart, answer.after_reload) = (after_restart, after_reload);
        }
        Err(error) => answer.fault = format!("{:#}", anyhow::Error::new(error)),
    }
    answer.is_stale = !(answer.after_reload.is_empty() && answer.after_restart.is_empty() && answer.fault.is_empty());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_which_keys_of_the_file_wait_for_what() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let held = Config::default();
        let shown = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            show(file.path(), &held)
        };
        assert!(!shown("containerLogMaxFiles: 5\n").is_stale, "the default");
        let waiting = shown("containerLogMaxFiles: 7\ncgroup: b\nresources: {maxPods: 3}\n");
        assert_eq!(waiting.after_reload, ["containerLogMaxFiles", "resources.maxPods"]);
        assert_eq!((waiting.after_restart, waiting.is_stale), (vec!["cgroup".to_owned()], true));
        let broken = shown("\n\ncontainerLogMaxFiles: 1\n");
        assert!(broken.is_stale && broken.fault.contains(":3: containerLogMaxFiles"), "{}", broken.fault);
    }
}
