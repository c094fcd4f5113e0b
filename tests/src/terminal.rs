//! A program on a terminal of its own, as a person has one.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::process::Command;

use crate::host::signal;
use crate::process::{Owned, ProcessError};

/// The program and its terminal.
#[derive(Debug)]
pub struct Terminal {
    /// What runs on it.
    pub child: Owned,
    ours: File,
    theirs: File,
    seen: String,
}

/// What went wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// The program.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The terminal, with what was seen on it.
    #[error("{source} after {seen:?}")]
    Io {
        /// All that nobody has taken.
        seen: String,
        /// The cause.
        source: io::Error,
    },
}

impl From<io::Error> for TerminalError {
    fn from(source: io::Error) -> Self {
        Self::Io { seen: String::new(), source }
    }
}

impl Terminal {
    /// Starts a program on a terminal of this size.
    ///
    /// # Errors
    /// It does not start.
    pub fn run(mut command: Command, rows: u16, columns: u16) -> Result<Self, TerminalError> {
        let size = nix::pty::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = nix::pty::openpty(Some(&size), None).map_err(io::Error::from)?;
        let theirs = File::from(pair.slave);
        command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs.try_clone()?);
        Ok(Self { child: Owned::spawn(&mut command)?, ours: pair.master.into(), theirs, seen: String::new() })
    }

    /// As a window that somebody drags.
    ///
    /// # Errors
    /// The program is not told.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<(), TerminalError> {
        let mut stty = Command::new("stty");
        stty.args(["rows", &rows.to_string(), "cols", &columns.to_string()]).stdin(self.theirs.try_clone()?);
        let resized = stty.status()?.success();
        let told = signal(self.child.id(), "WINCH").map_err(|error| io::Error::other(error.to_string()));
        told.and_then(|()| resized.then_some(()).ok_or_else(|| io::Error::other("stty failed")))?;
        Ok(())
    }

    /// Types.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn write(&mut self, text: &str) -> Result<(), TerminalError> {
        Ok(self.ours.write_all(text.as_bytes())?)
    }

    /// Reads until the text is there; all that came until then.
    ///
    /// # Errors
    /// It does not come: what came is in the error.
    pub fn read_until(&mut self, wanted: &str) -> Result<String, TerminalError> {
        let mut chunk = [0; 1024];
        while !self.seen.contains(wanted) {
            let count = match self.ours.read(&mut chunk) {
                Ok(count) => count,
                Err(source) => return Err(TerminalError::Io { seen: std::mem::take(&mut self.seen), source }),
            };
            self.seen.push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
        Ok(std::mem::take(&mut self.seen))
    }
}
