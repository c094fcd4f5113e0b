//! `/containerLogs`: a container's log, with all that a v1/PodLogOptions may say, in kubelet's words.

use barepod_api::v1;
use bytes::Bytes;
use futures::StreamExt as _;
use hyper::StatusCode;
use jiff::Timestamp;

use crate::answer::{Answer, BodyError, parts, refused, text};
use crate::handlers::pods;
use crate::port::Port;
use crate::query::{Query, Unreadable};
use crate::route::Target;

/// A container's log, until its end or the client's.
pub(crate) async fn stream(port: &Port, target: &Target, query: &Query) -> Answer {
    let options = match options(query) {
        Ok(options) => options,
        Err(Wrong::Unreadable(_)) => return text(StatusCode::BAD_REQUEST, r#"{"message": "Unable to decode query."}"#),
        Err(Wrong::Invalid) => return text(StatusCode::UNPROCESSABLE_ENTITY, r#"{"message": "Invalid request."}"#),
    };
    let Target { namespace, pod: name, container, .. } = target;
    let pod = match pods::find(port, namespace, name).await {
        Ok(Some(pod)) => pod,
        Ok(None) => return text(StatusCode::NOT_FOUND, format!("pod {name:?} does not exist")),
        Err(status) => return refused(&status),
    };
    let Some(found) = pod.containers.iter().find(|its| its.name == *container) else {
        return text(StatusCode::NOT_FOUND, format!("container {container:?} not found in pod {name:?}"));
    };
    let previous = match attempt(found, name, options.previous) {
        Ok(previous) => previous,
        Err(why) => return text(StatusCode::BAD_REQUEST, why),
    };
    let (namespace, name, container) = (pod.namespace, pod.name, container.clone());
    let request = v1::LogsRequest { namespace, name, container, previous, ..options };
    match port.daemon().logs(request).await {
        Ok(log) => {
            let log = log.into_inner();
            parts("text/plain", log.map(|part| part.map(|part| Bytes::from(part.data)).map_err(BodyError::from)))
        }
        // What is not there any more since it was looked at.
        Err(status) if status.code() == tonic::Code::NotFound => {
            text(StatusCode::BAD_REQUEST, status.message().to_owned())
        }
        Err(status) => refused(&status),
    }
}

/// Why a query asks for nothing that there could be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Unreadable(Unreadable),
    Invalid,
}

impl From<Unreadable> for Wrong {
    fn from(why: Unreadable) -> Self {
        Self::Unreadable(why)
    }
}

/// As the API server validates them, for who asks the node itself.
pub(crate) fn options(query: &Query) -> Result<v1::LogsRequest, Wrong> {
    // kubelet's name for it, once.
    let tail = match query.first("tail") {
        None | Some("") => query.read::<i64>("tailLines")?,
        Some("all") => None,
        Some(_) => query.read::<i64>("tail")?,
    };
    let tail_lines = tail.map(|lines| u64::try_from(lines).map_err(|_| Wrong::Invalid)).transpose()?;
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0).ok_or(Wrong::Invalid);
    let limit_bytes = query.read::<i64>("limitBytes")?.map(positive).transpose()?;
    let since_seconds = query.read::<i64>("sinceSeconds")?.map(positive).transpose()?;
    let since_time = match query.first("sinceTime") {
        None | Some("" | "null") => None,
        Some(_) => query.read::<Timestamp>("sinceTime")?,
    };
    let stream = match query.first("stream") {
        None | Some("All") => v1::LogStream::All,
        Some("Stdout") => v1::LogStream::Stdout,
        Some("Stderr") => v1::LogStream::Stderr,
        Some(_) => return Err(Wrong::Invalid),
    };
    if (since_seconds.is_some() && since_time.is_some()) || (tail_lines.is_some() && stream != v1::LogStream::All) {
        return Err(Wrong::Invalid);
    }
    Ok(v1::LogsRequest {
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        tail_lines,
        limit_bytes,
        since_seconds,
        since_time: since_time.map(|at| v1::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }),
        stream: stream.into(),
        ..v1::LogsRequest::default()
    })
}

/// Whether the attempt that is meant is the one before the present one; or why there is none.
fn attempt(container: &v1::Container, pod: &str, previous: bool) -> Result<bool, String> {
    let name = &container.name;
    let is_waiting = container.state == "waiting";
    match (&container.last, previous) {
        (None, true) => Err(format!("previous terminated container {name:?} in pod {pod:?} not found")),
        // It waits for its next attempt: the one before that is the newest there is.
        (Some(_), true) => Ok(!is_waiting),
        (None, false) if is_waiting => {
            Err(format!("container {name:?} in pod {pod:?} is waiting to start: {}", container.reason))
        }
        (_, false) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<v1::LogsRequest, Wrong> {
        options(&Query::of(Some(query)))
    }

    #[test]
    fn all_options_of_a_log_are_read() {
        let all = of("follow=true&previous=false&timestamps=true&tailLines=0&limitBytes=7&sinceSeconds=3").unwrap();
        assert!(all.follow && !all.previous && all.timestamps);
        assert_eq!((all.tail_lines, all.limit_bytes, all.since_seconds), (Some(0), Some(7), Some(3)));
        let since = of("sinceTime=2026-01-02T03%3A04%3A05.5%2B01%3A00&stream=Stderr").unwrap();
        assert_eq!(since.since_time, Some(v1::Timestamp { seconds: 1_767_319_445, nanos: 500_000_000 }));
        assert_eq!(since.stream(), v1::LogStream::Stderr);
        assert_eq!(of("tail=all&tailLines=3").unwrap().tail_lines, None);
        assert_eq!(of("tail=4&tailLines=3").unwrap().tail_lines, Some(4));
        assert_eq!(of("sinceTime=").unwrap(), v1::LogsRequest::default());
    }

    #[test]
    fn what_no_log_could_be_is_refused_as_kubelet_refuses_it() {
        for query in ["tailLines=x", "limitBytes=", "sinceSeconds=1.5", "sinceTime=yesterday", "tail=-"] {
            assert!(matches!(of(query), Err(Wrong::Unreadable(_))), "{query}");
        }
        for query in [
            "tailLines=-1",
            "limitBytes=0",
            "sinceSeconds=0",
            "sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z",
            "stream=Both",
            "stream=Stdout&tailLines=1",
        ] {
            assert_eq!(of(query), Err(Wrong::Invalid), "{query}");
        }
    }

    #[test]
    fn an_attempt_is_meant_as_kubelet_means_it() {
        let container = |state: &str, ended_before: bool| v1::Container {
            name: "main".to_owned(),
            state: state.to_owned(),
            reason: "ContainerCreating".to_owned(),
            last: ended_before.then(v1::Termination::default),
            ..v1::Container::default()
        };
        let waiting = r#"container "main" in pod "db" is waiting to start: ContainerCreating"#;
        let none = r#"previous terminated container "main" in pod "db" not found"#;
        for (state, ended_before, previous, wanted) in [
            ("waiting", false, false, Err(waiting)),
            ("waiting", false, true, Err(none)),
            ("waiting", true, false, Ok(false)),
            ("waiting", true, true, Ok(false)),
            ("running", false, false, Ok(false)),
            ("running", false, true, Err(none)),
            ("running", true, true, Ok(true)),
            ("terminated", false, false, Ok(false)),
            ("terminated", true, true, Ok(true)),
        ] {
            let found = attempt(&container(state, ended_before), "db", previous);
            assert_eq!(found, wanted.map_err(str::to_owned), "{state} {ended_before} {previous}");
        }
    }
}
