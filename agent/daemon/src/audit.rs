//! The audit log: who asked for what, and what became of it. JSON, a line each, in `/var/log/barepod/audit.log`; it only grows, and
//! is bounded ([`crate::lines`]).
//!
//! | key | what |
//! |---|---|
//! | `time` | when it was answered |
//! | `source` | `socket`, or where a pod comes from: `file`, `kubernetes`, `nomad` |
//! | `uid`, `user`, `pid` | by the kernel's word on the peer; of a file its owner |
//! | `verb`, `object` | what was asked, of what |
//! | `verdict` | `allowed`; `denied` by the policy; `failed` for another reason; `cut off` if the client went before the answer |
//! | `reason`, `message` | of what was not allowed |
//!
//! Of commands the program alone is written: arguments may hold secrets.

use std::path::PathBuf;
use std::sync::Arc;

use barepod_core::Denied;
use barepod_model::Reason;
use serde::Serialize;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};

use crate::lines::{Bounds, Lines};

const BOUNDS: Bounds = Bounds { bytes: 10 << 20, old: 4 };

/// The way to the log.
#[derive(Debug, Clone)]
pub(crate) struct Audit(Arc<Lines>);

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    source: String,
    uid: Option<u32>,
    pid: Option<i32>,
}

/// A line.
#[derive(Debug, Serialize)]
struct Line {
    time: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    verb: String,
    object: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

impl Audit {
    /// # Errors
    /// There can be no thread that writes.
    pub(crate) fn open(path: PathBuf) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Lines::open(path, BOUNDS)?)))
    }

    /// Something is asked at the socket; it is written down when it is answered.
    pub(crate) fn asked<T>(&self, request: &Request<T>, verb: &'static str, object: String) -> Note {
        Note { audit: self.clone(), asker: Asker::at_socket(request), verb, object, open: true }
    }

    /// What a source asked for, and what it was told.
    pub(crate) fn told(&self, asker: &Asker, verb: &str, object: &str, denied: Option<&Denied>) {
        match denied {
            None => self.write(asker, verb, object, ("allowed", "", "")),
            Some(Denied { reason, message }) => {
                self.write(asker, verb, object, (verdict(reason.as_str()), reason.as_str(), message));
            }
        }
    }

    fn write(&self, asker: &Asker, verb: &str, object: &str, (verdict, reason, message): (&'static str, &str, &str)) {
        let Asker { source, uid, pid } = asker.clone();
        let line = Line {
            time: jiff::Timestamp::now().to_string(),
            source,
            uid,
            user: None,
            pid,
            verb: verb.to_owned(),
            object: object.to_owned(),
            verdict,
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        // A directory of users that does not answer holds up this log, and nothing else.
        self.0.add(move || serde_json::to_string(&Line { user: uid.and_then(user), ..line }));
    }
}

fn user(uid: u32) -> Option<String> {
    Some(nix::unistd::User::from_uid(uid.into()).ok()??.name)
}

fn verdict(reason: &str) -> &'static str {
    if reason == Reason::Forbidden.as_str() { "denied" } else { "failed" }
}

impl Asker {
    fn at_socket<T>(request: &Request<T>) -> Self {
        let peer = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
        Self { pid: peer.and_then(|peer| peer.pid()), ..Self::of("socket", peer.map(|peer| peer.uid())) }
    }

    /// A source, and the user that it speaks for.
    pub(crate) fn of(source: &str, uid: Option<u32>) -> Self {
        Self { source: source.to_owned(), uid, pid: None }
    }
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(crate) struct Note {
    audit: Audit,
    asker: Asker,
    verb: &'static str,
    object: String,
    open: bool,
}

impl Note {
    /// It is answered when this is over.
    pub(crate) async fn over<T>(self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let answer = call.await;
        self.end(answer)
    }

    /// It is answered.
    pub(crate) fn end<T>(mut self, answer: Result<T, Status>) -> Result<T, Status> {
        self.open = false;
        let said = match &answer {
            Ok(_) => ("allowed", "", ""),
            Err(status) => {
                let reason = barepod_api::reason_of(status).unwrap_or_default();
                (verdict(reason), reason, status.message())
            }
        };
        self.audit.write(&self.asker, self.verb, &self.object, said);
        answer
    }
}

impl Drop for Note {
    /// Its client went before the answer: what it asked for may have been done.
    fn drop(&mut self) {
        if self.open {
            self.audit.write(&self.asker, self.verb, &self.object, ("cut off", "", ""));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_who_asked_for_what_and_what_became_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let audit = Audit::open(path.clone()).unwrap();
        let denied = Denied { reason: Reason::Forbidden, message: "no rule allows it".to_owned() };
        audit.told(&Asker::of("file", Some(0)), "apply", "pod/default/db", Some(&denied));
        let request = Request::new(());
        let note = |verb| audit.asked(&request, verb, "pod/default/db".to_owned());
        note("delete").end(Ok(())).unwrap();
        note("restart")
            .end::<()>(Err(barepod_api::refusal(tonic::Code::NotFound, "NotFound", "it is gone")))
            .unwrap_err();
        drop(note("stop"));
        drop(audit);
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let said: Vec<_> = lines.iter().map(|line| (line["verb"].as_str(), line["verdict"].as_str())).collect();
        let expected = [("apply", "denied"), ("delete", "allowed"), ("restart", "failed"), ("stop", "cut off")];
        assert_eq!(said, expected.map(|(verb, verdict)| (Some(verb), Some(verdict))));
        assert_eq!((&lines[0]["user"], &lines[0]["message"]), (&"root".into(), &"no rule allows it".into()));
        assert_eq!((&lines[1]["source"], lines[1].get("reason")), (&"socket".into(), None));
    }
}
