//! The initialisation is killed at its every step, and the next one always ends with a whole database.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use barepod_tests::{Tier, tier};
use nix::sys::signal::Signal;

use crate::sandbox::{Container, Sandbox, sandbox, tree};

/// A hook that stops the script before the `n`th command of the functions whose names match, and says so; or, if it does
/// not come to that, before it becomes the server. What it says goes past all redirections.
pub(crate) fn pause_at(functions: &str, n: usize) -> String {
    format!(
        "set -T; exec 9>&1; steps=0; trap 'if [[ ${{FUNCNAME[0]:-}} =~ ^({functions})$ ]] && ((++steps == {n})); then \
         echo paused-here >&9; exec sleep 100000; \
         elif [[ $BASH_COMMAND = exec* ]]; then echo never-paused >&9; exec sleep 100000; fi' DEBUG"
    )
}

/// Kills a container when it pauses; false if it went on until it was about to become the server.
pub(crate) fn kill_when_paused(mut container: Container<'_>) -> bool {
    let paused = container.says(&["paused-here", "never-paused"]) == Some("paused-here");
    container.kill();
    paused
}

fn sandbox_with_scripts() -> Option<Sandbox> {
    let mut sandbox = sandbox()?;
    sandbox.set("POSTGRES_USER", "app");
    sandbox.set("POSTGRES_DB", "shop");
    sandbox.set("POSTGRES_INITDB_ARGS", "--wal-segsize=1");
    sandbox.script("1.sql", "CREATE TABLE runs AS SELECT 1 AS n", 0o644);
    sandbox.script("2.sql", "INSERT INTO runs VALUES (2)", 0o644);
    Some(sandbox)
}

/// Starts it undisturbed and looks whether everything is there exactly once.
fn starts_whole(sandbox: &Sandbox, after: &str) {
    let mut container = sandbox.start("");
    container.ready();
    let runs = sandbox.query("app", "shop", "SELECT string_agg(n::text, ',' ORDER BY n) FROM runs");
    assert_eq!(runs, Ok("1,2".to_owned()), "killed {after}");
    assert_eq!(sandbox.query_with_password("app", "shop", "it's \"secret\" $HOME"), Ok("1".to_owned()));
    for left in [".barepod-init", ".barepod-version"] {
        assert!(!sandbox.pgdata().join(left).exists(), "{left} is left after {after}");
    }
    assert!(container.stop(Signal::SIGINT), "{}", sandbox.log());
}

fn clear(sandbox: &Sandbox) {
    let find = Command::new("find").arg(sandbox.pgdata()).args(["-mindepth", "1", "-delete"]).status();
    assert!(find.expect("find runs").success());
}

fn copy(from: &Path, to: &Path) {
    let cp = Command::new("cp").args(["-a", "--"]).arg(from).arg(to).status();
    assert!(cp.expect("cp runs").success());
}

#[test]
fn killed_at_a_step_of_the_building_the_next_run_begins_anew() {
    let Some(sandbox) = sandbox_with_scripts() else { return };
    for (function, step) in [
        ("settings", 2),
        ("begin_anew", 3),
        ("make_cluster", 3),
        ("access_rules", 4),
        ("run_scripts", 6),
        ("build", 14),
    ] {
        assert!(kill_when_paused(sandbox.start(&pause_at(function, step))), "{function} has a step {step}");
        assert!(!sandbox.pgdata().join("PG_VERSION").exists(), "{function}");
    }
    starts_whole(&sandbox, "at one step after another");
}

#[test]
fn killed_at_a_step_of_the_moving_the_next_run_ends_it() {
    let Some(sandbox) = sandbox_with_scripts() else { return };
    let whole = Moving::of(&sandbox);
    let steps = match tier() {
        Tier::Everyday => vec![1, 2, 9, 30],
        Tier::All => (1..=40).collect(),
    };
    steps.into_iter().for_each(|step| assert!(!whole.killed_at("move_up", step)));
    let last = (1..).find(|step| whole.killed_at("finish", *step)).expect("it ends");
    assert!(last >= 5, "finish has a step for each promise, not {last}");
    starts_whole(&sandbox, "at several steps of the moving");
}

/// A cluster that is built but not moved, and what it looks like when it is.
struct Moving<'a> {
    sandbox: &'a Sandbox,
    whole: Vec<(std::path::PathBuf, u64)>,
}

impl<'a> Moving<'a> {
    fn of(sandbox: &'a Sandbox) -> Self {
        assert!(kill_when_paused(sandbox.start(&pause_at("move_up", 1))));
        copy(&sandbox.pgdata(), &sandbox.path("built"));
        Self::end(sandbox);
        Self { sandbox, whole: tree(&sandbox.pgdata()) }
    }

    fn end(sandbox: &Sandbox) {
        assert!(kill_when_paused(sandbox.start(&pause_at("forget_secrets", 1))), "{}", sandbox.log());
    }

    /// Kills it there, lets the next run end it and compares; whether nothing was left to do.
    fn killed_at(&self, functions: &str, step: usize) -> bool {
        let pgdata = self.sandbox.pgdata();
        std::fs::remove_dir_all(&pgdata).expect("remove");
        copy(&self.sandbox.path("built"), &pgdata);
        assert!(kill_when_paused(self.sandbox.start(&pause_at(functions, step))), "{functions} has a step {step}");
        let done = pgdata.join("PG_VERSION").exists();
        if !done {
            Self::end(self.sandbox);
        }
        assert_eq!(tree(&pgdata), self.whole, "killed at step {step} of {functions}");
        done
    }
}

#[test]
fn killed_at_any_moment_the_next_run_succeeds() {
    killed_at_moments(match tier() {
        Tier::Everyday => 3,
        Tier::All => 60,
    });
}

/// Measures a first start, then kills as many at moments spread evenly over that time.
fn killed_at_moments(rounds: u32) {
    let Some(sandbox) = sandbox_with_scripts() else { return };
    let began = Instant::now();
    assert!(kill_when_paused(sandbox.start(&pause_at("forget_secrets", 1))));
    let all = began.elapsed();
    for round in 1..=rounds {
        clear(&sandbox);
        let moment = all * round / (rounds + 1);
        let container = sandbox.start("");
        // The moment itself is what is tried.
        std::thread::sleep(moment);
        container.kill();
        starts_whole(&sandbox, &format!("after {moment:?}"));
    }
}
