//! The directory: writing, removing, loading.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use barepod_core::{PodRecord, Sync};
use barepod_model::PodUid;

use crate::format::{self, ReadError};

/// Why the ledger could not do something. What was there before is still there, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made or opened.
    #[error("cannot open the ledger directory {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The directory belongs to somebody else, who could change what is in it.
    #[error("the ledger directory {} belongs to uid {owner}, not to {expected}: chown it", path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it must be: the effective user of this process.
        expected: u32,
    },
    /// The record cannot be written as JSON.
    #[error("cannot encode the record of pod {pod}")]
    Encode {
        /// The pod.
        pod: PodUid,
        /// The cause.
        source: serde_json::Error,
    },
    /// The new file cannot be written; the old one holds.
    #[error("cannot write {}", path.display())]
    Write {
        /// The temporary file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The new file cannot take the old one's place; the old one holds.
    #[error("cannot rename to {}", path.display())]
    Rename {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The change was made but could not be synced: whether it survives a power cut is not known.
    #[error("cannot sync the ledger directory {}", path.display())]
    SyncDirectory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file cannot be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The pod's file could not be read when the ledger was loaded, so it is kept as it is.
    #[error("the ledger file of pod {pod} cannot be read and is kept as it is: repair it, or move it away by hand")]
    Kept {
        /// The pod.
        pod: PodUid,
    },
    /// The directory cannot be listed.
    #[error("cannot list the ledger directory {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// One thing found in the ledger.
#[derive(Debug)]
pub enum Loaded {
    /// A pod's record.
    Record(Box<PodRecord>),
    /// A pod's file that is no record. It is neither overwritten nor removed from now on.
    Unreadable {
        /// The pod, from the file's name.
        uid: PodUid,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ReadError,
    },
    /// Something that no barepod puts there; left alone.
    Foreign {
        /// Where it is.
        path: PathBuf,
    },
}

/// The ledger directory. Its calls block; a sync may take as long as the disk likes.
///
/// Writes of one pod must come one after another, those of different pods may come at once.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    handle: File,
    sync_delay: Duration,
    kept: Mutex<BTreeSet<PodUid>>,
}

/// Which files each pod has, and what is not the ledger's.
type Survey = (BTreeMap<PodUid, Vec<Kind>>, Vec<PathBuf>);

/// The files that a pod may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Durable,
    Lazy,
    Temporary,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Kind::Durable => "json",
            Kind::Lazy => "lazy",
            Kind::Temporary => "tmp",
        }
    }
}

impl Ledger {
    /// Opens the ledger in `dir`, which is made if it is missing and closed to all but its owner.
    ///
    /// # Errors
    /// `Open`, `Owner`.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = dir.into();
        let handle = open_private(&dir).map_err(|source| StoreError::Open { path: dir.clone(), source })?;
        let metadata = handle.metadata().map_err(|source| StoreError::Open { path: dir.clone(), source })?;
        let expected = nix::unistd::geteuid().as_raw();
        if metadata.uid() != expected {
            return Err(StoreError::Owner { path: dir, owner: metadata.uid(), expected });
        }
        handle
            .set_permissions(Permissions::from_mode(0o700))
            .map_err(|source| StoreError::Open { path: dir.clone(), source })?;
        Ok(Self { dir, handle, sync_delay: Duration::ZERO, kept: Mutex::default() })
    }

    /// Makes every sync take `delay` longer, as a busy disk would.
    ///
    /// For tests: it shows which latencies depend on the ledger's disk. Nothing else changes.
    #[must_use]
    pub fn with_sync_delay(mut self, delay: Duration) -> Self {
        self.sync_delay = delay;
        self
    }

    /// Writes `record` as durably as `sync` asks. On success the record is what the next load finds.
    ///
    /// # Errors
    /// `Kept`, `Encode`, `Write`, `Rename`, `SyncDirectory`. After all but the last, the earlier record holds; no room on
    /// the disk is a `Write`.
    pub fn write(&self, record: &PodRecord, sync: Sync) -> Result<(), StoreError> {
        let uid = &record.pod.uid;
        self.refuse_kept(uid)?;
        let bytes =
            format::encode(record).map_err(|source| StoreError::Encode { pod: record.pod.uid.clone(), source })?;
        match sync {
            Sync::Lazy => self.replace(uid, Kind::Lazy, &bytes, sync),
            Sync::Durable => {
                self.replace(uid, Kind::Durable, &bytes, sync)?;
                self.sync_directory()?;
                // Overtaken. If it cannot be removed, its lower revision says so too.
                let _ = fs::remove_file(self.path(uid, Kind::Lazy));
                Ok(())
            }
        }
    }

    /// Removes what the ledger has of `uid`, durably. Nothing to remove is success.
    ///
    /// # Errors
    /// `Kept`, `Remove`, `SyncDirectory`.
    pub fn remove(&self, uid: &PodUid) -> Result<(), StoreError> {
        self.refuse_kept(uid)?;
        // The durable file goes last: until then the pod is known.
        for kind in [Kind::Temporary, Kind::Lazy, Kind::Durable] {
            let path = self.path(uid, kind);
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(source) if source.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(StoreError::Remove { path, source }),
            }
        }
        self.sync_directory()
    }

    /// Everything in the ledger, in the order of the pods' UIDs, then what is foreign. Writes that never ended are removed.
    ///
    /// # Errors
    /// `List`. What is wrong with a single file is in the result.
    pub fn load(&self) -> Result<Vec<Loaded>, StoreError> {
        let (pods, foreign) = self.survey().map_err(|source| StoreError::List { path: self.dir.clone(), source })?;
        let mut loaded: Vec<Loaded> = pods.into_iter().filter_map(|(uid, kinds)| self.load_pod(uid, &kinds)).collect();
        let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.clear();
        kept.extend(loaded.iter().filter_map(|one| match one {
            Loaded::Unreadable { uid, .. } => Some(uid.clone()),
            Loaded::Record(_) | Loaded::Foreign { .. } => None,
        }));
        loaded.extend(foreign.into_iter().map(|path| Loaded::Foreign { path }));
        Ok(loaded)
    }

    fn survey(&self) -> io::Result<Survey> {
        let mut pods: BTreeMap<PodUid, Vec<Kind>> = BTreeMap::new();
        let mut foreign = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            match ours(&entry) {
                Some((uid, kind)) => pods.entry(uid).or_default().push(kind),
                None => foreign.push(entry.path()),
            }
        }
        foreign.sort();
        Ok((pods, foreign))
    }

    fn load_pod(&self, uid: PodUid, kinds: &[Kind]) -> Option<Loaded> {
        if kinds.contains(&Kind::Temporary) {
            // A write that never ended was never acknowledged. If it stays, the next write takes its place.
            let _ = fs::remove_file(self.path(&uid, Kind::Temporary));
        }
        let durable = kinds.contains(&Kind::Durable).then(|| self.read(&uid, Kind::Durable));
        let lazy = kinds.contains(&Kind::Lazy).then(|| self.read(&uid, Kind::Lazy));
        let unreadable = |kind, error| Loaded::Unreadable { path: self.path(&uid, kind), uid: uid.clone(), error };
        match (durable, lazy) {
            (None, None) => None,
            // The lazy file may be older than what is unreadable here: a deletion could be in it.
            (Some(Err(error)), _) => Some(unreadable(Kind::Durable, error)),
            (None, Some(Err(error))) => Some(unreadable(Kind::Lazy, error)),
            // A newer barepod's record is not one that a power cut spoilt.
            (Some(Ok(_)), Some(Err(error @ ReadError::Newer { .. }))) => Some(unreadable(Kind::Lazy, error)),
            (Some(Ok(durable)), Some(Ok(lazy))) if lazy.revision > durable.revision => Some(Loaded::Record(lazy)),
            (None, Some(Ok(record))) | (Some(Ok(record)), _) => Some(Loaded::Record(record)),
        }
    }

    fn read(&self, uid: &PodUid, kind: Kind) -> Result<Box<PodRecord>, ReadError> {
        let bytes = fs::read(self.path(uid, kind)).map_err(ReadError::Io)?;
        format::decode(uid.as_str(), &bytes).map(Box::new)
    }

    fn replace(&self, uid: &PodUid, kind: Kind, bytes: &[u8], sync: Sync) -> Result<(), StoreError> {
        let temporary = self.path(uid, Kind::Temporary);
        let written = self.write_temporary(&temporary, bytes, sync);
        if let Err(source) = written {
            let _ = fs::remove_file(&temporary);
            return Err(StoreError::Write { path: temporary, source });
        }
        let path = self.path(uid, kind);
        fs::rename(&temporary, &path).map_err(|source| {
            let _ = fs::remove_file(&temporary);
            StoreError::Rename { path, source }
        })
    }

    fn write_temporary(&self, path: &Path, bytes: &[u8], sync: Sync) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(path)?;
        file.write_all(bytes)?;
        match sync {
            Sync::Lazy => Ok(()),
            Sync::Durable => self.sync(&file),
        }
    }

    fn sync_directory(&self) -> Result<(), StoreError> {
        self.sync(&self.handle).map_err(|source| StoreError::SyncDirectory { path: self.dir.clone(), source })
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if !self.sync_delay.is_zero() {
            std::thread::sleep(self.sync_delay);
        }
        file.sync_all()
    }

    fn refuse_kept(&self, uid: &PodUid) -> Result<(), StoreError> {
        let kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.contains(uid) { Err(StoreError::Kept { pod: uid.clone() }) } else { Ok(()) }
    }

    fn path(&self, uid: &PodUid, kind: Kind) -> PathBuf {
        self.dir.join(format!("{uid}.{}", kind.extension()))
    }
}

fn open_private(dir: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    OpenOptions::new().read(true).custom_flags(nix::libc::O_DIRECTORY).open(dir)
}

/// The pod and the kind, if the entry's name and type are the ledger's own.
fn ours(entry: &fs::DirEntry) -> Option<(PodUid, Kind)> {
    if !entry.file_type().ok()?.is_file() {
        return None;
    }
    let name = entry.file_name();
    let (uid, extension) = name.to_str()?.split_once('.')?;
    let kind = [Kind::Durable, Kind::Lazy, Kind::Temporary].into_iter().find(|kind| kind.extension() == extension)?;
    Some((PodUid::new(uid).ok()?, kind))
}

#[cfg(test)]
mod tests;
