//! A Nomad cluster.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Nomad {
    /// Prepare the cluster and this host for each other: the agent's plugin and its configuration, a namespace in which nothing but
    /// pods runs, an ACL policy and a token for barepod-bridge. What is as it should be is left alone.
    ///
    /// Takes the rights of root, and where the cluster has ACLs a management token: in NOMAD_TOKEN or a file. It is used for this
    /// and kept nowhere.
    Setup(Box<NomadSetup>),
    /// Show what Nomad knows of this host and its pods, and what its own tasks have of it.
    ///
    /// Exit codes: 0 all is well; 1 something is to be done, or this host was not set up.
    Status(NomadPlace),
    /// Take back what `setup` has written on this host, with the jobs that count its pods, and give what Nomad's own tasks have back
    /// to pods. All pods run on. The driver's link stays, for the tasks that there are; so do the namespace and the policy, which
    /// other hosts use.
    Reset(NomadReset),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NomadPlace {
    /// All paths of barepod are below this directory, as the daemon's are with its own --root.
    #[arg(long, default_value = "/", value_name = "DIRECTORY")]
    pub(crate) root: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NomadReset {
    #[command(flatten)]
    pub(crate) place: NomadPlace,
    /// The directory of the agent's configuration files.
    #[arg(long, default_value = "/etc/nomad.d", value_name = "DIRECTORY")]
    pub(crate) nomad_config: PathBuf,
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
    /// Have Nomad collect what counted pods write, for `nomad alloc logs`: one more process of Nomad's for each pod. The policy
    /// must let the source nomad read it.
    #[arg(long)]
    pub(crate) collect_logs: bool,
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
    #[command(flatten)]
    pub(crate) place: NomadPlace,
}
