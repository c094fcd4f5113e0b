//! What probes and hooks do: run a command, ask over the network, wait.

use std::time::Duration;

use barepod_model::{Hook, HttpGet, HttpScheme, Lifecycle, ProbeHandler, Reason};
use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::container::Port;
use crate::error::{Finding, Findings};
use crate::place::FieldPath;

/// What an action is read with: the container's ports, by whose names it may mean one.
pub(crate) struct Actions<'a> {
    pub(crate) ports: &'a [Port],
}

impl Actions<'_> {
    /// What a probe does.
    pub(crate) fn probe(&self, from: &v1::Probe, path: &FieldPath, out: &mut Findings) -> Option<ProbeHandler> {
        let given = [from.exec.is_some(), from.http_get.is_some(), from.tcp_socket.is_some(), from.grpc.is_some()];
        one_of(given, "exec, httpGet, tcpSocket or grpc", "a probe must say how it asks", path, out)?;
        if let Some(exec) = &from.exec {
            return command(exec, &path.key("exec"), out).map(|command| ProbeHandler::Exec { command });
        }
        if let Some(http) = &from.http_get {
            return self.http(http, &path.key("httpGet"), out).map(ProbeHandler::Http);
        }
        if let Some(tcp) = &from.tcp_socket {
            let port = self.port(&tcp.port, &path.key("tcpSocket").key("port"), out)?;
            return Some(ProbeHandler::Tcp { host: given_host(tcp.host.as_deref()), port });
        }
        let grpc = from.grpc.as_ref()?;
        let port = out.take(number(grpc.port, &path.key("grpc").key("port")))?;
        Some(ProbeHandler::Grpc { port, service: grpc.service.clone().unwrap_or_default() })
    }

    /// A container's hooks.
    pub(crate) fn lifecycle(&self, from: Option<&v1::Lifecycle>, path: &FieldPath, out: &mut Findings) -> Lifecycle {
        let Some(from) = from else { return Lifecycle::default() };
        let mut hook = |from: &Option<v1::LifecycleHandler>, name: &str| {
            from.as_ref().and_then(|from| self.hook(from, &path.key(name), out))
        };
        Lifecycle { post_start: hook(&from.post_start, "postStart"), pre_stop: hook(&from.pre_stop, "preStop") }
    }

    fn hook(&self, from: &v1::LifecycleHandler, path: &FieldPath, out: &mut Findings) -> Option<Hook> {
        if from.tcp_socket.is_some() {
            // Refused by name already.
            return None;
        }
        let given = [from.exec.is_some(), from.http_get.is_some(), from.sleep.is_some()];
        one_of(given, "exec, httpGet or sleep", "a hook must say what it does", path, out)?;
        if let Some(exec) = &from.exec {
            return command(exec, &path.key("exec"), out).map(|command| Hook::Exec { command });
        }
        if let Some(http) = &from.http_get {
            return self.http(http, &path.key("httpGet"), out).map(Hook::Http);
        }
        let seconds = from.sleep.as_ref()?.seconds;
        let Ok(seconds) = u64::try_from(seconds) else {
            let path = path.key("sleep").key("seconds");
            out.error(Finding::new(Reason::InvalidValue, &path, "it must not be negative").hint("give seconds"));
            return None;
        };
        Some(Hook::Sleep(Duration::from_secs(seconds)))
    }

    fn http(&self, from: &v1::HTTPGetAction, path: &FieldPath, out: &mut Findings) -> Option<HttpGet> {
        let scheme = match from.scheme.as_deref() {
            None | Some("" | "HTTP") => HttpScheme::Http,
            Some("HTTPS") => HttpScheme::Https,
            Some(other) => {
                let finding =
                    Finding::new(Reason::InvalidValue, &path.key("scheme"), format!("there is no scheme {other:?}"));
                out.error(finding.hint("use HTTP or HTTPS"));
                return None;
            }
        };
        let mut headers = Vec::new();
        for (i, header) in from.http_headers.iter().flatten().enumerate() {
            if !is_header_name(&header.name) || header.value.bytes().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
                let path = path.key("httpHeaders").index(i);
                let message = format!("{:?} is no header of HTTP, or its value none of one", header.name);
                out.error(Finding::new(Reason::InvalidValue, &path, message).hint("use a name such as X-Probe"));
            }
            headers.push((header.name.clone(), header.value.clone()));
        }
        let query = from.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
        Some(HttpGet {
            scheme,
            host: given_host(from.host.as_deref()),
            port: self.port(&from.port, &path.key("port"), out)?,
            path: if query.starts_with('/') { query.to_owned() } else { format!("/{query}") },
            headers,
        })
    }

    /// A port's number, or the number of the container's port of this name.
    fn port(&self, from: &IntOrString, path: &FieldPath, out: &mut Findings) -> Option<u16> {
        match from {
            IntOrString::Int(value) => out.take(number(*value, path)),
            IntOrString::String(name) => {
                let named = self.ports.iter().find(|port| port.name.as_deref() == Some(name));
                if named.is_none() {
                    let message = format!("the container has no port named {name:?}");
                    let names: Vec<_> = self.ports.iter().filter_map(|port| port.name.as_deref()).collect();
                    let hint = match names.as_slice() {
                        [] => "give the port's number, or name one under ports".to_owned(),
                        names => format!("it has {}", names.join(", ")),
                    };
                    out.error(Finding::new(Reason::InvalidValue, path, message).hint(hint));
                }
                named.map(|port| port.number)
            }
        }
    }
}

/// Exactly one of several fields must be there.
fn one_of<const N: usize>(
    given: [bool; N],
    names: &str,
    missing: &str,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<()> {
    match given.iter().filter(|given| **given).count() {
        1 => Some(()),
        0 => {
            out.error(Finding::new(Reason::MissingField, path, missing).hint(format!("give it {names}")));
            None
        }
        _ => {
            let message = "it says how in more than one way";
            out.error(Finding::new(Reason::InvalidValue, path, message).hint(format!("keep one of {names}")));
            None
        }
    }
}

fn command(from: &v1::ExecAction, path: &FieldPath, out: &mut Findings) -> Option<Vec<String>> {
    let command = from.command.clone().unwrap_or_default();
    if command.is_empty() {
        let finding = Finding::new(Reason::MissingField, &path.key("command"), "this field is required");
        out.error(finding.hint("name a program"));
        return None;
    }
    Some(command)
}

fn given_host(host: Option<&str>) -> Option<String> {
    host.filter(|host| !host.is_empty()).map(str::to_owned)
}

/// A port's number.
pub(crate) fn number(value: i32, path: &FieldPath) -> Result<u16, Finding> {
    match u16::try_from(value) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(Finding::new(Reason::InvalidValue, path, format!("{value} is no port")).hint("use 1 to 65535")),
    }
}

/// A token of RFC 9110.
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
