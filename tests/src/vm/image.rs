//! Images: made once by mmdebstrap, cached by the recipe's key, never written to afterwards.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::recipe::{AFTER, BEFORE, Recipe};
use crate::process::{Owned, ProcessError, run, tail};

/// mmdebstrap downloads some 150 MB and unpacks 500.
const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Options of mmdebstrap beside the recipe's own. Manuals and translations are left out.
pub(super) const OPTIONS: [&str; 7] = [
    "--format=directory",
    "--variant=minbase",
    "--quiet",
    "--aptopt=Acquire::Languages \"none\"",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];

/// A bootable image in the cache.
#[derive(Clone, Debug)]
pub struct Image {
    directory: PathBuf,
}

/// An image that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Making it needs root, as all tests that boot it do.
    #[error("making an image needs root")]
    NotRoot,
    /// A file of the cache.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// One of the programs.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// mmdebstrap failed.
    #[error("mmdebstrap failed, see {}: {tail}", log.display())]
    Mmdebstrap {
        /// All that it wrote.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// The new root has no kernel or no initrd.
    #[error("no {what} in {}", boot.display())]
    Boot {
        /// Which of them.
        what: &'static str,
        /// Where it was looked for.
        boot: PathBuf,
    },
}

impl Image {
    /// The root file system: raw ext4.
    pub fn disk(&self) -> PathBuf {
        self.directory.join("root.ext4")
    }

    /// The guest's kernel.
    pub fn kernel(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    /// Its initrd.
    pub fn initrd(&self) -> PathBuf {
        self.directory.join("initrd")
    }
}

/// The image of a recipe, made now unless the cache has it. One process makes it, others wait.
pub(super) fn of(recipe: &Recipe) -> Result<Image, ImageError> {
    let directory = crate::cache::directory().join("vm").join(recipe.key());
    if !directory.exists() {
        fs_err::create_dir_all(directory.parent().unwrap_or(Path::new("/")))?;
        let lock = File::create(directory.with_extension("lock"))?;
        lock.lock()?;
        if !directory.exists() {
            make(recipe, &directory)?;
        }
    }
    Ok(Image { directory })
}

fn make(recipe: &Recipe, directory: &Path) -> Result<(), ImageError> {
    if !nix::unistd::geteuid().is_root() {
        return Err(ImageError::NotRoot);
    }
    let unfinished = directory.with_extension("unfinished");
    if unfinished.exists() {
        fs_err::remove_dir_all(&unfinished)?;
    }
    fs_err::create_dir_all(&unfinished)?;
    let root = unfinished.join("root");
    bootstrap(recipe, &unfinished, &root)?;
    take_boot_files(&root.join("boot"), &unfinished)?;
    file_system(recipe, &root, &unfinished.join("root.ext4"))?;
    fs_err::remove_dir_all(&root)?;
    Ok(fs_err::rename(&unfinished, directory)?)
}

fn bootstrap(recipe: &Recipe, place: &Path, root: &Path) -> Result<(), ImageError> {
    let log = place.with_extension("log");
    let output = File::create(&log)?;
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap
        .args(OPTIONS)
        .arg(format!("--include={}", recipe.included()))
        .arg(format!("--essential-hook={}", hook(place, "before.sh", BEFORE)?))
        .arg(format!("--customize-hook={}", hook(place, "after.sh", AFTER)?))
        .arg(recipe.suite())
        .arg(root)
        .stdin(std::process::Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let status = Owned::spawn(&mut mmdebstrap)?.wait("mmdebstrap", BUILD_LIMIT)?;
    if status.success() {
        return Ok(());
    }
    let tail = tail(&fs_err::read_to_string(&log)?, 10);
    Err(ImageError::Mmdebstrap { log, tail })
}

/// The hook's command: mmdebstrap runs it by the shell, with the root directory as `$1`.
fn hook(place: &Path, name: &str, script: &str) -> io::Result<String> {
    let path = place.join(name);
    fs_err::write(&path, script)?;
    Ok(format!("sh '{}' \"$1\"", path.display()))
}

fn take_boot_files(boot: &Path, place: &Path) -> Result<(), ImageError> {
    for (prefix, what, name) in [("vmlinuz-", "kernel", "vmlinuz"), ("initrd.img-", "initrd", "initrd")] {
        let found = find(boot, prefix)?.ok_or_else(|| ImageError::Boot { what, boot: boot.to_owned() })?;
        fs_err::copy(found, place.join(name))?;
    }
    Ok(())
}

fn find(directory: &Path, prefix: &str) -> io::Result<Option<PathBuf>> {
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

fn file_system(recipe: &Recipe, root: &Path, image: &Path) -> Result<(), ImageError> {
    let size = format!("{}G", recipe.disk_gib());
    run(Command::new("mkfs.ext4").args(["-q", "-F", "-L", "root", "-d"]).arg(root).arg(image).arg(size))?;
    Ok(())
}
