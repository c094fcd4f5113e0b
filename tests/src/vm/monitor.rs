//! QEMU's monitor: what the machine is doing when nobody inside answers.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{console::Console, qemu};
use crate::Scratch;

/// So long an answer of the monitor, or of the kernel, is waited for.
const ANSWER: Duration = Duration::from_secs(5);
/// What the kernel is asked for: what runs on each processor, and who waits for something that does not come.
const KEYS: [u8; 2] = [b'l', b'w'];
/// The kernel's answers take their time on a serial line that is emulated.
const KEY: Duration = Duration::from_secs(10);

/// The socket of the monitor.
pub(super) fn socket(scratch: &Scratch) -> PathBuf {
    scratch.join("monitor")
}

/// Asks the machine how it is and the kernel in it what it does, and puts the answers at the end of the console's file.
pub(super) fn examine(scratch: &Scratch, console: &Console) {
    let answers = ask(scratch).unwrap_or_else(|error| format!("the monitor does not answer: {error}"));
    let keys = press(scratch).err().map(|error| format!("\nthe console takes no key: {error}"));
    let text = format!("\n--- the monitor:\n{answers}{}\n", keys.unwrap_or_default());
    let file = fs_err::OpenOptions::new().append(true).open(console.path());
    // What cannot be told is no further failure: there is one already.
    let _ = file.and_then(|mut file| file.write_all(text.as_bytes()));
}

fn ask(scratch: &Scratch) -> io::Result<String> {
    let mut monitor = UnixStream::connect(socket(scratch))?;
    monitor.write_all(b"info status\ninfo registers -a\ninfo blockstats\n")?;
    said(&mut monitor, ANSWER)
}

/// SysRq at the serial console is a break and a key.
fn press(scratch: &Scratch) -> io::Result<()> {
    let (mut monitor, mut seat) = (UnixStream::connect(socket(scratch))?, UnixStream::connect(qemu::seat(scratch))?);
    for key in KEYS {
        monitor.write_all(b"chardev-send-break console\n")?;
        said(&mut monitor, Duration::from_secs(1))?;
        seat.write_all(&[key])?;
        said(&mut seat, KEY)?;
    }
    Ok(())
}

/// What comes within so long.
fn said(stream: &mut UnixStream, limit: Duration) -> io::Result<String> {
    let (begin, mut text, mut buffer) = (Instant::now(), Vec::new(), [0; 4096]);
    while let Some(left) = limit.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => text.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The monitor's place among QEMU's arguments.
pub(super) fn arguments(path: &Path) -> [String; 4] {
    [
        "-chardev".to_owned(),
        format!("socket,id=monitor,path={},server=on,wait=off", path.display()),
        "-mon".to_owned(),
        "chardev=monitor,mode=readline".to_owned(),
    ]
}
