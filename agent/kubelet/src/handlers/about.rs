//! What the port says about itself.

use std::fmt::Write as _;
use std::sync::LazyLock;

use hyper::header::ACCEPT;
use hyper::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Settings;
use crate::answer::{self, Answer, text};
use crate::route::{Place, TABLE};

/// When this process began to answer.
pub(crate) static STARTED: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);

/// `/configz`: kubelet's configuration (`kubelet.config.k8s.io/v1beta1`), as far as there is something true to be said.
pub(crate) fn config(settings: &Settings) -> Answer {
    answer::json(&json!({"kubeletconfig": {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": settings.address,
        "port": settings.port,
        "authentication": {
            "x509": {},
            "webhook": {"enabled": true, "cacheTTL": "2m0s"},
            "anonymous": {"enabled": false},
        },
        "authorization": {
            "mode": "Webhook",
            "webhook": {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"},
        },
        "rotateCertificates": true,
        "serverTLSBootstrap": settings.rotates_server_certificates,
        "nodeStatusUpdateFrequency": "10s",
        "nodeStatusReportFrequency": "5m0s",
        "nodeLeaseDurationSeconds": 40,
        "nodeStatusMaxImages": 50,
        "maxPods": settings.max_pods,
        "registerNode": true,
        "enableServer": true,
        "enableDebuggingHandlers": true,
        "enableSystemLogHandler": false,
        "enableProfilingHandler": false,
        "enableDebugFlagsHandler": false,
    }}))
}

/// `/statusz`.
pub(crate) fn status(headers: &HeaderMap) -> Answer {
    let now = Timestamp::now();
    let up = now.as_second() - STARTED.as_second();
    let version = concat!("1.36.3-barepod.", env!("CARGO_PKG_VERSION"));
    let mut paths: Vec<_> = TABLE.iter().map(|(path, ..)| *path).filter(|path| !path.contains(['{', '*'])).collect();
    paths.sort_unstable();
    let object = json!({
        "kind": "Statusz", "apiVersion": "config.k8s.io/v1beta1", "metadata": {"name": "kubelet"},
        "startTime": STARTED.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "uptimeSeconds": up,
        "goVersion": "", "binaryVersion": version, "emulationVersion": "1.36", "paths": paths,
    });
    let started = STARTED.strftime("%a %b %e %H:%M:%S UTC %Y");
    let lines = format!(
        "Started: {started}\nUp: {up}s\nBinary version: {version}\nEmulation version: 1.36\nPaths: {}\n",
        paths.join(" ")
    );
    negotiated(headers, "Statusz", &object, || lines)
}

/// `/flagz`.
pub(crate) fn flags(settings: &Settings, headers: &HeaderMap) -> Answer {
    let object = json!({
        "kind": "Flagz", "apiVersion": "config.k8s.io/v1beta1", "metadata": {"name": "kubelet"}, "flags": settings.flags,
    });
    negotiated(headers, "Flagz", &object, || {
        settings.flags.iter().fold(String::new(), |mut lines, (flag, value)| {
            writeln!(lines, "{flag}={value}").ok();
            lines
        })
    })
}

/// As a text for people, or as an object to those who ask for just that.
fn negotiated(headers: &HeaderMap, kind: &str, object: &Value, lines: impl FnOnce() -> String) -> Answer {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = accept.split(',').map(|range| range.split(';').map(str::trim).collect::<Vec<_>>());
    for range in wanted {
        match range.as_slice() {
            [""] | ["text/plain" | "text/*" | "*/*", ..] => {
                let warning = "Warning: This endpoint is not meant to be machine parseable, has no formatting \
                               compatibility guarantees and is for debugging purposes only.";
                let page = format!("\nkubelet {}\n{warning}\n\n{}", kind.to_lowercase(), lines());
                return text(StatusCode::OK, page);
            }
            ["application/json", parameters @ ..]
                if parameters.contains(&format!("as={kind}").as_str())
                    && parameters.contains(&"g=config.k8s.io")
                    && parameters.contains(&"v=v1beta1") =>
            {
                return answer::json(object);
            }
            _ => {}
        }
    }
    let message = format!("there is text/plain, and application/json;g=config.k8s.io;v=v1beta1;as={kind}\n");
    text(StatusCode::NOT_ACCEPTABLE, message)
}

/// What kubelet can be told to leave out, is left out.
pub(crate) fn disabled(place: Place) -> Answer {
    let what = match place {
        Place::NodeLogs => {
            "logs endpoint is disabled: barepod-bridge has no rights on this host's /var/log; `journalctl` there\n"
        }
        Place::Profiles => "profiling endpoint is disabled.\n",
        _ => "flags endpoint is disabled.\n",
    };
    text(StatusCode::METHOD_NOT_ALLOWED, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &'static str) -> (StatusCode, String) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, hyper::header::HeaderValue::from_static(accept));
        let answer = status(&headers);
        let kind = answer.headers().get(hyper::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        (answer.status(), kind.unwrap_or_default().to_owned())
    }

    #[test]
    fn a_status_is_a_text_or_the_object_that_was_asked_for() {
        let text = (StatusCode::OK, "text/plain; charset=utf-8".to_owned());
        for accept in ["", "*/*", "text/plain", "text/html, */*;q=0.8"] {
            assert_eq!(asked(accept), text, "{accept}");
        }
        let object = asked("application/json;as=Statusz;v=v1beta1;g=config.k8s.io");
        assert_eq!(object, (StatusCode::OK, "application/json".to_owned()));
        assert_eq!(asked("application/json").0, StatusCode::NOT_ACCEPTABLE);
    }
}
