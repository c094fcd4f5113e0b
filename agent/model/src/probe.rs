//! Probes, with Kubernetes' figures.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which question a probe answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Has it started? Until it has, the other two do not run; if it fails, the container is restarted.
    Startup,
    /// May it be sent traffic?
    Readiness,
    /// Is it alive? If not, the container is restarted.
    Liveness,
}

impl ProbeKind {
    /// As a manifest calls it, without `Probe`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ProbeKind::Startup => "startup",
            ProbeKind::Readiness => "readiness",
            ProbeKind::Liveness => "liveness",
        }
    }
}

/// How a probe asks. Ports are numbers here: names have been looked up among the container's ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeHandler {
    /// Runs a command in the container's view, as its user; exit 0 is success.
    Exec {
        /// Program and arguments; no shell.
        command: Vec<String>,
    },
    /// Asks by HTTP; a status from 200 to 399 is success.
    Http(HttpGet),
    /// Connects; a connection is success.
    Tcp {
        /// Host name or address; `None` for the pod's own.
        host: Option<String>,
        /// Port.
        port: u16,
    },
    /// Asks `grpc.health.v1.Health/Check`; `SERVING` is success.
    Grpc {
        /// Port, at the pod's own address.
        port: u16,
        /// The service asked for; may be empty.
        service: String,
    },
}

/// A GET request (`core/v1.HTTPGetAction`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpGet {
    /// With or without TLS; certificates are not checked.
    pub scheme: HttpScheme,
    /// Host name or address; `None` for the pod's own.
    pub host: Option<String>,
    /// Port.
    pub port: u16,
    /// Path, with its query.
    pub path: String,
    /// Headers, in order; one name may come more than once. A `Host` among them is the request's.
    pub headers: Vec<(String, String)>,
}

/// `core/v1.URIScheme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpScheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

/// A probe with its figures; defaults are those of `core/v1.Probe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// How it asks.
    pub handler: ProbeHandler,
    /// Wait after the container started before the first probe. Default 0.
    pub initial_delay: Duration,
    /// Time between probes. Default 10 s, at least 1 s.
    pub period: Duration,
    /// An answer later than this is a failure. Default 1 s, at least 1 s.
    pub timeout: Duration,
    /// Successes in a row that make a failed probe good again. Default 1; must be 1 for startup and liveness.
    pub success_threshold: u32,
    /// Failures in a row that make it bad. Default 3.
    pub failure_threshold: u32,
    /// The grace of a stop that this probe asks for, in place of the pod's; for startup and liveness only.
    #[serde(default)]
    pub termination_grace: Option<Duration>,
}
