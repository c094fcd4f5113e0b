//! Directory trees as root, the contract of an image as data, tuning that says why, checks of the host.

mod support;

use barepod_model::{Bytes, MilliCpu, Reason, RequestError, Resolved, Root};
use barepod_presets::{Catalogue, PresetSource, Verdict};
use support::{FakeHost, debian, request, set, words};

const HEAD: &str = "apiVersion: barepod.dev/v1alpha1\nkind: Preset\n";

fn catalogue(text: &str) -> Catalogue {
    let mut catalogue = Catalogue::default();
    let text = format!("{HEAD}{text}");
    let faults = catalogue.add(&PresetSource { file: "mine.yaml", text: &text, beside: &|_| None });
    assert_eq!(faults, Ok(()));
    catalogue
}

const TREES: &str =
    "name: trees\nimages: ['registry.k8s.io/e2e-test-images/*', busybox]\nroot: {tree: '/srv/{name}/{tag}'}\n";

/// A host with two trees: one whose image says nothing of itself, and one that says much.
fn with_trees() -> FakeHost {
    let mut host = debian();
    host.files.extend([
        "/srv/busybox/1.36/bin/sh",
        "/srv/busybox/1.35/bin/sh",
        "/srv/agnhost/2.53/agnhost",
        "/srv/rooted/1/bin/sh",
    ]);
    host.texts.extend([
        ("/srv/rooted/1.json", r#"{"User": "0:0"}"#),
        (
            "/srv/agnhost/2.53.json",
            r#"{"config": {"Entrypoint": ["/agnhost"], "Cmd": ["pause"], "Env": ["A=image", "B=image"],
            "User": "app:disk", "WorkingDir": "/work", "StopSignal": "SIGQUIT"}}"#,
        ),
        ("/srv/agnhost/2.53/etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"),
        ("/srv/agnhost/2.53/etc/group", "disk:x:6:\nextra:x:77:app,other\n"),
        ("/srv/busybox/1.36/etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:99:98::/:/bin/false\n"),
    ]);
    host
}

const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.53";

fn resolved(image: &str, command: &[&str], args: &[&str]) -> Result<Resolved, RequestError> {
    let mut request = request(image);
    (request.command, request.args) = (words(command), words(args));
    catalogue(TREES).resolve(&request, &with_trees())
}

#[test]
fn one_preset_answers_for_the_trees_of_many_images() {
    let root = |image: &str| resolved(image, &["/bin/sh"], &[]).map(|r| (r.launch.root, r.preset));
    let tree = |path: &str, preset: &str| Ok((Root::Tree(path.into()), preset.to_owned()));
    assert_eq!(root("busybox:1.36"), tree("/srv/busybox/1.36", "trees busybox:1.36"));
    assert_eq!(root("docker.io/library/busybox:1.35"), tree("/srv/busybox/1.35", "trees busybox:1.35"));
    assert_eq!(root(AGNHOST), tree("/srv/agnhost/2.53", "trees agnhost:2.53"));
    let missing = root("busybox:1.37").expect_err("not there");
    assert_eq!(missing.reason, Reason::VersionNotInstalled);
    assert_eq!(missing.hint.as_deref(), Some("did you mean the tag 1.35?"));
}

#[test]
fn command_and_args_follow_kubernetes_rules() {
    let argv =
        |command: &[&str], args: &[&str]| resolved(AGNHOST, command, args).map(|r| r.launch.argv).expect("resolved");
    assert_eq!(argv(&[], &[]), words(&["/agnhost", "pause"]));
    assert_eq!(argv(&[], &["netexec"]), words(&["/agnhost", "netexec"]));
    assert_eq!(argv(&["/bin/sh"], &[]), words(&["/bin/sh"]), "the image's cmd goes with its entry point");
    assert_eq!(argv(&["/bin/sh"], &["-c", "x"]), words(&["/bin/sh", "-c", "x"]));
    assert_eq!(resolved("busybox:1.36", &[], &[]).expect_err("no program").reason, Reason::MissingField);
}

#[test]
fn what_the_image_says_lies_below_what_the_manifest_says() {
    let launch = resolved(AGNHOST, &[], &[]).expect("resolved");
    assert_eq!(launch.stop.stages[0].signal, 3);
    let launch = launch.launch;
    assert_eq!(launch.cwd.to_str(), Some("/work"));
    assert_eq!((launch.env.0["A"].as_str(), launch.env.0["HOME"].as_str()), ("image", "/home/app"));
    assert!(launch.env.0["PATH"].contains("/usr/bin"), "as Docker has it");
    let mut manifest = request(AGNHOST);
    set(&mut manifest, "A", "manifest");
    manifest.working_dir = Some("/elsewhere".into());
    let launch = catalogue(TREES).resolve(&manifest, &with_trees()).expect("resolved").launch;
    assert_eq!((launch.env.0["A"].as_str(), launch.env.0["B"].as_str()), ("manifest", "image"));
    assert_eq!(launch.cwd.to_str(), Some("/elsewhere"));
}

#[test]
fn users_are_those_of_the_tree_and_never_root_unless_it_is_said() {
    let user = |preset: &str, image: &str, uid: Option<u32>| {
        let mut request = request(image);
        (request.command, request.user.uid) = (words(&["x"]), uid);
        catalogue(preset).resolve(&request, &with_trees()).map(|r| r.launch.user).map(|u| (u.uid, u.gid, u.groups))
    };
    assert_eq!(user(TREES, AGNHOST, None), Ok((1000, 6, vec![77])), "by name, with the group that the image names");
    assert_eq!(user(TREES, "busybox:1.36", None), Ok((99, 98, vec![])), "the tree's own nobody, not the host's");
    assert_eq!(user(TREES, "busybox:1.35", None), Ok((65_534, 65_534, vec![])), "a tree without accounts");
    let rooted = "registry.k8s.io/e2e-test-images/rooted:1";
    assert_eq!(user(TREES, rooted, None), Ok((65_534, 65_534, vec![])), "an image alone does not make anybody root");
    assert_eq!(user(TREES, AGNHOST, Some(1000)), Ok((1000, 1001, vec![77])));
    assert_eq!(user(TREES, AGNHOST, Some(4242)), Ok((4242, 4242, vec![])));
    assert_eq!(user(TREES, AGNHOST, Some(0)), Ok((0, 0, vec![])), "said openly");
    let as_root = format!("{TREES}user: {{name: root}}\n");
    assert_eq!(user(&as_root, AGNHOST, None), Ok((0, 0, vec![])), "said openly");
    let unknown = format!("{TREES}user: {{name: postgres}}\n");
    assert_eq!(user(&unknown, AGNHOST, None).expect_err("an account of the host alone").reason, Reason::UnknownUser);
}

#[test]
fn the_preset_can_have_the_images_configuration_itself() {
    let text = "name: a\nimages: [a]\nroot: {tree: /srv/agnhost/2.53, config: /srv/agnhost/2.53.json, image: {cmd: [serve], env: {A: preset}, user: '7:8'}}\n";
    let resolved = catalogue(text).resolve(&request("a"), &with_trees()).expect("resolved").launch;
    assert_eq!(resolved.argv, words(&["/agnhost", "serve"]), "the rest is the file's");
    assert_eq!((resolved.user.uid, resolved.user.gid, resolved.env.0["A"].as_str()), (7, 8, "preset"));
    let absent = text.replace("2.53.json", "absent.json");
    assert_eq!(
        catalogue(&absent).resolve(&request("a"), &with_trees()).expect_err("named").reason,
        Reason::InvalidPreset
    );
}

const SERVICE: &str = "name: s\nimages: [s]\nuser: {name: nobody}\nservice:\n  argv: [/bin/s]\n";

fn said(preset: &str, env: &[(&str, &str)], args: &[&str]) -> Result<Vec<String>, (String, String)> {
    let mut request = request("s");
    env.iter().for_each(|(name, value)| set(&mut request, name, value));
    request.args = words(args);
    let warnings = catalogue(preset).resolve(&request, &debian()).map(|r| r.warnings);
    let text = |e: &RequestError| format!("{}: {}; {}", e.field, e.message, e.hint.clone().unwrap_or_default());
    warnings.map(|all| all.iter().map(text).collect()).map_err(|e| (e.field.clone(), text(&e)))
}

#[test]
fn a_contract_as_data_is_kept() {
    let preset = format!(
        "{SERVICE}  contract:\n    source: https://example\n    prefixes: [S_]\n    env:\n      - {{name: S_KEY, about: the key, file: true, required: true}}\n      - {{name: S_MODE, about: mode, values: [fast, safe]}}\n      - {{name: S_OLD, about: old, warning: it does nothing}}\n      - {{name: S_USER, about: user, refused: 'it runs as {{{{ user.name }}}}'}}\n    args:\n      - {{name: data, flags: [-D, --data], settings: [datadir], message: no, hint: set S_DATA}}\n"
    );
    let preset = preset.replace("message: no,", "message: not here,");
    let field = |env: &[(&str, &str)], args: &[&str]| said(&preset, env, args).map_err(|(field, _)| field);
    let key = ("S_KEY", "x");
    assert_eq!(
        said(&preset, &[], &[]),
        Err(("env".to_owned(), "env: S_KEY is missing; set S_KEY or S_KEY_FILE: the key".to_owned()))
    );
    assert_eq!(field(&[key], &[]), Ok(vec![]));
    assert_eq!(field(&[("S_KEY_FILE", "/x")], &[]), Ok(vec![]));
    assert_eq!(field(&[key, ("S_KEY_FILE", "/x")], &[]), Err("env[S_KEY_FILE]".to_owned()));
    assert_eq!(field(&[key, ("S_MODE", "fats")], &[]), Err("env[S_MODE]".to_owned()));
    assert_eq!(field(&[key, ("S_USER", "me")], &[]), Err("env[S_USER]".to_owned()));
    for args in [&["-D", "/x"][..], &["--data=/x"], &["-c", "datadir=/x"]] {
        assert_eq!(field(&[key], args), Err("args".to_owned()), "{args:?}");
    }
    assert_eq!(field(&[key, ("S_OLD", "1")], &[]).map(|all| all.len()), Ok(1));
    let stranger = said(&preset, &[key, ("S_MDOE", "fast")], &[]).expect("a warning");
    assert_eq!(
        stranger,
        ["env[S_MDOE]: the image does not document S_MDOE, and nothing here reads it; did you mean S_MODE?"]
    );
}

#[test]
fn init_steps_come_in_their_order_and_leave_marks() {
    let preset = format!(
        "{SERVICE}  init:\n    - {{name: one, creates: /data/one, run: [mkfs, it's]}}\n    - {{name: two, when: 'false', creates: /data/two, run: [x]}}\n    - {{name: three, creates: /data/three, exec: [/bin/init]}}\n"
    );
    let launch = catalogue(&preset).resolve(&request("s"), &debian()).expect("resolved").launch;
    let marks: Vec<_> = launch.init.iter().map(|step| step.creates.display().to_string()).collect();
    assert_eq!(marks, ["/data/one", "/data/three"]);
    assert!(launch.init[0].argv_prefix[2].contains(r"'mkfs' 'it'\''s'"), "{:?}", launch.init[0].argv_prefix);
    assert_eq!(launch.init[1].argv_prefix, words(&["/bin/init"]));
}

#[test]
fn every_setting_says_who_decides_it_and_why() {
    let preset = format!(
        "{SERVICE}  tuning:\n    - {{set: cache, when: memory, value: '{{{{ memory // 2 }}}}', flag: --cache, why: half, source: https://example}}\n    - {{set: procs, when: cpu, value: '{{{{ cpu // 1000 }}}}', env: S_PROCS, why: cores}}\n    - {{set: pool, value: '3', given: 'setting(args, \"pool\")', args: [--pool, '{{{{ value }}}}'], why: three}}\n"
    );
    let catalogue = catalogue(&preset);
    let mut asked = request("s");
    asked.resources.memory_limit = Some(Bytes(1000));
    asked.resources.cpu_limit = Some(MilliCpu(2000));
    let explained = catalogue.explain(&asked, &debian()).expect("explained");
    assert_eq!(explained.resolved.launch.argv, words(&["/bin/s", "--cache=500", "--pool", "3"]));
    assert_eq!(explained.resolved.launch.env.0["S_PROCS"], "2");
    let cache = &explained.settings[0];
    assert_eq!((cache.name.as_str(), cache.why.as_str(), cache.rule.as_str()), ("cache", "half", "mine.yaml:9"));
    assert_eq!(cache.inputs, [("memory".to_owned(), "1000".to_owned())]);
    assert_eq!(cache.formula, "{{ memory // 2 }}");
    asked.args = words(&["--cache=1", "-c", "pool=9"]);
    asked.resources.cpu_limit = None;
    let explained = catalogue.explain(&asked, &debian()).expect("explained");
    assert_eq!(explained.resolved.launch.argv, words(&["/bin/s", "--cache=1", "-c", "pool=9"]), "nothing is added");
    let verdicts: Vec<_> = explained.settings.iter().map(|s| s.verdict.clone()).collect();
    let manifest = || Verdict::Manifest { field: "args".to_owned() };
    assert_eq!(verdicts, [manifest(), Verdict::Nobody { when: "cpu".to_owned() }, manifest()]);
    set(&mut asked, "S_PROCS", "7");
    let explained = catalogue.explain(&asked, &debian()).expect("explained");
    assert_eq!(explained.settings[1].verdict, Verdict::Manifest { field: "env[S_PROCS]".to_owned() });
    assert_eq!(explained.resolved.launch.env.0["S_PROCS"], "7");
}

#[test]
fn the_host_is_looked_at_and_a_pod_is_warned_or_refused() {
    let preset = format!(
        "{SERVICE}hostChecks:\n  - {{name: overcommit, sysctl: vm.overcommit_memory, when: value != 1, message: 'it is {{{{ value }}}}', hint: set it to 1}}\n  - {{name: thp, file: /sys/kernel/mm/transparent_hugepage/enabled, when: '\"[always]\" in value', message: always, hint: never}}\n  - {{name: nofile, limit: nofile, when: value < 65536, severity: refuse, message: 'only {{{{ value }}}}', hint: raise it}}\n  - {{name: clock, clock: true, when: not value, message: free, hint: chrony}}\n"
    );
    let catalogue = catalogue(&preset);
    let said = |texts: &[(&'static str, &'static str)], clock| {
        let mut host = debian();
        host.texts.extend_from_slice(texts);
        host.clock = clock;
        let resolved = catalogue.resolve(&request("s"), &host);
        resolved
            .map(|r| r.warnings.into_iter().map(|w| (w.reason, w.message)).collect::<Vec<_>>())
            .map_err(|e| (e.reason, e.message))
    };
    let check = |message: &str| (Reason::HostCheckFailed, message.to_owned());
    let overcommit = "/proc/sys/vm/overcommit_memory";
    let thp = "/sys/kernel/mm/transparent_hugepage/enabled";
    assert_eq!(said(&[], None), Ok(vec![]), "what the host does not have is not looked at");
    assert_eq!(said(&[(overcommit, "1\n"), (thp, "always [madvise] never\n")], Some(true)), Ok(vec![]));
    assert_eq!(
        said(&[(overcommit, "0\n"), (thp, "[always] madvise never\n")], Some(false)),
        Ok(vec![check("it is 0"), check("always"), check("free")])
    );
    let limits = "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 4096                 files     \n";
    assert_eq!(said(&[("/proc/self/limits", limits)], None), Err(check("only 4096")));
}

#[test]
fn a_step_that_fails_or_is_killed_leaves_no_mark_and_nothing_follows_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mark = dir.path().join("mark");
    let run = |command: &str| {
        let preset = format!(
            "{SERVICE}  init: [{{name: one step, creates: '{}', run: [/bin/sh, -c, '{command}']}}]\n",
            mark.display()
        );
        let launch = catalogue(&preset).resolve(&request("s"), &debian()).expect("resolved").launch;
        let step = &launch.init[0].argv_prefix;
        let main = ["/bin/echo", "main"].map(str::to_owned);
        let output = std::process::Command::new(&step[0]).args(&step[1..]).args(main).output().expect("a shell");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).contains("\nmain\n"), mark.exists())
    };
    assert_eq!(run("exit 3"), (false, false, false));
    assert_eq!(run("kill -9 $PPID"), (false, false, false));
    assert_eq!(run("exit 0"), (true, true, true));
}
