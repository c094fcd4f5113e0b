//! `barepod config`.

use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::{ConfigRequest, ConfigResponse};
use serde_json::Value;

use super::Client;
use crate::args::{Config, ConfigOutput, ConfigView};
use crate::output::print;
use crate::refusal::from_status;

pub(super) async fn run(mut client: Client, args: Config) -> Result<ExitCode> {
    let Config::View(ConfigView { output }) = args;
    let answer = client.config(ConfigRequest {}).await.map_err(from_status)?.into_inner();
    let config: Value = serde_json::from_str(&answer.config)?;
    match output {
        Some(ConfigOutput::Json) => print(&format!("{config:#}\n"))?,
        None => print(&text(&answer, &serde_saphyr::to_string(&config)?))?,
    }
    for warning in warnings(&answer) {
        eprintln!("warning: {warning}");
    }
    Ok(ExitCode::SUCCESS)
}

/// With a mark behind each key of which the file says something else.
fn text(answer: &ConfigResponse, yaml: &str) -> String {
    let mut text = format!("# {}, with what holds where it says nothing\n", answer.file);
    let (mut parent, mut marked) = ("", Vec::new());
    for line in yaml.lines() {
        let name = line.split(':').next().unwrap_or(line);
        let key = match name.strip_prefix("  ") {
            Some(below) if parent == "resources" && !below.starts_with(' ') => format!("{parent}.{below}"),
            Some(_) => String::new(),
            None => {
                parent = name;
                name.to_owned()
            }
        };
        match mark(answer, &key) {
            Some(mark) => {
                text += &format!("{line}  # the file says otherwise: {mark}\n");
                marked.push(key);
            }
            None => text += &format!("{line}\n"),
        }
    }
    let all = answer.after_reload.iter().chain(&answer.after_restart);
    for key in all.filter(|key| !marked.contains(key)) {
        text += &format!("# {key} is in the file, and not in force: {}\n", mark(answer, key).unwrap_or_default());
    }
    text
}

fn mark(answer: &ConfigResponse, key: &str) -> Option<&'static str> {
    let has = |keys: &[String]| keys.iter().any(|one| one == key);
    match (has(&answer.after_restart), has(&answer.after_reload)) {
        (true, _) => Some("needs a restart"),
        (false, true) => Some("needs a reload"),
        (false, false) => None,
    }
}

fn warnings(answer: &ConfigResponse) -> Vec<String> {
    let ConfigResponse { file, fault, after_reload, after_restart, .. } = answer;
    if !fault.is_empty() {
        return vec![format!("{file} cannot be used as it is now: {fault}")];
    }
    let mut warnings = Vec::new();
    if !after_reload.is_empty() {
        let keys = after_reload.join(", ");
        warnings.push(format!("{file} has changed: `systemctl reload barepod` puts {keys} in force"));
    }
    if !after_restart.is_empty() {
        let keys = after_restart.join(", ");
        warnings.push(format!("{file} has changed: {keys} needs `systemctl restart barepod`; services run on"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "cgroup: barepod\nclusterDNS: []\ncrashLoopBackOff:\n  initialSeconds: 10.0\nresources:\n  evictionHard:\n    \
        maxPods: 1\n  podPidsLimit: 9\n";

    fn answer(after_reload: &[&str], after_restart: &[&str]) -> ConfigResponse {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        let (after_reload, after_restart) = (keys(after_reload), keys(after_restart));
        let file = "/etc/barepod/barepod.yaml".to_owned();
        ConfigResponse { file, after_reload, after_restart, ..ConfigResponse::default() }
    }

    #[test]
    fn what_waits_is_marked_where_it_stands_and_said_with_what_ends_the_wait() {
        assert_eq!(text(&answer(&[], &[]), YAML).matches('#').count(), 1);
        let waiting = answer(&["crashLoopBackOff", "resources.maxPods"], &["cgroup", "resources.podPidsLimit"]);
        insta::assert_snapshot!(format!("{}\n{}\n", text(&waiting, YAML), warnings(&waiting).join("\n")));
        let fault = "barepod.yaml:3: containerLogMaxFiles: 1 is too few".to_owned();
        let broken = ConfigResponse { fault, ..answer(&[], &[]) };
        assert!(warnings(&broken)[0].contains("cannot be used as it is now: barepod.yaml:3"));
    }
}
