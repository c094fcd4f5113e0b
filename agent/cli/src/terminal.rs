//! The terminal in raw mode for as long as a guard lives.

use std::io::{IsTerminal, stdin};
use std::os::fd::AsFd;

use barepod_api::v1::TerminalSize;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// Raw mode; the old mode comes back when it is dropped.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// `None` if standard input is no terminal.
    pub(crate) fn enter() -> Option<Self> {
        let input = stdin();
        if !input.is_terminal() {
            return None;
        }
        let before = tcgetattr(input.as_fd()).ok()?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(input.as_fd(), SetArg::TCSANOW, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nothing better can be done if the terminal has gone.
        tcsetattr(stdin().as_fd(), SetArg::TCSANOW, &self.before).ok();
    }
}

/// The terminal's size, if there is one.
pub(crate) fn size() -> Option<TerminalSize> {
    let (columns, rows) = terminal_size::terminal_size_of(stdin())?;
    Some(TerminalSize { columns: columns.0.into(), rows: rows.0.into() })
}
