//! A stand-in for a container's view: the rendered files in a temporary directory, with the paths in them bent to it.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use barepod_model::{
    Bytes, CapabilityRequest, ContainerKind, ContainerName, ContainerRequest, Env, NamespaceUse, ProbeHandler,
    Resolved, Resources, UserRequest,
};
use barepod_presets::{Catalogue, LocalHost};
use barepod_tests::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Sandbox {
    dir: tempfile::TempDir,
    pub(crate) request: ContainerRequest,
    port: u16,
}

/// A sandbox, or why there can be none here.
pub(crate) fn sandbox() -> Option<Sandbox> {
    let postgres = fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut d| d.next().is_some());
    if !Uid::effective().is_root() || !postgres {
        barepod_tests::skip::record("needs root and PostgreSQL in /usr/lib/postgresql");
        return None;
    }
    Some(Sandbox::new())
}

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("chmod");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let mut sandbox = Self { dir, request: request(), port };
        sandbox.set("POSTGRES_PASSWORD", "it's \"secret\" $HOME");
        let (uid, gid) = sandbox.account();
        for name in ["pgdata", "run", "barepod", "initdb.d", "tmp", "wal"] {
            fs::create_dir(sandbox.path(name)).expect("mkdir");
            chown(sandbox.path(name), Some(uid), Some(gid)).expect("chown");
        }
        let pgdata = sandbox.pgdata().display().to_string();
        sandbox.set("PGDATA", &pgdata);
        sandbox.set("TMPDIR", &sandbox.path("tmp").display().to_string());
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn pgdata(&self) -> PathBuf {
        self.path("pgdata")
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.request.env.0.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn script(&self, name: &str, text: &str, mode: u32) {
        let path = self.path("initdb.d").join(name);
        fs::write(&path, text).expect("write a script");
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
    }

    fn account(&self) -> (u32, u32) {
        let user = self.resolve().launch.user;
        (user.uid, user.gid)
    }

    pub(crate) fn resolve(&self) -> Resolved {
        Catalogue::built_in().expect("valid").resolve(&self.request, &LocalHost).expect("PostgreSQL is here")
    }

    /// Text of the preset with the view's paths bent to this directory.
    fn bend(&self, text: &str) -> String {
        let dir = |name: &str| self.path(name).display().to_string();
        text.replace("/run/barepod", &dir("barepod"))
            .replace("/run/postgresql", &dir("run"))
            .replace("/docker-entrypoint-initdb.d", &dir("initdb.d"))
    }

    /// Writes the files and gives the command line, with the initialisation in front if it is due.
    fn prepare(&self, resolved: &Resolved, hook: &str) -> Vec<String> {
        for file in &resolved.launch.files {
            let path = PathBuf::from(self.bend(&file.path.display().to_string()));
            let contents = self.bend(&file.contents).replacen("\nset -Eeuo", &format!("\n{hook}\nset -Eeuo"), 1);
            fs::write(&path, contents).expect("write a rendered file");
            fs::set_permissions(&path, Permissions::from_mode(file.mode)).expect("chmod");
            chown(&path, Some(resolved.launch.user.uid), Some(resolved.launch.user.gid)).expect("chown");
        }
        let due = resolved.launch.init.iter().filter(|init| !init.creates.exists());
        let words = due.flat_map(|init| &init.argv_prefix).chain(&resolved.launch.argv);
        let mut argv: Vec<String> = words.map(|word| self.bend(word)).collect();
        argv.extend(["-c", "listen_addresses=127.0.0.1", "-c"].map(str::to_owned));
        argv.push(format!("port={}", self.port));
        argv
    }

    /// A command as the service's user with its environment.
    fn command(&self, resolved: &Resolved, before: &[&str], argv: &[String]) -> Command {
        let user = &resolved.launch.user;
        let mut words: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
        let ids = [format!("--reuid={}", user.uid), format!("--regid={}", user.gid), "--clear-groups".to_owned()];
        words.push("setpriv".to_owned());
        words.extend(ids.into_iter().chain(["--".to_owned()]).chain(argv.iter().cloned()));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().envs(&resolved.launch.env.0).current_dir("/").stdin(Stdio::null());
        command
    }

    /// Starts the container. `hook` is put at the head of the initialisation script.
    pub(crate) fn start(&self, hook: &str) -> Container<'_> {
        let resolved = self.resolve();
        let argv = self.prepare(&resolved, hook);
        let unshare = ["unshare", "--pid", "--fork", "--mount-proc"];
        let log = self.path("log");
        let file = fs::File::options().create(true).append(true).open(&log).expect("open the log");
        let mut child = self
            .command(&resolved, &unshare, &argv)
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .expect("unshare, of util-linux, can be run");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Container { sandbox: self, child, output }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Runs the preset's readiness probe.
    pub(crate) fn probe(&self, resolved: &Resolved) -> Output {
        let readiness = resolved.readiness.as_ref().expect("a default probe");
        let ProbeHandler::Exec { command } = &readiness.handler else { panic!("{readiness:?} runs no command") };
        let argv: Vec<String> = command.iter().map(|word| self.bend(word)).collect();
        self.command(resolved, &[], &argv).output().expect("the probe runs")
    }

    /// Asks the server over the shared socket, as the service's account.
    pub(crate) fn query(&self, user: &str, database: &str, sql: &str) -> Result<String, String> {
        let resolved = self.resolve();
        let socket = self.path("run").display().to_string();
        let port = self.port.to_string();
        let words = ["psql", "-XAtq", "-w", "-h", &socket, "-p", &port, "-U", user, "-d", database, "-c", sql];
        let output = self.command(&resolved, &[], &words.map(str::to_owned)).output().expect("psql runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Asks the server over TCP with a password.
    pub(crate) fn query_with_password(&self, user: &str, database: &str, password: &str) -> Result<String, String> {
        let resolved = self.resolve();
        let port = self.port.to_string();
        let words =
            ["psql", "-XAtq", "-w", "-h", "127.0.0.1", "-p", &port, "-U", user, "-d", database, "-c", "SELECT 1"];
        let mut command = self.command(&resolved, &[], &words.map(str::to_owned));
        let output = command.env("PGPASSWORD", password).output().expect("psql runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

/// A running container.
pub(crate) struct Container<'a> {
    sandbox: &'a Sandbox,
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Container<'_> {
    /// Waits until the readiness probe succeeds.
    pub(crate) fn ready(&mut self) {
        let resolved = self.sandbox.resolve();
        let ready = || {
            let ended = self.child.try_wait().expect("wait");
            assert!(ended.is_none(), "it ended with {ended:?}: {}", self.sandbox.log());
            self.sandbox.probe(&resolved).status.success().then_some(())
        };
        wait_for("readiness", PATIENCE, ready).unwrap_or_else(|vain| panic!("{vain}: {}", self.sandbox.log()));
    }

    /// Waits for a line of its output that is one of `lines`; none if it ends without one.
    pub(crate) fn says<'l>(&mut self, lines: &[&'l str]) -> Option<&'l str> {
        let mut line = String::new();
        loop {
            line.clear();
            match self.output.read_line(&mut line) {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            if let Some(found) = lines.iter().find(|wanted| line.trim_end() == **wanted) {
                return Some(found);
            }
        }
    }

    /// Kills everything in it and waits until the last of its processes is gone.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.drain();
    }

    /// Sends a signal to its first process and waits for the end; whether it ended well.
    pub(crate) fn stop(mut self, signal: Signal) -> bool {
        self.signal(signal);
        self.drain()
    }

    /// Signals its first process, the child of `unshare`, once it is there. With that one, the kernel kills all others.
    fn signal(&self, signal: Signal) {
        let pid = self.child.id();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let first = || match fs::read_to_string(&path) {
            Ok(children) => children.trim().parse().ok().map(Some),
            // it has ended
            Err(_) => Some(None),
        };
        if let Ok(Some(first)) = wait_for("its first process", PATIENCE, first) {
            let _ = kill(Pid::from_raw(first), signal);
        }
    }

    /// Waits until it ends by itself; whether it ended well.
    pub(crate) fn wait(mut self) -> bool {
        self.drain()
    }

    /// Every process of it holds the other end of the pipe.
    fn drain(&mut self) -> bool {
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).expect("read");
        self.child.wait().expect("wait").success()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // After a failed assertion it still runs.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

fn request() -> ContainerRequest {
    ContainerRequest {
        name: ContainerName::new("db").expect("a name"),
        kind: ContainerKind::Regular,
        image: "postgres".to_owned(),
        command: Vec::new(),
        args: Vec::new(),
        env: Env::default(),
        working_dir: None,
        resources: Resources { memory_limit: Some(Bytes(256 << 20)), ..Resources::default() },
        mounts: Vec::new(),
        user: UserRequest::default(),
        read_only_root: false,
        capabilities: CapabilityRequest::default(),
        allow_privilege_escalation: None,
        namespaces: NamespaceUse::default(),
        tty: false,
        stdin: barepod_model::Stdin::Closed,
        env_files: Vec::new(),
        hostname: "db".to_owned(),
        network: barepod_model::NetworkFiles::default(),
        confinement: barepod_model::Confinement::default(),
    }
}

/// Every file below `root` with its size, except what a server writes as it runs.
pub(crate) fn tree(root: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut queue = vec![root.to_owned()];
    while let Some(dir) = queue.pop() {
        for entry in fs::read_dir(&dir).expect("read a directory").flatten() {
            let meta = entry.path().symlink_metadata().expect("stat");
            if meta.is_dir() {
                queue.push(entry.path());
            }
            let size = if meta.is_dir() { 0 } else { meta.len() };
            found.push((entry.path().strip_prefix(root).expect("below it").to_owned(), size));
        }
    }
    found.sort();
    found
}
