//! A shell on a scratch host, where its files are at the places that they have on a real one.
//!
//! It has a mount namespace of its own: there `/etc/barepod`, `/run/barepod`, `/var/lib/barepod`, `/var/log/barepod` and
//! `/var/log/containers` are the scratch host's, over an overlay that keeps the machine's own directories as they are.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::host::{Host, HostError};
use crate::process::Owned;

/// Comes after all that a command prints, with its exit code.
const MARK: &str = "-- barepod-page-step --";

/// What is laid over the machine's directories. `$1` is the scratch host, `$2` a directory for what overlays need.
const LAY: &str = r#"
set -e
mount -t tmpfs none "$2"
for place in etc run var/lib var/log; do
    mkdir -p "$2/$place/upper" "$2/$place/work"
    mount -t overlay none -o "lowerdir=/$place,upperdir=$2/$place/upper,workdir=$2/$place/work" "/$place"
done
for place in etc/barepod run/barepod var/lib/barepod var/log/barepod var/log/containers; do
    mkdir -p "/$place" "$1/$place"
    mount --bind "$1/$place" "/$place"
done
cd "$1/root"
set +e
"#;

/// How long a command of a page may take: a database's first start, and more.
const LIMIT: Duration = Duration::from_secs(180);

/// What a command has said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) lines: Vec<String>,
}

/// The shell.
pub(super) struct Session {
    shell: Owned,
    input: ChildStdin,
    output: Receiver<String>,
    root: String,
    last: i32,
}

impl Session {
    /// A shell on a host whose daemon runs.
    pub(super) fn on(host: &Host) -> Result<Self, HostError> {
        let (bin, home, lay) = (host.path("bin"), host.path("root"), host.path("lay"));
        for directory in [&bin, &home, &lay] {
            fs_err::create_dir_all(directory)?;
        }
        // Copies, where users other than root find them too.
        for program in ["barepod", "barepodd"] {
            fs_err::copy(host.program(program)?, bin.join(program))?;
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh"]).env("PATH", path(&bin)).env("HOME", &home);
        command.env("TERM", "dumb").env("NO_COLOR", "1").env_remove("BAREPOD_SOCKET").env_remove("BAREPOD_NAMESPACE");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn()?;
        let (input, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(stdout)) = (input, stdout) else { return Err(io::Error::other("no pipes").into()) };
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line);
                if sender.send(text.strip_suffix('\n').unwrap_or(&text).to_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
        let root = host.path("").display().to_string().trim_end_matches('/').to_owned();
        let mut session = Self { shell: child.into(), input, output, root, last: 0 };
        let laid = session.said(&format!("set -- '{}' '{}'\n{LAY}exec 2>&1", session.root, lay.display()))?;
        if laid.code != 0 {
            return Err(io::Error::other("the scratch host's files could not be laid over the machine's").into());
        }
        Ok(session)
    }

    /// Runs a command, as if it were typed.
    pub(super) fn run(&mut self, command: &str) -> Result<Said, HostError> {
        let said = self.said(&format!("{{ (exit {})\n{command}\n}} </dev/null", self.last))?;
        self.last = said.code;
        Ok(said)
    }

    /// Where a file is that a page calls by this name.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let root = Path::new(&self.root);
        name.strip_prefix('/').map_or_else(|| root.join("root").join(name), |name| root.join(name))
    }

    fn said(&mut self, script: &str) -> Result<Said, HostError> {
        writeln!(self.input, "{script}\nprintf '\\n%s %s\\n' '{MARK}' $?")?;
        self.input.flush()?;
        let mut lines = Vec::new();
        loop {
            match self.output.recv_timeout(LIMIT * crate::wait::patience()) {
                Ok(line) => match line.strip_prefix(MARK) {
                    Some(code) => return Ok(self.whole(lines, code.trim().parse().unwrap_or(-1))),
                    None => lines.push(line),
                },
                Err(RecvTimeoutError::Timeout) => {
                    self.shell.kill()?;
                    return Err(io::Error::other(format!("did not end in {LIMIT:?}; until then: {lines:#?}")).into());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other(format!("the shell has ended; its last words: {lines:#?}")).into());
                }
            }
        }
    }

    /// The mark's own line break is no line of the command's, and the scratch host's root is the root.
    fn whole(&self, mut lines: Vec<String>, code: i32) -> Said {
        if lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        Said { code, lines: lines.into_iter().map(|line| line.replace(&self.root, "")).collect() }
    }
}

/// The search path with this directory first.
fn path(first: &Path) -> std::ffi::OsString {
    let mut path = first.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}
