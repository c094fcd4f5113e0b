//! The side of a service's streams that its log does not see: standard input, and a terminal that is on its way.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use barepod_logs::cri::Stream;
use barepod_sys::terminal::{self, Size};
use barepod_sys::{descriptor, pass};

use crate::attempt::Attempt;
use crate::input::Input;
use crate::keeper;
use crate::output::Source;
use crate::wire;

/// What of an attempt's streams is no output.
#[derive(Debug, Default)]
pub struct Standard {
    /// Where the child sends the controlling side of the terminal that it opens in its view.
    pub(crate) terminal: Option<UnixStream>,
    /// Where input is written.
    pub(crate) input: Option<Input>,
    /// No more input comes; what waits is still written.
    pub(crate) closing: bool,
}

impl Attempt {
    /// The process is there.
    #[must_use]
    pub fn runs(&self) -> bool {
        matches!(self.phase, crate::attempt::Phase::Starting { .. } | crate::attempt::Phase::Running)
    }

    /// It has a terminal.
    #[must_use]
    pub fn has_terminal(&self) -> bool {
        self.record.tty
    }

    /// What is written to its input arrives.
    #[must_use]
    pub fn takes_stdin(&self) -> bool {
        self.record.stdin && self.standard.input.is_some()
    }

    /// Writes to its input.
    pub fn put_stdin(&mut self, data: &[u8]) {
        if let Some(input) = self.standard.input.as_mut().filter(|_| self.record.stdin) {
            input.put(data);
        }
    }

    /// A session that could write writes no more. Whether that closed the input for good, so that the session may go on
    /// for what is still written.
    pub fn leave_stdin(&mut self) -> bool {
        if !self.record.stdin || !self.record.stdin_once || self.record.tty {
            return false;
        }
        (self.record.stdin, self.standard.closing) = (false, true);
        self.write_record();
        self.flush_stdin();
        true
    }

    /// Writes what waits.
    pub fn flush_stdin(&mut self) {
        let Some(input) = &mut self.standard.input else { return };
        input.flush();
        if self.standard.closing && input.wants().is_none() {
            self.standard.input = None;
            self.release();
        }
    }

    /// Sets the size of its terminal.
    pub fn resize(&self, size: wire::TerminalSize) {
        let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let size = Size { rows: small(size.rows), columns: small(size.columns) };
        if let Some(Source::Terminal(file)) = self.output.as_ref().and_then(|output| output.source(Stream::Stdout)) {
            // Of a terminal that has just ended it does not matter.
            let _ = terminal::resize(file, size);
        }
    }

    /// Takes the terminal that the child has opened and sent before it became its program.
    pub(crate) fn take_terminal(&mut self) {
        let Some(socket) = self.standard.terminal.take() else { return };
        if let Ok(Some(controller)) = pass::receive(socket.as_fd()) {
            self.set_terminal(controller.into());
        }
    }

    pub(crate) fn set_terminal(&mut self, controller: File) {
        // Its readers share this; a read that blocks would hold everything up.
        let _ = descriptor::never_block(&controller);
        if self.record.stdin {
            self.standard.input = controller.try_clone().ok().map(Input::new);
        }
        if let Some(output) = &mut self.output {
            output.set_source(Stream::Stdout, Source::Terminal(controller));
        }
        self.keep();
    }

    /// Has it kept what must not end with this process. Without a keeper it still runs, until this process dies.
    pub(crate) fn keep(&mut self) {
        let terminal =
            self.output.as_ref().and_then(|output| output.source(Stream::Stdout)).filter(|_| self.record.tty);
        let kept = terminal.map(Source::file).or(self.standard.input.as_ref().map(Input::file));
        let (Some(kept), Some(main)) = (kept, self.main.pidfd()) else { return };
        match keeper::begin(main, kept.as_fd()) {
            Ok(new) => {
                if let Some(old) = self.record.keeper.replace(new) {
                    keeper::end(&old);
                }
                self.write_record();
            }
            Err(error) => eprintln!("barepod-shim: attempt {}: nobody keeps its terminal: {error}", self.number()),
        }
    }

    /// Whether this process is its keeper.
    pub(crate) fn is_keeper(&self, pid: u32) -> bool {
        self.record.keeper.as_ref().and_then(|keeper| keeper.process).is_some_and(|process| process.pid == pid)
    }

    /// Nothing needs to be kept any more.
    pub(crate) fn release(&mut self) {
        if let Some(keeper) = self.record.keeper.take() {
            keeper::end(&keeper);
        }
    }
}
