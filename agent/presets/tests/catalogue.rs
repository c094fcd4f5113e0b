//! Images, the host preset, the administrator's own presets, and what can be wrong with them.

mod support;

use barepod_model::{CapabilityRequest, ContainerRequest, Reason};
use barepod_presets::{Catalogue, PresetError, PresetSource};
use support::{debian, request, resolve, words};

#[test]
fn an_image_that_nobody_answers_to_is_refused_with_what_there_is() {
    let error = resolve(&request("postgress:15")).expect_err("a typing mistake");
    assert_eq!((error.reason, error.field.as_str()), (Reason::ImagePullBackOff, "image"));
    let hint = error.hint.unwrap_or_default();
    assert!(hint.starts_with("did you mean \"postgres\"? presets here: ") && hint.contains("postgresql"), "{hint}");
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

#[test]
fn who_may_do_everything_has_all_capabilities_and_is_not_kept_from_gaining_more() {
    let mut request = request("host");
    request.command = words(&["true"]);
    let of = |request: &ContainerRequest| resolve(request).expect("resolved").launch;
    request.capabilities.add = vec![21];
    assert_eq!((of(&request).capabilities, of(&request).no_new_privileges), (vec![21], false), "CAP_SYS_ADMIN");
    request.capabilities = CapabilityRequest { drop: vec![0], add_all: true, ..CapabilityRequest::default() };
    assert_eq!(of(&request).capabilities, (1..=40).collect::<Vec<_>>());
    request.capabilities = CapabilityRequest { add: vec![5, 6], drop: vec![6], ..CapabilityRequest::default() };
    assert_eq!((of(&request).capabilities, of(&request).no_new_privileges), (vec![5], true));
    request.confinement.privileged = true;
    assert_eq!((of(&request).capabilities.len(), of(&request).no_new_privileges), (41, false));
}

const MINIMAL: &str =
    "apiVersion: barepod.dev/v1alpha1\nkind: Preset\nname: mine\nimages: [mine]\nuser: {name: nobody}\n";

fn add(catalogue: &mut Catalogue, text: &str) -> Result<(), Vec<PresetError>> {
    let beside = |name: &str| (name == "there.conf").then(|| (name.to_owned(), "x = {{ env.HOME }}\n".to_owned()));
    catalogue.add(&PresetSource { file: "mine.yaml", text, beside: &beside })
}

#[test]
fn the_administrators_preset_takes_the_place_of_the_built_in_one() {
    let mut catalogue = Catalogue::built_in().expect("valid");
    add(&mut catalogue, &MINIMAL.replace("name: mine", "name: postgresql")).expect("valid");
    let images = |image: &str| catalogue.resolve(&request(image), &debian()).map_err(|e| e.reason);
    assert_eq!(images("postgres:15"), Err(Reason::ImagePullBackOff));
    assert_eq!(images("mine"), Err(Reason::MissingField));
    let postgresql = catalogue.list(&debian()).into_iter().find(|one| one.name == "postgresql").expect("listed");
    assert_eq!(
        (postgresql.file.as_str(), postgresql.above),
        ("mine.yaml", vec!["built-in postgresql.yaml".to_owned()])
    );
}

#[test]
fn of_two_presets_for_an_image_the_more_precise_one_answers_and_then_the_administrators() {
    let mut catalogue = Catalogue::built_in().expect("valid");
    add(&mut catalogue, &MINIMAL.replace("[mine]", "['*', host]")).expect("valid");
    let preset = |image: &str| {
        let mut request = request(image);
        request.command = words(&["true"]);
        catalogue.resolve(&request, &debian()).map(|r| r.preset).map_err(|e| e.reason)
    };
    assert_eq!(preset("postgres:15"), Ok("postgresql 15.20".to_owned()), "its whole name is more precise than a star");
    assert_eq!(preset("nginx"), Ok("mine".to_owned()));
    assert_eq!(preset("host"), Ok("mine".to_owned()), "both name it, and this one is the administrator's");
    assert_eq!(preset("quay.io/nginx"), Err(Reason::ImagePullBackOff));
}

#[test]
fn a_template_that_fails_on_a_request_blames_the_line_of_the_preset() {
    let said = |text: &str| {
        let mut catalogue = Catalogue::default();
        add(&mut catalogue, text).expect("it can be read");
        let error = catalogue.resolve(&request("mine"), &debian()).expect_err("there is no `nothing`");
        assert_eq!(error.reason, Reason::InvalidPreset);
        error.message
    };
    let plain = said(&format!("{MINIMAL}env:\n  A: \"{{{{ nothing.here }}}}\"\n"));
    assert!(plain.contains("mine.yaml:7: env.A: undefined value"), "{plain}");
    let block = "service:\n  argv: [x]\n  files:\n    - path: /a\n      mode: \"0400\"\n      contents: |\n        one\n        {{ nothing.here }}\n";
    let block = said(&format!("{MINIMAL}{block}"));
    assert!(block.contains("mine.yaml:13: service.files[0].contents: undefined value"), "{block}");
    let endless = said(&format!(
        "{MINIMAL}env:\n  A: \"{{% for i in range(9000) %}}{{% for j in range(9000) %}}x{{% endfor %}}{{% endfor %}}\"\n"
    ));
    assert!(endless.contains("fuel"), "{endless}");
}

#[test]
fn a_directory_of_presets_is_read_as_far_as_it_is_good() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("write");
    write("a.yaml", "name: [");
    write("b.yaml", MINIMAL);
    write("c.yaml.disabled", "not looked at");
    let file = "  files: [{path: /a, mode: \"0400\", source: ../secret}]\n";
    write("d.yaml", &format!("{MINIMAL}service:\n  argv: [x]\n{file}").replace("mine", "other"));
    let mut catalogue = Catalogue::default();
    let faults = catalogue.add_dir(dir.path());
    assert_eq!(catalogue.names(), ["mine"]);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[1].message.contains("no file \"../secret\" beside"), "nothing outside the directory is read");
    assert!(catalogue.add_dir(&dir.path().join("absent")).is_empty());
    assert_eq!(catalogue.add_dir(&dir.path().join("b.yaml")).len(), 1, "not a directory");
}

#[test]
fn the_examples_are_valid() {
    let mut catalogue = Catalogue::built_in().expect("valid");
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/presets");
    assert_eq!(catalogue.add_dir(&examples), []);
    assert!(["node-exporter", "postgresql-reports", "trees"].iter().all(|name| catalogue.names().contains(name)));
}

#[test]
fn a_command_of_the_host_is_a_preset_of_five_lines() {
    let text = "apiVersion: barepod.dev/v1alpha1\nkind: Preset\nname: exporter\nuser: {name: daemon}\n\
                service: {argv: [/usr/bin/exporter, --listen=127.0.0.1]}\n";
    let mut catalogue = Catalogue::built_in().expect("valid");
    add(&mut catalogue, text).expect("valid");
    let mut request = request("command:exporter");
    request.args = words(&["--debug"]);
    let resolved = catalogue.resolve(&request, &debian()).expect("resolved");
    assert_eq!(resolved.launch.argv, words(&["/usr/bin/exporter", "--listen=127.0.0.1", "--debug"]));
    assert_eq!((resolved.launch.user.uid, resolved.preset.as_str()), (1, "exporter"));
    request.image = "command:other".to_owned();
    assert_eq!(catalogue.resolve(&request, &debian()).expect_err("no such preset").reason, Reason::ImagePullBackOff);
}

#[test]
fn the_accounts_of_this_host_are_found() {
    let root = barepod_presets::Host::account(&barepod_presets::LocalHost, "root").expect("every host has root");
    assert_eq!((root.uid, root.gid), (0, 0));
    assert_eq!(barepod_presets::Host::account_of(&barepod_presets::LocalHost, 0), Some(root));
    assert_eq!(barepod_presets::Host::account(&barepod_presets::LocalHost, "no-such-account"), None);
}
