//! Skips that are counted: a test that cannot run here says why, on its output and in the run's list.
//!
//! `cargo xtask test` names the list's file in [`LIST`] and prints every line of it at the end. A test that returns early
//! without [`skip!`](crate::skip!) passes by not running, which is what this is against.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

/// The environment variable that names the file to which each skip adds a line.
pub const LIST: &str = "BAREPOD_SKIPS";
/// The environment variable that is `all` in the reserved tier.
pub const TIER: &str = "BAREPOD_TIER";

/// How much is asked of a test that has a short and a long form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// `cargo xtask test`: all tests together fit 20 minutes.
    Everyday,
    /// `cargo xtask test --all`: as many rounds as the promise names.
    All,
}

/// The tier of this run, from [`TIER`].
pub fn tier() -> Tier {
    if std::env::var_os(TIER).is_some_and(|tier| tier == "all") { Tier::All } else { Tier::Everyday }
}

/// Ends the calling test and counts it as skipped, with a reason in the words of `format!`.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        $crate::skip::record(::std::format_args!($($reason)+));
        return $crate::skip::Skipped::skipped();
    }};
}

/// What a skipped test returns.
pub trait Skipped {
    /// A value that lets the test pass.
    fn skipped() -> Self;
}

impl Skipped for () {
    fn skipped() -> Self {}
}

impl<E> Skipped for Result<(), E> {
    fn skipped() -> Self {
        Ok(())
    }
}

/// Says that the test of this thread is skipped.
///
/// # Panics
///
/// When the list cannot be written: a skip that is not counted must not pass.
pub fn record(reason: impl Display) {
    let line = line(&test_name(), &reason.to_string());
    print!("{line}");
    if let Some(list) = std::env::var_os(LIST)
        && let Err(error) = append(Path::new(&list), &line)
    {
        panic!("the skip could not be counted in {}: {error}", Path::new(&list).display());
    }
}

fn line(test: &str, reason: &str) -> String {
    format!("SKIP: {test}: {}\n", reason.replace('\n', " "))
}

fn test_name() -> String {
    std::env::var("NEXTEST_TEST_NAME")
        .ok()
        .or_else(|| std::thread::current().name().map(str::to_owned))
        .unwrap_or_else(|| "a test without a name".to_owned())
}

fn append(list: &Path, line: &str) -> io::Result<()> {
    std::fs::OpenOptions::new().append(true).create(true).open(list)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_one_line_whatever_the_reason() {
        assert_eq!(line("vm::boots", "no qemu\nhere"), "SKIP: vm::boots: no qemu here\n");
    }

    #[test]
    fn skips_of_several_tests_follow_each_other_in_the_list() {
        let scratch = crate::Scratch::new().unwrap();
        let list = scratch.join("skips");

        append(&list, &line("first", "why")).unwrap();
        append(&list, &line("second", "why not")).unwrap();

        assert_eq!(std::fs::read_to_string(list).unwrap(), "SKIP: first: why\nSKIP: second: why not\n");
    }
}
