//! Programs of others that measure, or are measured.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// As root has it, whatever the caller's is: the same in each arm.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What there is of them.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// The directory of PostgreSQL's programs.
    pub(crate) postgresql: Option<PathBuf>,
    /// Those that run containers, the preferred one first.
    pub(crate) runtimes: Vec<PathBuf>,
}

impl Tools {
    /// Looks for them.
    ///
    /// # Errors
    /// fio is missing.
    pub(crate) fn find() -> Result<Self> {
        if on_path("fio").is_none() {
            bail!("fio, which measures, is not installed: apt install fio, or dnf install fio");
        }
        let postgresql = places().into_iter().find(|place| {
            ["postgres", "initdb", "pgbench", "pg_isready"].iter().all(|program| place.join(program).is_file())
        });
        Ok(Self { postgresql, runtimes: ["crun", "runc"].into_iter().filter_map(on_path).collect() })
    }
}

/// Where packages put PostgreSQL, the newest first.
fn places() -> Vec<PathBuf> {
    let below = |directory: &str| {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let debian = below("/usr/lib/postgresql").into_iter();
    let others = below("/usr").into_iter().filter(|path| path.to_string_lossy().starts_with("/usr/pgsql-"));
    let mut versions: Vec<_> = debian.chain(others).collect();
    versions.sort_by_key(|path| std::cmp::Reverse(version(path)));
    versions.into_iter().map(|path| path.join("bin")).chain(std::env::split_paths(PATH)).collect()
}

/// `15` of `/usr/lib/postgresql/15` and of `/usr/pgsql-15`.
fn version(path: &Path) -> u32 {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(PATH).map(|place| place.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_the_one_of_the_largest_number() {
        let of = |path: &str| version(Path::new(path));
        assert_eq!([of("/usr/lib/postgresql/15"), of("/usr/pgsql-9"), of("/usr/pgsql-x")], [15, 9, 0]);
    }
}
