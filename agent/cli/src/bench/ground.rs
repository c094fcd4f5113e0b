//! The files that are written to: a directory of their own below the one that is measured, gone with their owner.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use barepod_linux::disk;
use barepod_model::Bytes;
use nix::unistd::{Uid, User};
use tempfile::TempDir;

/// What a task runs as, in every arm: a preset `host` gives its programs no more.
const ACCOUNT: &str = "nobody";
/// Where containers and pods have the ground.
pub(crate) const INSIDE: &str = "/bench";
/// Room that a disk keeps.
const SPARE: u64 = 64 << 20;

/// The directory.
#[derive(Debug)]
pub(crate) struct Ground {
    directory: TempDir,
    user: User,
}

impl Ground {
    /// Makes the directory, with this program in it for those who cannot see it elsewhere.
    ///
    /// # Errors
    /// What is in the way, and what to do.
    pub(crate) fn make(below: &Path, wanted: u64) -> Result<Self> {
        if !Uid::effective().is_root() {
            bail!("only root can run the same work as another user, in a pod and in containers: use sudo");
        }
        let below =
            fs_err::canonicalize(below).context("make the directory first, on the disk that is to be measured")?;
        if !below.is_dir() {
            bail!("{} is no directory: name one on the disk that is to be measured", below.display());
        }
        let user = User::from_name(ACCOUNT)?.with_context(|| format!("there is no user {ACCOUNT} on this host"))?;
        if let Some(closed) = below.ancestors().find(|path| !may_enter(path, &user)) {
            let closed = closed.display();
            bail!(
                "the work is done as user {ACCOUNT}, who may not enter {closed}: choose another directory, or chmod o+x {closed}"
            );
        }
        let space = disk::space(&below)?.bytes_available;
        if space < wanted.saturating_add(SPARE) {
            let (has, wants) = (mebibytes(space), mebibytes(wanted + SPARE));
            bail!("{} has {has} left, and {wants} are needed: give a smaller --size", below.display());
        }
        let directory = tempfile::Builder::new().prefix("barepod-bench-").tempdir_in(&below);
        let ground =
            Self { directory: directory.with_context(|| format!("cannot write in {}", below.display()))?, user };
        ground.lay_out()?;
        Ok(ground)
    }

    fn lay_out(&self) -> Result<()> {
        let root = self.path();
        fs_err::set_permissions(root, std::fs::Permissions::from_mode(0o711))?;
        for name in ["data", "out", "image"] {
            fs_err::create_dir(root.join(name))?;
            chown(root.join(name), Some(self.user.uid.as_raw()), Some(self.user.gid.as_raw()))?;
        }
        fs_err::create_dir(root.join("tools"))?;
        fs_err::copy(std::env::current_exe()?, root.join("tools/barepod"))?;
        fs_err::set_permissions(root.join("tools/barepod"), std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The directory that was asked for.
    pub(crate) fn measured(&self) -> &Path {
        self.path().parent().unwrap_or(Path::new("/"))
    }

    /// Whom tasks run as.
    pub(crate) fn user(&self) -> &User {
        &self.user
    }

    /// A directory for one use, empty.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        if path.exists() {
            fs_err::remove_dir_all(&path)?;
        }
        fs_err::create_dir(&path)?;
        chown(&path, Some(self.user.uid.as_raw()), Some(self.user.gid.as_raw()))?;
        Ok(path)
    }

    /// Forgets what the task before has said.
    pub(crate) fn sweep(&self) -> Result<()> {
        self.fresh("out").map(drop)
    }

    /// Writes out what is still in memory: the disk works for whoever is measured next alone.
    pub(crate) fn settle(&self) -> Result<()> {
        let directory = fs_err::File::open(self.path())?;
        Ok(nix::unistd::syncfs(directory.file())?)
    }

    /// What the task has found out.
    pub(crate) fn result(&self) -> Result<String> {
        Ok(fs_err::read_to_string(self.path().join("out/result"))?)
    }

    /// The last of what the task complained of.
    pub(crate) fn complaint(&self) -> String {
        let text = fs_err::read(self.path().join("out/errors")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.trim().lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

fn may_enter(directory: &Path, user: &User) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(found) = directory.metadata() else { return false };
    let bit = match (found.uid() == user.uid.as_raw(), found.gid() == user.gid.as_raw()) {
        (true, _) => 0o100,
        (_, true) => 0o010,
        _ => 0o001,
    };
    found.mode() & bit != 0
}

fn mebibytes(bytes: u64) -> String {
    Bytes(bytes >> 20 << 20).to_string()
}
