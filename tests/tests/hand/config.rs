//! The daemon's configuration: what is in force, and what a reload changes.

use barepod_tests::host::{Host, SOON, signal};
use barepod_tests::pods;
use serde_json::{Value, json};

use crate::Result;

#[test]
fn the_configuration_in_force_is_shown_and_that_its_file_has_changed_since() -> Result {
    let host = Host::started("containerLogMaxFiles: 7\n")?;
    let view = |args: &[&str]| host.run(&[&["config", "view"], args].concat());
    let shown: Value = serde_json::from_slice(&view(&["-o", "json"])?.stdout)?;
    assert_eq!((&shown["containerLogMaxFiles"], &shown["containerLogMaxSize"]), (&7.into(), &"10Mi".into()));
    let output = view(&[])?;
    let text = String::from_utf8(output.stdout)?;
    assert!(text.starts_with('#') && text.contains("\ncontainerLogMaxFiles: 7\n"), "{text}");
    assert_eq!(String::from_utf8(output.stderr)?, "");
    let file = host.path("etc/barepod/barepod.yaml");
    std::fs::write(&file, std::fs::read_to_string(&file)? + "containerLogMaxSize: 1Mi\n")?;
    let warning = String::from_utf8(view(&[])?.stderr)?;
    assert!(warning.contains("`systemctl reload barepod` puts containerLogMaxSize in force"), "{warning}");
    Ok(())
}

/// Has the daemon read its configuration again, and waits until it says this for that many times.
fn reload(host: &Host, reason: &str, times: usize) -> Result<String> {
    signal(host.daemon_pid().ok_or("no daemon")?, "HUP")?;
    let said = host.until(format!("{reason} to be told"), SOON, |host| {
        let events = host.barepod(&["get", "events", "--no-headers", "--field-selector", &format!("reason={reason}")]);
        let events = events.ok()?;
        (events.lines().count() == times).then(|| events.lines().last().unwrap_or_default().to_owned())
    });
    Ok(said?)
}

#[test]
fn a_reload_changes_what_can_change_says_what_cannot_and_touches_no_service() -> Result {
    let host = Host::started("containerLogMaxFiles: 7\n")?;
    host.apply_object(&pods::idle("db"))?;
    host.ready("db")?;
    let (daemon, service) = (host.daemon_pid(), host.pid("db"));
    let mut picky = pods::idle("picky");
    picky["spec"]["nodeSelector"] = json!({"disk": "fast"});
    let manifest = host.path("picky.yaml");
    std::fs::write(&manifest, picky.to_string())?;
    let apply = || host.run(&["apply", "-f", &manifest.display().to_string()]);
    assert!(!apply()?.status.success(), "the host has no such label");

    let file = host.path("etc/barepod/barepod.yaml");
    let before = std::fs::read_to_string(&file)?;
    let next = before.replace("containerLogMaxFiles: 7", "containerLogMaxFiles: 9");
    let next = next + "nodeLabels: {disk: fast}\nseccompDefault: false\nresources: {maxPods: 2, podPidsLimit: 99}\n";
    std::fs::write(&file, &next)?;
    let said = reload(&host, "ConfigReloaded", 1)?;
    for key in ["nodeLabels, resources.maxPods", "started from now on: containerLogMaxFiles, seccompDefault"] {
        assert!(said.contains(key), "{said}");
    }
    let warned = host.barepod(&["events", "--types=Warning"])?;
    assert!(warned.contains("host  ConfigNeedsRestart: resources.podPidsLimit will be as"), "{warned}");
    assert!(apply()?.status.success(), "the label is there now");
    host.ready("picky")?;
    let third = pods::idle("third");
    host.apply_object(&third)?;
    host.reason("third", "OutOfpods")?;

    let view = || -> Result<(String, Value)> {
        let json = host.run(&["config", "view", "-o", "json"])?.stdout;
        Ok((host.barepod(&["config", "view"])?, serde_json::from_slice(&json)?))
    };
    let (text, shown) = view()?;
    assert_eq!((&shown["containerLogMaxFiles"], &shown["resources"]["maxPods"]), (&9.into(), &2.into()));
    assert!(text.contains("resources.podPidsLimit is in the file, and not in force: needs a restart"), "{text}");

    for (times, (broken, said)) in [
        ("containerLogMaxFiles: 1\n", "is too few"),
        ("containerLogMaxFile: 3\n", "did you mean \"containerLogMaxFiles\"?"),
        ("socketGroup: no-such-group-here\n", "no-such-group-here"),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&file, format!("# changed by hand\n{broken}"))?;
        let event = reload(&host, "ConfigInvalid", times + 1)?;
        assert!(event.contains("the configuration is as it was") && event.contains(said), "{event}");
        assert!(times == 2 || event.contains(":2"), "its line: {event}");
    }
    std::fs::remove_file(&file)?;
    assert!(reload(&host, "ConfigInvalid", 4)?.contains("is gone"));
    assert_eq!(view()?.1, shown, "what held holds");
    std::fs::write(&file, &next)?;
    assert!(reload(&host, "ConfigReloaded", 2)?.contains("nothing that can change has changed"));
    assert_eq!((host.daemon_pid(), host.pid("db")), (daemon, service));
    Ok(())
}
