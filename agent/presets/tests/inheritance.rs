//! Presets that extend others.

mod support;

use barepod_model::Reason;
use barepod_presets::{Catalogue, PresetError, PresetSource};
use support::{debian, file, postgres};

fn preset(text: &str) -> String {
    format!("apiVersion: barepod.dev/v1alpha1\nkind: Preset\n{text}")
}

/// The built-in presets with a layer of these over them, and what is wrong with them.
fn with(presets: &[(&str, &str)]) -> (Catalogue, Vec<PresetError>) {
    let mut catalogue = Catalogue::built_in().expect("valid");
    let texts: Vec<_> = presets.iter().map(|(file, text)| (*file, preset(text))).collect();
    let beside =
        |name: &str| (name == "my.conf").then(|| ("etc/my.conf".to_owned(), "mine = {{ user.name }}\n".to_owned()));
    let sources: Vec<_> = texts.iter().map(|(file, text)| PresetSource { file, text, beside: &beside }).collect();
    let faults = catalogue.add_layer(&sources);
    (catalogue, faults)
}

#[test]
fn a_child_is_its_parent_but_for_what_it_says() {
    let child = "name: postgresql-audit\nextends: postgresql\nimages: [corp.example/postgres-audit]\n\
        user: {imageIds: [5]}\nenv: {AUDIT: 'on', PG_OOM_ADJUST_FILE: }\n\
        service:\n  stop: {minGraceSeconds: 600}\n  tuning:\n    - {set: shared_buffers, value: 1GB}\n    - {set: maintenance_work_mem, $patch: delete}\n    - {set: work_mem, value: 32MB, why: because}\n\
        \x20 files:\n    - {path: /run/barepod/extra.conf, mode: '0400', source: my.conf}\n";
    let (catalogue, faults) = with(&[("audit.yaml", child)]);
    assert_eq!(faults, []);
    let resolved =
        catalogue.resolve(&postgres("corp.example/postgres-audit:15", 4096, 2000), &debian()).expect("resolved");
    assert_eq!(resolved.preset, "postgresql-audit 15.20");
    assert_eq!(resolved.stop.min_grace.as_secs(), 600, "its own");
    assert_eq!(resolved.stop.stages.len(), 2, "its parent's");
    let env = &resolved.launch.env.0;
    assert_eq!(env.get("AUDIT").map(String::as_str), Some("on"));
    assert!(!env.contains_key("PG_OOM_ADJUST_FILE"), "a key without a value takes the parent's away");
    assert!(env.contains_key("PG_OOM_ADJUST_VALUE"));
    let conf = file(&resolved, "/run/barepod/postgresql.conf");
    assert!(conf.contains("shared_buffers = 1GB") && conf.contains("work_mem = 32MB"), "{conf}");
    assert!(!conf.contains("maintenance_work_mem"), "{conf}");
    assert_eq!(file(&resolved, "/run/barepod/extra.conf"), "mine = postgres\n");
    let parent = catalogue.resolve(&postgres("postgres:15", 4096, 2000), &debian()).expect("resolved");
    assert_eq!((parent.preset.as_str(), parent.stop.min_grace.as_secs()), ("postgresql 15.20", 120), "as it was");
}

#[test]
fn a_preset_that_extends_its_own_name_changes_the_built_in_one() {
    let (catalogue, faults) =
        with(&[("pg.yaml", "name: postgresql\nextends: postgresql\nservice: {oomScoreAdj: -500}\n")]);
    assert_eq!(faults, []);
    let resolved =
        catalogue.resolve(&postgres("postgres:15", 0, 0), &debian()).expect("its images are those of its parent");
    assert_eq!(resolved.launch.oom_score_adj, -500);
    let listed = catalogue.list(&debian()).into_iter().find(|one| one.name == "postgresql").expect("listed");
    assert_eq!((listed.file.as_str(), listed.above), ("pg.yaml", vec!["built-in postgresql.yaml".to_owned()]));
    let shown = catalogue.show("postgresql", true).expect("shown");
    assert!(shown.contains("oomScoreAdj: -500  # pg.yaml:5"), "{shown}");
    assert!(shown.contains("- signal: SIGINT  # built-in postgresql.yaml:"), "{shown}");
}

#[test]
fn parents_may_lie_beside_their_children_in_any_order() {
    let (catalogue, faults) = with(&[
        ("a.yaml", "name: a\nextends: b\nimages: [a]\n"),
        ("b.yaml", "name: b\nextends: c\nimages: [b]\nenv: {B: b}\n"),
        ("c.yaml", "name: c\nextends: host\nimages: [c]\nenv: {B: c, C: c}\n"),
    ]);
    assert_eq!(faults, []);
    let mut request = support::request("a");
    request.command = support::words(&["true"]);
    let env = catalogue.resolve(&request, &debian()).expect("resolved").launch.env.0;
    assert_eq!((env["B"].as_str(), env["C"].as_str()), ("b", "c"));
    assert!(env.contains_key("PATH"), "of the built-in preset at the end of the chain");
    let a = catalogue.list(&debian()).into_iter().find(|one| one.name == "a").expect("listed");
    assert_eq!(a.above, ["b.yaml", "c.yaml", "built-in host.yaml"]);
}

#[test]
fn circles_and_missing_parents_are_found_with_their_places_and_harm_nobody_else() {
    let (catalogue, faults) = with(&[
        ("a.yaml", "name: a\nextends: b\nimages: [a]\n"),
        ("b.yaml", "name: b\nextends: a\nimages: [b]\n"),
        ("c.yaml", "name: c\nextends: postgresq\nimages: [c]\n"),
        ("d.yaml", "name: d\nextends: d\nimages: [d]\n"),
        ("e.yaml", "name: e\nimages: [e]\nuser: {name: nobody}\n"),
        ("f.yaml", "name: e\nimages: [f]\nuser: {name: nobody}\n"),
        ("g.yaml", "name: g\nimages: [e]\nuser: {name: nobody}\n"),
        ("h.yaml", "name: h\nextends: broken\nimages: [h]\n"),
        ("i.yaml", "name: broken\nimages: [i]\nuser: {name: nobody}\nservice: {argv: ['{{']}\n"),
    ]);
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(said.join("\n"));
    let built_in = Catalogue::built_in().expect("valid");
    let added: Vec<_> = catalogue.names().into_iter().filter(|name| !built_in.names().contains(name)).collect();
    assert_eq!(added, ["e"]);
}

#[test]
fn a_fault_in_a_part_that_is_inherited_names_the_file_where_it_stands() {
    let (_, faults) = with(&[(
        "child.yaml",
        "name: child\nextends: postgresql\nimages: [child]\nservice: {vars: [{name: pgdata, value: '(('}]}\n",
    )]);
    assert_eq!(faults.len(), 1);
    assert_eq!(
        (faults[0].file.as_str(), faults[0].line, faults[0].key.as_str()),
        ("child.yaml", 6, "service.vars[0].value")
    );
}

#[test]
fn what_extends_a_service_is_still_held_to_its_contract() {
    let (catalogue, _) = with(&[("a.yaml", "name: a\nextends: postgresql\nimages: [a]\n")]);
    let error = catalogue.resolve(&support::request("a:15"), &debian()).expect_err("no password");
    assert_eq!(error.reason, Reason::InvalidConfiguration);
}
