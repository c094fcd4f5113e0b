//! A shim without its daemon: the daemon is not on the path of a line. It is told to rotate as often as the log is full,
//! which the daemon would space for slow forwarders.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use barepod_shim::layout;
use barepod_shim::wire::{
    Cgroup, Event, Hello, Kill, Log, Namespaces, PROTOCOL, Quit, Request, Start, User, event, read_frame, request,
    write_frame,
};
use barepod_test_programs::stamp::{self, Stamp};
use barepod_tests::process::Owned;
use barepod_tests::wait_for;

use super::{Logger, Logging};
use crate::bench::supervisor::{Service, name_of_ours};

/// As the daemon rotates where nothing is configured.
pub(super) const ROTATED_AT: u64 = 10 << 20;
/// None is removed while the tailer reads.
const KEPT: u32 = 10_000;
const LIMIT: Duration = Duration::from_secs(10);

pub(super) struct ByShim {
    pub(super) program: PathBuf,
}

impl Logger for ByShim {
    fn name(&self) -> String {
        name_of_ours()
    }

    fn start(&self, place: &Path, service: &Service) -> anyhow::Result<Box<dyn Logging>> {
        let mut shim = Shim::run(&self.program, place)?;
        shim.start(service, &place.join("logs"))?;
        Ok(Box::new(shim))
    }
}

struct Shim {
    process: Owned,
    stream: UnixStream,
    group: PathBuf,
}

impl Shim {
    fn run(program: &Path, place: &Path) -> anyhow::Result<Self> {
        let directory = place.join("shim");
        fs_err::create_dir(&directory)?;
        fs_err::write(directory.join(layout::IDENTITY), "uid\nmain\n")?;
        let group = unified_mount()?.join(format!("barepod-bench-{}", std::process::id()));
        fs_err::create_dir(&group)?;
        let process = Owned::spawn(Command::new(program).args(["run", "--dir"]).arg(&directory).stdin(Stdio::null()));
        let process = process.inspect_err(|_| drop(fs_err::remove_dir(&group)))?;
        let socket = directory.join(layout::SOCKET);
        let stream = wait_for("the shim to listen", LIMIT, || UnixStream::connect(&socket).ok())?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut shim = Self { process, stream, group };
        shim.send(request::Request::Hello(Hello { protocol: PROTOCOL, daemon_version: "bench".into() }))?;
        shim.wait(|event| matches!(event, event::Event::Welcome(_)))?;
        Ok(shim)
    }

    fn start(&mut self, service: &Service, logs: &Path) -> anyhow::Result<()> {
        let log = Log {
            directory: logs.display().to_string(),
            max_bytes: ROTATED_AT,
            max_files: KEPT,
            min_rotate_ns: 0,
            ..Log::default()
        };
        let start = Start {
            attempt: 0,
            argv: service.argv.clone(),
            env: vec![format!("{}={}", stamp::SOCKET, service.socket.display())],
            user: Some(User::default()),
            cgroup: Some(Cgroup { unified: self.group.display().to_string(), ..Cgroup::default() }),
            namespaces: Some(Namespaces { mount: true, uts: true, ipc: true, pid: true, cgroup: true }),
            log: Some(log),
            ..Start::default()
        };
        self.send(request::Request::Start(start))?;
        self.wait(|event| matches!(event, event::Event::Started(_)))
    }

    fn send(&mut self, request: request::Request) -> io::Result<()> {
        write_frame(&mut self.stream, &Request::from(request)).map_err(io::Error::other)
    }

    fn wait(&mut self, wanted: impl Fn(&event::Event) -> bool) -> anyhow::Result<()> {
        loop {
            let event = read_frame::<Event>(&mut self.stream)?.context("the shim has hung up")?.event;
            match event {
                Some(event::Event::StartFailed(failed)) => bail!("the service did not start: {failed:?}"),
                Some(event) if wanted(&event) => return Ok(()),
                Some(_) | None => {}
            }
        }
    }

    fn end(&mut self) -> anyhow::Result<()> {
        self.send(request::Request::Kill(Kill { attempt: 0 }))?;
        self.wait(|event| matches!(event, event::Event::Emptied(_)))?;
        self.send(request::Request::Quit(Quit {}))?;
        let status = self.process.wait("the shim", LIMIT)?;
        ensure!(status.success(), "the shim ended with {status}");
        Ok(())
    }
}

impl Logging for Shim {
    fn begun(&mut self, _: Stamp) {}

    fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.process.id())
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("the shim did not end as it was told: {error:#}");
            // What it kept goes all the same.
            let _ = fs_err::write(self.group.join("cgroup.kill"), "1");
        }
        let removed = || fs_err::remove_dir(&self.group).ok();
        if wait_for("the group to be empty", LIMIT, removed).is_err() {
            eprintln!("{} stays", self.group.display());
        }
    }
}

fn unified_mount() -> anyhow::Result<PathBuf> {
    let mounts = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
    let found = mounts.into_iter().find(|mount| mount.join("cgroup.procs").exists());
    found.context("there is no cgroup2 mount")
}
