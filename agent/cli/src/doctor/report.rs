//! What was found, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be, or nobody wants it otherwise.
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Something works less well than it could.
    Warn,
    /// Pods do not run, or data are in danger.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// What was looked at.
    pub(crate) about: String,
    /// What it is.
    pub(crate) found: String,
    /// What it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wants: Option<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// What mends it: to be run by root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
}

impl Finding {
    pub(crate) fn ok(about: &str, found: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            about: about.to_owned(),
            found: found.into(),
            wants: None,
            message: None,
            command: None,
        }
    }

    pub(crate) fn at(self, level: Level, message: impl Into<String>) -> Self {
        Self { level, message: Some(message.into()), ..self }
    }

    pub(crate) fn mended_by(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }
}

/// What a preset wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfPreset {
    /// With its version; the image where there is no such preset or no such version.
    pub(crate) preset: String,
    /// Who uses it.
    pub(crate) pods: Vec<String>,
    pub(crate) findings: Vec<Finding>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) host: Vec<Finding>,
    pub(crate) presets: Vec<OfPreset>,
}

impl Report {
    /// How many things are to be mended.
    pub(crate) fn to_mend(&self) -> usize {
        let all = self.host.iter().chain(self.presets.iter().flat_map(|preset| &preset.findings));
        all.filter(|finding| finding.level >= Level::Warn).count()
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.host.iter().for_each(|finding| line(&mut text, finding));
        for preset in &self.presets {
            let of = if preset.pods.is_empty() { String::new() } else { format!(", of {}", preset.pods.join(", ")) };
            writeln!(text, "\n{}{of}", preset.preset).ok();
            preset.findings.iter().for_each(|finding| line(&mut text, finding));
            if preset.findings.is_empty() {
                writeln!(text, "ok    wants nothing of the host").ok();
            }
        }
        let sum = match self.to_mend() {
            0 => "nothing is to be mended".to_owned(),
            1 => "1 thing is to be mended".to_owned(),
            more => format!("{more} things are to be mended"),
        };
        writeln!(text, "\n{sum}").ok();
        text
    }
}

/// Writing to a String cannot fail.
fn line(text: &mut String, finding: &Finding) {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Note => "note",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let wants = finding.wants.as_ref().map(|wants| format!(" (wanted: {wants})")).unwrap_or_default();
    writeln!(text, "{level:<5} {:<24} {}{wants}", finding.about, finding.found).ok();
    if let Some(message) = &finding.message {
        writeln!(text, "      {message}").ok();
    }
    if let Some(command) = &finding.command {
        writeln!(text, "      mend: {command}").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_is_what_was_wanted_and_what_mends_it() {
        let maps = Finding {
            wants: Some("262144".to_owned()),
            ..Finding::ok("vm.max_map_count", "65530")
                .at(Level::Warn, "Elasticsearch maps more files than that")
                .mended_by("sysctl -w vm.max_map_count=262144")
        };
        let of = |preset: &str, pods: &[&str], findings| OfPreset {
            preset: preset.to_owned(),
            pods: pods.iter().map(|pod| (*pod).to_owned()).collect(),
            findings,
        };
        let report = Report {
            host: vec![
                Finding::ok("kernel", "6.12.0 (Debian GNU/Linux 13)"),
                Finding::ok("huge pages", "0 of 2Mi").at(Level::Note, "none are reserved, and nobody asks for them"),
                Finding::ok("cgroup", "hybrid").at(Level::Fail, "limits of memory mean nothing here"),
            ],
            presets: vec![
                of("elasticsearch 9", &["shop/search", "shop/logs"], vec![maps]),
                of("host", &[], Vec::new()),
            ],
        };
        insta::assert_snapshot!("report", report.text());
        insta::assert_json_snapshot!("report_json", report);
    }
}
