//! What can be wrong with a preset file, and what is then said.

mod support;

use barepod_presets::{Catalogue, PresetSource, json_schema, merge_keys_exist};

const HEAD: &str = "apiVersion: barepod.dev/v1alpha1\nkind: Preset\n";
const MINE: &str = "apiVersion: barepod.dev/v1alpha1\nkind: Preset\nname: mine\nimages: [mine]\nuser: {name: nobody}\n";

/// Each is refused. Those that begin with `+` are added to a sound preset, those with `service +` to a sound service.
const BAD: &[&str] = &[
    "",
    "# nothing\n",
    "name: [",
    "- a list\n",
    "a text",
    "name: mine\n---\nname: other\n",
    "name: mine\nname: again\n",
    "apiVersion: barepod.dev/v2\nkind: Preset\nname: mine\nimages: [mine]\nuser: {name: nobody}\n",
    "apiVersion: barepod.dev/v1alpha1\nkind: Pod\nname: mine\nimages: [mine]\nuser: {name: nobody}\n",
    "name: mine\nimages: [mine]\nuser: {name: nobody}\n",
    "HEAD name: Mine\nimages: [mine]\nuser: {name: nobody}\n",
    "HEAD name: 15\nimages: [mine]\nuser: {name: nobody}\n",
    "HEAD name: mine\nuser: {name: nobody}\n",
    "HEAD name: mine\nimages: [mine]\n",
    "HEAD name: mine\nimages: ['mine:1']\nuser: {name: nobody}\n",
    "HEAD name: mine\nimages: [Mine]\nuser: {name: nobody}\n",
    "HEAD name: mine\nimages: mine\nuser: {name: nobody}\n",
    "HEAD name: mine\nimages: [mine]\nuser: {nam: nobody, grop: x}\n",
    "HEAD name: mine\nimages: [mine]\nuser: nobody\n",
    "+surprise: 1\nanother: 2\n",
    "+imagess: [x]\n",
    "+title: 15\n",
    "+title:\nuser:\n",
    "+extends: postgres\n",
    "+extends: mine\n",
    "+extends: [a]\n",
    "+extends: host\nservice: {argv: [x], tuning: [{set: x, $patch: delete}]}\n",
    "+$patch: replace\n",
    "+root: {tree: relative}\n",
    "+root: {tree: /srv/../etc}\n",
    "+root: {tree: '/srv/{name}/{version}'}\n",
    "+root: {tree: /srv, image: {stopSignal: QUIT}}\n",
    "+env:\n  A: \"{{ unclosed\"\n",
    "+env:\n  A: \"{% if %}\"\n",
    "+env:\n  A: [1]\n",
    "+env:\n  A: 1\n",
    "+shared: [{host: /a, path: /a, mode: \"rwx\"}]\n",
    "+shared: [{host: /a, path: /a, mode: 0755}]\n",
    "+shared: [{host: /a, path: /a, mode: \"77777\"}]\n",
    "+shared: [{host: a, path: /a, mode: \"0755\"}]\n",
    "+capabilities: [NET_ADMN, 12]\n",
    "+versions: {places: [{dir: x, program: x}]}\n",
    "+versions: {places: [{dir: '/{version}/{version}', program: x}]}\n",
    "+versions: {compatible: whatever}\n",
    "+versions: {compatible: minr}\n",
    "+versions: {install: [{distributions: debian}]}\n",
    "+hostChecks: [{name: a, when: value, message: x, hint: fix}]\n",
    "+hostChecks: [{name: a, sysctl: x, clock: true, when: value, message: x, hint: fix}]\n",
    "+hostChecks: [{name: a, clock: true, when: 'not', severity: error, message: x, hint: fix}]\n",
    "+hostChecks: [{name: a, limit: files, when: value, message: x, hint: fix}]\n",
    "+service: {}\n",
    "+service: {argv: []}\n",
    "service +  stop: {stages: []}\n",
    "service +  stop: {stages: [{signal: TERMINATE}]}\n",
    "service +  stop: {stages: [{signal: SIGTEM}]}\n",
    "service +  stop: {minGraceSeconds: -1, stages: [{signal: SIGTERM}]}\n",
    "service +  stop: {minGraceSeconds: 1m, stages: [{signal: SIGTERM}]}\n",
    "service +  vars: [{name: a, value: '1 +'}]\n",
    "service +  vars: [{name: a, value: '1'}, {name: a, value: '2'}]\n",
    "service +  checks: [{name: a, when: '((', field: env, message: a, hint: b}]\n",
    "service +  checks: [{when: 'x', field: env, message: a, hint: b}]\n",
    "service +  files: [{path: /a, mode: \"0400\"}]\n",
    "service +  files: [{path: /a, mode: \"0400\", source: missing.conf}]\n",
    "service +  files: [{path: /a, mode: \"0400\", source: there.conf, contents: x}]\n",
    "service +  files: [{path: a, mode: \"0400\", contents: x}]\n",
    "service +  files:\n    - path: /a\n      mode: \"0400\"\n      contents: |\n        one\n        {% for %}\n",
    "service +  files: [{path: /a, mode: \"0400\", source: broken.conf}]\n",
    "service +  probes: {readyness: {exec: {command: [x]}}}\n",
    "service +  probes: {readiness: {periodSeconds: 1}}\n",
    "service +  probes: {readiness: {exec: {command: [x]}, tcpSocket: {port: 1}}}\n",
    "service +  probes: {readiness: {httpGet: {path: /, port: [1]}}}\n",
    "service +  init: [{name: a, creates: /a}]\n",
    "service +  init: [{name: a, creates: /a, run: [x], exec: [z]}]\n",
    "service +  rlimits: [{resource: nofiles, soft: 1}]\n",
    "service +  rlimits: [{resource: nofile, soft: unlimited}]\n",
    "service +  oomScoreAdj: 2000\n",
    "service +  pidsLimit: 0\n",
    "service +  tuning: [{set: a, value: '{{', why: x}]\n",
    "service +  contract: {source: x, env: [{name: A, about: x}, {name: A, about: z}]}\n",
];

fn text_of(case: &str) -> String {
    if let Some(rest) = case.strip_prefix("HEAD ") {
        format!("{HEAD}{rest}")
    } else if let Some(rest) = case.strip_prefix("service +") {
        format!("{MINE}service:\n  argv: [/bin/mine]\n{rest}")
    } else if let Some(rest) = case.strip_prefix('+') {
        format!("{MINE}{rest}")
    } else {
        case.to_owned()
    }
}

fn beside(name: &str) -> Option<(String, String)> {
    let text = match name {
        "there.conf" => "x = {{ env.HOME }}\n",
        "broken.conf" => "fine\nfine\n{{ not fine\n",
        _ => return None,
    };
    Some((name.to_owned(), text.to_owned()))
}

#[test]
fn each_bad_preset_is_refused_with_file_line_column_key_and_the_likely_fix() {
    assert!(BAD.len() >= 40);
    let mut said = String::new();
    let built_in = Catalogue::built_in().expect("valid");
    for case in BAD {
        let mut catalogue = Catalogue::built_in().expect("valid");
        let text = text_of(case);
        let errors = catalogue.add(&PresetSource { file: "mine.yaml", text: &text, beside: &beside }).expect_err(case);
        assert_eq!(catalogue.names(), built_in.names(), "a bad preset changes nothing");
        assert!(errors.iter().all(|e| e.hint.is_some()), "without a hint: {errors:?}");
        said += &format!("{case:?}\n");
        errors.iter().for_each(|error| said += &format!("    {error}\n"));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn what_merges_by_a_key_has_that_key() {
    assert!(merge_keys_exist());
}

#[test]
fn every_key_is_described() {
    fn look(value: &serde_json::Value, path: &str) {
        if let Some(properties) = value["properties"].as_object() {
            for (key, property) in properties {
                assert!(property["description"].as_str().is_some_and(|d| d.len() > 3), "{path}.{key}");
            }
        }
    }
    let schema = json_schema();
    let definitions = schema["$defs"].as_object().expect("definitions");
    assert!(definitions.len() > 20);
    definitions.iter().for_each(|(name, definition)| look(definition, name));
}
