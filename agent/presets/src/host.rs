//! What a preset asks the host: its own small window, so that everything else here is pure.

use std::ffi::CString;
use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// A host account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

/// The host as a preset sees it.
pub trait Host {
    /// Whether there is something at `path`.
    fn exists(&self, path: &Path) -> bool;
    /// The names in a directory; none if it cannot be read.
    fn list_dir(&self, path: &Path) -> Vec<String>;
    /// A small text file; nothing if it cannot be read.
    fn read(&self, path: &Path) -> Option<String>;
    /// A small text file of a directory tree, with the tree as root: no symbolic link leads out of it.
    fn read_inside(&self, tree: &Path, path: &Path) -> Option<String>;
    /// What a program prints; for reading versions.
    ///
    /// # Errors
    /// Why it could not be run, in words for a person.
    fn run_version(&self, argv: &[String]) -> Result<String, String>;
    /// The account of this name.
    fn account(&self, name: &str) -> Option<Account>;
    /// The account of this user id.
    fn account_of(&self, uid: u32) -> Option<Account>;
    /// The id of the group of this name.
    fn group(&self, name: &str) -> Option<u32>;
    /// Whether the kernel holds its clock to be synchronised; nothing if it does not say.
    fn clock_synchronised(&self) -> Option<bool>;
}

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest file that is read whole, in bytes.
const MAX_READ: u64 = 1 << 20;

/// The host this process runs on. Accounts are asked of the name service, so LDAP's count too.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalHost;

impl Host for LocalHost {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn list_dir(&self, path: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
        entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect()
    }

    fn read(&self, path: &Path) -> Option<String> {
        let mut text = String::new();
        fs::File::open(path).ok()?.take(MAX_READ).read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn read_inside(&self, tree: &Path, path: &Path) -> Option<String> {
        let root = barepod_sys::path::refer(tree).ok()?;
        let file = barepod_sys::path::refer_inside(root.as_fd(), path).ok()?;
        // What it refers to is opened anew, and only if it is a file: a FIFO would wait for ever.
        let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::metadata(&opened).ok()?.is_file().then(|| self.read(Path::new(&opened)))?
    }

    fn run_version(&self, argv: &[String]) -> Result<String, String> {
        let Some((program, args)) = argv.split_first() else { return Err("no program is named".to_owned()) };
        let mut command = Command::new(program);
        command.args(args).env_clear().env("LC_ALL", "C").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|e| format!("{program} could not be run: {e}"))?;
        let output = within(child, PATIENCE).map_err(|e| format!("{program} {e}"))?;
        // Some say it on the standard error.
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        if output.status.success() { Ok(text) } else { Err(format!("{program} ended with {}", output.status)) }
    }

    fn account(&self, name: &str) -> Option<Account> {
        User::from_name(name).ok().flatten().map(account)
    }

    fn account_of(&self, uid: u32) -> Option<Account> {
        User::from_uid(Uid::from_raw(uid)).ok().flatten().map(account)
    }

    fn group(&self, name: &str) -> Option<u32> {
        Group::from_name(name).ok().flatten().map(|g| g.gid.as_raw())
    }

    fn clock_synchronised(&self) -> Option<bool> {
        barepod_sys::clock::synchronised().ok()
    }
}

/// Waits for a program that says a line or two. One that is another program than it was thought to be may never end.
fn within(mut child: Child, patience: Duration) -> Result<Output, String> {
    let began = Instant::now();
    while child.try_wait().map_err(|e| format!("cannot be waited for: {e}"))?.is_none() {
        if began.elapsed() > patience {
            // It may just have ended.
            child.kill().ok();
            child.wait().ok();
            return Err(format!("has not said its version after {} s", patience.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().map_err(|e| format!("cannot be read: {e}"))
}

fn account(user: User) -> Account {
    let groups = CString::new(user.name.as_str()).ok().and_then(|name| getgrouplist(&name, user.gid).ok());
    let others = groups.into_iter().flatten().map(Gid::as_raw).filter(|gid| *gid != user.gid.as_raw()).collect();
    Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), groups: others }
}
