//! Counts from what the test runners leave behind: nextest's JUnit report, and the lines of libtest for doc tests.

use anyhow::Context as _;
use quick_junit::{Report, TestCaseStatus};

use super::counts::Counts;

/// The tests of a JUnit report.
pub(super) fn of_junit(text: &str) -> anyhow::Result<Counts> {
    let report = Report::deserialize_from_str(text).context("the report of nextest is not JUnit")?;
    let mut counts = Counts::default();
    for case in report.test_suites.iter().flat_map(|suite| &suite.test_cases) {
        match &case.status {
            TestCaseStatus::Success { .. } => counts.passed += 1,
            TestCaseStatus::NonSuccess { .. } => counts.failed += 1,
            TestCaseStatus::Skipped { message, .. } => {
                let reason = message.as_ref().map_or("no reason given", |message| message.as_str());
                counts.skipped.push(format!("{}: {reason}", case.name.as_str()));
            }
        }
    }
    Ok(counts)
}

/// The `test result:` lines of libtest, summed. A test that is ignored is a skip without a reason, and said so.
pub(super) fn of_libtest(text: &str) -> Counts {
    let results = text.lines().filter_map(|line| line.trim().strip_prefix("test result: "));
    results.map(of_result).sum()
}

/// `ok. 3 passed; 0 failed; 1 ignored; 0 measured; ...`
fn of_result(line: &str) -> Counts {
    let number = |what: &str| {
        let words: Vec<_> = line.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
        let found = words.windows(2).find(|pair| pair[1] == what);
        found.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
    };
    let skipped = vec!["a doc test: marked as ignored".to_owned(); number("ignored")];
    Counts { passed: number("passed"), failed: number("failed"), skipped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_junit_report_yields_its_tests() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="2" failures="1" errors="0">
  <testsuite name="a" tests="2" disabled="0" errors="0" failures="1">
    <testcase name="good" classname="a" time="0.1"/>
    <testcase name="bad" classname="a" time="0.1"><failure type="test failure">why</failure></testcase>
  </testsuite>
</testsuites>"#;

        assert_eq!(of_junit(text).unwrap().to_string(), "1 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_cut_report_is_an_error_and_not_a_pass() {
        assert!(of_junit("<?xml version=\"1.0\"?><testsuites name=\"x\" tests=\"2\"").is_err());
        assert!(of_junit("").is_err());
    }

    #[test]
    fn results_of_several_crates_are_summed() {
        let text = "running 2 tests\n\ntest result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
                    finished in 0.00s\n\ntest result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured\n";

        assert_eq!(of_libtest(text).to_string(), "3 passed, 3 failed, 1 skipped");
    }
}
