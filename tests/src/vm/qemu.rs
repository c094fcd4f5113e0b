//! One QEMU process: software emulation, no network, root on an overlay, the console in a file, one virtio-serial port.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use barepod_test_programs::wire::PORT;

use super::console::Console;
use super::image::Image;
use super::monitor;
use super::recipe::Recipe;
use crate::Scratch;
use crate::process::{Owned, ProcessError, run, tail};
use crate::programs::{self, ProgramError};

/// The running QEMU; killed by its pid on drop.
#[derive(Debug)]
pub(super) struct Qemu {
    process: Owned,
    said: PathBuf,
}

/// QEMU did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// The agent's program.
    #[error(transparent)]
    Agent(#[from] ProgramError),
    /// A file of its own.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A program.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It ended unhappily.
    #[error("ended with {status}: {said}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// Its own words.
        said: String,
    },
}

/// Makes the guest's disk: an overlay over the cached image, removed with the scratch directory.
pub(super) fn overlay(image: &Image, scratch: &Scratch) -> Result<(), QemuError> {
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(image.disk()).arg(disk(scratch));
    run(&mut create)?;
    Ok(())
}

/// The socket on which the harness listens for the guest's port.
pub(super) fn socket(scratch: &Scratch) -> PathBuf {
    scratch.join("port")
}

/// The socket by which somebody sits at the console.
pub(super) fn seat(scratch: &Scratch) -> PathBuf {
    scratch.join("console")
}

fn disk(scratch: &Scratch) -> PathBuf {
    scratch.join("root.qcow2")
}

impl Qemu {
    /// Starts it. The socket must be listened on: QEMU connects to it before the guest runs.
    pub(super) fn start(
        recipe: &Recipe,
        image: &Image,
        console: &Console,
        scratch: &Scratch,
    ) -> Result<Self, QemuError> {
        let said = scratch.join("qemu.log");
        let output = fs_err::File::create(&said)?.into_file();
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-accel", "tcg,thread=multi", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .args(recipe.size())
            .arg("-kernel")
            .arg(image.kernel())
            .arg("-initrd")
            .arg(image.initrd())
            .args(["-append", &recipe.command_line()])
            .args(disks(&disk(scratch), &agent(scratch)?))
            .args(ports(console.path(), &seat(scratch), &socket(scratch)))
            .args(monitor::arguments(&monitor::socket(scratch)))
            .args(["-device", "virtio-rng-pci"])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Ok(Self { process: Owned::spawn(&mut command)?, said })
    }

    /// Whether it still runs; an error with its own words where not.
    pub(super) fn is_alive(&mut self) -> Result<(), QemuError> {
        match self.process.ended()? {
            None => Ok(()),
            Some(status) => Err(self.unhappy(status)),
        }
    }

    /// Waits for the guest to power off.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<(), QemuError> {
        let status = self.process.wait("the guest", limit)?;
        if status.success() { Ok(()) } else { Err(self.unhappy(status)) }
    }

    /// Pulls the plug.
    pub(super) fn kill(&mut self) -> Result<(), QemuError> {
        Ok(self.process.kill()?)
    }

    fn unhappy(&self, status: ExitStatus) -> QemuError {
        let said = std::fs::read_to_string(&self.said).unwrap_or_default();
        QemuError::Ended { status, said: tail(&said, 10) }
    }
}

/// The agent's program as a disk: a copy, padded to whole sectors.
fn agent(scratch: &Scratch) -> Result<PathBuf, QemuError> {
    const SECTOR: usize = 512;
    let mut program = fs_err::read(programs::musl("barepod-vm-agent")?)?;
    program.resize(program.len().next_multiple_of(SECTOR), 0);
    let path = scratch.join("agent.raw");
    fs_err::write(&path, program)?;
    Ok(path)
}

/// `/dev/vda` and `/dev/vdb`, in this order.
fn disks(root: &Path, agent: &Path) -> [String; 4] {
    let drive = "-drive".to_owned();
    [
        drive.clone(),
        format!("file={},format=qcow2,if=virtio", root.display()),
        drive,
        format!("file={},format=raw,if=virtio,readonly=on", agent.display()),
    ]
}

/// What is written to the console is in its file, whether somebody sits there or not.
fn ports(console: &Path, seat: &Path, socket: &Path) -> [String; 10] {
    [
        "-chardev".to_owned(),
        format!(
            "socket,id=console,path={},server=on,wait=off,logfile={},logappend=on",
            seat.display(),
            console.display()
        ),
        "-serial".to_owned(),
        "chardev:console".to_owned(),
        "-chardev".to_owned(),
        format!("socket,id=port,path={}", socket.display()),
        "-device".to_owned(),
        "virtio-serial-pci".to_owned(),
        "-device".to_owned(),
        format!("virtserialport,chardev=port,name={PORT}"),
    ]
}
