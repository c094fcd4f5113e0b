//! The packages that `cargo xtask build` makes of the programs that tests run, and later releases of them.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, ProcessError};
use crate::programs::{Built, ProgramError};

/// The version that is packaged.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// As what the `.rpm` is made once more, for trying an upgrade.
pub const LATER: &str = "99.0.0";

/// A package that is not there, or cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It was not made.
    #[error(transparent)]
    Missing(#[from] ProgramError),
    /// dpkg-deb.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file of it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where the packages of a profile are put: a directory below the target directory.
pub fn directory(target: &Path, profile: &str) -> PathBuf {
    target.join("package").join(profile)
}

/// As dpkg names a package's file.
pub fn debian_name() -> String {
    format!("barepod_{VERSION}-1_amd64.deb")
}

/// As rpm names it.
pub fn rpm_name(version: &str) -> String {
    format!("barepod-{version}-1.x86_64.rpm")
}

/// The `.deb` of this build.
pub fn debian() -> Result<PathBuf, ProgramError> {
    Built::here()?.package(&debian_name())
}

/// The `.rpm` of this build.
pub fn rpm() -> Result<PathBuf, ProgramError> {
    Built::here()?.package(&rpm_name(VERSION))
}

/// The same as a later version.
pub fn later_rpm() -> Result<PathBuf, ProgramError> {
    Built::here()?.package(&rpm_name(LATER))
}

/// What a `.deb` would be as another version, with other files: `change` gets the directory with its files and `DEBIAN`.
/// It is put beside them.
pub fn revised(
    package: &Path,
    place: &Path,
    version: &str,
    change: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<PathBuf, PackageError> {
    let (tree, made) = (place.join(format!("tree-{version}")), place.join(format!("barepod_{version}_amd64.deb")));
    process::run(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(&tree))?;
    let control = tree.join("DEBIAN/control");
    let text = fs_err::read_to_string(&control)?;
    let line = |line: &str| {
        let other = if line.starts_with("Version:") { format!("Version: {version}") } else { line.to_owned() };
        other + "\n"
    };
    fs_err::write(&control, text.lines().map(line).collect::<String>())?;
    change(&tree)?;
    process::run(
        Command::new("dpkg-deb").args(["--build", "--root-owner-group", "-Zgzip", "-z1"]).arg(&tree).arg(&made),
    )?;
    fs_err::remove_dir_all(&tree)?;
    Ok(made)
}
