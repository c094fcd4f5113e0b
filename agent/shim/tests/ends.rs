//! The ends of attempts that others have followed: kept until a daemon says that it knows them.

mod support;

use barepod_shim::wire::exit::How;
use barepod_shim::wire::{Known, PROTOCOL, request};

/// Attempts and their exit codes.
fn ends(shim: &support::Shim) -> Vec<(u32, Option<How>)> {
    let end = |past: &barepod_shim::wire::Attempt| (past.attempt, past.exit.and_then(|exit| exit.how));
    shim.welcome.ended.iter().map(end).collect()
}

#[test]
fn ends_are_told_until_a_daemon_says_that_it_knows_them() {
    let mut host = host_or_skip!();
    host.spawn();
    let mut shim = host.connect_as(PROTOCOL);
    for attempt in 1..=4 {
        shim.run(host.start(attempt, &format!("exit {attempt}")));
    }
    let mut shim = host.connect_as(PROTOCOL);
    let code = |attempt: u32| (attempt, Some(How::Code(attempt.cast_signed())));
    assert_eq!(ends(&shim), [code(1), code(2), code(3)]);

    shim.send(request::Request::Known(Known { attempt: 2 }));
    shim.stats();

    assert_eq!(ends(&host.connect_as(PROTOCOL)), [code(3)]);
    host.kill_shim();
    host.spawn();
    assert_eq!(ends(&host.connect_as(PROTOCOL)), [code(3)], "the next shim tells them too");
}

#[test]
fn a_daemon_that_never_says_so_is_told_of_the_newest_alone() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    shim.run(host.start(1, "exit 1"));
    shim.run(host.start(2, "exit 2"));

    assert_eq!(ends(&host.connect()), []);
}
