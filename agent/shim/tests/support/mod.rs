//! A shim with its directory, its cgroups and a connection, on this machine.
#![expect(dead_code, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "in a test, an error is a failure")]

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use barepod_shim::layout;
use barepod_shim::wire::{
    self, Cgroup, Event, Hello, Kill, Log, Namespaces, Quit, Request, Start, Stats, User, Welcome, event, read_frame,
    request, write_frame,
};
use barepod_tests::wait_for;

/// Longer than anything takes here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Ends the test, counted as skipped with its reason, where this machine cannot run it.
#[macro_export]
macro_rules! host_or_skip {
    () => {
        match $crate::support::Host::new() {
            Ok(host) => host,
            Err(reason) => barepod_tests::skip!("{reason}"),
        }
    };
}

/// The shim that is tried: this build's, or the one that `BAREPOD_SHIM` names, such as a released one.
pub(crate) fn binary() -> String {
    std::env::var("BAREPOD_SHIM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_barepod-shim").to_owned())
}

/// Where cgroup2 is mounted.
fn unified() -> Option<PathBuf> {
    ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.join("cgroup.procs").exists() && path.join("cgroup.controllers").exists())
}

/// Scratch places of one test.
pub(crate) struct Host {
    pub(crate) dir: PathBuf,
    pub(crate) logs: PathBuf,
    scratch: PathBuf,
    group: PathBuf,
    started: Vec<Child>,
}

impl Host {
    pub(crate) fn new() -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m)).ok() != Some(0) {
            return Err("needs root".into());
        }
        let name = format!("barepod-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let group = unified().ok_or("no cgroup2 mount")?.join(&name);
        fs::create_dir(&group).map_err(|error| format!("no cgroup can be made: {error}"))?;
        let scratch = std::env::temp_dir().join(name);
        let (dir, logs) = (scratch.join("shim"), scratch.join("logs"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(layout::IDENTITY), "uid-1\nmain\n").unwrap();
        Ok(Self { dir, logs, scratch, group, started: Vec::new() })
    }

    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Starts a shim and connects.
    pub(crate) fn shim(&mut self) -> Shim {
        self.spawn();
        self.connect()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.args(["run", "--dir"]).arg(&self.dir).stdin(Stdio::null());
        command
    }

    pub(crate) fn spawn(&mut self) -> u32 {
        let child = self.command().spawn().unwrap();
        let pid = child.id();
        self.started.push(child);
        pid
    }

    /// Connects as soon as the shim listens, and says Hello as the first daemons did.
    pub(crate) fn connect(&self) -> Shim {
        self.connect_as(1)
    }

    /// The same as a daemon that speaks this protocol.
    pub(crate) fn connect_as(&self, protocol: u32) -> Shim {
        // by way of the open directory: its path may be longer than a socket address
        let directory = fs::File::open(&self.dir).unwrap();
        let path = format!("/proc/self/fd/{}/{}", std::os::fd::AsRawFd::as_raw_fd(&directory), layout::SOCKET);
        let stream = until("the shim listens", || UnixStream::connect(&path).ok());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut shim = Shim { stream, welcome: Welcome::default(), warnings: Vec::new() };
        shim.send(request::Request::Hello(Hello { protocol, daemon_version: "test".into() }));
        match shim.event() {
            event::Event::Welcome(welcome) => shim.welcome = welcome,
            other => panic!("Welcome expected, not {other:?}"),
        }
        shim
    }

    /// Kills the newest shim, as if it had crashed.
    pub(crate) fn kill_shim(&mut self) {
        let mut shim = self.started.pop().unwrap();
        shim.kill().unwrap();
        shim.wait().unwrap();
    }

    pub(crate) fn shim_pid(&self) -> u32 {
        self.started.last().unwrap().id()
    }

    /// Waits for the newest shim to end by itself.
    pub(crate) fn shim_exit(&mut self) -> std::process::ExitStatus {
        self.started.pop().unwrap().wait().unwrap()
    }

    /// A fresh leaf.
    pub(crate) fn leaf(&self, attempt: u32) -> PathBuf {
        let leaf = self.group.join(attempt.to_string());
        fs::create_dir_all(&leaf).unwrap();
        leaf
    }

    /// A start of a shell script, as root in the host's own view.
    pub(crate) fn start(&self, attempt: u32, script: &str) -> Start {
        Start {
            attempt,
            argv: ["sh", "-c", script].map(String::from).to_vec(),
            env: vec!["PATH=/usr/bin:/bin".into()],
            user: Some(User::default()),
            cgroup: Some(Cgroup {
                unified: self.leaf(attempt).to_str().unwrap().into(),
                legacy: vec![],
                legacy_memory: String::new(),
            }),
            namespaces: Some(Namespaces::default()),
            log: Some(Log { directory: self.logs.to_str().unwrap().into(), max_files: 5, ..Log::default() }),
            ..Start::default()
        }
    }

    /// All log text of an attempt in order, as (stream, tag, content).
    pub(crate) fn log(&self, attempt: u32) -> Vec<(String, String, String)> {
        let mut files = barepod_logs::files::rotated(&self.logs, attempt).unwrap();
        files.push(barepod_logs::files::current(&self.logs, attempt));
        let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        assert!(text.is_empty() || text.ends_with('\n'), "a torn line at the end: {:?}", text.lines().last());
        text.split_terminator('\n').map(parse).collect()
    }

    /// The contents of a log's records.
    pub(crate) fn lines(&self, attempt: u32) -> Vec<String> {
        self.log(attempt).into_iter().map(|(_, _, content)| content).collect()
    }
}

fn parse(line: &str) -> (String, String, String) {
    let mut parts = line.splitn(4, ' ');
    let time = parts.next().unwrap();
    assert!(barepod_logs::cri::parse_time(time.as_bytes()).is_some(), "no time: {line:?}");
    let [stream, tag, content] = [(); 3].map(|()| parts.next().unwrap_or_else(|| panic!("torn: {line:?}")).to_owned());
    (stream, tag, content)
}

impl Drop for Host {
    fn drop(&mut self) {
        kill_group(&self.group);
        for shim in &mut self.started {
            shim.kill().ok();
            shim.wait().ok();
        }
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let here = text
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .filter(|path| Path::new(path).starts_with(&self.scratch));
        for path in here.collect::<Vec<_>>().into_iter().rev() {
            barepod_sys::mount::detach(Path::new(path)).ok();
        }
        fs::remove_dir_all(&self.scratch).ok();
    }
}

fn kill_group(group: &Path) {
    let leaves: Vec<PathBuf> = fs::read_dir(group)
        .map(|entries| entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
        .unwrap_or_default();
    for leaf in leaves.iter().map(PathBuf::as_path).chain([group]) {
        fs::write(leaf.join("cgroup.kill"), "1").ok();
        let gone = || (fs::remove_dir(leaf).is_ok() || !leaf.exists()).then_some(());
        // what stays shows in the next run's list of groups
        wait_for("the group to be empty", PATIENCE, gone).ok();
    }
}

/// Looks again and again until there is something.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_for(what, PATIENCE, look).unwrap_or_else(|vain| panic!("{vain}"))
}

/// A connection with a shim.
pub(crate) struct Shim {
    pub(crate) stream: UnixStream,
    pub(crate) welcome: Welcome,
    pub(crate) warnings: Vec<wire::Warning>,
}

impl Shim {
    pub(crate) fn send(&mut self, request: request::Request) {
        write_frame(&mut self.stream, &Request::from(request)).unwrap();
    }

    /// The next event; warnings are put aside.
    pub(crate) fn event(&mut self) -> event::Event {
        loop {
            let event = read_frame::<Event>(&mut self.stream).unwrap().expect("the shim has hung up");
            match event.event.expect("an event that is known") {
                event::Event::Warning(warning) => self.warnings.push(warning),
                other => return other,
            }
        }
    }

    pub(crate) fn start(&mut self, start: Start) -> wire::Started {
        self.send(request::Request::Start(start));
        match self.event() {
            event::Event::Started(started) => started,
            other => panic!("Started expected, not {other:?}"),
        }
    }

    pub(crate) fn start_failed(&mut self, start: Start) -> wire::StartFailed {
        self.send(request::Request::Start(start));
        match self.event() {
            event::Event::StartFailed(failed) => failed,
            other => panic!("StartFailed expected, not {other:?}"),
        }
    }

    pub(crate) fn exited(&mut self) -> wire::Exit {
        match self.event() {
            event::Event::Exited(exited) => exited.exit.unwrap(),
            other => panic!("Exited expected, not {other:?}"),
        }
    }

    pub(crate) fn emptied(&mut self) -> wire::Emptied {
        match self.event() {
            event::Event::Emptied(emptied) => emptied,
            other => panic!("Emptied expected, not {other:?}"),
        }
    }

    pub(crate) fn refused(&mut self) -> wire::Refused {
        match self.event() {
            event::Event::Refused(refused) => refused,
            other => panic!("Refused expected, not {other:?}"),
        }
    }

    /// Starts, and waits until nothing is left.
    pub(crate) fn run(&mut self, start: Start) -> wire::Exit {
        self.start(start);
        let exit = self.exited();
        self.emptied();
        exit
    }

    pub(crate) fn kill(&mut self, attempt: u32) {
        self.send(request::Request::Kill(Kill { attempt }));
    }

    pub(crate) fn quit(&mut self) {
        self.send(request::Request::Quit(Quit {}));
    }

    pub(crate) fn stats(&mut self) -> wire::LogStats {
        self.send(request::Request::Stats(Stats {}));
        match self.event() {
            event::Event::LogStats(stats) => stats,
            other => panic!("LogStats expected, not {other:?}"),
        }
    }
}
