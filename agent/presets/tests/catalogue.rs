//! Images, the host preset, the administrator's own presets, and what can be wrong with them.

mod support;

use barepod_model::{Reason, Root};
use barepod_presets::{Catalogue, PresetError, PresetSource};
use support::{debian, request, resolve, words};

#[test]
fn an_image_that_nobody_answers_to_is_refused_with_what_there_is() {
    let error = resolve(&request("postgress:15")).expect_err("a typing mistake");
    assert_eq!((error.reason, error.field.as_str()), (Reason::ImagePullBackOff, "image"));
    assert_eq!(error.hint.as_deref(), Some("did you mean \"postgres\"? presets here: host, postgresql"));
    let error = resolve(&request("nginx:1")).expect_err("no preset");
    assert_eq!(error.reason, Reason::ImagePullBackOff);
    assert_eq!(resolve(&request("Post gres")).expect_err("malformed").reason, Reason::InvalidImageName);
}

#[test]
fn a_host_program_runs_as_nobody_unless_the_manifest_says_otherwise() {
    let mut sleep = request("host");
    assert_eq!(resolve(&sleep).expect_err("no program").reason, Reason::MissingField);
    sleep.command = words(&["sleep"]);
    sleep.args = words(&["60"]);
    let resolved = resolve(&sleep).expect("resolved");
    assert_eq!(resolved.launch.argv, words(&["sleep", "60"]));
    assert_eq!(resolved.launch.user.uid, 65_534);
    assert_eq!(resolved.data_paths.len(), 0);
    sleep.image = "barepod.dev/host:any".to_owned();
    sleep.user.uid = Some(1);
    sleep.user.groups = vec![7];
    let user = resolve(&sleep).expect("resolved").launch.user;
    assert_eq!((user.uid, user.gid, user.groups), (1, 1, vec![7]));
    sleep.user.uid = Some(0);
    assert_eq!(resolve(&sleep).expect("resolved").launch.user.uid, 0, "said openly");
}

#[test]
fn an_account_that_is_missing_is_named() {
    let mut host = debian();
    host.accounts.clear();
    let mut sleep = request("host");
    sleep.command = words(&["sleep"]);
    let error = Catalogue::built_in().expect("valid").resolve(&sleep, &host).expect_err("no nobody");
    assert_eq!(error.reason, Reason::UnknownUser);
    assert!(error.message.contains("nobody"), "{error}");
}

#[test]
fn capabilities_are_those_asked_for_and_no_new_ones_come_by_exec() {
    let mut request = request("host");
    request.command = words(&["true"]);
    request.capabilities.add = vec![14, 10];
    request.allow_privilege_escalation = Some(true);
    let launch = resolve(&request).expect("resolved").launch;
    assert_eq!(launch.capabilities, [10, 14]);
    assert!(!launch.no_new_privileges);
}

const MINIMAL: &str = "preset: mine\ntitle: Mine\nimages: [mine]\nuser: {name: nobody}\n";

fn add(catalogue: &mut Catalogue, text: &str) -> Result<(), PresetError> {
    let beside = |name: &str| (name == "there.conf").then(|| "x = {{ env.HOME }}\n".to_owned());
    catalogue.add(&PresetSource { file: "mine.yaml", text, beside: &beside })
}

#[test]
fn the_administrators_preset_takes_the_place_of_the_built_in_one() {
    let mut catalogue = Catalogue::built_in().expect("valid");
    add(&mut catalogue, &MINIMAL.replace("preset: mine", "preset: postgresql")).expect("valid");
    let images = |image: &str| catalogue.resolve(&request(image), &debian()).map_err(|e| e.reason);
    assert_eq!(images("postgres:15"), Err(Reason::ImagePullBackOff));
    assert_eq!(images("mine"), Err(Reason::MissingField));
    assert_eq!(catalogue.names(), ["host", "postgresql"]);
}

#[test]
fn a_preset_can_name_a_tree_as_its_root() {
    let mut catalogue = Catalogue::default();
    add(&mut catalogue, &format!("{MINIMAL}root: {{tree: /srv/mine}}\n")).expect("valid");
    let mut request = request("mine:1");
    request.command = words(&["/bin/true"]);
    let root = catalogue.resolve(&request, &debian()).expect("resolved").launch.root;
    assert_eq!(root, Root::Tree("/srv/mine".into()));
}

#[test]
fn bad_preset_files_are_refused_with_line_and_column() {
    let service = format!("{MINIMAL}service:\n  program: mine\n");
    let stop = "  stop: {min_grace_seconds: 1, stages: [{signal: SIGTERM}]}\n";
    let argv = "  argv: [/bin/mine]\n";
    let cases = [
        ("preset: [", ""),
        ("preset: mine\n", ""),
        ("preset: mine\npreset: again\n", ""),
        (MINIMAL, "surprise: 1\n"),
        (MINIMAL, "root: {tree: relative}\n"),
        (MINIMAL, "root: {tree: /srv/../etc}\n"),
        (MINIMAL, "env:\n  A: \"{{ unclosed\"\n"),
        (MINIMAL, "env:\n  A: \"{% if %}\"\n"),
        (MINIMAL, "env:\n  A: [1]\n"),
        (MINIMAL, "shared: [{host: /a, path: /a, mode: \"rwx\"}]\n"),
        (MINIMAL, "shared: [{host: /a, path: /a, mode: \"77777\"}]\n"),
        (MINIMAL, "capabilities: [NET_ADMIN]\n"),
        (MINIMAL, "versions: {places: [{dir: x, program: y}], read: [], minor: exact, install: []}\n"),
        (
            MINIMAL,
            "versions: {places: [{dir: '/{version}/{version}', program: y}], read: [], minor: exact, install: []}\n",
        ),
        (MINIMAL, "versions: {places: [], read: [], minor: whatever, install: []}\n"),
        ("preset: Mine\ntitle: x\nimages: [mine]\nuser: {name: nobody}\n", ""),
        ("preset: mine\ntitle: x\nimages: []\nuser: {name: nobody}\n", ""),
        ("preset: mine\ntitle: x\nimages: ['mine:1']\nuser: {name: nobody}\n", ""),
        ("preset: mine\ntitle: x\nimages: [Mine]\nuser: {name: nobody}\n", ""),
        (&service, ""),
        (&service, "  argv: []\n  stop: {min_grace_seconds: 1, stages: [{signal: SIGTERM}]}\n"),
        (&service, "  argv: [x]\n  stop: {min_grace_seconds: 1, stages: []}\n"),
        (&service, "  argv: [x]\n  stop: {min_grace_seconds: 1, stages: [{signal: TERMINATE}]}\n"),
        (&service, "  argv: [x]\n  stop: {min_grace_seconds: -1, stages: [{signal: SIGTERM}]}\n"),
        (&format!("{service}{stop}{argv}"), "  vars: [{name: a, value: '1 +'}]\n"),
        (&format!("{service}{stop}{argv}"), "  checks: [{when: '((', field: env, message: a, hint: b}]\n"),
        (&format!("{service}{stop}{argv}"), "  files: [{path: /a, mode: \"0400\"}]\n"),
        (&format!("{service}{stop}{argv}"), "  files: [{path: /a, mode: \"0400\", source: missing.conf}]\n"),
        (&format!("{service}{stop}{argv}"), "  files: [{path: /a, mode: \"0400\", source: there.conf, contents: x}]\n"),
        (&format!("{service}{stop}{argv}"), "  files: [{path: a, mode: \"0400\", contents: x}]\n"),
        (&format!("{service}{stop}{argv}"), "  probes: {readyness: {command: [x], period_seconds: 1}}\n"),
    ];
    let mut said = String::new();
    for (head, tail) in cases {
        let mut catalogue = Catalogue::default();
        let error = add(&mut catalogue, &format!("{head}{tail}")).expect_err(tail);
        assert!(catalogue.names().is_empty(), "a bad preset changes nothing");
        said += &format!("{error}\n");
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_template_that_fails_on_a_request_blames_the_preset() {
    let mut catalogue = Catalogue::default();
    let text = format!("{MINIMAL}env:\n  A: \"{{{{ nothing.here }}}}\"\n");
    add(&mut catalogue, &text).expect("it can be read");
    let mut request = request("mine");
    request.command = words(&["true"]);
    let error = catalogue.resolve(&request, &debian()).expect_err("there is no `nothing`");
    assert_eq!(error.reason, Reason::InvalidPreset);
    assert!(error.message.contains("line 6"), "{error}");
}

#[test]
fn a_directory_of_presets_is_read_as_far_as_it_is_good() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("write");
    write("a.yaml", "preset: [");
    write("b.yaml", MINIMAL);
    write("c.yaml.disabled", "not looked at");
    let file = "  files: [{path: /a, mode: \"0400\", source: ../secret}]\n";
    let stop = "  stop: {min_grace_seconds: 1, stages: [{signal: SIGTERM}]}\n";
    write("d.yaml", &format!("{MINIMAL}service:\n  program: x\n  argv: [x]\n{stop}{file}").replace("mine", "other"));
    let mut catalogue = Catalogue::default();
    let faults = catalogue.add_dir(dir.path());
    assert_eq!(catalogue.names(), ["mine"]);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[1].message.contains("no file \"../secret\" beside"), "nothing outside the directory is read");
    assert!(catalogue.add_dir(&dir.path().join("absent")).is_empty());
    assert_eq!(catalogue.add_dir(&dir.path().join("b.yaml")).len(), 1, "not a directory");
}

#[test]
fn the_accounts_of_this_host_are_found() {
    let root = barepod_presets::Host::account(&barepod_presets::LocalHost, "root").expect("every host has root");
    assert_eq!((root.uid, root.gid), (0, 0));
    assert_eq!(barepod_presets::Host::account_of(&barepod_presets::LocalHost, 0), Some(root));
    assert_eq!(barepod_presets::Host::account(&barepod_presets::LocalHost, "no-such-account"), None);
}
