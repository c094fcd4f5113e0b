//! Hearing that the kernel killed a process of a container for memory while its main process lives: a database that loses
//! a session to the OOM killer should not have to be asked.
//!
//! v2 makes `memory.events` ready when it changes; v1 tells an eventfd when a group's memory has run out.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use barepod_linux::cgroup::{Leaf, MemoryFigures};
use barepod_model::{Attempt, ContainerKey, Reason};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::Host;

/// How long the end of the main process may take to be known: then it was the one that was killed, which is told elsewhere.
const ITS_OWN_END: Duration = Duration::from_millis(500);

/// Tells people of every such kill of an attempt, until it is dropped.
#[derive(Debug)]
pub(super) struct OomWatch(JoinHandle<()>);

impl Drop for OomWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl OomWatch {
    pub(super) fn new(host: &Arc<Host>, key: &ContainerKey, attempt: Attempt) -> Self {
        let (host, key) = (Arc::clone(host), key.clone());
        Self(tokio::spawn(async move {
            let leaf = host.groups.leaf(&key, attempt);
            // A host without the memory controller never kills for it.
            if let Ok(news) = News::of(&leaf) {
                tell(&host, &key, attempt, &news).await;
            }
        }))
    }
}

async fn tell(host: &Arc<Host>, key: &ContainerKey, attempt: Attempt, news: &News) {
    let kills = || host.groups.oom_kills(key, attempt).ok().flatten().unwrap_or(0);
    let mut told = kills();
    while news.wait().await.is_ok() {
        // v1 tells before it kills.
        tokio::time::sleep(ITS_OWN_END).await;
        let now = kills();
        let lives = host.process(key).is_some_and(|process| process.attempt == attempt);
        if now > told && lives {
            let count = now - told;
            let words = words(host.groups.memory_figures(key, attempt));
            let message =
                format!("the kernel killed {count} of its processes for memory; its main process runs on: {words}");
            host.warn(key, Reason::OOMKilling, &message);
        }
        told = now;
    }
}

/// What there was when the kernel killed, for people.
pub(super) fn words(MemoryFigures { limit, peak }: MemoryFigures) -> String {
    let limit = limit.map_or_else(
        || "it has no memory limit, and the host had no more".to_owned(),
        |limit| format!("its memory limit is {}", size(limit)),
    );
    peak.map_or(limit.clone(), |peak| format!("{limit}, and it had {} at most", size(peak)))
}

/// As people say it; all of a limit that is a whole number.
fn size(bytes: u64) -> String {
    let (unit, shift) = if bytes >> 30 > 0 { ("Gi", 30) } else { ("Mi", 20) };
    let hundredths = (u128::from(bytes) * 100) >> shift;
    match (hundredths / 100, hundredths % 100) {
        (whole, 0) => format!("{whole}{unit}"),
        (whole, part) => format!("{whole}.{part:02}{unit}"),
    }
}

/// Where the kernel tells that something has happened to a group's memory.
enum News {
    V2(AsyncFd<File>),
    V1(AsyncFd<EventFd>),
}

impl News {
    fn of(leaf: &Leaf) -> io::Result<Self> {
        match &leaf.legacy_memory {
            Some(group) => Self::v1(group),
            None => Self::v2(&leaf.unified),
        }
    }

    fn v2(group: &Path) -> io::Result<Self> {
        let events = File::open(group.join("memory.events"))?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for types that may change their descriptor; a File does not"
        )]
        AsyncFd::with_interest(events, Interest::PRIORITY).map(News::V2)
    }

    fn v1(group: &Path) -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let control = File::open(group.join("memory.oom_control"))?;
        let order = format!("{} {}", event.as_fd().as_raw_fd(), control.as_raw_fd());
        std::fs::write(group.join("cgroup.event_control"), order)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for types that may change their descriptor; an EventFd does not"
        )]
        AsyncFd::with_interest(event, Interest::READABLE).map(News::V1)
    }

    async fn wait(&self) -> io::Result<()> {
        match self {
            News::V2(events) => events.ready(Interest::PRIORITY).await?.clear_ready(),
            News::V1(event) => {
                let mut guard = event.ready(Interest::READABLE).await?;
                event.get_ref().read().ok();
                guard.clear_ready();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_that_people_have_written_and_would_write() {
        let said = |limit, peak| words(MemoryFigures { limit, peak });
        assert_eq!(
            said(Some(32 << 20), Some((32 << 20) - 4096)),
            "its memory limit is 32Mi, and it had 31.99Mi at most"
        );
        assert_eq!(said(Some(1 << 30), None), "its memory limit is 1Gi");
        let unlimited = "it has no memory limit, and the host had no more, and it had 1.50Gi at most";
        assert_eq!(said(None, Some(3 << 29)), unlimited);
    }
}
