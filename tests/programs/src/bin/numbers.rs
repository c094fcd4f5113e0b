//! A service whose log can be checked to the last byte: `numbers RATE [COUNT CODE]`.
//!
//! It writes `1`, `2`, `3` ... at RATE lines a second. With a COUNT it exits with CODE after that many. At SIGTERM it
//! writes `end N`, where N is the last number, and exits with 0.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use std::os::fd::AsFd;

/// Lines are written in steps of this length: many small writes, none larger than a pipe takes at once.
const STEP: Duration = Duration::from_millis(5);

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("numbers: {error}");
            ExitCode::from(99)
        }
    }
}

fn run() -> Result<u8, Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let rate: u64 = args.next().ok_or("usage: numbers RATE [COUNT CODE]")?.parse()?;
    let count: u64 = args.next().map_or(Ok(u64::MAX), |count| count.parse())?;
    let code: u8 = args.next().map_or(Ok(0), |code| code.parse())?;
    let signals = block_term()?;
    let (begin, mut written) = (Instant::now(), 0);
    while written < count {
        let due = u64::try_from(begin.elapsed().as_millis())? * rate / 1000;
        let until = due.max(1).min(count).min(written + 500);
        write(written, until)?;
        written = written.max(until);
        if asked_to_end(&signals)? {
            println!("end {written}");
            return Ok(0);
        }
    }
    Ok(code)
}

fn write(from: u64, to: u64) -> std::io::Result<()> {
    let text: String = (from + 1..=to).map(|number| format!("{number}\n")).collect();
    std::io::stdout().lock().write_all(text.as_bytes())
}

fn block_term() -> nix::Result<SignalFd> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTERM);
    mask.thread_block()?;
    SignalFd::new(&mask)
}

/// Waits for a step, or less if the signal comes.
fn asked_to_end(signals: &SignalFd) -> nix::Result<bool> {
    let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::try_from(STEP).unwrap_or(PollTimeout::ZERO)).map(|ready| ready > 0)
}
