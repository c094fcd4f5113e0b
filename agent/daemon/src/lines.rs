//! Files of lines that only grow, and are bounded: a full one becomes `NAME.1`, that one `NAME.2`, and the oldest goes.
//!
//! A thread makes the lines and writes them, so that nobody waits for the disk or for whoever knows the names of users. What is written survives the daemon; of a power cut the last lines may
//! not. When more comes than the disk takes, or it takes nothing, lines are lost, and `{"lost":N}` says how many.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// As many lines may wait for the disk.
const QUEUE: usize = 4096;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// A file becomes an old one before it is larger than this.
    pub(crate) bytes: u64,
    /// Old files that are kept.
    pub(crate) old: u32,
}

/// Makes a line, without a line break.
type Line = Box<dyn FnOnce() -> serde_json::Result<String> + Send>;

/// The way to a file.
#[derive(Debug)]
pub(crate) struct Lines {
    sender: Option<SyncSender<Line>>,
    lost: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
}

impl Lines {
    /// A file that is made with its first line, for root alone.
    ///
    /// # Errors
    /// There can be no thread.
    pub(crate) fn open(path: PathBuf, bounds: Bounds) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer { path, bounds, file: None, lost: Arc::clone(&lost), failed: false };
        let writer = std::thread::Builder::new().name("lines".to_owned()).spawn(move || writer.run(&receiver))?;
        Ok(Self { sender: Some(sender), lost, writer: Some(writer) })
    }

    /// Adds a line, which is made where it may take its time, and has no line break in it.
    pub(crate) fn add(&self, line: impl FnOnce() -> serde_json::Result<String> + Send + 'static) {
        if self.sender.as_ref().is_none_or(|sender| sender.try_send(Box::new(line)).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Lines {
    /// Waits until all is written.
    fn drop(&mut self) {
        drop(self.sender.take());
        // A writer that has panicked has said so.
        self.writer.take().into_iter().for_each(|writer| drop(writer.join()));
    }
}

/// The lines that are there, oldest first. What cannot be read is left out.
pub(crate) fn read(path: &Path, bounds: Bounds) -> Vec<String> {
    let paths = (1..=bounds.old).rev().map(|age| aged(path, age)).chain([path.to_owned()]);
    let text = |path: PathBuf| {
        let mut text = Vec::new();
        File::open(path).ok()?.take(bounds.bytes * 2).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    };
    paths.filter_map(text).flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn aged(path: &Path, age: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

struct Writer {
    path: PathBuf,
    bounds: Bounds,
    file: Option<File>,
    lost: Arc<AtomicU64>,
    /// The last line could not be written, which has been said.
    failed: bool,
}

impl Writer {
    fn run(mut self, lines: &Receiver<Line>) {
        for line in lines {
            let line = match line() {
                Ok(line) => line,
                Err(error) => {
                    tracing::error!(path = %self.path.display(), %error, "a line cannot be made");
                    self.count(1);
                    continue;
                }
            };
            let lost = self.lost.swap(0, Ordering::Relaxed);
            let marker = (lost > 0).then(|| format!("{{\"lost\":{lost}}}"));
            let written = marker.map_or(Ok(()), |marker| self.write(&marker)).inspect_err(|_| self.count(lost));
            match written.and_then(|()| self.write(&line)) {
                Ok(()) => self.failed = false,
                Err(error) => {
                    self.count(1);
                    self.file = None;
                    if !std::mem::replace(&mut self.failed, true) {
                        tracing::error!(path = %self.path.display(), %error, "lines are lost until this can be written again");
                    }
                }
            }
        }
    }

    fn count(&self, lost: u64) {
        self.lost.fetch_add(lost, Ordering::Relaxed);
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let mut bytes = line.as_bytes().to_vec();
        bytes.push(b'\n');
        let size = self.file()?.metadata()?.size();
        if size > 0 && size + bytes.len() as u64 > self.bounds.bytes {
            self.rotate()?;
        }
        // In one piece: whoever reads along sees whole lines.
        self.file()?.write_all(&bytes)
    }

    fn file(&mut self) -> io::Result<&mut File> {
        let opened = match self.file.take() {
            Some(file) => file,
            None => File::options().append(true).create(true).mode(0o600).open(&self.path)?,
        };
        Ok(self.file.insert(opened))
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        for age in (0..self.bounds.old).rev() {
            let from = if age == 0 { self.path.clone() } else { aged(&self.path, age) };
            match std::fs::rename(&from, aged(&self.path, age + 1)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        if self.bounds.old == 0 {
            std::fs::remove_file(&self.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn lines_are_kept_in_order_and_within_bounds_and_for_root_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let bounds = Bounds { bytes: 100, old: 2 };
        for run in 0..3 {
            let lines = Lines::open(path.clone(), bounds).unwrap();
            (0..20).for_each(|number| lines.add(move || Ok(format!("line {run}-{number:02}"))));
        }
        let kept = read(&path, bounds);
        assert_eq!(kept.last().map(String::as_str), Some("line 2-19"));
        assert!(kept.is_sorted() && kept.len() >= 20, "{kept:?}");
        let sizes: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().metadata().unwrap()).collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes.iter().all(|file| file.len() <= 100 && file.permissions().mode() & 0o777 == 0o600));
        assert_eq!(read(&dir.path().join("none"), bounds), [""; 0]);
    }

    #[test]
    fn what_the_disk_refuses_is_counted_in_the_file_itself() {
        let dir = tempfile::tempdir().unwrap();
        let (path, bounds) = (dir.path().join("below/lines"), Bounds { bytes: 1000, old: 1 });
        let lost = Arc::new(AtomicU64::new(0));
        let mut writer = Writer { path: path.clone(), bounds, file: None, lost, failed: false };
        let tell = |writer: Writer, lines: &[&'static str]| {
            let (sender, receiver) = sync_channel::<Line>(8);
            lines.iter().for_each(|line| sender.send(Box::new(|| Ok((*line).to_owned()))).unwrap());
            drop(sender);
            let kept = Writer { path: writer.path.clone(), lost: Arc::clone(&writer.lost), file: None, ..writer };
            let next =
                Writer { path: kept.path.clone(), lost: Arc::clone(&kept.lost), file: None, bounds, failed: false };
            kept.run(&receiver);
            next
        };
        writer = tell(writer, &["a", "b"]);
        std::fs::create_dir(dir.path().join("below")).unwrap();
        tell(writer, &["c"]);
        assert_eq!(read(&path, bounds), ["{\"lost\":2}", "c"]);
    }
}
