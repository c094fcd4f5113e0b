//! `barepod top`.

use barepod_tests::host::{Host, SOON};
use barepod_tests::pods::{self, IDLE, sh};
use barepod_tests::terminal::Terminal;
use serde_json::Value;

use crate::Result;

/// A pod that uses a CPU, with a container beside it that does nothing.
fn busy() -> Value {
    pods::pod("busy", [sh("burn", "while :; do :; done"), sh("rest", IDLE)])
}

#[test]
fn what_pods_use_is_a_table_and_json_where_there_is_no_terminal() -> Result {
    let host = Host::started("")?;
    host.apply_object(&busy())?;
    host.ready("busy")?;
    let table = host.barepod(&["top", "--interval", "0.5"])?;
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("cpu ") && lines[0].ends_with("pods 1"), "{table}");
    assert!(lines[2].starts_with("NAME") && lines[2].ends_with("RESTARTS"), "{table}");
    for (line, name) in lines[3..].iter().zip(["busy ", "  burn ", "  rest "]) {
        assert!(line.starts_with(name), "{table}");
    }
    let json: Value = serde_json::from_str(&host.barepod(&["top", "-o", "json", "--sort", "cpu"])?)?;
    let containers = &json["pods"][0]["containers"];
    let cpu = |at: usize| containers[at]["figures"]["cpuMilli"].as_u64().ok_or_else(|| format!("{json:#}"));
    assert!(cpu(0)? > cpu(1)?, "{json:#}");
    assert!(containers[0]["figures"]["memory"].as_u64().is_some_and(|bytes| bytes > 0), "{json:#}");
    assert_eq!((&containers[1]["status"], &containers[1]["restarts"]), (&"running".into(), &0.into()));
    let missing = host.run(&["top", "--interval", "0"])?;
    assert_eq!(missing.status.code(), Some(2));
    Ok(())
}

#[test]
fn on_a_terminal_the_view_renews_itself_fits_the_window_and_leaves_the_terminal_as_it_was() -> Result {
    let host = Host::started("")?;
    host.apply_object(&busy())?;
    host.ready("busy")?;
    let mut terminal = Terminal::run(host.command(&["top", "--interval", "0.2"])?, 30, 200)?;
    terminal.read_until("\x1b[?1049h")?;
    terminal.read_until("by name")?;
    terminal.read_until("  burn")?;
    // What comes later is there without a word from anybody.
    host.apply_object(&pods::idle("later"))?;
    terminal.read_until("later")?;
    terminal.write("c")?;
    terminal.read_until("by cpu")?;
    terminal.resize(4, 40)?;
    let small = terminal.read_until("more lines")?;
    assert!(small.contains("by cpu"), "{small:?}");
    terminal.write("\u{3}")?;
    terminal.read_until("\x1b[?25h\x1b[?1049l")?;
    let status = terminal.child.wait("the view", SOON)?;
    assert_eq!(status.code(), Some(0));
    Ok(())
}
