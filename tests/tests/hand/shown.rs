//! What the verbs that only look show of a real daemon: snapshots, with what differs from run to run taken out.

use barepod_tests::host::Host;
use barepod_tests::pods::{self, IDLE, sh};
use serde_json::{Value, json};

use crate::Result;

/// A database with a claim, and a job that has failed.
struct Shown {
    host: Host,
    /// The database's manifest.
    db: Value,
    /// What is the same wherever it stands, and what is written in its place. The longest come first.
    names: Vec<(String, &'static str)>,
}

impl Shown {
    fn new() -> Result<Self> {
        let host = Host::started("")?;
        let mut db = pods::pod("db", [sh("main", &format!("echo up; {IDLE}"))]);
        db["metadata"]["labels"] = json!({"app": "db"});
        db["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "64Mi"}, "requests": {"cpu": "1"}});
        db["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
        db["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "db-data"}}]);
        host.apply_object(&db)?;
        host.ready("db")?;
        let mut job = pods::shell("job", "echo no; exit 3");
        job["spec"]["restartPolicy"] = json!("Never");
        host.apply_object(&job)?;
        host.container("job", "over", |status| status["state"]["terminated"]["exitCode"] == 3)?;

        let uid = |pod: &str| -> Result<String> {
            Ok(host.pod(pod)?["metadata"]["uid"].as_str().ok_or("no uid")?.to_owned())
        };
        let mut names = vec![
            (host.cgroup().to_owned(), "CGROUP"),
            (host.path("").display().to_string().trim_end_matches('/').to_owned(), "ROOT"),
            (uid("db")?, "UID-OF-DB"),
            (uid("job")?, "UID-OF-JOB"),
        ];
        let status = host.pod("db")?["status"].take();
        for (key, name) in [("hostIP", "HOST-IP"), ("podIP", "HOST-IP")] {
            names.extend(status[key].as_str().map(|address| (address.to_owned(), name)));
        }
        names.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Ok(Self { host, db, names })
    }

    /// What a line of the command line prints.
    fn of(&self, args: &[&str]) -> Result<String> {
        Ok(self.redacted(&self.host.barepod(args)?))
    }

    /// The same of one that may fail, with what it says of that, and its exit code.
    fn said(&self, args: &[&str]) -> Result<String> {
        let output = self.host.run(args)?;
        let text = [output.stdout, output.stderr].concat();
        let code = output.status.code().filter(|code| *code != 0).map(|code| format!("exit code {code}\n"));
        Ok(self.redacted(&String::from_utf8(text)?) + &code.unwrap_or_default())
    }

    fn redacted(&self, text: &str) -> String {
        let named = self.names.iter().fold(text.to_owned(), |text, (what, name)| text.replace(what, name));
        named.lines().map(|line| redacted(line) + "\n").collect()
    }
}

/// A line in which each word that is a time, an age, an amount of memory in use or a pid is named, and columns are three blanks
/// apart whatever stands in them.
fn redacted(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let columns = line.trim().split("   ").map(str::trim).filter(|column| !column.is_empty());
    let columns = columns.map(|column| column.split(' ').map(word).collect::<Vec<_>>().join(" "));
    format!("{}{}", &line[..indent], columns.collect::<Vec<_>>().join("   "))
}

fn word(word: &str) -> String {
    let core = word.trim_matches(|c: char| "\"',;()[]{}".contains(c));
    let name = if is_date(core) {
        "DATE"
    } else if core.starts_with("barepod://") {
        "CONTAINER"
    } else if is_clock(core) {
        "TIME"
    } else if is_age(core) {
        "AGE"
    } else if core.len() >= 3 && core.parse::<u64>().is_ok() {
        "NUMBER"
    } else {
        return word.to_owned();
    };
    word.replacen(core, name, 1)
}

/// `2026-01-01`, or `2026-01-01T00:00:00Z`.
fn is_date(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// `00:00:00`.
fn is_clock(word: &str) -> bool {
    word.len() == 8 && word.split(':').count() == 3 && word.chars().all(|c| c.is_ascii_digit() || c == ':')
}

/// `3s`, `2m`, `2m3s`.
fn is_age(word: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    word.strip_suffix('s').or_else(|| word.strip_suffix('m')).is_some_and(|rest| rest.split('m').all(is_number))
}

#[test]
fn what_is_shown_of_a_real_daemon_is_this() -> Result {
    let shown = Shown::new()?;
    let lines: [&[&str]; 13] = [
        &["get", "pods"],
        &["get", "pods", "-o", "wide"],
        &["get", "pods", "--show-labels", "--sort-by=.metadata.name"],
        &["get", "pods", "-o", "name"],
        &["get", "pod", "db", "-o", "yaml"],
        &["get", "pod", "job", "-o", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"],
        &["get", "volumes"],
        &["get", "events", "--field-selector", "involvedObject.name=job"],
        &["describe", "db"],
        &["describe", "job"],
        &["events", "db"],
        &["port", "list"],
        &["preset", "explain", "pod/db"],
    ];
    let mut all = String::new();
    for line in lines {
        all += &format!("$ barepod {}\n{}\n", line.join(" "), shown.of(line)?);
    }
    insta::assert_snapshot!(all);
    Ok(())
}

#[test]
fn what_the_verbs_that_do_something_say_is_this() -> Result {
    let shown = Shown::new()?;
    let file = |name: &str, text: &str| -> Result<String> {
        let path = shown.host.path(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let mut changed = shown.db.clone();
    changed["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("96Mi");
    let changed = file("changed.yaml", &changed.to_string())?;
    let wrong = file("wrong.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: wrong}\nspec: {container: []}\n")?;
    let words = file("words", "some words\n")?;
    let directory = shown.host.path("").display().to_string();
    let root = ["--root", &directory];
    let diff = ["diff", "-f", &changed, root[0], root[1]];
    let lines: [&[&str]; 24] = [
        &["validate", &changed, root[0], root[1]],
        &["validate", &wrong, root[0], root[1]],
        &diff,
        &["apply", "-f", &changed, "--dry-run"],
        &["apply", "-f", &wrong],
        &["apply", "-f", &changed],
        &["apply", "-f", &changed],
        &diff,
        &["policy", "check", &changed],
        &["cp", &words, "db:/tmp/words"],
        &["exec", "db", "--", "cat", "/tmp/words"],
        &["exec", "db", "-c", "other", "--", "true"],
        &["cp", "db:/no/such", &directory],
        &["logs", "db"],
        &["logs", "nobody"],
        &["restart", "db"],
        &["stop", "db"],
        &["stop", "db"],
        &["start", "db", "--no-wait"],
        &["condition", "set", "db", "example.com/ok=True"],
        &["delete", "job"],
        &["delete", "job"],
        &["config", "view"],
        &["delete", "--all"],
    ];
    let mut all = String::new();
    for line in lines {
        let typed = shown.redacted(&line.join(" "));
        all += &format!("$ barepod {}\n{}\n", typed.trim_end(), shown.said(line)?);
    }
    insta::assert_snapshot!(all);
    Ok(())
}

#[test]
fn what_is_measured_of_a_real_daemon_has_these_columns_and_keys() -> Result {
    let shown = Shown::new()?;
    let table = shown.host.barepod(&["top", "--once", "--interval", "0.1"])?;
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let headings = table.lines().find(|line| line.starts_with("NAME")).ok_or_else(|| table.clone())?;
    insta::assert_snapshot!(words(headings).join(" "));
    let json: Value = serde_json::from_str(&shown.host.barepod(&["top", "--interval", "0.1", "-o", "json"])?)?;
    insta::assert_snapshot!(keys(&json, 0));
    Ok(())
}

/// The keys of an object, and of the first of each list, without their values.
fn keys(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| format!("{indent}{key}\n{}", keys(value, depth + 1))).collect()
        }
        Value::Array(list) => list.first().map(|first| keys(first, depth)).unwrap_or_default(),
        _ => String::new(),
    }
}

#[test]
fn only_what_differs_from_run_to_run_is_taken_out() {
    assert_eq!(redacted("db     1/1   Running   0          42s"), "db   1/1   Running   0   AGE");
    assert_eq!(
        redacted("  at: \"2026-01-01T00:00:00Z\", 12:30:59 UTC, pid 4711"),
        "  at: \"DATE\", TIME UTC, pid NUMBER"
    );
    assert_eq!(redacted("exit code 3"), "exit code 3");
}
