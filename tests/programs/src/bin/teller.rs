//! A service that says what it is told to (sd_notify).
//!
//! `teller DIRECTORY`. It carries out the files `1`, `2`, ... in the directory as they come, and writes what came of each into
//! `1.done`, ...: `say TEXT` (`;` for a new line), `child TEXT` (another process of the container says it), `barrier`,
//! `store` (an open file to be kept), `second` (starts a second process and names it as the main one), `beat MILLISECONDS`
//! (WATCHDOG=1 again and again), `quiet`, `exit CODE`. On SIGTERM it writes `terminated-NAME` and ends with 0, or, where
//! there is a file `stay`, asks for two more seconds again and again until there is none.

use std::error::Error;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use barepod_sys::datagram;
use barepod_sys::signal::{self, Signals};

/// How often it looks for something to do.
const TURN: Duration = Duration::from_millis(10);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        // Whoever asks for the answer of a process that is gone gets none: it stays until it has been heard.
        ["--say", text] => say(text).and_then(|()| barrier()).map(|()| ExitCode::SUCCESS),
        ["--flood", count] => {
            (0..count.parse::<u32>()?).try_for_each(|number| say(&format!("STATUS={number}")))?;
            barrier().map(|()| ExitCode::SUCCESS)
        }
        ["--second", directory] => Service::new(directory, "second")?.run(),
        [directory] => Service::new(directory, "first")?.run(),
        _ => Err("usage: teller DIRECTORY".into()),
    }
}

struct Service {
    directory: PathBuf,
    name: &'static str,
    signals: Signals,
    beat: Option<(Duration, Instant)>,
    second: Option<Child>,
    asked: bool,
}

impl Service {
    fn new(directory: &str, name: &'static str) -> Result<Self, Box<dyn Error>> {
        let signals = Signals::block(&[signal::TERMINATE])?;
        Ok(Self { directory: directory.into(), name, signals, beat: None, second: None, asked: false })
    }

    fn run(mut self) -> Result<ExitCode, Box<dyn Error>> {
        // What a former process has done is done.
        let mut next = (1..).find(|number| !self.directory.join(format!("{number}.done")).exists()).unwrap_or(1);
        loop {
            while self.signals.take()?.is_some() {
                self.asked = true;
                fs::write(self.directory.join(format!("terminated-{}", self.name)), "")?;
            }
            if self.asked {
                match self.directory.join("stay").exists() {
                    true => say("EXTEND_TIMEOUT_USEC=2000000")?,
                    false => return Ok(ExitCode::SUCCESS),
                }
            }
            if self.second.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_)))) {
                return Ok(ExitCode::SUCCESS);
            }
            self.beat()?;
            let file = self.directory.join(next.to_string());
            match fs::read_to_string(&file) {
                Ok(order) if self.name == "first" => {
                    next += 1;
                    if let Some(code) = order.trim().strip_prefix("exit ") {
                        fs::write(file.with_extension("done"), "well")?;
                        return Ok(ExitCode::from(code.parse::<u8>()?));
                    }
                    let said = self.carry_out(order.trim()).map_or_else(|error| error.to_string(), |()| "well".into());
                    // Renamed into place, so that a part of it is never read.
                    fs::write(file.with_extension("new"), said)?;
                    fs::rename(file.with_extension("new"), file.with_extension("done"))?;
                }
                Ok(_) | Err(_) => std::thread::sleep(TURN),
            }
        }
    }

    fn carry_out(&mut self, order: &str) -> Result<(), Box<dyn Error>> {
        match order.split_once(' ').unwrap_or((order, "")) {
            ("say", text) => say(text),
            ("barrier", _) => barrier(),
            ("store", _) => store(),
            ("child", text) => ended(Command::new(std::env::current_exe()?).args(["--say", text]).status()?.success()),
            ("second", _) => {
                let child = Command::new(std::env::current_exe()?).arg("--second").arg(&self.directory).spawn()?;
                let pid = child.id();
                self.second = Some(child);
                say(&format!("MAINPID={pid}"))
            }
            ("beat", period) => {
                self.beat = Some((Duration::from_millis(period.parse()?), Instant::now()));
                Ok(())
            }
            ("quiet", _) => {
                self.beat = None;
                Ok(())
            }
            _ => Err("no such order".into()),
        }
    }

    fn beat(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some((period, next)) = &mut self.beat
            && *next <= Instant::now()
        {
            *next = Instant::now() + *period;
            say("WATCHDOG=1")?;
        }
        Ok(())
    }
}

fn ended(well: bool) -> Result<(), Box<dyn Error>> {
    if well { Ok(()) } else { Err("the other process failed".into()) }
}

fn socket() -> Result<PathBuf, Box<dyn Error>> {
    Ok(std::env::var_os("NOTIFY_SOCKET").ok_or("there is no NOTIFY_SOCKET")?.into())
}

fn say(text: &str) -> Result<(), Box<dyn Error>> {
    Ok(datagram::send(&socket()?, text.replace(';', "\n").as_bytes(), &[])?)
}

/// Returns when all that was said before has been dealt with.
fn barrier() -> Result<(), Box<dyn Error>> {
    let (mut reader, writer) = io::pipe()?;
    datagram::send(&socket()?, b"BARRIER=1", &[writer.as_fd()])?;
    drop(writer);
    reader.read_exact(&mut [0]).expect_err("nobody writes into it");
    Ok(())
}

fn store() -> Result<(), Box<dyn Error>> {
    let file = fs::File::open(Path::new("/dev/null"))?;
    Ok(datagram::send(&socket()?, b"FDSTORE=1\nFDNAME=null", &[file.as_fd()])?)
}
