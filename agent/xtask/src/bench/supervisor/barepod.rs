//! barepod: the service is a pod of the preset `host`, kept by a shim of its own under one daemon.

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use anyhow::Context as _;
use barepod_test_programs::stamp;
use barepod_tests::host::Host;
use barepod_tests::process::run;
use barepod_tests::programs::Built;

use super::{Keeper, Service, Supervised, Supervisor};

/// No pause before a restart: what is measured is the supervisor, not its patience.
const CONFIG: &str = "crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n";

/// One daemon, on a scratch host of its own, for all services.
pub(in crate::bench) struct Barepod {
    host: Rc<Host>,
    next: Cell<usize>,
}

impl Barepod {
    /// Starts the daemon.
    pub(in crate::bench) fn start(built: &Built) -> anyhow::Result<Self> {
        let mut host = Host::of(built.clone(), CONFIG)?;
        memory_on(&host.path("run"))?;
        host.start()?;
        Ok(Self { host: Rc::new(host), next: Cell::new(0) })
    }

    /// The host it runs on.
    pub(in crate::bench) fn host(&self) -> &Host {
        &self.host
    }
}

impl Supervisor for Barepod {
    fn name(&self) -> String {
        name_of_ours()
    }

    fn supervise(&self, _: &Path, service: &Service) -> anyhow::Result<Supervised> {
        let number = self.next.replace(self.next.get() + 1);
        let name = format!("service-{number}");
        self.host.apply("service", &manifest(&name, service)?)?;
        Ok(Supervised { keeper: Keeper::Shim { _host: Rc::clone(&self.host) }, service: None })
    }
}

/// `/run` is in memory on every host; the scratch host takes it away again.
fn memory_on(path: &Path) -> anyhow::Result<()> {
    fs_err::create_dir_all(path)?;
    run(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "tmpfs"]).arg(path))?;
    Ok(())
}

/// For the table, with the version.
pub(in crate::bench) fn name_of_ours() -> String {
    format!("barepod {}", env!("CARGO_PKG_VERSION"))
}

/// A pod of one container, which sees its program and its socket at the paths they have on the host. It asks for a whole
/// CPU, or its part of all there are: without a request it would have the least weight there is, and any other work on the
/// machine would come first, which the peers' services do not suffer.
pub(in crate::bench) fn manifest(name: &str, service: &Service) -> anyhow::Result<String> {
    let program = Path::new(service.argv.first().context("a service without a program")?);
    let programs = program.parent().context("a program without a directory")?;
    let stamps = service.socket.parent().context("a socket without a directory")?;
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let milli = (all * 1000 / service.among).clamp(1, 1000);
    let mut text = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: host
    resources: {{requests: {{cpu: {milli}m}}}}
    command: {argv:?}
    env: [{{name: {variable}, value: {socket:?}}}]
    volumeMounts:
    - {{name: programs, mountPath: {programs:?}, readOnly: true}}
    - {{name: stamps, mountPath: {stamps:?}}}
",
        argv = service.argv,
        variable = stamp::SOCKET,
        socket = service.socket,
    );
    if let Some((uid, gid)) = service.user {
        writeln!(text, "    securityContext: {{runAsUser: {uid}, runAsGroup: {gid}}}")?;
    }
    writeln!(
        text,
        "  volumes:
  - {{name: programs, hostPath: {{path: {programs:?}, type: Directory}}}}
  - {{name: stamps, hostPath: {{path: {stamps:?}, type: Directory}}}}"
    )?;
    Ok(text)
}
