//! A host's wall clock, which a test sets while barepod's processes run: libfaketime is loaded into them. Their steady
//! clocks, and the clocks of all others, go on as they are.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Debian's `libfaketime`, on each of its architectures.
const LIBRARIES: [&str; 2] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];

/// The clock of one host.
#[derive(Debug, Clone)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// One that is right. What it says is in this file, which every user may read.
    ///
    /// # Errors
    /// The file cannot be written, or there is no libfaketime: `cargo xtask setup` installs it.
    pub fn kept_in(file: PathBuf) -> io::Result<Self> {
        let there = LIBRARIES.map(|directory| Path::new(directory).join("faketime/libfaketime.so.1"));
        let library = there.into_iter().find(|library| library.exists());
        let library = library.ok_or_else(|| io::Error::other("there is no libfaketime: cargo xtask setup"))?;
        let clock = Self { library, file };
        clock.set(0)?;
        Ok(clock)
    }

    /// From now on it differs from the right time by so many seconds.
    ///
    /// # Errors
    /// Its file cannot be replaced.
    pub fn set(&self, seconds: i64) -> io::Result<()> {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}"))?;
        std::fs::set_permissions(&new, Permissions::from_mode(0o644))?;
        std::fs::rename(new, &self.file)
    }

    /// What makes a program that has it in its environment, and what that starts, have this clock.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let (library, file) = (self.library.display().to_string(), self.file.display().to_string());
        // It is read whenever somebody asks for the time, and changes nothing but the wall clock.
        let always = ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"];
        let always = always.map(|name| (name, "1".to_owned()));
        [("LD_PRELOAD", library), ("FAKETIME_TIMESTAMP_FILE", file)].into_iter().chain(always).collect()
    }
}
