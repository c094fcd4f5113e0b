//! The command line against a real daemon.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use barepod_tests::host::{Host, SOON, signal};
use barepod_tests::pods::{self, IDLE, sh};
use barepod_tests::terminal::Terminal;
use serde_json::Value;
use sha2::{Digest, Sha256};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn host_with(pod: &Value) -> Result<Host> {
    let host = Host::started("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    host.apply_object(pod)?;
    host.ready(pod["metadata"]["name"].as_str().ok_or("no name")?)?;
    Ok(host)
}

// ---- exec ----

#[test]
fn exec_ends_as_its_command_ends() -> Result {
    let host = host_with(&pods::idle("pod"))?;
    for (script, code) in [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)] {
        let output = host.run(&["exec", "pod", "--", "sh", "-c", script])?;
        assert_eq!(output.status.code(), Some(code), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let output = host.run(&["exec", "pod", "--", "sh", "-c", "echo out; echo err >&2"])?;
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    let missing = host.run(&["exec", "pod", "--", "/no/such/program"])?;
    assert!(!missing.status.success());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("executable file not found"));
    Ok(())
}

#[test]
fn exec_passes_five_megabytes_in_and_out_unharmed() -> Result {
    let host = host_with(&pods::idle("pod"))?;
    // No byte value missing, and no short period.
    let sent: Vec<u8> = (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut command = host.command(&["exec", "-i", "pod", "--", "cat"])?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().ok_or("no stdin")?;
    let digest = Sha256::digest(&sent);
    let writer = std::thread::spawn(move || stdin.write_all(&sent));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| "the writer panicked")??;
    assert!(output.status.success());
    assert_eq!(output.stdout.len(), 5_000_000);
    assert_eq!(Sha256::digest(&output.stdout), digest);
    Ok(())
}

#[test]
fn exec_on_a_terminal_is_a_terminal_of_the_same_size() -> Result {
    let host = host_with(&pods::idle("pod"))?;
    let mut terminal = Terminal::run(host.command(&["exec", "-it", "pod", "--", "sh"])?, 31, 97)?;
    // Nothing is echoed that could be taken for the answer.
    terminal.write("test -t 0 && test -t 1 && echo is-a-$((1+1))-tty; stty size\n")?;
    let text = terminal.read_until("31 97")?;
    assert!(text.contains("is-a-2-tty"), "{text}");
    terminal.write("exit 5\n")?;
    let status = terminal.child.wait("the client", SOON)?;
    assert_eq!(status.code(), Some(5));
    Ok(())
}

#[test]
fn a_client_that_goes_takes_its_command_with_it() -> Result {
    let host = host_with(&pods::idle("pod"))?;
    let mut child = host.command(&["exec", "pod", "--", "sh", "-c", "echo $$; exec sleep 424242"])?;
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    let sleeps = |host: &Host| {
        let output = host.barepod(&["exec", "pod", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]);
        output.map(|text| text.contains("sleep 424242"))
    };
    assert!(sleeps(&host)?);
    child.kill()?;
    child.wait()?;
    host.until("the command's end", SOON, |host| (!sleeps(host).ok()?).then_some(()))?;
    Ok(())
}

// ---- logs ----

#[test]
fn logs_are_followed_to_the_end_of_the_container() -> Result {
    let mut pod = pods::shell("pod", "trap 'echo end; exit 0' TERM; echo begin; sleep 1000000 & wait");
    pod["spec"]["restartPolicy"] = serde_json::json!("Never");
    let host = host_with(&pod)?;
    let mut command = host.command(&["logs", "-f", "pod"])?;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut reader = BufReader::new(child.stdout.take().ok_or("no stdout")?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    assert_eq!(first, "begin\n");
    // The first process of the pod's namespace, from outside.
    signal(host.pid("pod").ok_or("no pid")?, "TERM")?;
    let mut rest = String::new();
    reader.read_to_string(&mut rest)?;
    assert_eq!(rest, "end\n");
    assert!(child.wait()?.success());
    Ok(())
}

#[test]
fn logs_are_cut_as_asked() -> Result {
    let counting = format!("seq 1 100; {IDLE}");
    let host = host_with(&pods::pod("pod", [sh("one", &counting), sh("two", &format!("echo two; {IDLE}"))]))?;
    let logs = |args: &[&str]| host.barepod(&[&["logs", "pod"], args].concat());
    host.until("all lines", SOON, |_| (logs(&["-c", "one"]).ok()?.lines().count() == 100).then_some(()))?;
    assert_eq!(logs(&["-c", "one", "--tail", "2"])?, "99\n100\n");
    assert_eq!(logs(&["-c", "one", "--since", "3600"])?.lines().count(), 100);
    assert_eq!(logs(&["-c", "one", "--since", "0"])?, "");
    host.until("the other's line", SOON, |_| (logs(&["-c", "two"]).ok()? == "two\n").then_some(()))?;
    let stamped = logs(&["-c", "one", "--tail", "1", "--timestamps"])?;
    let (time, text) = stamped.trim_end().split_once(' ').ok_or("no time")?;
    assert_eq!((time.len(), text), ("2026-01-01T00:00:00.000000000Z".len(), "100"), "{stamped}");

    let unnamed = host.run(&["logs", "pod"])?;
    assert!(String::from_utf8_lossy(&unnamed.stderr).contains("one, two"), "the error names them");
    assert!(!unnamed.status.success());
    Ok(())
}

// ---- get ----

#[test]
fn pods_are_shown_in_each_form() -> Result {
    let host = host_with(&pods::idle("pod"))?;
    let get = |args: &[&str]| host.barepod(&[&["get"], args].concat());
    assert_eq!(get(&["pods", "-o", "name"])?, "pod/pod\n");
    let list: Value = serde_json::from_str(&get(&["pods", "-o", "json"])?)?;
    assert_eq!((&list["kind"], &list["items"][0]["metadata"]["name"]), (&"List".into(), &"pod".into()));
    let one: Value = serde_json::from_str(&get(&["pod/pod", "-o", "json"])?)?;
    assert_eq!((&one["kind"], &one["status"]["phase"]), (&"Pod".into(), &"Running".into()));
    let yaml = get(&["pod", "pod", "-o", "yaml"])?;
    assert!(yaml.contains("kind: Pod") && yaml.contains("phase: Running"), "{yaml}");
    let wide = get(&["pods", "-o", "wide"])?;
    let pid = host.pid("pod").ok_or("no pid")?.to_string();
    assert!(wide.starts_with("NAME") && wide.contains(&pid), "{wide}");

    let missing = host.run(&["get", "pod", "nobody"])?;
    assert!(!missing.status.success());
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no pod nobody"));
    Ok(())
}

#[test]
fn pods_are_watched_from_their_begin_to_their_end() -> Result {
    let host = Host::started("")?;
    let mut command = host.command(&["get", "pods", "-w"])?;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or("no stdout")?;
    host.apply_object(&pods::idle("pod"))?;
    host.running("pod")?;
    host.barepod(&["delete", "pod"])?;
    let mut seen = Vec::new();
    for line in BufReader::new(stdout).lines() {
        seen.push(line?);
        if seen.last().is_some_and(|line| line.contains("Gone")) {
            break;
        }
    }
    child.kill()?;
    child.wait()?;
    assert!(seen[0].starts_with("NAME"), "{seen:?}");
    for word in ["Running", "Terminating", "Gone"] {
        assert!(seen.iter().any(|line| line.contains(word)), "{word}: {seen:?}");
    }
    Ok(())
}
