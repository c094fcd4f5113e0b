//! A booted Debian with the package installed, for people: its console is this terminal.

use std::io::{self, IsTerminal as _, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use anyhow::{Context as _, bail};
use barepod_tests::guest::Installed;
use barepod_tests::vm::{Recipe, Vm};
use clap::ValueEnum;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::repository::Repository;
use crate::setup::{self, Purpose};
use crate::{build, package};

/// Ctrl-].
const LEAVE: u8 = 0x1d;

/// Which machine.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Debian's release
    #[arg(value_enum, default_value_t = Release::Bookworm)]
    release: Release,
    /// Its memory
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    memory: u32,
    /// Without the package
    #[arg(long)]
    bare: bool,
}

/// A release that has been tried.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Release {
    /// Debian 12
    Bookworm,
    /// Debian 13
    Trixie,
}

impl Release {
    fn recipe(self) -> Recipe {
        match self {
            Self::Bookworm => Recipe::debian_12(),
            Self::Trixie => Recipe::debian_13(),
        }
    }
}

/// Boots it, hands the terminal over, and throws the machine away when its console is left or it powers off.
pub(crate) fn run(repository: &Repository, options: &Options) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() {
        bail!(
            "this is a machine to sit at: run it on a terminal. A test of it is `cargo xtask nextest -E 'binary(vm_pods)'`"
        );
    }
    setup::run(repository, Purpose::Test)?;
    build::run(repository)?;
    if !options.bare {
        package::run(repository, &package::Options::default())?;
    }
    println!(
        "boots Debian by software emulation, which takes half a minute; the first time its disk is made, which takes two"
    );
    let vm = Vm::boot(&options.release.recipe().memory_mib(options.memory))?;
    let seat = vm.sit_down()?;
    if options.bare {
        sit(seat)?;
        return Ok(vm.destroy()?);
    }
    let guest = Installed::into(vm)?;
    println!(
        "barepod is installed and runs. Log in as root, without a password; Ctrl-] leaves, and all of it is gone then."
    );
    sit(seat)?;
    Ok(guest.destroy()?)
}

/// Until one side ends.
fn sit(mut seat: UnixStream) -> anyhow::Result<()> {
    let raw = Raw::on().context("this terminal cannot be made raw")?;
    let mut keys = seat.try_clone()?;
    // It ends with this process at the latest: nothing interrupts a read of a terminal.
    std::thread::spawn(move || {
        // A new line, so that there is a prompt.
        pass(&mut &b"\r"[..], &mut keys, None)
            .and_then(|()| pass(&mut io::stdin().lock(), &mut keys, Some(LEAVE)))
            .ok();
        keys.shutdown(Shutdown::Both).ok();
    });
    let shown = pass(&mut seat, &mut io::stdout().lock(), None);
    drop(raw);
    println!();
    Ok(shown?)
}

/// Byte by byte as they come, until the end or this byte.
fn pass(from: &mut impl Read, to: &mut impl Write, until: Option<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let length = from.read(&mut buffer)?;
        let read = &buffer[..length];
        let leaves = read.iter().position(|byte| Some(*byte) == until);
        to.write_all(&read[..leaves.unwrap_or(length)])?;
        to.flush()?;
        if length == 0 || leaves.is_some() {
            return Ok(());
        }
    }
}

/// A terminal that passes each key on, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn on() -> nix::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_passed_on_until_the_key_by_which_one_leaves() {
        let passed = |bytes: &[u8], until| {
            let mut to = Vec::new();
            pass(&mut &*bytes, &mut to, until).unwrap();
            to
        };
        assert_eq!(passed(b"ls\r", Some(LEAVE)), b"ls\r");
        assert_eq!(passed(b"ls\x1dmore", Some(LEAVE)), b"ls");
        assert_eq!(passed(b"ls\x1dmore", None), b"ls\x1dmore", "the guest may show any byte");
    }
}
