//! What a guest is made of. The image depends on packages and set-up; memory and processors are given at each boot.

use sha2::{Digest as _, Sha256};

/// Run by mmdebstrap with the new root directory as `$1`, before its packages are configured.
pub(super) const BEFORE: &str = include_str!("before.sh");
/// Run by mmdebstrap with the new root directory as `$1`, at the end.
pub(super) const AFTER: &str = include_str!("after.sh");

/// A Debian release, its packages, and the machine to run it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    suite: String,
    packages: Vec<String>,
    disk_gib: u32,
    memory_mib: u32,
    processors: u32,
    kernel_arguments: Vec<String>,
}

impl Recipe {
    /// Debian 12 with systemd, PostgreSQL 15 without a cluster, 1 GiB of memory and two processors.
    pub fn debian_12() -> Self {
        Self::debian("bookworm", "postgresql-15")
    }

    /// The same of Debian 13, with PostgreSQL 17.
    pub fn debian_13() -> Self {
        Self::debian("trixie", "postgresql-17")
    }

    fn debian(suite: &str, postgresql: &str) -> Self {
        let packages = "systemd systemd-sysv dbus udev kmod linux-image-cloud-amd64 iproute2 procps";
        Self {
            suite: suite.to_owned(),
            packages: packages.split(' ').chain([postgresql]).map(str::to_owned).collect(),
            disk_gib: 4,
            memory_mib: 1024,
            processors: 2,
            kernel_arguments: Vec::new(),
        }
    }

    /// One more package of Debian: another image.
    pub fn package(mut self, name: &str) -> Self {
        self.packages.push(name.to_owned());
        self
    }

    /// The guest's memory.
    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// The guest's processors.
    pub fn processors(mut self, count: u32) -> Self {
        self.processors = count;
        self
    }

    /// One more argument of the kernel's command line.
    pub fn kernel_argument(mut self, argument: &str) -> Self {
        self.kernel_arguments.push(argument.to_owned());
        self
    }

    /// The Debian release's code name.
    pub(super) fn suite(&self) -> &str {
        &self.suite
    }

    /// As mmdebstrap wants them.
    pub(super) fn included(&self) -> String {
        self.packages.join(",")
    }

    pub(super) fn disk_gib(&self) -> u32 {
        self.disk_gib
    }

    /// QEMU's arguments for the size of the machine.
    pub(super) fn size(&self) -> [String; 4] {
        ["-m".to_owned(), self.memory_mib.to_string(), "-smp".to_owned(), self.processors.to_string()]
    }

    /// The kernel's command line. `no_timer_check`: on a loaded host the emulated timer comes too late for the kernel's
    /// test of it, which then panics.
    pub(super) fn command_line(&self) -> String {
        let fixed = "root=/dev/vda rw console=ttyS0 systemd.show_status=1 panic=-1 no_timer_check sysrq_always_enabled";
        std::iter::once(fixed).chain(self.kernel_arguments.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
    }

    /// Names the image: the same for recipes that make the same image. Sixteen hexadecimal digits.
    pub(super) fn key(&self) -> String {
        let Self { suite, packages, disk_gib, memory_mib: _, processors: _, kernel_arguments: _ } = self;
        let text = format!("{suite}\n{packages:?}\n{disk_gib}\n{BEFORE}\n{AFTER}\n{:?}", super::image::OPTIONS);
        Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_of_any_size_share_an_image() {
        let small = Recipe::debian_12();
        let large = Recipe::debian_12().memory_mib(4096).processors(1).kernel_argument("quiet");

        assert_eq!(small.key(), large.key());
        assert!(large.command_line().ends_with(" quiet"));
    }

    #[test]
    fn another_package_is_another_image() {
        assert_ne!(Recipe::debian_12().key(), Recipe::debian_12().package("fio").key());
    }
}
