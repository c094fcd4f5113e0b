//! `barepod preset`, without a daemon.

use std::process::Output;

use barepod_tests::host::Host;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const EXTENDED: &str = "apiVersion: barepod.dev/v1alpha1\nkind: Preset\nname: postgresql\nextends: postgresql\n\
    service:\n  tuning:\n    - {set: work_mem, value: 32MB, why: our reports sort much}\n";
const COMMAND: &str = "apiVersion: barepod.dev/v1alpha1\nkind: Preset\nname: sleeper\nuser: {name: nobody}\n\
    service: {argv: [/bin/sleep, '1000000']}\n";
const BAD: &str = "apiVersion: barepod.dev/v1alpha1\nkind: Preset\nname: bad\nimages: [bad]\nuser: {nam: nobody}\n";

/// A host without a daemon, with presets of its administrator.
fn host(presets: &[(&str, &str)]) -> Result<Host> {
    let host = Host::new("")?;
    let directory = host.path("etc/barepod/presets");
    std::fs::create_dir_all(&directory)?;
    for (file, text) in presets {
        std::fs::write(directory.join(file), text)?;
    }
    Ok(host)
}

fn preset(host: &Host, args: &[&str]) -> Result<(Output, String, String)> {
    let config = host.path("etc/barepod").display().to_string();
    let output = host.run(&[&["preset", "--config", &config], args].concat())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    Ok((output, out, err))
}

#[test]
fn presets_are_listed_with_where_they_come_from_and_what_is_installed() -> Result {
    let host = host(&[("pg.yaml", EXTENDED), ("bad.yaml", BAD)])?;
    let (output, out, err) = preset(&host, &["list"])?;
    assert!(output.status.success(), "{err}");
    let row = out.lines().find(|line| line.starts_with("postgresql ")).ok_or("not listed")?;
    assert!(
        row.contains("15") && row.contains("presets/pg.yaml") && row.ends_with("built-in postgresql.yaml"),
        "{row}"
    );
    assert!(
        err.contains("a preset is left out") && err.contains("bad.yaml:5:8: user.nam: there is no such key here"),
        "{err}"
    );
    let (_, shown, _) = preset(&host, &["show", "postgresql", "--origins"])?;
    assert!(shown.contains("presets/pg.yaml:7") && shown.contains("built-in postgresql.yaml:"), "{shown}");
    Ok(())
}

#[test]
fn preset_files_are_validated_with_every_fault_and_its_place() -> Result {
    let host = host(&[("pg.yaml", EXTENDED), ("bad.yaml", BAD)])?;
    let path = |name: &str| host.path("etc/barepod/presets").join(name).display().to_string();
    let (output, out, err) = preset(&host, &["validate", &path("pg.yaml")])?;
    assert!(output.status.success() && out.ends_with("pg.yaml: valid\n"), "{out}{err}");
    let (output, _, err) = preset(&host, &["validate", &path("bad.yaml")])?;
    assert!(!output.status.success());
    assert_eq!(err.lines().count(), 2, "{err}");
    assert!(err.contains("bad.yaml:5:8: user.nam") && err.contains("did you mean name?"), "{err}");
    assert!(!preset(&host, &["validate"])?.0.status.success(), "the administrator's own directory");
    Ok(())
}

#[test]
fn an_explanation_says_what_from_what_why_and_who_decides() -> Result {
    let host = host(&[("pg.yaml", EXTENDED)])?;
    let (_, out, err) = preset(
        &host,
        &["explain", "postgresql", "--memory", "2Gi", "--", "-c", "work_mem=1MB", "-c", "shared_buffers=1GB"],
    )?;
    assert!(
        out.contains("effective_cache_size = 1536MB  (file)") && out.contains("with memory = 2147483648"),
        "{out}{err}"
    );
    assert!(out.contains("shared_buffers: the manifest decides, in args"), "{out}");
    assert!(out.contains("max_parallel_workers: the service's own default, for this does not hold: cpu"), "{out}");
    assert!(out.contains("why      our reports sort much") && out.contains("presets/pg.yaml:7"), "{out}");
    assert!(out.contains("note: env: the superuser has no password"), "{out}");
    Ok(())
}

#[test]
fn a_manifest_is_rendered_without_repeating_its_secrets() -> Result {
    let host = host(&[("sleeper.yaml", COMMAND)])?;
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/postgresql/pod.yaml");
    let (output, out, err) = preset(&host, &["render", "-f", example])?;
    assert!(output.status.success(), "{err}");
    assert!(out.contains("first      \"/bin/bash\" \"/run/barepod/init.sh\"  unless there is"), "{out}");
    assert!(out.contains("POSTGRES_PASSWORD  (of the manifest)") && out.contains("| shared_buffers = "), "{out}");
    let (_, out, _) = preset(&host, &["render", "command:sleeper", "--", "2"])?;
    assert!(out.contains(r#"runs       "/bin/sleep" "1000000" "2""#), "{out}");
    let (output, _, err) = preset(&host, &["render", "nothing:1"])?;
    assert!(!output.status.success() && err.contains("ImagePullBackOff"), "{err}");
    Ok(())
}

#[test]
fn a_command_of_the_administrator_runs_as_a_pod() -> Result {
    let mut host = host(&[("sleeper.yaml", COMMAND)])?;
    host.start()?;
    host.apply(
        "pod",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {name: main, image: 'command:sleeper'}\n",
    )?;
    let pid = host.running("pod")?;
    let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    assert_eq!(words.split('\0').collect::<Vec<_>>(), ["/bin/sleep", "1000000", ""]);
    Ok(())
}

const STEPS: &str = r#"
apiVersion: barepod.dev/v1alpha1
kind: Preset
name: steps
user: {name: nobody}
service:
  argv: [/bin/sh, -c, "echo main >> /data/order; exec sleep 1000000"]
  ownedDirs: [{path: /data, mode: "0700"}]
  dataPaths: [/data]
  init:
    - name: one
      creates: /data/.one
      run: [/bin/sh, -c, "echo one >> /data/order"]
    - name: killed-once
      creates: /data/.two
      exec: [/bin/sh, -c, 'echo two >> /data/order; test -e /data/tried || { touch /data/tried; sleep 1000000; }; : > /data/.two; exec "$@"', sh]
    - name: three
      creates: /data/made-by-itself
      run: [/bin/sh, -c, "echo three >> /data/order; echo mine > /data/made-by-itself"]
"#;

#[test]
fn init_steps_run_in_order_and_one_that_was_killed_runs_again_but_none_that_is_done() -> Result {
    let mut host = host(&[("steps.yaml", STEPS)])?;
    let config = host.path("etc/barepod/barepod.yaml");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text + "crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    host.start()?;
    host.apply(
        "pod",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: main\n    image: 'command:steps'\n    volumeMounts: [{name: data, mountPath: /data}]\n  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]\n",
    )?;
    let data = host.path("var/lib/barepod/volumes/default/data");
    let order = || {
        std::fs::read_to_string(data.join("order")).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let until = |wanted: &str| {
        host.until(format!("the order {wanted:?}"), barepod_tests::host::SOON, |_| (order() == wanted).then_some(()))
    };
    host.until("the second step to be under way", barepod_tests::host::SOON, |_| {
        data.join("tried").exists().then_some(())
    })?;
    assert_eq!(order(), "one two");
    barepod_tests::host::signal(host.running("pod")?, "KILL")?;
    until("one two two three main")?;
    assert_eq!(
        std::fs::read_to_string(data.join("made-by-itself"))?,
        "mine\n",
        "a mark that the step made stays as it is"
    );
    let pid = host.running("pod")?;
    barepod_tests::host::signal(pid, "KILL")?;
    until("one two two three main main")?;
    Ok(())
}
