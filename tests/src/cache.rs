//! The cache outside the checkout: VM images, tools, consoles of failed guests.

use std::path::PathBuf;

/// `$BAREPOD_CACHE`, else `$XDG_CACHE_HOME/barepod`, else `~/.cache/barepod`; `/var/cache/barepod` for a user without a
/// home. Not created here.
pub fn directory() -> PathBuf {
    choose(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn choose(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    variable("BAREPOD_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("barepod")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/barepod")))
        .unwrap_or_else(|| PathBuf::from("/var/cache/barepod"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_s_own_variable_wins_over_the_desktop_s_and_the_home() {
        let all = |name: &str| Some(PathBuf::from("/").join(name));

        assert_eq!(choose(all), PathBuf::from("/BAREPOD_CACHE"));
        assert_eq!(
            choose(|name| all(name).filter(|_| name != "BAREPOD_CACHE")),
            PathBuf::from("/XDG_CACHE_HOME/barepod")
        );
        assert_eq!(choose(|name| all(name).filter(|_| name == "HOME")), PathBuf::from("/HOME/.cache/barepod"));
        assert_eq!(choose(|_| None), PathBuf::from("/var/cache/barepod"));
    }
}
