//! `barepod validate` and `barepod diff`.

use barepod_tests::host::Host;
use barepod_tests::pods;

use crate::Result;

#[test]
fn manifests_are_validated_without_a_daemon_with_the_host_s_own_presets_and_objects() -> Result {
    let host = Host::new("nodeLabels: {disk: fast}\n")?;
    let root = host.path("").display().to_string();
    for (path, text) in [
        (
            "etc/barepod/presets/mine.yaml",
            "apiVersion: barepod.dev/v1alpha1\nkind: Preset\nname: mine\nimages: [mine]\nuser: {name: nobody}\nservice: {argv: [/bin/true]}\n",
        ),
        (
            "etc/barepod/manifests/settings.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n",
        ),
        (
            "good.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: good}\nspec:\n  nodeSelector: {disk: fast}\n  containers: [{name: a, image: mine, envFrom: [{configMapRef: {name: settings}}]}]\n",
        ),
        (
            "bad.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec:\n  containrs: [{name: a, image: mine}]\n",
        ),
        (
            "unknown.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: u}\nspec:\n  containers: [{name: a, image: mime}]\n",
        ),
    ] {
        let path = host.path(path);
        std::fs::create_dir_all(path.parent().ok_or("no parent")?)?;
        std::fs::write(path, text)?;
    }
    let validate = |names: &[&str]| -> Result<(Option<i32>, String, String)> {
        let paths: Vec<_> = names.iter().map(|name| host.path(name).display().to_string()).collect();
        let args: Vec<_> = ["validate", "--root", &root].into_iter().chain(paths.iter().map(String::as_str)).collect();
        let output = host.run(&args)?;
        Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
    };
    let (code, said, errors) = validate(&["good.yaml"])?;
    assert_eq!(code, Some(0), "{errors}");
    assert!(said.ends_with("good.yaml: valid\n"), "{said}");
    let (code, said, errors) = validate(&["good.yaml", "bad.yaml", "unknown.yaml"])?;
    assert_eq!(code, Some(1));
    assert_eq!(said.lines().count(), 1, "{said}");
    for expected in ["bad.yaml:5:3: error: spec.containrs: ", "did you mean \"containers\"?", "did you mean \"mine\"?"]
    {
        assert!(errors.contains(expected), "{expected}: {errors}");
    }
    Ok(())
}

#[test]
fn a_diff_shows_what_an_apply_would_change_and_nothing_where_it_would_not() -> Result {
    let host = Host::started("")?;
    let root = host.path("").display().to_string();
    let mut pod = pods::idle("db");
    host.apply_object(&pod)?;
    host.ready("db")?;
    let file = host.path("wanted.yaml");
    let diff = |pod: &serde_json::Value| -> Result<(Option<i32>, String, String)> {
        std::fs::write(&file, pod.to_string())?;
        let output = host.run(&["diff", "--root", &root, "-f", &file.display().to_string()])?;
        Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
    };
    assert_eq!(diff(&pod)?, (Some(0), String::new(), String::new()));
    pod["spec"]["containers"][0]["resources"] = serde_json::json!({"limits": {"memory": "64Mi"}});
    let (code, said, errors) = diff(&pod)?;
    assert_eq!(code, Some(1), "{errors}");
    assert!(said.starts_with("--- pod/db as it is\n+++ pod/db of "), "{said}");
    assert!(said.lines().any(|line| line.starts_with('+') && line.contains("memory: 64Mi")), "{said}");
    assert!(!said.contains("status") && !said.contains("uid"), "{said}");
    let (code, said, _) = diff(&pods::idle("new"))?;
    assert_eq!(code, Some(1));
    assert!(said.lines().skip(3).all(|line| line.starts_with('+')), "{said}");
    pod["spec"]["containrs"] = serde_json::json!([]);
    let (code, _, errors) = diff(&pod)?;
    assert_eq!(code, Some(3));
    assert!(errors.contains("spec.containrs"), "{errors}");
    assert_eq!(host.barepod(&["get", "pods", "-o", "name"])?, "pod/db\n", "nothing was changed");
    Ok(())
}
