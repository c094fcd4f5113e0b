//! A PostgreSQL of Debian on a cluster of its own, and connections to it.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use barepod_test_programs::stamp::monotonic;
use barepod_tests::process::run;
use barepod_tests::wait_for;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Pid, Uid, User, chown};

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(1);
/// Protocol 3.0 of PostgreSQL.
const PROTOCOL: u32 = 3 << 16;

/// A cluster, and where its server listens.
pub(super) struct Server {
    data: PathBuf,
    owner: User,
    /// Whether the service has a cgroup of its own.
    pub(super) has_group: bool,
}

impl Server {
    /// Makes a cluster below `place`, which belongs to the user postgres.
    pub(super) fn create(place: &Path, has_group: bool) -> anyhow::Result<Self> {
        let owner = User::from_name("postgres")?.context("there is no user postgres")?;
        fs_err::create_dir(place)?;
        chown(place, Some(owner.uid), Some(owner.gid))?;
        let data = place.join("data");
        let mut initdb = Command::new("setpriv");
        initdb.args([&format!("--reuid={}", owner.uid), &format!("--regid={}", owner.gid), "--clear-groups"]);
        initdb.arg(format!("{PROGRAMS}/initdb")).args(["-A", "trust", "-E", "UTF8", "--no-locale", "-D"]).arg(&data);
        run(initdb.current_dir("/").stdin(Stdio::null()))?;
        Ok(Self { data, owner, has_group })
    }

    pub(super) fn uid(&self) -> Uid {
        self.owner.uid
    }

    pub(super) fn gid(&self) -> Gid {
        self.owner.gid
    }

    /// The postmaster; it listens on a socket in the cluster's directory alone.
    pub(super) fn command(&self) -> Vec<String> {
        let data = self.data.display().to_string();
        let program = format!("{PROGRAMS}/postgres");
        [&program, "-D", &data, "-k", &data, "-c", "listen_addresses="].map(str::to_owned).into()
    }

    /// Waits until a connection is accepted: when.
    pub(super) fn first_connection(&self, limit: Duration) -> anyhow::Result<Duration> {
        let deadline = monotonic()? + limit;
        while monotonic()? < deadline {
            if self.connect().is_ok() {
                return Ok(monotonic()?);
            }
            std::thread::sleep(PAUSE);
        }
        self.connect().context("PostgreSQL accepts no connection")?;
        Ok(monotonic()?)
    }

    /// So many sessions, each with a backend.
    pub(super) fn backends(&self, count: usize) -> anyhow::Result<Vec<UnixStream>> {
        let session = |_| wait_for("a session", Duration::from_secs(20), || self.connect().ok());
        Ok((0..count).map(session).collect::<Result<_, _>>()?)
    }

    /// A session that has been let in.
    fn connect(&self) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(self.data.join(".s.PGSQL.5432"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(&startup())?;
        let mut kind = [0];
        stream.read_exact(&mut kind)?;
        match kind {
            [b'R'] => Ok(stream),
            _ => Err(io::Error::other("PostgreSQL lets nobody in yet")),
        }
    }
}

/// The message that begins a session: its length, the protocol, and pairs of words.
fn startup() -> Vec<u8> {
    let words = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(8 + words.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &PROTOCOL.to_be_bytes(), words].concat()
}

/// A watch on a cgroup's emptiness, in a thread of its own.
pub(super) struct Emptied(JoinHandle<anyhow::Result<Duration>>);

impl Emptied {
    /// Of the group that this process is in.
    pub(super) fn of(process: Pid) -> anyhow::Result<Self> {
        let events = events_of(process)?;
        Ok(Self(std::thread::spawn(move || empty(&events))))
    }

    /// When the group was seen to be empty, by the monotonic clock.
    pub(super) fn at(self) -> anyhow::Result<Duration> {
        match self.0.join() {
            Ok(at) => at,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn events_of(process: Pid) -> anyhow::Result<fs_err::File> {
    let groups = fs_err::read_to_string(format!("/proc/{process}/cgroup"))?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/")).context("it is in no cgroup2 group")?;
    let hybrid = Path::new("/sys/fs/cgroup/unified");
    let mount = if hybrid.exists() { hybrid } else { Path::new("/sys/fs/cgroup") };
    Ok(fs_err::File::open(mount.join(path).join("cgroup.events"))?)
}

fn empty(events: &fs_err::File) -> anyhow::Result<Duration> {
    use std::os::unix::fs::FileExt as _;
    loop {
        let mut text = [0; 128];
        match events.file().read_at(&mut text, 0) {
            Ok(length) if !String::from_utf8_lossy(&text[..length]).contains("populated 0") => {}
            // Removed already: it was empty.
            Ok(_) | Err(_) => return Ok(monotonic()?),
        }
        let mut fds = [PollFd::new(events.file().as_fd(), PollFlags::POLLPRI)];
        ensure!(poll(&mut fds, PollTimeout::from(10_000_u16))? > 0, "the group does not become empty");
    }
}
