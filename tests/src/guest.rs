//! barepod in a guest: installed where its packages put it and run by systemd, or laid out as the build it comes from, so
//! that test programs find it there as they do here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::Scratch;
use crate::host::{first_pid, is_ready};
use crate::packages;
use crate::process::{self, ProcessError};
use crate::programs::{Built, ProgramError, STATIC_PROFILE, STATIC_TARGET};
use crate::vm::{Output, Vm, VmError};
use crate::wait::{PATIENCE, WaitedInVain, wait_for};

/// The target directory of a build that is laid out in the guest.
const BUILD: &str = "/opt/build";
/// Static programs that the test programs look for.
const STATIC: [&str; 4] = ["barepod-shim", "hostile", "numbers", "teller"];
/// Software emulation takes ten times as long and more; a limit is no measurement.
const FACTOR: &str = "8";

/// How long anything that should happen soon may take in a guest on a loaded machine.
pub const SOON: Duration = Duration::from_secs(300);

/// What went wrong with barepod in a guest.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// The guest, or a command in it.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// A program is not built.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A scratch file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// strip, of binutils.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// An answer of the command line is no JSON.
    #[error("an answer is no JSON")]
    Json(#[from] serde_json::Error),
    /// Something did not come to pass.
    #[error("{0}\n--- the end of the daemon's journal:\n{1}")]
    Vain(WaitedInVain, String),
}

/// A guest with barepod at its real places.
#[derive(Debug)]
pub struct Installed {
    vm: Vm,
}

impl Installed {
    /// Installs the `.deb` of this build, as an administrator does. The daemon runs then.
    pub fn into(vm: Vm) -> Result<Self, GuestError> {
        let guest = Self { vm };
        guest.install(&packages::debian()?)?;
        Ok(guest)
    }

    /// Installs a `.deb`: the first one, a newer or an older one.
    pub fn install(&self, package: &Path) -> Result<(), GuestError> {
        const FILE: &str = "/run/barepod.deb";
        self.vm.put_file(package, FILE)?;
        self.shell(&format!(
            "apt-get install --quiet --yes --allow-downgrades -o Dpkg::Options::=--force-confold {FILE}; rm {FILE}"
        ))?;
        Ok(())
    }

    /// The guest.
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// Reboots it in good order.
    pub fn reboot(&mut self) -> Result<(), GuestError> {
        Ok(self.vm.reboot()?)
    }

    /// Its power fails: what it has not synced is lost. Then it boots again.
    pub fn power_cut(&mut self) -> Result<(), GuestError> {
        Ok(self.vm.power_cut()?)
    }

    /// Takes it down: the end of a test that succeeds.
    pub fn shutdown(self) -> Result<(), GuestError> {
        Ok(self.vm.shutdown()?)
    }

    /// Throws it away: the end of a test that has nothing more to say.
    pub fn destroy(self) -> Result<(), GuestError> {
        Ok(self.vm.destroy()?)
    }

    /// Runs a script, which must succeed; what it prints, without the final newline.
    pub fn shell(&self, script: &str) -> Result<String, GuestError> {
        Ok(self.vm.command(["sh", "-euc", script]).limit(SOON).check()?)
    }

    /// Runs the command line, which must succeed.
    pub fn barepod(&self, args: &[&str]) -> Result<String, GuestError> {
        let argv = std::iter::once("barepod").chain(args.iter().copied());
        Ok(self.vm.command(argv).limit(SOON).check()?)
    }

    /// Applies a manifest given as text.
    pub fn apply(&self, manifest: &str) -> Result<String, GuestError> {
        const FILE: &str = "/run/applied.yaml";
        self.vm.put(FILE, manifest, 0o600)?;
        self.barepod(&["apply", "-f", FILE])
    }

    /// A property of the daemon's unit.
    pub fn property(&self, name: &str) -> Result<String, GuestError> {
        Ok(self.vm.check(["systemctl", "show", "--property", name, "--value", "barepod"])?)
    }

    /// A pod as its Kubernetes object.
    pub fn pod(&self, name: &str) -> Result<Value, GuestError> {
        Ok(serde_json::from_str(&self.barepod(&["get", "pod", name, "-o", "json"])?)?)
    }

    /// The pid of a pod's first container, while it runs and the daemon answers.
    pub fn pid(&self, name: &str) -> Option<u32> {
        first_pid(&self.barepod(&["get", "pod", name, "-o", "wide"]).ok()?)
    }

    /// Waits until a pod is ready.
    pub fn ready(&self, name: &str) -> Result<Value, GuestError> {
        self.until(format!("pod {name} to be ready"), |guest| guest.pod(name).ok().filter(is_ready))
    }

    /// Waits for a condition of this guest.
    pub fn until<T>(
        &self,
        what: impl Into<String>,
        mut condition: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, GuestError> {
        wait_for(what, SOON, || condition(self)).map_err(|vain| GuestError::Vain(vain, self.last_words()))
    }

    fn last_words(&self) -> String {
        let journal = self.vm.run(["journalctl", "--unit=barepod", "--no-pager", "--lines=30"]);
        journal.map_or_else(|error| error.to_string(), |output| output.text())
    }
}

/// The build that the running test comes from, in a guest.
#[derive(Debug)]
pub struct Laid<'a> {
    vm: &'a Vm,
    built: Built,
    scratch: Scratch,
}

impl<'a> Laid<'a> {
    /// Puts the programs that tests run into a guest.
    pub fn out(vm: &'a Vm) -> Result<Self, GuestError> {
        let laid = Self { vm, built: Built::here()?, scratch: Scratch::new()? };
        for program in ["barepodd", "barepod-prober", "barepod"] {
            laid.put(&laid.built.host(program)?, &format!("debug/{program}"))?;
        }
        for program in STATIC {
            laid.put(&laid.built.musl(program)?, &format!("{STATIC_TARGET}/{STATIC_PROFILE}/{program}"))?;
        }
        Ok(laid)
    }

    /// Runs those tests made from a file of the repository whose names contain one of `filters`, one after the other.
    pub fn test(&self, file: &str, filters: &[&str], limit: Duration) -> Result<Output, GuestError> {
        let program = self.built.test(file)?;
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let place = self.put(&program, &format!("debug/deps/{name}"))?;
        let argv = [place.as_str(), "--test-threads=1", "--show-output"].into_iter().chain(filters.iter().copied());
        let shim = format!("{BUILD}/{STATIC_TARGET}/{STATIC_PROFILE}/barepod-shim");
        let command = self.vm.command(argv).env(PATIENCE, FACTOR).env("BAREPOD_SHIM", &shim).limit(limit);
        Ok(command.run()?)
    }

    fn put(&self, program: &Path, below: &str) -> Result<String, GuestError> {
        let place = format!("{BUILD}/{below}");
        put_stripped(self.vm, &self.scratch, program, &place)?;
        Ok(place)
    }
}

/// Without what only a debugger reads, which is the larger part of it.
fn put_stripped(vm: &Vm, scratch: &Scratch, program: &Path, place: &str) -> Result<(), GuestError> {
    let stripped: PathBuf = scratch.join("stripped");
    process::run(Command::new("strip").arg("-o").arg(&stripped).arg(program))?;
    Ok(vm.put_file(&stripped, place)?)
}
