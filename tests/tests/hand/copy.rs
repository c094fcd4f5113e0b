//! `barepod cp`, and `barepod port list`.

use std::os::unix::fs::PermissionsExt as _;

use barepod_tests::host::{Host, SOON};
use barepod_tests::pods;

use crate::Result;

#[test]
fn files_and_directories_go_into_a_container_and_come_out_as_they_were() -> Result {
    let host = Host::started("")?;
    host.apply_object(&pods::idle("pod"))?;
    host.ready("pod")?;
    let (here, back) = (host.path("here"), host.path("back"));
    std::fs::create_dir_all(here.join("inner"))?;
    std::fs::create_dir_all(&back)?;
    // No byte value missing, larger than any buffer on the way.
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(here.join("inner/data"), &data)?;
    std::fs::write(here.join("run.sh"), "#!/bin/sh\necho ran\n")?;
    std::fs::set_permissions(here.join("run.sh"), std::fs::Permissions::from_mode(0o755))?;
    let path = |path: &std::path::Path| path.display().to_string();

    host.barepod(&["cp", &path(&here), "pod:/tmp"])?;
    assert_eq!(
        host.barepod(&["exec", "pod", "--", "sh", "-c", "/tmp/here/run.sh; wc -c < /tmp/here/inner/data"])?,
        "ran\n3000000\n"
    );
    host.barepod(&["cp", &path(&here.join("run.sh")), "pod/pod:/tmp/other.sh"])?;
    assert_eq!(host.barepod(&["exec", "pod", "--", "/tmp/other.sh"])?, "ran\n");

    host.barepod(&["exec", "pod", "--", "ln", "-s", "/etc/shadow", "/tmp/here/link"])?;
    let output = host.run(&["cp", "pod:/tmp/here", &path(&back)])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 links"), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::read(back.join("here/inner/data"))? == data);
    assert_eq!(std::fs::metadata(back.join("here/run.sh"))?.permissions().mode() & 0o777, 0o755);
    assert!(std::fs::symlink_metadata(back.join("here/link")).is_err());
    host.barepod(&["cp", "pod:/tmp/other.sh", &path(&back.join("renamed"))])?;
    assert_eq!(std::fs::read_to_string(back.join("renamed"))?, "#!/bin/sh\necho ran\n");
    let left: Vec<_> = std::fs::read_dir(&back)?.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "nothing is left behind: {left:?}");
    Ok(())
}

#[test]
fn what_cannot_be_copied_is_refused_with_the_reason() -> Result {
    let host = Host::started("")?;
    host.apply_object(&pods::idle("pod"))?;
    host.ready("pod")?;
    let here = host.path("here").display().to_string();
    std::fs::write(host.path("file"), "x")?;
    let file = host.path("file").display().to_string();
    for (from, to, expected) in [
        ("pod:/no/such", here.as_str(), "No such file or directory"),
        (here.as_str(), "pod:/tmp", "here"),
        (file.as_str(), "pod:/no/such/place", "No such file or directory"),
        (file.as_str(), "nobody:/tmp", "there is no pod nobody"),
        (file.as_str(), here.as_str(), "write it as POD:PATH"),
        ("pod:/a", "pod:/b", "copy to this host first"),
        ("pod:/", here.as_str(), "name a file or directory"),
    ] {
        let output = host.run(&["cp", from, to])?;
        let errors = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{from} {to}: {errors}");
        assert!(errors.contains(expected), "{from} {to}: {errors}");
    }
    Ok(())
}

#[test]
fn the_ports_on_which_a_pod_listens_are_listed_beside_those_it_names() -> Result {
    let host = Host::started("")?;
    let port = barepod_tests::free_port()?;
    let mut pod = pods::shell("web", "");
    pod["spec"]["containers"][0]["command"] =
        serde_json::json!(["busybox", "nc", "-ll", "-p", port.to_string(), "-e", "/bin/true"]);
    pod["spec"]["containers"][0]["ports"] =
        serde_json::json!([{"containerPort": port, "name": "http"}, {"containerPort": 9, "name": "discard"}]);
    host.apply_object(&pod)?;
    host.ready("web")?;
    let table = host.until("somebody to listen", SOON, |host| {
        host.barepod(&["port", "list"]).ok().filter(|table| {
            table.contains("http") && !table.lines().any(|line| line.contains("nobody") && line.contains("http"))
        })
    })?;
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAMESPACE", "POD", "PORT", "ADDRESS", "DECLARED"]);
    assert_eq!((&rows[1][..3], rows[1][4]), (&["default", "web", &*port.to_string()][..], "http"));
    assert_eq!(rows[2], ["default", "web", "9", "nobody", "listens", "discard"]);
    Ok(())
}
