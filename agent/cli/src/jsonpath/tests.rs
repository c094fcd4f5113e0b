use serde_json::json;

use super::*;

fn pods() -> Value {
    let pod = |name: &str, phase: &str, restarts: [u32; 2], label: &str| {
        let status = |name: &str, count| json!({"name": name, "restartCount": count, "ready": count == 0});
        json!({
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": label}},
            "status": {"phase": phase, "containerStatuses": [status("main", restarts[0]), status("log", restarts[1])]},
        })
    };
    let items = [pod("db", "Running", [0, 3], "postgres"), pod("web", "Pending", [7, 0], "nginx")];
    json!({"kind": "List", "apiVersion": "v1", "items": items, "empty": {}, "nothing": null, "size": 2})
}

fn of(template: &str) -> String {
    Template::parse(template).unwrap().render(&pods(), template).unwrap()
}

/// Templates of kubectl's documentation and of those who write scripts, with what client-go's engine of Kubernetes 1.36 prints, in which
/// the order of `..` is that of a map.
#[test]
fn templates_mean_what_they_mean_to_kubectl() {
    for (template, printed) in [
        ("{.items[*].metadata.name}", "db web"),
        ("{.kind}", "List"),
        ("{$.kind}", "List"),
        ("{@.kind}", "List"),
        ("kind={.kind}, size={.size}!", "kind=List, size=2!"),
        ("{range .items[*]}{.metadata.name}{\"\\t\"}{.status.phase}{'\\n'}{end}", "db\tRunning\nweb\tPending\n"),
        (
            "{range .items[*]}{.metadata.name}:{range .status.containerStatuses[*]} {.name}={.restartCount}{end}\n{end}",
            "db: main=0 log=3\nweb: main=7 log=0\n",
        ),
        ("{.items[0].metadata.name}", "db"),
        ("{.items[-1].metadata.name}", "web"),
        ("{.items[0,1].metadata.name}", "db web"),
        ("{.items[0:1].metadata.name}", "db"),
        ("{.items[-1:].metadata.name}", "web"),
        ("{.items[:].metadata.name}", "db web"),
        ("{.items[::2].metadata.name}", "db"),
        (r"{.items[0].metadata.labels.app\.kubernetes\.io/name}", "postgres"),
        ("{.items[0]['kind', 'metadata']['name']}", "db"),
        (r#"{.items[?(@.status.phase=="Running")].metadata.name}"#, "db"),
        (r#"{.items[?(@.status.phase!='Running')].metadata.name}"#, "web"),
        ("{.items[*].status.containerStatuses[?(@.restartCount>2)].name}", "log main"),
        ("{.items[*].status.containerStatuses[?(@.restartCount >= 3.0)].name}", "log main"),
        ("{.items[*].status.containerStatuses[?(@.ready==true)].name}", "main log"),
        ("{.items[?(@.metadata.labels)].metadata.name}", "db web"),
        ("{.items[?(@.metadata.annotations)].metadata.name}", ""),
        ("{.items[?(@.spec.nodeName!=\"a\")].metadata.name}", ""),
        ("{..name}", "db main log web main log"),
        ("{.items[0]..restartCount}", "0 3"),
        ("{.items[0].metadata.*}", r#"{"app.kubernetes.io/name":"postgres"} db"#),
        ("{.items[1].status.containerStatuses[1]}", r#"{"name":"log","ready":true,"restartCount":0}"#),
        ("{.empty}{.no.such.field}{.kind.field}", "{}"),
        ("{ .kind }", "List"),
        ("{range .missing[*]}never{end}", ""),
    ] {
        assert_eq!(of(template), printed, "{template}");
    }
    let whole = Template::parse("{.}").unwrap().render(&json!({"a": [1, true, null]}), "{.}").unwrap();
    assert_eq!(whole, r#"{"a":[1,true,null]}"#);
}

/// Where client-go does less than its documentation says: it takes `$` in a range for the present one, fails for a slice beyond the
/// end, and finds no name with dots in quotes.
#[test]
fn what_kubectls_documentation_promises_is_kept() {
    for (template, printed) in [
        ("{range .items[*]}{$.kind}/{.metadata.name} {end}", "List/db List/web "),
        ("{.items[5:9].metadata.name}", ""),
        ("{.items[0].metadata.labels['app.kubernetes.io/name']}", "postgres"),
    ] {
        assert_eq!(of(template), printed, "{template}");
    }
}

#[test]
fn a_wrong_template_is_answered_with_the_place_and_what_is_right() {
    let mut all = String::new();
    for template in [
        "",
        ".items",
        "{.items[*].metadata.name",
        "{.items[*}",
        "{.items[",
        "{.items[a]}",
        "{.items[?@.a]}",
        "{.items[?(@.a=\"b\")]}",
        "{.items[?(@.a==b)]}",
        "{.items[?(@.a==1 && @.b==2)]}",
        "{.items[?(\"a\")]}",
        "{.items[?(@.a==\"b\"}",
        "{.items[1:2:0]}",
        "{.items[99999999999999999999]}",
        "{metadata.name}",
        "{}",
        "{.a.}",
        "{.a..}",
        "{.a} {.b .c}",
        "{range .items[*]}{.a}",
        "{range}x{end}",
        "{.a}{end}",
        "{\"a}",
        "{\"\\q\"}",
        "ä\n{.é[}",
    ] {
        let fault = Template::parse(template).expect_err(template);
        all.push_str(&format!("{template:?}\n    {fault}\n"));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn what_does_not_fit_the_object_is_said_with_its_place() {
    for (template, said) in [
        ("{.items[2]}", "character 8: there is no element 2: the list has 2"),
        ("{.items[-3]}", "character 8: there is no element -3"),
        ("{.metadata}{.kind[0]}", "character 18: this takes elements of a list, and here is a text"),
        ("{.empty[?(@.a)]}", "character 8: this takes elements of a list, and here is an object"),
        ("{.items[?(@..name==\"db\")]}", "character 8: one value can be compared, and here are 3"),
    ] {
        let fault = Template::parse(template).unwrap().render(&pods(), template).unwrap_err();
        assert!(fault.contains(said), "{template}: {fault}");
    }
}

#[test]
fn an_option_takes_a_path_with_braces_and_dot_or_without() {
    for text in [".metadata.name", "metadata.name", "{.metadata.name}", "{metadata.name}", " { .metadata.name } "] {
        let path = Path::parse(text).unwrap();
        assert_eq!(path.find(&pods()["items"][1]), [&json!("web")], "{text}");
    }
    for (text, said) in [
        ("", "character 1: a path is missing"),
        ("{.a", "character 4: the brace is not closed"),
        (".a b", "character 4: the path has an end"),
        (".a}", "character 3"),
    ] {
        let fault = Path::parse(text).unwrap_err();
        assert!(fault.contains(said), "{text:?}: {fault}");
    }
    assert_eq!(Path::parse(".items[7]").unwrap().find(&pods()), Vec::<&Value>::new());
}
