//! What a container's process is started with. Resolved from manifest and preset: nothing is left to look up but host
//! paths. Two equal launches need no restart.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Bytes, Confinement, Env, NetworkFiles, Notify};

/// Everything that, when it changes, needs a new process.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// Program (absolute, or found on `PATH` of `env`) and arguments. Never empty.
    pub argv: Vec<String>,
    /// What comes before the main program, in order, each step while its mark is absent.
    #[serde(deserialize_with = "init_steps")]
    pub init: Vec<InitStep>,
    /// The whole environment; nothing is inherited.
    pub env: Env,
    /// Variables that are read from files of volumes when it starts.
    #[serde(default)]
    pub env_files: Vec<EnvFile>,
    /// Working directory inside the view.
    pub cwd: PathBuf,
    /// Who it runs as.
    pub user: Credentials,
    /// What it sees as `/`.
    pub root: Root,
    /// The root is not writable, not even its private upper.
    pub read_only_root: bool,
    /// Volumes it sees, in the order in which they are mounted.
    pub mounts: Vec<VolumeMount>,
    /// Directories of the host that preset and host share, e.g. `/run/postgresql`.
    pub shared: Vec<SharedDir>,
    /// Files made for it, bound read-only.
    pub files: Vec<RenderedFile>,
    /// Directories inside volumes that belong to its user, made if they are missing.
    pub owned_dirs: Vec<OwnedDir>,
    /// Size of its private `/dev/shm`.
    pub shm_size: Bytes,
    /// Capabilities it keeps, by kernel number (`CAP_*`), in bounding, permitted and effective sets.
    pub capabilities: Vec<u32>,
    /// `no_new_privs` before exec.
    pub no_new_privileges: bool,
    /// Resource limits; those that cannot be raised are reported and left as they are.
    pub rlimits: Vec<Rlimit>,
    /// `oom_score_adj`, -1000 to 1000; at 0 it follows from the pod's resources, by Kubernetes' arithmetic.
    pub oom_score_adj: i32,
    /// Which namespaces it has for itself.
    pub namespaces: NamespaceUse,
    /// It gets a terminal instead of pipes.
    pub tty: bool,
    /// Its standard input.
    #[serde(default)]
    pub stdin: Stdin,
    /// Host name inside its UTS namespace.
    pub hostname: String,
    /// The words it was made from, where some of its values were looked up elsewhere.
    #[serde(default)]
    pub as_written: Option<AsWritten>,
    /// What it is told of names and of the network.
    #[serde(default)]
    pub network: NetworkFiles,
    /// What the kernel keeps it from.
    #[serde(default)]
    pub confinement: Confinement,
    /// Whether and how its service speaks to barepod.
    #[serde(default)]
    pub notify: Option<Notify>,
    /// What of program and environment is computed from the container's limits.
    #[serde(default)]
    pub follows_resources: FollowsResources,
}

/// Arguments and variables that are computed from the container's limits: new ones take force at the next start and are no
/// reason for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct FollowsResources {
    /// The first of these arguments in `Launch::argv`, and how many there are.
    pub argv: (usize, usize),
    /// Names in `Launch::env`.
    pub env: Vec<String>,
}

/// What a manifest says of program and environment, where values come from elsewhere (`valueFrom`, `envFrom`), with each
/// reference in the place of its value. Other words are a reason for a new process, other values behind the same
/// references are not: they take force at the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsWritten {
    /// `command`.
    pub command: Vec<String>,
    /// `args`.
    pub args: Vec<String>,
    /// `workingDir`.
    pub working_dir: Option<PathBuf>,
    /// `env`.
    pub env: Env,
    /// `envFrom`, in order.
    pub sources: Vec<String>,
}

impl Launch {
    /// Those of its capabilities that are in its ambient set. Of a user other than root nothing is left after exec but these:
    /// in a container, files of the image have what the manifest adds; the files of a host do not. Of a privileged container's
    /// capabilities nobody asked for any by name, and its user gets none, as in Kubernetes.
    #[must_use]
    pub fn ambient_capabilities(&self) -> &[u32] {
        if self.user.uid == 0 || self.confinement.privileged { &[] } else { &self.capabilities }
    }

    /// Whether a process started with `self` may go on when `wanted` is asked for. What only follows the container's
    /// limits (tuned files, the size of `/dev/shm`), values looked up elsewhere, whether it is listened to, and a word of
    /// `/etc/hosts` take force at its next start.
    #[must_use]
    pub fn serves(&self, wanted: &Launch) -> bool {
        self.lasting() == wanted.lasting()
    }

    /// What must be the same for a process to go on.
    fn lasting(&self) -> Launch {
        let mut launch = self.clone();
        launch.shm_size = Bytes(0);
        launch.notify = None;
        launch.network.host_network = false;
        let FollowsResources { argv: (first, count), env } = std::mem::take(&mut launch.follows_resources);
        launch.argv.drain(first.min(launch.argv.len())..(first + count).min(launch.argv.len()));
        launch.env.0.retain(|name, _| !env.contains(name));
        launch.files.iter_mut().filter(|f| f.follows_resources).for_each(|f| f.contents.clear());
        if let Some(words) = &launch.as_written {
            // What presets make of the values follows from them; the words stand for all of it.
            launch.argv.clear();
            launch.init.clear();
            launch.env = Env::default();
            launch.cwd = words.working_dir.clone().unwrap_or_default();
            launch.files.clear();
            launch.owned_dirs.clear();
            let made = launch.mounts.iter_mut().filter(|mount| mount.sub_path_expr.is_some());
            made.for_each(|mount| mount.sub_path.clear());
        }
        launch
    }
}

impl std::fmt::Debug for Launch {
    /// Arguments may hold values looked up in Secrets, so the words are shown in their place.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Launch");
        match &self.as_written {
            Some(words) => shown.field("as_written", words),
            None => shown.field("argv", &self.argv).field("init", &self.init).field("cwd", &self.cwd),
        };
        shown.field("env", &self.env).field("user", &self.user).field("root", &self.root);
        shown.field("mounts", &self.mounts).finish_non_exhaustive()
    }
}

/// Work before the first start, run as the container's user in the container's view, in place of what comes after it, which
/// it must exec at its end. It must be safe to repeat after being killed at any point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitStep {
    /// Path inside the view whose presence says that this step is done.
    pub creates: PathBuf,
    /// Put before the next step and `Launch::argv` while `creates` is absent.
    pub argv_prefix: Vec<String>,
}

/// A ledger written when there was one step at most has that step, or null.
fn init_steps<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<InitStep>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Steps {
        Many(Vec<InitStep>),
        One(InitStep),
        None(()),
    }
    Ok(match Steps::deserialize(deserializer)? {
        Steps::Many(steps) => steps,
        Steps::One(step) => vec![step],
        Steps::None(()) => Vec::new(),
    })
}

/// A Unix identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// User id on the host.
    pub uid: u32,
    /// Primary group id on the host.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

/// What a container sees as `/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// A private read-only view of the host's own root.
    Host,
    /// A directory tree, under an overlay with a private upper unless the root is read-only.
    Tree(PathBuf),
}

/// A volume in the view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// The volume's name in `Pod::volumes`.
    pub volume: String,
    /// Absolute path inside the view.
    pub path: PathBuf,
    /// Path below the volume's root, without `..`; empty for all of it.
    pub sub_path: PathBuf,
    /// What it was made from, where it has variables in it (`subPathExpr`).
    #[serde(default)]
    pub sub_path_expr: Option<String>,
    /// Not writable.
    pub read_only: bool,
    /// What is mounted below it is not writable either (`recursiveReadOnly`).
    #[serde(default)]
    pub recursive_read_only: bool,
    /// Whether later mounts arrive in it, or leave it.
    #[serde(default)]
    pub propagation: MountPropagation,
}

/// `stdin` and `stdinOnce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Stdin {
    /// At its end from the beginning.
    #[default]
    Closed,
    /// Open for whoever attaches.
    Open,
    /// The same, until the first who may write to it goes.
    Once,
}

/// A variable whose value is in a file of a volume (`fileKeyRef`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFile {
    /// The variable.
    pub name: String,
    /// The volume's name in `Pod::volumes`.
    pub volume: String,
    /// The file, below the volume's root, without `..`.
    pub path: PathBuf,
    /// The key in it.
    pub key: String,
    /// Without file or key there is no variable.
    pub optional: bool,
}

/// `mountPropagation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum MountPropagation {
    /// None.
    #[default]
    None,
    /// What the host mounts below the volume later is seen in the container.
    HostToContainer,
    /// So is what the container mounts on the host.
    Bidirectional,
}

/// A directory that host and container share read-write, made if missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedDir {
    /// Path on the host.
    pub host: PathBuf,
    /// Path inside the view.
    pub path: PathBuf,
    /// Mode when it has to be made.
    pub mode: u32,
}

/// A directory in a volume that the container's user must own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedDir {
    /// Path inside the view, at or below a volume mount.
    pub path: PathBuf,
    /// Mode when it has to be made.
    pub mode: u32,
}

/// A file made for the container.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedFile {
    /// Absolute path inside the view.
    pub path: PathBuf,
    /// Its contents, which may be secret: never logged.
    pub contents: String,
    /// Its mode; the owner is the container's user.
    pub mode: u32,
    /// Its contents are computed from the container's limits: new contents take force at the next start and are no
    /// reason for one.
    #[serde(default)]
    pub follows_resources: bool,
}

impl std::fmt::Debug for RenderedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RenderedFile").field("path", &self.path).field("bytes", &self.contents.len()).finish()
    }
}

/// A resource limit (`setrlimit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Linux' number, e.g. 7 for `RLIMIT_NOFILE`.
    pub resource: u32,
    /// Soft limit; `u64::MAX` is infinity.
    pub soft: u64,
    /// Hard limit; `u64::MAX` is infinity.
    pub hard: u64,
}

/// Namespaces shared with the host instead of private ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct NamespaceUse {
    /// `hostPID`.
    pub host_pid: bool,
    /// `hostIPC`.
    pub host_ipc: bool,
    /// `shareProcessNamespace`: one PID namespace for all containers of the pod, which none of them is the first of.
    #[serde(default)]
    pub shared_pid: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(tuned: &str, plain: &str, shm: u64) -> Launch {
        let file = |path: &str, contents: &str, follows_resources| RenderedFile {
            path: path.into(),
            contents: contents.to_owned(),
            mode: 0o400,
            follows_resources,
        };
        Launch {
            argv: vec!["/bin/true".to_owned()],
            init: Vec::new(),
            env: Env::default(),
            env_files: Vec::new(),
            cwd: "/".into(),
            user: Credentials { uid: 1, gid: 1, groups: Vec::new() },
            root: Root::Host,
            read_only_root: false,
            mounts: Vec::new(),
            shared: Vec::new(),
            files: vec![file("/tuned", tuned, true), file("/plain", plain, false)],
            owned_dirs: Vec::new(),
            shm_size: Bytes(shm),
            capabilities: Vec::new(),
            no_new_privileges: true,
            rlimits: Vec::new(),
            oom_score_adj: 0,
            namespaces: NamespaceUse::default(),
            tty: false,
            stdin: Stdin::Closed,
            hostname: "db".to_owned(),
            as_written: None,
            network: NetworkFiles::default(),
            confinement: Confinement::default(),
            notify: None,
            follows_resources: FollowsResources::default(),
        }
    }

    fn looked_up(value: &str, reference: &str) -> Launch {
        let mut launch = launch(value, value, 1);
        launch.argv.push(value.to_owned());
        launch.env.0.insert("PASSWORD".to_owned(), value.to_owned());
        launch.as_written = Some(AsWritten {
            command: vec!["run".to_owned(), "$(PASSWORD)".to_owned()],
            args: Vec::new(),
            working_dir: None,
            env: Env([("PASSWORD".to_owned(), reference.to_owned())].into()),
            sources: Vec::new(),
        });
        launch
    }

    #[test]
    fn another_value_behind_the_same_reference_is_no_reason_for_a_new_process() {
        assert!(looked_up("a", "secret db/password").serves(&looked_up("b", "secret db/password")));
        assert!(!looked_up("a", "secret db/password").serves(&looked_up("a", "secret db/other")));
        let mut user = looked_up("a", "secret db/password");
        user.user.uid = 2;
        assert!(!looked_up("a", "secret db/password").serves(&user), "the rest counts as ever");
        assert!(!format!("{:?}", looked_up("hunter2", "secret db/password")).contains("hunter2"));
    }

    #[test]
    fn arguments_and_variables_that_follow_the_limits_are_no_reason_for_a_new_process() {
        let tuned = |args: &[&str], rest: &str, memory: Option<&str>| {
            let mut launch = launch("a", "x", 1);
            launch.argv.extend(args.iter().map(|arg| (*arg).to_owned()));
            launch.argv.push(rest.to_owned());
            launch.env.0.extend(memory.map(|value| ("LIMIT".to_owned(), value.to_owned())));
            let env = memory.map(|_| "LIMIT".to_owned()).into_iter().collect();
            launch.follows_resources = FollowsResources { argv: (1, args.len()), env };
            launch
        };
        let small = tuned(&["--cache", "1"], "run", Some("1"));
        assert!(small.serves(&tuned(&["--cache", "2"], "run", Some("2"))));
        assert!(small.serves(&tuned(&[], "run", None)), "nor is a limit that is taken away");
        assert!(!small.serves(&tuned(&["--cache", "1"], "walk", Some("1"))), "the rest counts as ever");
    }

    #[test]
    fn a_ledger_of_one_step_or_none_is_read() {
        let step = r#"{"creates": "/mark", "argv_prefix": ["/bin/true"]}"#;
        let read = |text: &str| init_steps(&mut serde_json::Deserializer::from_str(text)).map(|steps| steps.len());
        for (text, steps) in [("null", 0), ("[]", 0), (step, 1), (&format!("[{step},{step}]"), 2)] {
            assert_eq!(read(text).ok(), Some(steps), "{text}");
        }
    }

    #[test]
    fn what_follows_the_limits_is_no_reason_for_a_new_process() {
        assert!(launch("a", "x", 1).serves(&launch("b", "x", 2)));
        assert!(!launch("a", "x", 1).serves(&launch("a", "y", 1)));
    }
}
