//! A booted Debian with systemd and cgroup v2, for what the development machine cannot show.
//!
//! ```text
//!   Recipe ──image──▶ cached ext4 + kernel + initrd ──qcow2 overlay──▶ Qemu (software emulation, never KVM)
//!                                                                        │ virtio-serial
//!   test ──Vm::run, put, get──▶ Link ──frames──▶ barepod-vm-agent ◀──────┘
//! ```
//!
//! The agent is not part of the image: it is handed over as a second disk, so that a change to it needs no new image.
//! Every step has a limit. The console of a guest is kept unless the guest was taken down by [`Vm::shutdown`] or
//! [`Vm::destroy`], which is what a test that succeeds does last.

mod console;
mod error;
mod image;
mod link;
mod monitor;
mod qemu;
mod recipe;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use barepod_test_programs::wire::{Exec, Reply, Request};

pub use barepod_test_programs::wire::Outcome;
pub use error::{Failure, VmError};
pub use image::{Image, ImageError};
pub use recipe::Recipe;

use crate::Scratch;
use console::Console;
use link::{Link, LinkError};
use qemu::Qemu;

/// From QEMU's start to the agent's greeting; about ten seconds on an idle machine.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
/// For a command that names no limit.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// From the order to power off to QEMU's end.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(300);
/// So much later than the agent, which should have answered by then, the harness gives up on its own.
const SLACK: Duration = Duration::from_secs(20);

/// One guest with a disk of its own, which lasts over [`Vm::reboot`] and [`Vm::power_cut`].
#[derive(Debug)]
pub struct Vm {
    // The machine goes first: it has the overlay open.
    machine: Machine,
    recipe: Recipe,
    image: Image,
    console: Console,
    scratch: Scratch,
    booted_in: Duration,
}

/// A running QEMU and the connection to the agent inside.
#[derive(Debug)]
struct Machine {
    link: Link,
    qemu: Qemu,
}

impl Vm {
    /// Makes the image where the cache has none (some two minutes), boots it, and waits for the agent.
    pub fn boot(recipe: &Recipe) -> Result<Self, VmError> {
        let image = image::of(recipe).map_err(Failure::Image)?;
        let console = Console::create().map_err(Failure::Console)?;
        let scratch = Scratch::new().map_err(Failure::Scratch)?;
        qemu::overlay(&image, &scratch).map_err(|error| console.blame(Failure::Qemu(error)))?;
        let begin = Instant::now();
        let machine = Machine::start(recipe, &image, &console, &scratch).map_err(|failure| console.blame(failure))?;
        Ok(Self { machine, recipe: recipe.clone(), image, console, scratch, booted_in: begin.elapsed() })
    }

    /// How long the last boot took, from QEMU's start to the agent's greeting.
    pub fn booted_in(&self) -> Duration {
        self.booted_in
    }

    /// Where the guest's console is written. The file stays, unless [`Vm::shutdown`] or [`Vm::destroy`] succeeds.
    pub fn console(&self) -> &Path {
        self.console.path()
    }

    /// A seat at its console, at which root logs in without a password. There is one.
    pub fn sit_down(&self) -> Result<UnixStream, VmError> {
        UnixStream::connect(qemu::seat(&self.scratch)).map_err(|error| self.console.blame(Failure::Console(error)))
    }

    /// Runs a program as root and returns what it did, whatever its exit code; at most a minute.
    pub fn run<S: Into<String>>(&self, argv: impl IntoIterator<Item = S>) -> Result<Output, VmError> {
        self.command(argv).run()
    }

    /// Runs a program that must exit with 0 and returns its output, without the final newline.
    pub fn check<S: Into<String>>(&self, argv: impl IntoIterator<Item = S>) -> Result<String, VmError> {
        self.command(argv).check()
    }

    /// A program to run with an input, an environment or a limit of its own.
    pub fn command<S: Into<String>>(&self, argv: impl IntoIterator<Item = S>) -> Command<'_> {
        let argv = argv.into_iter().map(Into::into).collect();
        let exec = Exec { argv, env: Vec::new(), limit: COMMAND_LIMIT };
        Command { vm: self, exec, stdin: Vec::new() }
    }

    /// Writes a file, with permission bits and missing parents.
    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Result<(), VmError> {
        let request = Request::Put { path: path.to_owned(), mode };
        match self.call(request, content.into(), COMMAND_LIMIT)? {
            (Reply::Stored, _) => Ok(()),
            (other, _) => Err(self.unexpected(other)),
        }
    }

    /// Copies a file of the host into the guest; a program keeps being one.
    pub fn put_file(&self, from: &Path, path: &str) -> Result<(), VmError> {
        use std::os::unix::fs::PermissionsExt as _;
        let read = || Ok((fs_err::read(from)?, fs_err::metadata(from)?.permissions().mode() & 0o777));
        let (content, mode) = read().map_err(|error| self.console.blame(Failure::HostFile(error)))?;
        self.put(path, content, mode)
    }

    /// Reads a file, also of `/proc` and `/sys`.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, VmError> {
        match self.call(Request::Get { path: path.to_owned() }, Vec::new(), COMMAND_LIMIT)? {
            (Reply::Content, content) => Ok(content),
            (other, _) => Err(self.unexpected(other)),
        }
    }

    /// An orderly shutdown by systemd, then a boot from the same disk.
    pub fn reboot(&mut self) -> Result<(), VmError> {
        self.power_off()?;
        self.start()
    }

    /// The power fails: what the guest has not synced is lost. Then a boot from the same disk.
    pub fn power_cut(&mut self) -> Result<(), VmError> {
        self.machine.qemu.kill().map_err(|error| self.console.blame(Failure::Qemu(error)))?;
        self.start()
    }

    /// An orderly shutdown by systemd. Success ends the test's interest in the console, which is removed.
    pub fn shutdown(mut self) -> Result<(), VmError> {
        self.power_off()?;
        self.forget()
    }

    /// Takes it from under whatever runs in it, as `virsh destroy` does: the end of a test that succeeds and has nothing to
    /// learn from an orderly shutdown, which takes its time where systemd is emulated.
    pub fn destroy(mut self) -> Result<(), VmError> {
        self.machine.qemu.kill().map_err(|error| self.console.blame(Failure::Qemu(error)))?;
        self.forget()
    }

    fn forget(&mut self) -> Result<(), VmError> {
        Ok(self.console.discard().map_err(Failure::Console)?)
    }

    fn start(&mut self) -> Result<(), VmError> {
        let begin = Instant::now();
        self.machine = Machine::start(&self.recipe, &self.image, &self.console, &self.scratch)
            .map_err(|failure| self.console.blame(failure))?;
        self.booted_in = begin.elapsed();
        Ok(())
    }

    fn power_off(&mut self) -> Result<(), VmError> {
        match self.check(["systemctl", "--no-block", "poweroff"]) {
            // The agent may be ended before it can answer. Whether the guest powers off is seen below.
            Ok(_) | Err(VmError { failure: Failure::Link(LinkError::Gone { .. }), .. }) => {}
            Err(error) => return Err(error),
        }
        self.machine.qemu.wait(SHUTDOWN_LIMIT).map_err(|error| self.console.blame(Failure::Qemu(error)))
    }

    fn call(&self, request: Request, body: Vec<u8>, limit: Duration) -> Result<(Reply, Vec<u8>), VmError> {
        self.machine.link.call(request, body, limit + SLACK).map_err(|error| {
            if matches!(error, LinkError::Silent { .. }) {
                monitor::examine(&self.scratch, &self.console);
            }
            self.console.blame(Failure::Link(error))
        })
    }

    fn unexpected(&self, reply: Reply) -> VmError {
        self.console.blame(match reply {
            Reply::Failed { why } => Failure::Refused { why },
            other @ (Reply::Hello | Reply::Ended { .. } | Reply::Stored | Reply::Content) => {
                Failure::Refused { why: format!("an answer out of step: {other:?}") }
            }
        })
    }
}

impl Machine {
    fn start(recipe: &Recipe, image: &Image, console: &Console, scratch: &Scratch) -> Result<Self, Failure> {
        let begin = Instant::now();
        let listener = Link::listen(scratch).map_err(Failure::Link)?;
        let mut qemu = Qemu::start(recipe, image, console, scratch).map_err(Failure::Qemu)?;
        let link = listener.accept(BOOT_LIMIT, || qemu.is_alive()).map_err(Failure::Link)?;
        link.greeting(BOOT_LIMIT.saturating_sub(begin.elapsed())).map_err(Failure::Link)?;
        Ok(Self { link, qemu })
    }
}

/// A program to run inside the guest.
#[derive(Debug)]
#[must_use = "nothing runs before `run` or `check`"]
pub struct Command<'a> {
    vm: &'a Vm,
    exec: Exec,
    stdin: Vec<u8>,
}

impl Command<'_> {
    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.exec.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What it reads; nothing otherwise.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// After this its process group is killed; a minute otherwise.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.exec.limit = limit;
        self
    }

    /// Runs it.
    pub fn run(self) -> Result<Output, VmError> {
        let limit = self.exec.limit;
        match self.vm.call(Request::Exec(self.exec), self.stdin, limit)? {
            (Reply::Ended { outcome, stdout }, mut body) => {
                let stderr = body.split_off(stdout.min(body.len()));
                Ok(Output { outcome, stdout: body, stderr })
            }
            (other, _) => Err(self.vm.unexpected(other)),
        }
    }

    /// Runs it, wants exit code 0, and returns its output without the final newline.
    pub fn check(self) -> Result<String, VmError> {
        let (vm, program) = (self.vm, self.exec.argv.join(" "));
        let output = self.run()?;
        match output.outcome {
            Outcome::Code(0) => Ok(output.text().trim_end_matches('\n').to_owned()),
            outcome @ (Outcome::Code(_) | Outcome::Signal(_) | Outcome::TimedOut) => {
                let said = format!("{}{}", output.text(), String::from_utf8_lossy(&output.stderr));
                Err(vm.console.blame(Failure::Command { program, outcome, said }))
            }
        }
    }
}

/// What a program in the guest did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub outcome: Outcome,
    /// All that it wrote there, or all until its limit.
    pub stdout: Vec<u8>,
    /// All that it wrote there, or all until its limit.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Its output as text, with U+FFFD where it is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}
