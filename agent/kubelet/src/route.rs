//! The table of paths, as kubelet has them.

use hyper::Method;
use percent_encoding::percent_decode_str;

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Health,
    Pods,
    RunningPods,
    ContainerLogs,
    Exec,
    Attach,
    Run,
    PortForward,
    Stats,
    Metrics,
    Cadvisor,
    Resource,
    Probes,
    Slis,
    Configz,
    NodeLogs,
    Checkpoint,
    Statusz,
    Flagz,
    Profiles,
    DebugFlags,
}

impl Place {
    /// What requests are counted by, as kubelet has it: the path's begin.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Health => "healthz",
            Self::Pods => "pods",
            Self::RunningPods => "runningpods",
            Self::ContainerLogs => "containerLogs",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::Run => "run",
            Self::PortForward => "portForward",
            Self::Stats => "stats",
            Self::Metrics => "metrics",
            Self::Cadvisor => "metrics/cadvisor",
            Self::Resource => "metrics/resource",
            Self::Probes => "metrics/probes",
            Self::Slis => "metrics/slis",
            Self::Configz => "configz",
            Self::NodeLogs => "logs",
            Self::Checkpoint => "checkpoint",
            Self::Statusz => "statusz",
            Self::Flagz => "flagz",
            Self::Profiles | Self::DebugFlags => "debug",
        }
    }
}

const READ: &[Method] = &[Method::GET];
const DO: &[Method] = &[Method::POST];
const EITHER: &[Method] = &[Method::GET, Method::POST];
const ANY: &[Method] = &[Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::PATCH];

/// Each path with what may be done there. `{}` is a name, and the last segment `*` any rest.
pub(crate) const TABLE: &[(&str, &[Method], Place)] = &[
    ("/healthz", READ, Place::Health),
    ("/healthz/{check}", READ, Place::Health),
    ("/pods", READ, Place::Pods),
    ("/runningpods", READ, Place::RunningPods),
    ("/containerLogs/{namespace}/{pod}/{container}", READ, Place::ContainerLogs),
    ("/exec/{namespace}/{pod}/{container}", EITHER, Place::Exec),
    ("/exec/{namespace}/{pod}/{uid}/{container}", EITHER, Place::Exec),
    ("/attach/{namespace}/{pod}/{container}", EITHER, Place::Attach),
    ("/attach/{namespace}/{pod}/{uid}/{container}", EITHER, Place::Attach),
    ("/run/{namespace}/{pod}/{container}", DO, Place::Run),
    ("/run/{namespace}/{pod}/{uid}/{container}", DO, Place::Run),
    ("/portForward/{namespace}/{pod}", EITHER, Place::PortForward),
    ("/portForward/{namespace}/{pod}/{uid}", EITHER, Place::PortForward),
    ("/stats/summary", EITHER, Place::Stats),
    ("/metrics", READ, Place::Metrics),
    ("/metrics/cadvisor", READ, Place::Cadvisor),
    ("/metrics/resource", READ, Place::Resource),
    ("/metrics/probes", READ, Place::Probes),
    ("/metrics/slis", READ, Place::Slis),
    ("/configz", READ, Place::Configz),
    ("/logs", ANY, Place::NodeLogs),
    ("/logs/*", ANY, Place::NodeLogs),
    ("/checkpoint/{namespace}/{pod}/{container}", DO, Place::Checkpoint),
    ("/statusz", READ, Place::Statusz),
    ("/flagz", READ, Place::Flagz),
    ("/debug/pprof", ANY, Place::Profiles),
    ("/debug/pprof/*", ANY, Place::Profiles),
    ("/debug/flags/v", ANY, Place::DebugFlags),
];

/// What a path names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// A pod's namespace.
    pub(crate) namespace: String,
    /// A pod's name.
    pub(crate) pod: String,
    /// The UID that the pod must have, where the path says one.
    pub(crate) uid: Option<String>,
    /// A container's name; empty where the path has none.
    pub(crate) container: String,
    /// A health check's name.
    pub(crate) check: Option<String>,
}

/// A way to a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// The row of the table.
    pub(crate) pattern: &'static str,
    pub(crate) place: Place,
    pub(crate) target: Target,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// There is no such path.
    Unknown,
    /// There is, but for other methods.
    Method,
}

/// A path without its percents; `None` where it is no text then. What is decided by it, is decided by nothing else.
pub(crate) fn decoded(path: &str) -> Option<String> {
    percent_decode_str(path).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// # Errors
/// There is no way there.
pub(crate) fn find(method: &Method, path: &str) -> Result<Route, NoRoute> {
    let mut failure = NoRoute::Unknown;
    for (pattern, methods, place) in TABLE {
        let Some(target) = matched(pattern, path) else { continue };
        if methods.contains(method) {
            return Ok(Route { pattern, place: *place, target });
        }
        failure = NoRoute::Method;
    }
    Err(failure)
}

fn matched(pattern: &str, path: &str) -> Option<Target> {
    let path = path.strip_prefix('/')?;
    // As kubelet has it, a slash at the end makes no other path.
    let mut segments = path.strip_suffix('/').unwrap_or(path).split('/');
    let mut target = Target::default();
    for part in pattern.split('/').skip(1) {
        if part == "*" {
            return Some(target);
        }
        let segment = segments.next()?;
        match part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => target.put(name, segment)?,
            None if part == segment => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some(target)
}

impl Target {
    fn put(&mut self, name: &str, segment: &str) -> Option<()> {
        if segment.is_empty() {
            return None;
        }
        let value = segment.to_owned();
        match name {
            "namespace" => self.namespace = value,
            "pod" => self.pod = value,
            "uid" => self.uid = Some(value),
            "container" => self.container = value,
            "check" => self.check = Some(value),
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(method: &Method, path: &str) -> Result<Place, NoRoute> {
        find(method, path).map(|route| route.place)
    }

    #[test]
    fn a_path_names_what_it_is_about() {
        let found = find(&Method::POST, "/exec/default/db-0/1234/main").unwrap();
        let target = Target {
            namespace: "default".to_owned(),
            pod: "db-0".to_owned(),
            uid: Some("1234".to_owned()),
            container: "main".to_owned(),
            check: None,
        };
        assert_eq!((found.place, found.target), (Place::Exec, target));
        let found = find(&Method::GET, "/portForward/default/db-0").unwrap();
        assert_eq!((found.target.uid, found.target.container), (None, String::new()));
    }

    #[test]
    fn a_slash_at_the_end_makes_no_other_path_and_an_empty_name_is_none() {
        for path in ["/pods", "/pods/", "/runningpods", "/runningpods/", "/logs/", "/logs/a/b/c"] {
            assert!(find(&Method::GET, path).is_ok(), "{path}");
        }
        for path in
            ["", "/", "pods", "//pods", "/pods//", "/Pods", "/exec/a//c", "/exec/a/b", "/exec/a/b/c/d/e", "/a/../pods"]
        {
            assert_eq!(place(&Method::GET, path), Err(NoRoute::Unknown), "{path}");
        }
    }

    #[test]
    fn a_method_that_a_path_has_not_is_said_to_be_so() {
        assert_eq!(place(&Method::POST, "/pods"), Err(NoRoute::Method));
        assert_eq!(place(&Method::GET, "/run/a/b/c"), Err(NoRoute::Method));
        assert_eq!(place(&Method::DELETE, "/exec/a/b/c"), Err(NoRoute::Method));
        assert_eq!(place(&Method::PUT, "/nothing"), Err(NoRoute::Unknown));
    }

    #[test]
    fn what_hides_behind_percents_is_seen() {
        assert_eq!(decoded("/healthz%2F..%2Fexec").as_deref(), Some("/healthz/../exec"));
        assert_eq!(decoded("/pods%FF"), None);
    }
}
