//! What a shell offers on the tab key: the words of the grammar, and the names of pods as the daemon has them now.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use barepod_api::v1::ListRequest;
use barepod_presets::Catalogue;
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};

use crate::args::Args;
use crate::get::{Form, Kind};
use crate::output::print;

/// By this variable the script of a shell asks.
const VARIABLE: &str = "BAREPOD_COMPLETE";
const NAME: &str = "barepod";
/// Nobody waits longer at a prompt.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers the shell and ends, if it is one that asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Args::command).var(VARIABLE).bin(NAME).completer(NAME).complete();
}

/// Prints the script for a shell.
pub(crate) fn script(shell: Shell) -> Result<ExitCode> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let completer = shells.completer(&name).with_context(|| format!("there is no completion for {name}"))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    print(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The pods of the namespace that the line on the prompt is about; none if the daemon does not say.
pub(crate) fn pods() -> Vec<CompletionCandidate> {
    let Some((socket, namespace)) = surroundings(std::env::args_os()) else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let names = runtime.block_on(async { tokio::time::timeout(PATIENCE, names(socket, namespace)).await });
    let names = names.map_err(anyhow::Error::new).flatten().unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// The presets of this host, built-in ones and the administrator's.
pub(crate) fn presets() -> Vec<CompletionCandidate> {
    let Ok(mut catalogue) = Catalogue::built_in() else { return Vec::new() };
    // What is wrong with one is said to whoever uses it.
    drop(catalogue.add_dir(Path::new("/etc/barepod/presets")));
    catalogue.names().into_iter().map(CompletionCandidate::new).collect()
}

/// The types that `get` shows.
pub(crate) fn kinds() -> Vec<CompletionCandidate> {
    Kind::names().map(CompletionCandidate::new).collect()
}

/// The forms of `get -o`, up to where a text of their own begins.
pub(crate) fn forms() -> Vec<CompletionCandidate> {
    let begin = |form: String| form.find('=').map_or(form.clone(), |at| form[..=at].to_owned());
    Form::words().map(begin).map(CompletionCandidate::new).collect()
}

async fn names(socket: PathBuf, namespace: String) -> Result<Vec<String>> {
    let mut client = barepod_api::connect(&socket).await?;
    let request = ListRequest { namespace, ..ListRequest::default() };
    Ok(client.list(request).await?.into_inner().pods.into_iter().map(|pod| pod.name).collect())
}

/// Socket and namespace by the words of the line, which the script hands over after `--`. The line is not complete yet.
fn surroundings(words: impl Iterator<Item = OsString>) -> Option<(PathBuf, String)> {
    let line = words.skip_while(|word| word != "--").skip(1);
    let matches = Args::command().ignore_errors(true).try_get_matches_from(line).ok()?;
    Some((matches.get_one::<PathBuf>("socket")?.clone(), matches.get_one::<String>("namespace")?.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_complete_says_which_daemon_and_which_namespace() {
        let words = ["barepod", "--", "barepod", "--socket", "/s", "logs", "-n", "shop", "--container"];
        let (socket, namespace) = surroundings(words.iter().map(OsString::from)).unwrap();
        assert_eq!((socket, namespace.as_str()), (PathBuf::from("/s"), "shop"));
    }

    #[test]
    fn every_shell_that_can_be_named_has_a_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            assert!(script(shell).is_ok(), "{shell}");
        }
    }
}
