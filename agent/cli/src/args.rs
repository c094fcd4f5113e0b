//! The command line's grammar.

use std::path::PathBuf;

use barepod_credentials::{BootstrapToken, Endpoint, KeyHash, NodeName};
use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCandidates;

use crate::complete;
use crate::duration;
use crate::top::Order;

/// Run bare-metal services as Kubernetes pods on this host.
#[derive(Debug, Parser)]
#[command(name = "barepod", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Args {
    /// The daemon's socket.
    #[arg(
        long,
        global = true,
        env = "BAREPOD_SOCKET",
        default_value = "/run/barepod/barepod.sock",
        value_name = "PATH"
    )]
    pub(crate) socket: PathBuf,

    /// The pod's namespace.
    #[arg(short, long, global = true, env = "BAREPOD_NAMESPACE", default_value = "default", value_name = "NAME")]
    pub(crate) namespace: String,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Accept manifests: create pods, or change them to what the file says.
    Apply(Apply),
    /// Run a preset by its name, without a manifest: with claims for its data, and passwords that are made.
    ///
    /// Passwords are shown once, and kept in a Secret among the manifests of this host, in a file that root alone can read.
    Run(Run),
    /// Say what is wrong with manifests. Needs no daemon, and changes nothing.
    ///
    /// They are read as the daemon would read them, with this host's presets and the objects among its manifests. What the
    /// policy says to them, `barepod policy check` tells.
    ///
    /// Exit codes: 0 they can be applied; 1 something is wrong; 2 the command line was wrong.
    Validate(Validate),
    /// Show what an apply would change of the pods there are. Changes nothing.
    ///
    /// Exit codes: 0 nothing; 1 something; 2 the command line was wrong; 3 a manifest has errors. Objects beside pods are not
    /// compared.
    Diff(Diff),
    /// Show pods.
    Get(Get),
    /// Show all that is known of a pod, with its recent events.
    Describe(Describe),
    /// Show a container's log.
    Logs(Logs),
    /// Run a command in a running container.
    Exec(Exec),
    /// Show what a running container writes from now on, and pass standard input on to it.
    Attach(Attach),
    /// Show what pods and containers use of CPU, memory and disks, and what they wait for; on a terminal, again and again.
    ///
    /// PSI is the share of the last ten seconds in which something waited for a CPU, for memory, for disks. What this host does
    /// not count is shown as `-`.
    Top(Top),
    /// Copy files into a container, or out of it. It needs a `tar` there.
    ///
    /// Out of a container come plain files and directories; links, devices and rights to become another user are left out.
    Cp(Cp),
    /// Look at the ports of pods.
    #[command(subcommand)]
    Port(Port),
    /// Stop a pod's containers gracefully and start them again.
    Restart(Restart),
    /// Stop pods, so that nothing of them runs until they are started: also after a boot.
    ///
    /// They keep name, data and their part of the host. A pod that is changed meanwhile stays stopped.
    Stop(Halt),
    /// Start pods that were stopped.
    Start(Halt),
    /// Set what others have to say of a pod: the conditions that its readinessGates name.
    Condition(Condition),
    /// Stop pods gracefully and remove them. Their claims and logs stay.
    Delete(Delete),
    /// Show recent events.
    Events(Events),
    /// The host's policy: who may run what.
    #[command(subcommand)]
    Policy(Policy),
    /// Look at presets: what stands in for images on this host. Needs no daemon.
    Preset(Preset),
    /// Make this host a node of a Kubernetes cluster. Needs no daemon.
    Kube(Kube),
    /// Look whether this host is as its services want it, and print the commands that mend it. Changes nothing.
    ///
    /// Asks the daemon which pods there are; without one, the manifests of this host are read.
    ///
    /// Exit codes: 0 nothing is to be mended; 1 something is; 2 the command line was wrong.
    Doctor(Doctor),
    /// The daemon's configuration.
    #[command(subcommand)]
    Config(Config),
    /// Have a Nomad cluster run pods on this host, and count those that run here already. Needs no daemon.
    #[command(subcommand)]
    Nomad(Nomad),
    /// What is about the host as a whole.
    #[command(subcommand)]
    Host(Host),
    /// Print what makes a shell complete commands, options and the names of pods. Packages install it.
    Completion {
        /// The shell that reads it.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Write manual pages of all commands into a directory: packages do.
    #[command(hide = true)]
    Manual {
        /// An existing directory.
        directory: PathBuf,
    },
    /// Show the versions of this command and of the daemon.
    Version(Version),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Presets or images that are to run here as well.
    #[arg(value_name = "PRESET")]
    pub(crate) presets: Vec<String>,
    /// barepod's paths are below this directory, as the daemon's are with its own --root.
    #[arg(long, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) root: PathBuf,
    /// For tests: what the kernel and the distribution say is below this directory.
    #[arg(long, hide = true, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) host_root: PathBuf,
    /// How to show it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<DoctorOutput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorOutput {
    /// An object with all findings, as JSON.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show what is in force, with all that the file leaves at its default. For root. `barepodd --check-config` checks the file.
    View(ConfigView),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigView {
    /// How to show it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<ConfigOutput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConfigOutput {
    /// An object, as JSON.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Host {
    /// End all pods in order because the host goes down, and wait for that. They are begun again after the next boot.
    Shutdown(Shutdown),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Shutdown {
    /// The host stays up after all: begin them again.
    #[arg(long)]
    pub(crate) call_off: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// Manifest file, or `-` for standard input. May be given more than once.
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// Check only; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until the pods are ready.
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait: give up after this many seconds.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// A preset (`barepod preset list`) or an image, like postgresql or postgres:15.
    #[arg(value_name = "PRESET", add = ArgValueCandidates::new(complete::presets))]
    pub(crate) preset: String,
    /// The pod's name [default: the preset's].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Memory limit, as in a manifest: 2Gi.
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) memory: Option<String>,
    /// CPU limit, as in a manifest: 2 or 500m.
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) cpu: Option<String>,
    /// Size of its claim, as in a manifest: 10Gi.
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) storage: Option<String>,
    /// A variable that the image documents. May be given more than once.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print the manifests; change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --dry-run: how to print them [default: yaml].
    #[arg(short, long, value_enum, requires = "dry_run")]
    pub(crate) output: Option<RunOutput>,
    /// Return at once instead of waiting until the pod is ready.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Give up waiting after this many seconds; the pod goes on.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// The administrator's configuration, with presets and manifests.
    #[arg(long, default_value = "/etc/barepod", value_name = "DIRECTORY")]
    pub(crate) config: PathBuf,
    /// Arguments of the service, after `--`.
    #[arg(last = true, value_name = "ARGUMENT")]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunOutput {
    /// A list, as JSON.
    Json,
    /// Documents, as YAML.
    Yaml,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// One pod.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: Option<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Print one table and end, as where there is no terminal.
    #[arg(long)]
    pub(crate) once: bool,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) interval: f64,
    /// What comes first.
    #[arg(long, value_enum, default_value_t = Order::Name, value_name = "ORDER")]
    pub(crate) sort: Order,
    /// Print once, so.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<TopOutput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopOutput {
    /// An object with host, pods and containers, as JSON.
    Json,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "write seconds from 0.1 to 3600".to_owned())
}

#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    /// Manifest files, or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// barepod's paths are below this directory, as the daemon's are with its own --root.
    #[arg(long, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) root: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// Manifest file, or `-` for standard input. May be given more than once.
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// barepod's paths are below this directory, as the daemon's are with its own --root.
    #[arg(long, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) root: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Cp {
    /// POD:PATH, or a path of this host.
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// The same; one of the two is in a pod. An existing directory gets it into it.
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// The container; may be left out if the pod has one.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Port {
    /// Show on which TCP ports the processes of pods listen, and which their manifests name. For root.
    List(PortList),
}

#[derive(Debug, clap::Args)]
pub(crate) struct PortList {
    /// One pod.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: Option<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// What to show: `pods`, `pod NAME` or `pod/NAME`.
    #[arg(default_value = "pods", value_name = "TYPE")]
    pub(crate) kind: String,
    /// One of them.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) name: Option<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// How to show it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Output>,
    /// Go on and show each change.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// The Kubernetes objects, as JSON.
    Json,
    /// The Kubernetes objects, as YAML.
    Yaml,
    /// A table with more columns.
    Wide,
    /// Names only: pod/NAME.
    Name,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
    /// `NAME`, `pod NAME` or `pod/NAME`.
    #[arg(required = true, num_args = 1..=2, value_name = "POD", add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// `NAME` or `pod/NAME`.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: String,
    /// The container; may be left out if the pod has one.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Go on as the log grows.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The log of the attempt before the present one.
    #[arg(short, long)]
    pub(crate) previous: bool,
    /// The last lines only.
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
    /// Lines younger than this only: 90s, 5m, 2h, 3d, or seconds.
    #[arg(long, value_name = "TIME", value_parser = duration::seconds)]
    pub(crate) since: Option<u64>,
    /// Show each line's time.
    #[arg(long)]
    pub(crate) timestamps: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    /// `NAME` or `pod/NAME`.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: String,
    /// The container; may be left out if the pod has one.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Pass standard input on.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Give the command a terminal.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    /// `NAME` or `pod/NAME`.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: String,
    /// The container; may be left out if the pod has one.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Pass standard input on; the container must have `stdin: true`.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Use this terminal as the container's; the container must have `tty: true`.
    #[arg(short, long)]
    pub(crate) tty: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    /// `NAME` or `pod/NAME`.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: String,
    /// One container; all if it is left out.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Halt {
    /// `NAME...`, `pod NAME...` or `pod/NAME...`.
    #[arg(required = true, value_name = "POD", add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pods: Vec<String>,
    /// Return at once instead of waiting until they have stopped, or are ready.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Give up waiting after this many seconds.
    #[arg(long, default_value_t = 900, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Condition {
    #[command(subcommand)]
    pub(crate) verb: ConditionVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConditionVerb {
    /// Set a condition. It is kept until it is set anew or removed, whatever happens to the pod's containers.
    Set {
        /// `NAME` or `pod/NAME`.
        #[arg(add = ArgValueCandidates::new(complete::pods))]
        pod: String,
        /// The condition's type and whether it holds.
        #[arg(value_name = "TYPE=True|False|Unknown")]
        condition: String,
        /// Why, in one word for programs.
        #[arg(long, default_value = "", value_name = "WORD")]
        reason: String,
        /// Why, in a sentence for people.
        #[arg(long, default_value = "", value_name = "TEXT")]
        message: String,
    },
    /// Remove a condition.
    Remove {
        /// `NAME` or `pod/NAME`.
        #[arg(add = ArgValueCandidates::new(complete::pods))]
        pod: String,
        /// The condition's type.
        #[arg(value_name = "TYPE")]
        condition: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// `NAME...`, `pod NAME...` or `pod/NAME...`.
    #[arg(required_unless_present = "all", value_name = "POD", add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pods: Vec<String>,
    /// Every pod of the namespace.
    #[arg(long, conflicts_with = "pods")]
    pub(crate) all: bool,
    /// With --all: in all namespaces.
    #[arg(short = 'A', long, requires = "all")]
    pub(crate) all_namespaces: bool,
    /// Seconds until a container that has not ended is killed; else the pod's and its preset's own.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace_period: Option<u64>,
    /// Return at once instead of waiting until the pods have gone.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// Of one pod only.
    #[arg(add = ArgValueCandidates::new(complete::pods))]
    pub(crate) pod: Option<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Go on as they happen.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Tell what each rule says to each thing that manifests ask for. Changes nothing.
    ///
    /// Asks the daemon, which knows the objects there are; without one, or with --offline, reads policy and presets itself.
    ///
    /// Exit codes: 0 all of it is allowed; 1 something is denied; 2 the command line was wrong; 3 it could not be judged:
    /// a manifest or the policy has errors.
    Check(PolicyCheck),
    /// Print the policy that holds. Exit code 1 if its file cannot be used as it is now.
    Show,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PolicyCheck {
    /// Manifest files, or `-` for standard input. Without one, only the policy is looked at.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Judge them as pods of this source.
    #[arg(long, value_enum, default_value_t = Source::File, value_name = "SOURCE")]
    pub(crate) as_source: Source,
    /// Judge them as this user's, by name or number, instead of yours.
    #[arg(long, value_name = "USER")]
    pub(crate) as_user: Option<String>,
    /// Judge by this policy instead of the one that holds.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Do not ask the daemon.
    #[arg(long)]
    pub(crate) offline: bool,
    /// How to show it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<VerdictOutput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// Manifest files and `barepod apply`.
    File,
    /// Kubernetes.
    Kubernetes,
    /// Nomad.
    Nomad,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictOutput {
    /// A list of verdicts, as JSON.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Preset {
    /// The administrator's configuration; presets in its directory `presets` come over the built-in ones.
    #[arg(long, global = true, default_value = "/etc/barepod", value_name = "DIRECTORY")]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: PresetVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PresetVerb {
    /// Show the presets of this host, and which versions are installed.
    List {
        /// With the images they answer to.
        #[arg(long)]
        images: bool,
    },
    /// Show a preset with all that it inherits, as YAML.
    Show {
        /// Its name.
        name: String,
        /// Say of each line which file it is from.
        #[arg(long)]
        origins: bool,
    },
    /// Show what a preset computes, from what and why, and who decides in the end.
    Explain(Subject),
    /// Show all that containers become: arguments, files, steps, probes, stop. Files may hold secrets of the manifest.
    Render(Subject),
    /// Show everything that is wrong with preset files.
    Validate {
        /// Files, or directories of them; the administrator's if none is given.
        paths: Vec<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Subject {
    /// A preset, an image, or pod/NAME, which the daemon is asked for.
    #[arg(value_name = "PRESET")]
    pub(crate) name: Option<String>,
    /// Manifest file. May be given more than once.
    #[arg(short, long = "filename", value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// With a preset or an image: memory limit, as in a manifest.
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) memory: Option<String>,
    /// With a preset or an image: CPU limit, as in a manifest.
    #[arg(long, value_name = "QUANTITY")]
    pub(crate) cpu: Option<String>,
    /// With a preset or an image: a variable. May be given more than once.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// With a preset or an image: arguments, after `--`.
    #[arg(last = true, value_name = "ARGUMENT")]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Kube {
    /// All paths are below this directory, as the daemon's are with its own --root.
    #[arg(long, global = true, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) root: PathBuf,
    #[command(subcommand)]
    pub(crate) verb: KubeVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KubeVerb {
    /// Let this host into a cluster, as `kubeadm join` does. `kubeadm token create --print-join-command` in the cluster prints what
    /// it takes.
    ///
    /// Finds the cluster, checks that it is the right one and knows the token, and writes one file, by which barepod-bridge asks
    /// for a certificate.
    Join(KubeJoin),
    /// Show the cluster, the node and its certificates, and what the API server says to them.
    ///
    /// Exit codes: 0 all is well; 1 something is to be done, or this host has not joined.
    Status,
    /// Take back what `join` and barepod-bridge have written: kubeconfigs, certificates and keys. Pods run on.
    Reset,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KubeJoin {
    /// The API server: https://HOST:6443 or HOST:6443.
    #[arg(value_name = "SERVER", required_unless_present = "kubeconfig", conflicts_with = "kubeconfig")]
    pub(crate) server: Option<Endpoint>,
    /// A bootstrap token, as `kubeadm token create` prints it.
    #[arg(long, value_name = "ID.SECRET", required_unless_present = "kubeconfig", conflicts_with = "kubeconfig")]
    pub(crate) token: Option<BootstrapToken>,
    /// Hash of the key of the cluster's authority, by which it is known. May be given more than once.
    #[arg(
        long,
        value_name = "sha256:HEX",
        required_unless_present_any = ["kubeconfig", "discovery_token_unsafe_skip_ca_verification"]
    )]
    pub(crate) discovery_token_ca_cert_hash: Vec<KeyHash>,
    /// Believe any cluster that knows the token.
    #[arg(long, conflicts_with = "discovery_token_ca_cert_hash")]
    pub(crate) discovery_token_unsafe_skip_ca_verification: bool,
    /// Instead of all these: a kubeconfig with the cluster and a bootstrap token.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The node's name [default: the host's].
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: Option<NodeName>,
    /// Join anew, whatever was joined before.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Nomad {
    /// Prepare the cluster and this host for each other: the agent's plugin and its configuration, a namespace in which nothing but
    /// pods runs, an ACL policy and a token for barepod-bridge. What is as it should be is left alone.
    ///
    /// Takes the rights of root, and where the cluster has ACLs a management token: in NOMAD_TOKEN or a file. It is used for this
    /// and kept nowhere.
    Setup(Box<NomadSetup>),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NomadSetup {
    /// The agent on this host, a client.
    #[arg(long, env = "NOMAD_ADDR", default_value = "http://127.0.0.1:4646", value_name = "URL")]
    pub(crate) address: String,
    /// Where the jobs of this host's pods are to be.
    #[arg(long, default_value = "barepod", value_name = "NAME")]
    pub(crate) nomad_namespace: String,
    /// The cluster's region, if it is not the agent's.
    #[arg(long, env = "NOMAD_REGION", value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// PEM: who signs the agent's certificate. Needed with https://. barepod-bridge must be able to read it, as the two that follow.
    #[arg(long, env = "NOMAD_CACERT", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// PEM: the certificate that the agent asks for.
    #[arg(long, env = "NOMAD_CLIENT_CERT", value_name = "FILE")]
    pub(crate) cert_file: Option<PathBuf>,
    /// PEM: its key.
    #[arg(long, env = "NOMAD_CLIENT_KEY", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The name in the agent's certificate, such as client.global.nomad.
    #[arg(long, env = "NOMAD_TLS_SERVER_NAME", value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// A management token [default: NOMAD_TOKEN].
    #[arg(long, value_name = "FILE")]
    pub(crate) management_token_file: Option<PathBuf>,
    /// How long this host's own token is to live, such as 24h, the longest that Nomad's configuration allows by itself; the same
    /// command gets another one [default: for ever].
    #[arg(long, value_name = "DURATION")]
    pub(crate) token_ttl: Option<String>,
    /// The directory of the agent's configuration files.
    #[arg(long, default_value = "/etc/nomad.d", value_name = "DIRECTORY")]
    pub(crate) nomad_config: PathBuf,
    /// The agent's plugin directory [default: as the agent says].
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) plugin_dir: Option<PathBuf>,
    /// The driver's program.
    #[arg(long, default_value = "/usr/libexec/barepod/barepod-nomad-driver", value_name = "FILE")]
    pub(crate) driver: PathBuf,
    /// All paths of barepod are below this directory, as the daemon's are with its own --root.
    #[arg(long, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) root: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// This command only; do not ask the daemon.
    #[arg(long)]
    pub(crate) client: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Args::command().debug_assert();
    }
}
