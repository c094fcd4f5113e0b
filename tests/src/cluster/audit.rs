//! What nodes ask of the API server, by its own record: its audit log, of the group `system:nodes` alone.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    userGroups: [system:nodes]
  - level: None
";

/// The log of an API server, as far as it has been read.
#[derive(Debug)]
pub struct Audit {
    policy: PathBuf,
    log: PathBuf,
    read: u64,
}

/// A request of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// The node's name.
    pub node: String,
    /// Kubernetes' verb.
    pub verb: String,
    /// What it was about, with its subresource: `pods/status`.
    pub resource: String,
    /// The status of the answer.
    pub code: u64,
}

impl Audit {
    /// One that is kept in this directory.
    ///
    /// # Errors
    /// The policy cannot be written there.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let policy = directory.join("audit-policy.yaml");
        fs_err::write(&policy, POLICY)?;
        Ok(Self { policy, log: directory.join("audit.log"), read: 0 })
    }

    /// What the API server has to be told.
    pub fn arguments(&self) -> Vec<String> {
        vec![
            format!("--audit-policy-file={}", self.policy.display()),
            format!("--audit-log-path={}", self.log.display()),
            // In MB: it is not to be rotated.
            "--audit-log-maxsize=100000".to_owned(),
        ]
    }

    /// The requests that have been answered since this was asked last; watches, when they have begun.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn news(&mut self) -> io::Result<Vec<Audited>> {
        let mut lines = match File::open(&self.log) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        lines.seek(SeekFrom::Start(self.read))?;
        let (mut found, mut line) = (Vec::new(), String::new());
        loop {
            line.clear();
            let length = lines.read_line(&mut line)?;
            // The last one may not be written to its end yet.
            if !line.ends_with('\n') {
                return Ok(found);
            }
            self.read += length as u64;
            found.extend(request(&line));
        }
    }
}

fn request(line: &str) -> Option<Audited> {
    let event: Value = serde_json::from_str(line).ok()?;
    let (verb, stage) = (event["verb"].as_str()?, event["stage"].as_str()?);
    // A watch is told of twice: when it has begun, and when it ends.
    let counted = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
    let object = &event["objectRef"];
    let resource = object["resource"].as_str().unwrap_or_else(|| event["requestURI"].as_str().unwrap_or_default());
    let resource =
        object["subresource"].as_str().map_or_else(|| resource.to_owned(), |sub| format!("{resource}/{sub}"));
    let node = event["user"]["username"].as_str()?.strip_prefix("system:node:")?;
    (stage == counted).then(|| Audited {
        node: node.to_owned(),
        verb: verb.to_owned(),
        resource,
        code: event["responseStatus"]["code"].as_u64().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verb: &str, stage: &str, object: &str) -> String {
        format!(
            r#"{{"stage":"{stage}","verb":"{verb}","user":{{"username":"system:node:a"}},"objectRef":{object},"responseStatus":{{"code":200}}}}"#
        )
    }

    #[test]
    fn a_request_is_counted_once_and_a_line_that_is_half_written_later() {
        let scratch = crate::Scratch::new().unwrap();
        let mut audit = Audit::new(scratch.path()).unwrap();
        assert_eq!(audit.news().unwrap(), []);
        let status = line("patch", "ResponseComplete", r#"{"resource":"pods","subresource":"status"}"#);
        let watch = ["ResponseStarted", "ResponseComplete"].map(|stage| line("watch", stage, r#"{"resource":"pods"}"#));
        let (begin, end) = watch[1].split_at(9);
        std::fs::write(&audit.log, format!("{status}\n{}\n{begin}", watch[0])).unwrap();

        let asked = |audit: &mut Audit| -> Vec<_> {
            audit
                .news()
                .unwrap()
                .into_iter()
                .map(|it| format!("{} {} {} {}", it.node, it.verb, it.resource, it.code))
                .collect()
        };
        assert_eq!(asked(&mut audit), ["a patch pods/status 200", "a watch pods 200"]);
        std::fs::write(&audit.log, format!("{status}\n{}\n{begin}{end}\n{status}\n", watch[0])).unwrap();
        assert_eq!(asked(&mut audit), ["a patch pods/status 200"]);
    }
}
