//! The command line on a terminal, on a pipe that nobody reads, and without either.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use barepod_tests::host::{Host, SOON, signal};
use barepod_tests::pods;
use barepod_tests::process::{self, Owned};
use barepod_tests::terminal::Terminal;

use crate::Result;

fn host() -> Result<Host> {
    let host = Host::started("")?;
    host.apply_object(&pods::idle("pod"))?;
    host.ready("pod")?;
    Ok(host)
}

#[test]
fn a_window_that_is_resized_is_resized_inside_and_ctrl_c_is_the_command_s() -> Result {
    let host = host()?;
    let mut terminal = Terminal::run(host.command(&["exec", "-it", "pod", "--", "sh"])?, 24, 80)?;
    terminal.write("stty size; echo is-$((1+1))\n")?;
    assert!(terminal.read_until("is-2")?.contains("24 80"));
    terminal.resize(33, 101)?;
    // The size arrives on its own way: it is asked for until it is there.
    terminal.write("until stty size | grep -q '33 101'; do sleep 0.1; done; echo now-$((2+1))\n")?;
    terminal.read_until("now-3")?;
    terminal.write("echo begins-$((3+1)); sleep 424243\n")?;
    terminal.read_until("begins-4")?;
    terminal.write("\u{3}")?;
    terminal.write("echo after-$((4+1))\n")?;
    terminal.read_until("after-5")?;
    terminal.write("exit 7\n")?;
    assert_eq!(terminal.child.wait("the client", SOON)?.code(), Some(7));
    Ok(())
}

#[test]
fn who_watches_on_a_terminal_sees_changes_until_he_has_enough() -> Result {
    let host = host()?;
    let mut terminal = Terminal::run(host.command(&["get", "pods", "-w"])?, 24, 120)?;
    let first = terminal.read_until("Running")?;
    assert!(first.starts_with("NAME") && !first.contains('\u{1b}'), "a list of changes has no colours: {first:?}");
    host.barepod(&["stop", "pod"])?;
    terminal.read_until("Stopped")?;
    signal(terminal.child.id(), "INT")?;
    let status = terminal.child.wait("the client", SOON)?;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2));
    Ok(())
}

#[test]
fn who_goes_while_a_preset_begins_leaves_the_pod_to_begin() -> Result {
    let host = Host::started("")?;
    let (config, port) = (host.path("etc/barepod").display().to_string(), barepod_tests::free_port()?.to_string());
    let run = host.command(&["run", "redis", "--config", &config, "--", "--port", &port])?;
    let mut terminal = Terminal::run(run, 24, 120)?;
    let said = terminal.read_until("pod/redis: container redis: ")?;
    assert!(said.contains("pod/redis created"), "{said}");
    signal(terminal.child.id(), "INT")?;
    terminal.child.wait("the client", SOON)?;
    host.ready("redis")?;
    Ok(())
}

#[test]
fn what_nobody_reads_ends_without_a_word() -> Result {
    let host = host()?;
    for args in [
        &["get", "pods", "-w"][..],
        &["events", "-w"],
        &["exec", "pod", "--", "sh", "-c", "while :; do echo line; done"],
        &["get", "pods", "-o", "yaml"],
        &["version"],
        &["preset", "list"],
    ] {
        let mut command = host.command(args)?;
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut reader = BufReader::new(child.stdout.take().ok_or("no output")?);
        reader.read_line(&mut String::new())?;
        drop(reader);
        let mut said = child.stderr.take().ok_or("no errors")?;
        let mut child = Owned::from(child);
        // A watch sees that at its next line.
        host.until(format!("the end of {args:?}"), SOON, |host| {
            host.barepod(&["stop", "pod"]).and_then(|_| host.barepod(&["start", "pod"])).ok()?;
            child.ended().ok()?
        })?;
        let mut text = String::new();
        said.read_to_string(&mut text)?;
        assert_eq!(text, "", "{args:?}");
    }
    Ok(())
}

#[test]
fn without_a_terminal_there_is_input_all_the_same_and_an_end_of_it() -> Result {
    let host = host()?;
    let mut command = host.command(&["exec", "-i", "pod", "--", "sh", "-c", "test -t 0 || echo none; wc -l"])?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no input")?.write_all(b"one\ntwo\n")?;
    let output = child.wait_with_output()?;
    assert_eq!((output.status.code(), String::from_utf8(output.stdout)?.as_str()), (Some(0), "none\n2\n"));
    // With -t a terminal is made inside, of whatever is outside: a script may do so.
    let mut command = host.command(&["exec", "-it", "pod", "--", "sh", "-c", "test -t 1 && echo some"])?;
    let output = process::output(&mut command, "exec -it without a terminal", Duration::from_secs(60))?;
    assert_eq!((output.status.code(), String::from_utf8(output.stdout)?.trim()), (Some(0), "some"));
    Ok(())
}

/// A command line that is not one of barepod's own: as a person pipes it.
#[test]
fn a_pager_may_be_left_before_the_end() -> Result {
    let host = host()?;
    let barepod = host.program("barepod")?.display().to_string();
    let socket = host.path("run/barepod/barepod.sock").display().to_string();
    let line = format!("{barepod} --socket {socket} preset show postgresql | head -1; {barepod} --help | head -1");
    let output = process::output(Command::new("bash").args(["-o", "pipefail", "-c", &line]), "a line of shell", SOON)?;
    assert_eq!((output.status.code(), String::from_utf8(output.stderr)?.as_str()), (Some(0), ""));
    Ok(())
}
