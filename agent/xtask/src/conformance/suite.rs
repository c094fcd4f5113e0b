//! The suite's program: what specs it has, and a run of some of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use barepod_tests::Scratch;
use barepod_tests::cluster::ControlPlane;
use barepod_tests::peers::{CONFORMANCE, KUBERNETES};
use serde::Deserialize;

use super::spec::{Group, Outcome, Spec, Verdict};

/// Before each spec's own name, where ginkgo looks for what is focused on.
const DESCRIPTION: &str = "Kubernetes e2e suite";
/// As much of a reason as a table bears.
const REASON: usize = 300;

/// The program.
pub(super) struct Suite {
    program: PathBuf,
    scratch: Scratch,
}

impl Suite {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { program: CONFORMANCE.program("e2e.test")?, scratch: Scratch::new()? })
    }

    /// The specs of all groups, as it lists them, in an order of their own.
    pub(super) fn specs(&self, focus: Option<&str>) -> anyhow::Result<Vec<Spec>> {
        let report = self.scratch.join("list.json");
        let mut list = Command::new(&self.program);
        list.args(["--ginkgo.dry-run", "--ginkgo.silence-skips"]).arg(named("--ginkgo.json-report", &report));
        list.args(focus.map(|focus| format!("--ginkgo.focus={focus}")));
        let status = list.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if !status.success() {
            bail!("{} cannot list its specs ({status}): is {focus:?} a regular expression?", self.program.display());
        }
        let its = its(&report)?.into_iter().filter(|it| it.state != "skipped").map(|it| it.spec());
        let mut specs: Vec<_> = its.filter(|spec| Group::ALL.iter().any(|group| group.has(spec))).collect();
        specs.sort();
        Ok(specs)
    }

    /// Runs these against a cluster. What the suite prints is in `suite.log` of the directory, beside its report.
    pub(super) fn run<'a>(
        &self,
        plane: &ControlPlane,
        specs: &[&'a Spec],
        logs: &Path,
    ) -> anyhow::Result<Vec<(&'a Spec, Outcome)>> {
        let (report, log) = (logs.join("report.json"), logs.join("suite.log"));
        let names: Vec<_> = specs.iter().map(|spec| escaped(&spec.name)).collect();
        let mut run = Command::new(&self.program);
        run.current_dir(self.scratch.path())
            .arg(named("--kubeconfig", plane.admin()))
            .arg(named("--kubectl-path", &KUBERNETES.program("kubectl")?))
            .arg(named("--e2e-output-dir", self.scratch.path()))
            .arg(named("--ginkgo.json-report", &report))
            .arg(format!("--ginkgo.focus=^{DESCRIPTION} ({})$", names.join("|")))
            .args(["--provider=skeleton", "--dump-logs-on-failure=true", "--num-nodes=2"])
            .args(["--ginkgo.v", "--ginkgo.silence-skips", "--ginkgo.no-color"]);
        let said = fs_err::File::create(&log)?.into_file();
        // Whether all have passed is in the report, which says more.
        run.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).status()?;
        let its = its(&report).with_context(|| format!("the suite left no report; it said: {}", log.display()))?;
        let outcomes = specs.iter().map(|spec| {
            let it = its.iter().find(|it| it.name() == spec.name && it.was_run());
            let it = it.with_context(|| format!("the suite did not run {:?}: see {}", spec.name, log.display()))?;
            Ok((*spec, it.outcome()?))
        });
        outcomes.collect()
    }
}

/// Of ginkgo's report, what is needed here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    spec_reports: Vec<It>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct It {
    #[serde(default)]
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_location: Location,
    leaf_node_text: String,
    state: String,
    /// Nanoseconds.
    run_time: u64,
    failure: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Location {
    #[serde(default)]
    file_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    message: String,
}

fn its(report: &Path) -> anyhow::Result<Vec<It>> {
    let reports: Vec<Report> = serde_json::from_slice(&fs_err::read(report)?)?;
    let all = reports.into_iter().flat_map(|report| report.spec_reports);
    Ok(all.filter(|report| report.leaf_node_type == "It").collect())
}

impl It {
    fn name(&self) -> String {
        let mut texts = self.container_hierarchy_texts.clone().unwrap_or_default();
        texts.push(self.leaf_node_text.clone());
        texts.retain(|text| !text.is_empty());
        texts.join(" ")
    }

    fn spec(&self) -> Spec {
        let path = &self.leaf_node_location.file_name;
        let file = path.find("test/e2e/").map_or(path.as_str(), |at| &path[at..]);
        Spec { name: self.name(), file: file.to_owned() }
    }

    /// What is out of focus is skipped too, without a word.
    fn was_run(&self) -> bool {
        self.state != "skipped" || self.failure.is_some()
    }

    fn outcome(&self) -> anyhow::Result<Outcome> {
        let reason = || one_line(self.failure.as_ref().map_or("", |failure| &failure.message));
        let verdict = match self.state.as_str() {
            "passed" => Verdict::Passed,
            "skipped" => Verdict::Skipped(reason()),
            "failed" | "panicked" | "timedout" => Verdict::Failed(reason()),
            other => bail!("{:?} was {other}", self.name()),
        };
        Ok(Outcome { verdict, seconds: std::time::Duration::from_nanos(self.run_time).as_secs_f64() })
    }
}

fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

fn named(flag: &str, path: &Path) -> String {
    format!("{flag}={}", path.display())
}

/// A text as a regular expression of Go's.
fn escaped(text: &str) -> String {
    let special = |c: char| r"\.+*?()|[]{}^$".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A spec as ginkgo reports it.
    fn it(state: &str, message: Option<&str>) -> It {
        let report = json!({
            "ContainerHierarchyTexts": ["[sig-node] Pods", ""], "LeafNodeText": "should be [NodeConformance]",
            "LeafNodeType": "It", "State": state, "RunTime": 1_500_000_000u64,
            "LeafNodeLocation": {"FileName": "/go/k8s.io/kubernetes@v1/test/e2e/common/node/pods.go", "LineNumber": 1},
            "Failure": message.map(|message| json!({"Message": message})),
        });
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn a_spec_is_called_as_the_suite_calls_it_and_is_of_the_file_that_has_it() {
        let wanted = Spec {
            name: "[sig-node] Pods should be [NodeConformance]".to_owned(),
            file: "test/e2e/common/node/pods.go".to_owned(),
        };
        assert_eq!(it("passed", None).spec(), wanted);
        assert!(Group::NodeConformance.has(&wanted) && !Group::Node.has(&wanted));
    }

    #[test]
    fn what_is_out_of_focus_was_not_run_and_what_skips_itself_says_why() {
        assert!(!it("skipped", None).was_run());
        let skipped = it("skipped", Some("needs\n  windows"));
        assert!(skipped.was_run());
        let wanted = Outcome { verdict: Verdict::Skipped("needs windows".to_owned()), seconds: 1.5 };
        assert_eq!(skipped.outcome().unwrap(), wanted);
        assert!(it("interrupted", None).outcome().is_err(), "it says nothing of the node");
    }

    #[test]
    fn a_long_reason_is_cut() {
        assert_eq!(one_line(&"ä".repeat(REASON + 1)), format!("{}…", "ä".repeat(REASON)));
        assert_eq!(one_line("a\n\tb"), "a b");
    }

    #[test]
    fn a_name_is_no_regular_expression() {
        assert_eq!(escaped("a.b (c) [d]"), r"a\.b \(c\) \[d\]");
    }
}
