//! `barepod config view`.

use barepod_tests::host::Host;
use serde_json::Value;

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
    assert!(String::from_utf8(view(&[])?.stderr)?.contains("has changed since barepodd started"));
    Ok(())
}
