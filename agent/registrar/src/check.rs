//! What Nomad asks a port for, so that it knows whether the service is well: as the pod's own readiness probe where that is over
//! the network, else whether one can connect. Pure.
//!
//! Nomad's own service discovery has checks by TCP and HTTP (`nomad/structs/services.go`, `validateCheckNomad`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

const SECOND: u64 = 1_000_000_000;

/// A port of the host that is a pod's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its number.
    pub number: u32,
    /// How it is looked at.
    pub check: Check,
}

/// How a port is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Not at all: it is not TCP's.
    None,
    /// One can connect to it.
    Connect(Every),
    /// It answers a request well.
    Http {
        /// How often.
        every: Every,
        /// `http` or `https`, whose certificate nobody looks at, as with kubelet.
        protocol: &'static str,
        /// With its query.
        path: String,
        /// By name.
        headers: BTreeMap<String, Vec<String>>,
    },
}

/// How often it is looked at, in seconds. Nomad takes one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every {
    period: u64,
    timeout: u64,
}

impl Default for Every {
    fn default() -> Self {
        Self { period: 10, timeout: 3 }
    }
}

impl Every {
    fn of(probe: &Value) -> Self {
        let seconds = |key: &str, default: u64| probe[key].as_u64().unwrap_or(default).max(1);
        Self { period: seconds("periodSeconds", 10), timeout: seconds("timeoutSeconds", 1) }
    }
}

impl Check {
    /// As Nomad takes it.
    pub(crate) fn body(&self) -> Option<Value> {
        let timed = |kind: &str, every: &Every| {
            json!({
                "Type": kind, "Name": kind, "Interval": every.period * SECOND, "Timeout": every.timeout * SECOND,
            })
        };
        match self {
            Check::None => None,
            Check::Connect(every) => Some(timed("tcp", every)),
            Check::Http { every, protocol, path, headers } => {
                let mut check = timed("http", every);
                check["Protocol"] = json!(protocol);
                check["Path"] = json!(path);
                check["Method"] = json!("GET");
                check["TLSSkipVerify"] = json!(*protocol == "https");
                check["Header"] = json!(headers);
                Some(check)
            }
        }
    }
}

/// The part of a pod's object that says how it is asked.
pub(crate) struct Spec<'a>(Vec<&'a Value>);

impl<'a> Spec<'a> {
    pub(crate) fn of(object: &'a Value) -> Self {
        let kinds = ["containers", "initContainers"].map(|kind| &object["spec"][kind]);
        Self(kinds.into_iter().filter_map(Value::as_array).flatten().collect())
    }

    /// How a port of the host is looked at.
    pub(crate) fn check(&self, number: u32) -> Check {
        if self.declared(number).is_some_and(|port| port["protocol"].as_str().is_some_and(|it| it != "TCP")) {
            return Check::None;
        }
        let asked = self.0.iter().find_map(|container| probed(container, number));
        asked.unwrap_or_else(|| Check::Connect(Every::default()))
    }

    fn declared(&self, number: u32) -> Option<&Value> {
        let ports = self.0.iter().filter_map(|container| container["ports"].as_array()).flatten();
        ports.into_iter().find(|port| port["hostPort"].as_u64() == Some(u64::from(number)))
    }
}

/// What this container's readiness probe asks this port for.
fn probed(container: &Value, number: u32) -> Option<Check> {
    let probe = &container["readinessProbe"];
    let every = Every::of(probe);
    if let Some(request) = probe["httpGet"].as_object() {
        // What is asked at another address says nothing of this one.
        let is_here = request.get("host").is_none_or(|host| host == "");
        let request = &probe["httpGet"];
        return (is_here && port_of(container, &request["port"]) == Some(number)).then(|| Check::Http {
            every,
            protocol: if request["scheme"] == "HTTPS" { "https" } else { "http" },
            path: request["path"].as_str().filter(|path| !path.is_empty()).unwrap_or("/").to_owned(),
            headers: headers(&request["httpHeaders"]),
        });
    }
    (port_of(container, &probe["tcpSocket"]["port"]) == Some(number)).then_some(Check::Connect(every))
}

fn headers(from: &Value) -> BTreeMap<String, Vec<String>> {
    let mut headers = BTreeMap::<_, Vec<_>>::new();
    for header in from.as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (header["name"].as_str(), header["value"].as_str()) {
            headers.entry(name.to_owned()).or_default().push(value.to_owned());
        }
    }
    headers
}

/// A port by number or by its name in this container.
fn port_of(container: &Value, port: &Value) -> Option<u32> {
    let number = match port.as_str() {
        None => port.as_u64(),
        Some(name) => {
            let ports = container["ports"].as_array()?;
            ports.iter().find(|port| port["name"] == name)?["containerPort"].as_u64()
        }
    };
    number.and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(container: Value, number: u32) -> Option<Value> {
        Spec::of(&json!({"spec": {"containers": [container]}})).check(number).body()
    }

    #[test]
    fn a_port_is_asked_as_its_pod_asks_it() {
        let probe = json!({
            "httpGet": {"port": "web", "path": "/live?a=b", "httpHeaders": [{"name": "X", "value": "y"}]},
            "periodSeconds": 5, "timeoutSeconds": 2,
        });
        let container = json!({"ports": [{"name": "web", "containerPort": 80}], "readinessProbe": probe});
        let found = check(container.clone(), 80).unwrap();
        assert_eq!((&found["Type"], &found["Path"]), (&json!("http"), &json!("/live?a=b")));
        assert_eq!((&found["Interval"], &found["Timeout"]), (&json!(5 * SECOND), &json!(2 * SECOND)));
        assert_eq!((&found["Header"], &found["TLSSkipVerify"]), (&json!({"X": ["y"]}), &json!(false)));
        assert_eq!(check(container, 81).unwrap()["Type"], "tcp", "another port");
    }

    #[test]
    fn what_cannot_be_asked_so_is_connected_to() {
        for probe in [
            json!({"exec": {"command": ["true"]}}),
            json!({"grpc": {"port": 80}}),
            json!({"httpGet": {"port": 80, "host": "elsewhere"}}),
            Value::Null,
        ] {
            let found = check(json!({"readinessProbe": probe}), 80).unwrap();
            assert_eq!((&found["Type"], &found["Interval"]), (&json!("tcp"), &json!(10 * SECOND)));
        }
        let slow = json!({"readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 60}});
        assert_eq!(check(slow, 80).unwrap()["Interval"], 60 * SECOND);
    }

    #[test]
    fn a_certificate_is_not_looked_at_and_a_port_of_udp_not_at_all() {
        let secure = json!({"readinessProbe": {"httpGet": {"port": 443, "scheme": "HTTPS"}}});
        let found = check(secure, 443).unwrap();
        assert_eq!((&found["Protocol"], &found["TLSSkipVerify"]), (&json!("https"), &json!(true)));
        assert_eq!(check(json!({"ports": [{"hostPort": 53, "protocol": "UDP"}]}), 53), None);
    }
}
