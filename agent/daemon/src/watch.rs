//! Learning that a directory may have changed, without polling.

use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{EventStream, Inotify, WatchMask};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_stream::StreamExt;

/// Watches a directory, its parent (for it may come and go) and the mount table (for inotify says nothing when another
/// file system is mounted over a directory).
pub(crate) struct DirectoryWatch {
    dir: PathBuf,
    events: Option<EventStream<[u8; 4096]>>,
    mounts: Option<AsyncFd<std::fs::File>>,
}

impl DirectoryWatch {
    /// Begins to watch. What cannot be watched is reported once and then not seen.
    pub(crate) fn new(dir: &Path) -> Self {
        let mut watch = Self { dir: dir.to_owned(), events: None, mounts: None };
        watch.events = watch.open().inspect_err(|error| {
            tracing::warn!(%error, dir = %dir.display(), "the directory cannot be watched; changes are seen after a restart");
        }).ok();
        watch.mounts =
            mount_table().inspect_err(|error| tracing::warn!(%error, "the mount table cannot be watched")).ok();
        watch
    }

    /// Watches what grows in a directory: files written, made, renamed.
    ///
    /// # Errors
    /// It cannot be watched: the kernel gives a user 128 watchers, by default.
    pub(crate) fn growth(dir: &Path) -> std::io::Result<Self> {
        let inotify = Inotify::init()?;
        inotify.watches().add(dir, WatchMask::MODIFY | WatchMask::CREATE | WatchMask::MOVED_FROM)?;
        let events = inotify.into_event_stream([0; 4096])?;
        Ok(Self { dir: dir.to_owned(), events: Some(events), mounts: None })
    }

    /// Returns when something has happened since it was last asked.
    pub(crate) async fn happened(&mut self) {
        self.wait().await;
    }

    fn open(&self) -> std::io::Result<EventStream<[u8; 4096]>> {
        let inotify = Inotify::init()?;
        if let Some(parent) = self.dir.parent() {
            let mask = WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::MOVED_FROM | WatchMask::ONLYDIR;
            inotify.watches().add(parent, mask)?;
        }
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ATTRIB
            | WatchMask::ONLYDIR;
        // Missing for now: the parent tells when it comes.
        inotify.watches().add(&self.dir, mask).ok();
        inotify.into_event_stream([0; 4096])
    }

    /// Returns when something may have changed. Begins the watch anew, since the directory may be another one now.
    pub(crate) async fn changed(&mut self) {
        self.wait().await;
        match self.open() {
            Ok(events) => self.events = Some(events),
            Err(error) => tracing::warn!(%error, dir = %self.dir.display(), "the directory cannot be watched any more"),
        }
    }

    /// Returns when nothing has happened for `quiet`.
    pub(crate) async fn settled(&mut self, quiet: Duration) {
        while tokio::time::timeout(quiet, self.wait()).await.is_ok() {}
    }

    async fn wait(&mut self) {
        let Self { events, mounts, .. } = self;
        let inotify = async {
            match events {
                Some(stream) => _ = stream.next().await,
                None => std::future::pending().await,
            }
        };
        let mounted = async {
            match mounts {
                // The kernel flags a change of the mount table as an exceptional condition (proc_pid_mountinfo(5)).
                Some(table) => match table.ready(Interest::PRIORITY).await {
                    Ok(mut guard) => guard.clear_ready(),
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = inotify => {}
            () = mounted => {}
        }
    }
}

fn mount_table() -> std::io::Result<AsyncFd<std::fs::File>> {
    let table = std::fs::File::open("/proc/self/mountinfo")?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that may change their descriptor; a File does not"
    )]
    AsyncFd::with_interest(table, Interest::PRIORITY)
}
