//! The agent inside the guest: runs programs, writes and reads files for the harness, each request on its own thread.
//!
//! Started by a systemd unit with the virtio port as its only argument; runs until the guest goes down.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use barepod_test_programs::wire::{Exec, Frame, GREETING, Outcome, Reply, Request};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

fn main() -> io::Result<()> {
    let path = std::env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: barepod-vm-agent PORT"))?;
    let mut port = OpenOptions::new().read(true).write(true).open(path)?;
    let answers = Arc::new(Mutex::new(port.try_clone()?));
    send(&answers, Frame { id: GREETING, message: Reply::Hello, body: Vec::new() })?;
    loop {
        let Frame { id, message, body } = Frame::<Request>::read(&mut port)?;
        let answers = Arc::clone(&answers);
        thread::spawn(move || {
            let (message, body) = carry_out(message, body).unwrap_or_else(failed);
            if let Err(error) = send(&answers, Frame { id, message, body }) {
                eprintln!("barepod-vm-agent: answer {id}: {error}");
            }
        });
    }
}

fn send(port: &Mutex<File>, frame: Frame<Reply>) -> io::Result<()> {
    frame.write(&mut *port.lock().unwrap_or_else(PoisonError::into_inner))
}

fn failed(error: io::Error) -> (Reply, Vec<u8>) {
    (Reply::Failed { why: error.to_string() }, Vec::new())
}

fn carry_out(request: Request, body: Vec<u8>) -> io::Result<(Reply, Vec<u8>)> {
    match request {
        Request::Exec(exec) => run(&exec, body),
        Request::Put { path, mode } => put(Path::new(&path), mode, &body).map(|()| (Reply::Stored, Vec::new())),
        Request::Get { path } => Ok((Reply::Content, fs::read(path)?)),
    }
}

fn put(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".barepod-put");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    drop(file);
    fs::rename(beside, path)
}

/// What can happen to a running program, told to the one thread that waits for it.
enum News {
    Ended(ExitStatus),
    OutputClosed,
}

fn run(exec: &Exec, stdin: Vec<u8>) -> io::Result<(Reply, Vec<u8>)> {
    let mut child = spawn(exec)?;
    let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let (news, inbox) = mpsc::channel();
    feed(&mut child, stdin);
    let stdout = collect(child.stdout.take(), news.clone());
    let stderr = collect(child.stderr.take(), news.clone());
    thread::spawn(move || {
        if let Ok(status) = child.wait() {
            // The receiver is gone once the limit has passed; then nobody asks any more.
            let _ = news.send(News::Ended(status));
        }
    });
    let outcome = wait(&inbox, exec.limit);
    if outcome == Outcome::TimedOut {
        // ESRCH: all of the group ended meanwhile, which is what was wanted.
        let _ = killpg(group, Signal::SIGKILL);
    }
    let mut body = take(&stdout);
    let cut = body.len();
    body.extend(take(&stderr));
    Ok((Reply::Ended { outcome, stdout: cut }, body))
}

fn spawn(exec: &Exec) -> io::Result<Child> {
    let [program, arguments @ ..] = exec.argv.as_slice() else {
        return Err(io::Error::other("an empty argv"));
    };
    Command::new(program)
        .args(arguments)
        .envs(exec.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))
}

fn feed(child: &mut Child, stdin: Vec<u8>) {
    if let Some(mut pipe) = child.stdin.take() {
        // A program that does not read its input ends this thread with EPIPE; that is its own affair.
        thread::spawn(move || pipe.write_all(&stdin));
    }
}

type Collected = Arc<Mutex<Vec<u8>>>;

fn collect(pipe: Option<impl Read + Send + 'static>, news: mpsc::Sender<News>) -> Collected {
    let collected = Collected::default();
    let into = Arc::clone(&collected);
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        if let Some(mut pipe) = pipe {
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        }
        let _ = news.send(News::OutputClosed);
    });
    collected
}

fn take(collected: &Collected) -> Vec<u8> {
    std::mem::take(&mut *collected.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Waits for the end of the program and of both its outputs.
fn wait(inbox: &mpsc::Receiver<News>, limit: Duration) -> Outcome {
    let begin = Instant::now();
    let (mut ended, mut closed) = (None, 0);
    loop {
        if let (Some(status), 2) = (ended, closed) {
            return outcome(status);
        }
        match inbox.recv_timeout(limit.saturating_sub(begin.elapsed())) {
            Ok(News::Ended(status)) => ended = Some(status),
            Ok(News::OutputClosed) => closed += 1,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Outcome::TimedOut,
        }
    }
}

fn outcome(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Code(code),
        (None, Some(signal)) => Outcome::Signal(signal),
        (None, None) => unreachable!("a status without code has a signal"),
    }
}
