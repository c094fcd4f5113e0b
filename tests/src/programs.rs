//! Where the programs under test are: built beside the running test, or static for musl.
//!
//! Nothing is built here: `cargo xtask build` builds all of them, and `cargo xtask test` does that first.

use std::path::{Path, PathBuf};

use crate::packages;

/// The target of static programs.
pub const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";
/// The profile of static programs: the one the shim is shipped with.
pub const STATIC_PROFILE: &str = "shim";

/// A program that was not built.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The running program's own place is unknown.
    #[error("the running program's own path is unknown")]
    Here(#[source] std::io::Error),
    /// There is no such file.
    #[error("{} is not built: run `cargo xtask build`", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is no test program made from this file.
    #[error("no test program made from {file} in {}: run tests by `cargo xtask nextest`, which builds all", deps.display())]
    NoTest {
        /// A file of the repository.
        file: String,
        /// Where it was looked for.
        deps: PathBuf,
    },
    /// The directory of test programs.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Where one build has put its programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    profile_directory: PathBuf,
}

/// A program of the host, such as `barepodd`, of the same build as the running test.
pub fn host(name: &str) -> Result<PathBuf, ProgramError> {
    Built::here()?.host(name)
}

/// A static program, such as `barepod-shim` or `barepod-vm-agent`, as it is shipped.
pub fn musl(name: &str) -> Result<PathBuf, ProgramError> {
    Built::here()?.musl(name)
}

impl Built {
    /// The build of the running program.
    pub fn here() -> Result<Self, ProgramError> {
        let program = std::env::current_exe().map_err(ProgramError::Here)?;
        Ok(Self { profile_directory: profile_directory(&program).to_owned() })
    }

    /// The build in a target directory, of a profile's directory such as `debug` or `release`.
    pub fn at(target: &Path, profile: &str) -> Self {
        Self { profile_directory: target.join(profile) }
    }

    /// A program of the host.
    pub fn host(&self, name: &str) -> Result<PathBuf, ProgramError> {
        existing(self.profile_directory.join(name))
    }

    /// The newest test program made from a file of the repository, such as `tests/tests/postgresql.rs` or
    /// `agent/linux/src/lib.rs`. rustc lists a program's files in a `.d` file beside it.
    pub fn test(&self, file: &str) -> Result<PathBuf, ProgramError> {
        let deps = self.profile_directory.join("deps");
        let mut newest = None;
        for entry in fs_err::read_dir(&deps)? {
            let list = entry?.path();
            let program = list.with_extension("");
            if list.extension().is_some_and(|extension| extension == "d") && program.is_file() && lists(&list, file)? {
                newest = newest.max(Some((fs_err::metadata(&program)?.modified()?, program)));
            }
        }
        newest.map(|(_, program)| program).ok_or_else(|| ProgramError::NoTest { file: file.to_owned(), deps })
    }

    /// A package of these programs.
    pub fn package(&self, name: &str) -> Result<PathBuf, ProgramError> {
        let (target, profile) = (self.profile_directory.parent(), self.profile_directory.file_name());
        let profile = profile.unwrap_or_default().to_string_lossy();
        existing(packages::directory(target.unwrap_or(Path::new("/")), &profile).join(name))
    }

    /// A static program, which has a profile of its own.
    pub fn musl(&self, name: &str) -> Result<PathBuf, ProgramError> {
        let target = self.profile_directory.parent().unwrap_or(Path::new("/"));
        existing(target.join(STATIC_TARGET).join(STATIC_PROFILE).join(name))
    }
}

/// `<target>/<profile>` of `<target>/<profile>/xtask` and of `<target>/<profile>/deps/test-0123`.
fn profile_directory(program: &Path) -> &Path {
    let place = program.parent().unwrap_or(Path::new("/"));
    match place.file_name() {
        Some(name) if name == "deps" || name == "examples" => place.parent().unwrap_or(place),
        _ => place,
    }
}

/// Whether `file` is among the files that the first line of this `.d` file names after its own target.
fn lists(list: &Path, file: &str) -> std::io::Result<bool> {
    let text = fs_err::read_to_string(list)?;
    Ok(text.lines().next().is_some_and(|line| line.split_whitespace().skip(1).any(|name| name == file)))
}

fn existing(path: PathBuf) -> Result<PathBuf, ProgramError> {
    if path.is_file() { Ok(path) } else { Err(ProgramError::Missing { path }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_programs_of_one_build_share_a_directory() {
        for program in ["/t/debug/xtask", "/t/debug/deps/vm-0123", "/t/debug/examples/x"] {
            assert_eq!(profile_directory(Path::new(program)), Path::new("/t/debug"), "{program}");
        }
    }

    #[test]
    fn of_the_test_programs_made_from_a_file_the_newest_is_found() {
        let scratch = crate::Scratch::new().unwrap();
        let deps = scratch.join("debug/deps");
        std::fs::create_dir_all(&deps).unwrap();
        let made = [
            ("kill-1", "tests/tests/kill.rs", 9),
            ("kill-2", "tests/tests/kill.rs", 5),
            ("vm-3", "tests/tests/vm.rs", 1),
        ];
        for (name, file, age) in made {
            std::fs::write(deps.join(format!("{name}.d")), format!("/t/{name}.d: {file} other.rs\n")).unwrap();
            let program = std::fs::File::create(deps.join(name)).unwrap();
            program.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(age)).unwrap();
        }
        let built = Built::at(scratch.path(), "debug");

        assert_eq!(built.test("tests/tests/kill.rs").unwrap(), deps.join("kill-2"));
        let missing = built.test("tests/tests/other.rs").unwrap_err().to_string();
        assert!(missing.contains("tests/tests/other.rs") && missing.contains("cargo xtask nextest"), "{missing}");
    }

    #[test]
    fn static_programs_are_found_beside_any_profile() {
        let scratch = crate::Scratch::new().unwrap();
        let place = scratch.join("x86_64-unknown-linux-musl/shim");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("barepod-shim"), "").unwrap();

        let found = Built::at(scratch.path(), "release").musl("barepod-shim").unwrap();

        assert_eq!(found, place.join("barepod-shim"));
    }

    #[test]
    fn a_program_that_is_not_there_names_the_command_that_builds_it() {
        let error = host("no-such-program").unwrap_err();

        assert!(error.to_string().ends_with("no-such-program is not built: run `cargo xtask build`"), "{error}");
    }
}
