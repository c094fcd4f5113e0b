//! What a task writes, passed on to the client: from the daemon's files into the FIFOs that the client has read.
//!
//! The service never writes there itself. A client that does not read holds up this alone: what it has not read is in the
//! daemon's files, and is passed on when it reads again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use barepod_api::v1::{LogStream, LogsRequest, Timestamp};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tonic::Code;

use crate::daemon::Daemon;
use crate::stop;
use crate::table::{Brief, Task};

/// Pause before a log, or a FIFO, is asked for again.
const PAUSE: Duration = Duration::from_millis(250);
/// The same where the policy says no: it may say something else one day.
const DENIED_PAUSE: Duration = Duration::from_secs(60);
/// How long what was written last is looked for once the task has ended.
const TAIL: Duration = Duration::from_secs(2);

/// From when on the lines of each stream are new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Since {
    stdout: Option<jiff::Timestamp>,
    stderr: Option<jiff::Timestamp>,
}

impl Since {
    pub(crate) fn now() -> Self {
        let now = Some(jiff::Timestamp::now());
        Self { stdout: now, stderr: now }
    }
}

/// How far the client has been told: its newest files were written with the last line of each stream.
pub(crate) fn told(task: &Brief) -> Since {
    let last = |fifo: &str, stream: &str| {
        let directory = Path::new(fifo).parent()?;
        let beginning = format!("{}.{stream}.", task.name);
        let files = std::fs::read_dir(directory).ok()?.flatten();
        let files = files.filter(|file| file.file_name().to_string_lossy().starts_with(&beginning));
        let written = files.filter_map(|file| file.metadata().ok()).filter(|file| file.len() > 0);
        let newest: SystemTime = written.filter_map(|file| file.modified().ok()).max()?;
        jiff::Timestamp::try_from(newest).ok()
    };
    Since { stdout: last(&task.stdout_path, "stdout"), stderr: last(&task.stderr_path, "stderr") }
}

/// Begins to pass on both streams, until the task is over.
pub(crate) fn pass_on(daemon: &Daemon, task: &Arc<Task>, since: &Since) {
    let streams = [
        (LogStream::Stdout, &task.config.stdout_path, since.stdout),
        (LogStream::Stderr, &task.config.stderr_path, since.stderr),
    ];
    for (stream, path, since) in streams.into_iter().filter(|(_, path, _)| is_collected(path)) {
        let (daemon, task) = (daemon.clone(), Arc::clone(task));
        let pump = Pump { daemon, task: Arc::clone(&task), stream, path: path.into(), last: since.map(Mark::from) };
        let over = task.over.clone();
        task.pumps.spawn(async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = pump.run() => {}
            }
        });
    }
}

/// A job may say that a task's log is nobody's (`logs { disabled = true }`).
fn is_collected(path: &str) -> bool {
    !matches!(path, "" | "/dev/null")
}

/// One stream of a task.
struct Pump {
    daemon: Daemon,
    task: Arc<Task>,
    stream: LogStream,
    path: PathBuf,
    /// The last line that was passed on.
    last: Option<Mark>,
}

/// How far a log has been passed on. Lines that were written at once have one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    at: jiff::Timestamp,
    /// Lines of that time that have been passed on; all of them, where nobody has counted.
    lines: u64,
}

impl From<jiff::Timestamp> for Mark {
    fn from(at: jiff::Timestamp) -> Self {
        Self { at, lines: u64::MAX }
    }
}

impl Pump {
    async fn run(mut self) {
        // Opened whether there is anything to write or not: the client waits for that.
        let mut fifo = self.open().await;
        loop {
            let ended = self.task.ended().is_some();
            let mut pause = PAUSE;
            match ended {
                // The daemon has written down all there is.
                true => drop(tokio::time::timeout(TAIL, self.follow(&mut fifo)).await),
                false => pause = self.follow(&mut fifo).await,
            }
            if ended {
                return;
            }
            // Until there is another attempt, or the daemon is back.
            tokio::select! {
                _ = self.task.wait() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn open(&self) -> pipe::Sender {
        loop {
            match pipe::OpenOptions::new().open_sender(&self.path) {
                Ok(sender) => return sender,
                // Nobody reads yet, or not any more; the client starts its reader anew.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Passes lines on until the log ends; how long to wait then.
    async fn follow(&mut self, fifo: &mut pipe::Sender) -> Duration {
        let pod = &self.task.kept.pod;
        let Ok(container) = stop::container(&self.daemon, &self.task) else { return PAUSE };
        let request = LogsRequest {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            container,
            follow: true,
            timestamps: true,
            stream: self.stream.into(),
            since_time: self
                .last
                .map(|Mark { at, .. }| Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }),
            ..LogsRequest::default()
        };
        let mut client = self.daemon.stream_client();
        let answer = match client.client.logs(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if status.code() == Code::PermissionDenied => return DENIED_PAUSE,
            Err(_) => return PAUSE,
        };
        let (mut stream, mut lines) = (answer, Lines::after(self.last));
        while let Ok(Some(message)) = stream.message().await {
            let passed = lines.take(&message.data, &mut self.last);
            self.write(fifo, &passed).await;
        }
        PAUSE
    }

    async fn write(&self, fifo: &mut pipe::Sender, mut data: &[u8]) {
        while !data.is_empty() {
            match fifo.write(data).await {
                Ok(written) => data = &data[written..],
                Err(_) => *fifo = self.open().await,
            }
        }
    }
}

/// Takes the times off the lines of one answer, and drops those that were passed on of an earlier one.
#[derive(Debug, Default)]
struct Lines {
    /// What was passed on before this answer, less what has come of it again.
    known: Option<Mark>,
    /// The beginning of a line whose time is not whole yet.
    rest: Vec<u8>,
    /// In the midst of a line, whether it is passed on.
    within: Option<bool>,
}

/// The longest time with its space.
const TIME: usize = 64;

impl Lines {
    fn after(last: Option<Mark>) -> Self {
        Self { known: last, ..Self::default() }
    }

    fn take(&mut self, data: &[u8], last: &mut Option<Mark>) -> Vec<u8> {
        let mut passed = Vec::with_capacity(data.len());
        let all = [std::mem::take(&mut self.rest), data.to_vec()].concat();
        let mut left = all.as_slice();
        while !left.is_empty() {
            let Some(wanted) = self.within.or_else(|| self.begin(&mut left, last)) else {
                self.rest = left.to_vec();
                break;
            };
            let end = left.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let (text, after) = left.split_at(end.unwrap_or(left.len()));
            if wanted {
                passed.extend_from_slice(text);
            }
            self.within = end.is_none().then_some(wanted);
            left = after;
        }
        passed
    }

    /// At the beginning of a line: takes its time off, and says whether it is new. `None` while its time is not whole.
    fn begin(&mut self, left: &mut &[u8], last: &mut Option<Mark>) -> Option<bool> {
        let Some(space) = left.iter().take(TIME).position(|byte| *byte == b' ') else {
            // What has no time is passed on as it is.
            return (left.len() >= TIME).then_some(true);
        };
        let time = std::str::from_utf8(&left[..space]).ok().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let Some(at) = time else { return Some(true) };
        *left = &left[space + 1..];
        if let Some(known) = self.known.as_mut().filter(|known| at < known.at || (at == known.at && known.lines > 0)) {
            if at == known.at {
                known.lines -= 1;
            }
            return Some(false);
        }
        match last {
            Some(mark) if mark.at == at => mark.lines = mark.lines.saturating_add(1),
            _ => *last = Some(Mark { at, lines: 1 }),
        }
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"2026-01-01T00:00:00.000000001Z one\n2026-01-01T00:00:00.000000002Z two, with spaces\n";

    #[test]
    fn lines_lose_their_times_wherever_they_are_cut() {
        for cut in 0..TEXT.len() {
            let (mut lines, mut last) = (Lines::default(), None);
            let first = lines.take(&TEXT[..cut], &mut last);
            let second = lines.take(&TEXT[cut..], &mut last);
            assert_eq!([first, second].concat(), b"one\ntwo, with spaces\n", "{cut}");
        }
    }

    #[test]
    fn lines_of_one_time_are_all_passed_on_and_each_once() {
        let line = |time: u32, text: &str| format!("2026-01-01T00:00:00.00000000{time}Z {text}\n");
        let (two, three, four) = (line(1, "one") + &line(2, "two"), line(2, "three"), line(3, "four"));
        let mut last = None;
        assert_eq!(Lines::default().take(two.as_bytes(), &mut last), b"one\ntwo\n");
        // The next answer begins with the time of the last line.
        let again = line(2, "two") + &three;
        assert_eq!(Lines::after(last).take(again.as_bytes(), &mut last), b"three\n");
        let again = line(2, "two") + &three + &four;
        assert_eq!(Lines::after(last).take(again.as_bytes(), &mut last), b"four\n");
        let at = "2026-01-01T00:00:00.000000002Z".parse::<jiff::Timestamp>().unwrap();
        assert_eq!(Lines::after(Some(at.into())).take(again.as_bytes(), &mut last), b"four\n");
    }

    #[test]
    fn the_client_has_been_told_what_its_files_hold() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = |stream: &str| directory.path().join(format!(".db.{stream}.fifo")).display().to_string();
        let task = crate::wire::driver::TaskConfig {
            name: "db".to_owned(),
            stdout_path: fifo("stdout"),
            stderr_path: fifo("stderr"),
            ..Default::default()
        };
        assert_eq!(told(&Brief::from(&task)), Since::default());
        std::fs::write(directory.path().join("db.stdout.0"), "x\n").unwrap();
        std::fs::write(directory.path().join("db.stderr.0"), "").unwrap();
        let told = told(&Brief::from(&task));
        assert!(told.stdout.is_some() && told.stderr.is_none());
    }
}
