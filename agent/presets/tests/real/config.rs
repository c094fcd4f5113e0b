//! Who wins: tuning, the author's file, ALTER SYSTEM, the arguments.

use std::io::Write;

use barepod_model::Bytes;
use nix::sys::signal::Signal;

use crate::sandbox::{Sandbox, sandbox};

fn setting(sandbox: &Sandbox, name: &str, change: &str) -> String {
    let mut container = sandbox.start("");
    container.ready();
    let value = sandbox.query("postgres", "postgres", &format!("SHOW {name}")).expect("an answer");
    if !change.is_empty() {
        sandbox.query("postgres", "postgres", change).expect("a change");
    }
    assert!(container.stop(Signal::SIGINT), "{}", sandbox.log());
    value
}

#[test]
fn each_says_more_than_the_one_before_it() {
    let Some(mut sandbox) = sandbox() else { return };
    assert_eq!(setting(&sandbox, "shared_buffers", ""), "64MB", "a quarter of 256 MiB");
    sandbox.request.resources.memory_limit = Some(Bytes(400 << 20));
    assert_eq!(setting(&sandbox, "shared_buffers", ""), "100MB", "the new limit takes force at the next start");
    let file = std::fs::File::options().append(true).open(sandbox.pgdata().join("postgresql.conf"));
    writeln!(file.expect("the author's file"), "shared_buffers = 48MB").expect("write");
    assert_eq!(setting(&sandbox, "shared_buffers", "ALTER SYSTEM SET shared_buffers = '56MB'"), "48MB");
    assert_eq!(setting(&sandbox, "shared_buffers", ""), "56MB");
    sandbox.request.args = vec!["-c".to_owned(), "shared_buffers=40MB".to_owned()];
    assert_eq!(setting(&sandbox, "shared_buffers", ""), "40MB");
}

#[test]
fn without_a_limit_nothing_is_tuned() {
    let Some(mut sandbox) = sandbox() else { return };
    sandbox.request.resources.memory_limit = None;
    assert_eq!(setting(&sandbox, "shared_buffers", ""), "128MB", "PostgreSQL's own default");
    assert_eq!(setting(&sandbox, "listen_addresses", ""), "127.0.0.1", "as this test's arguments say");
}
