//! How a command line is read by the image's own entry point: as its service, or as some other program.

use std::path::Path;

use barepod_model::ContainerRequest;

use crate::file::ServiceFile;

/// What a container is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The preset's service, with these arguments added.
    Service(Vec<String>),
    /// A program of the author's choice; empty if none is named.
    Command(Vec<String>),
}

/// Reads `command` and `args` as the image would. A first word that begins with a dash belongs to the service.
pub(crate) fn mode(request: &ContainerRequest, service: Option<&ServiceFile>) -> Mode {
    let words: Vec<String> = request.command.iter().chain(&request.args).cloned().collect();
    let Some(service) = service else { return Mode::Command(words) };
    let by_entrypoint = request.command.is_empty()
        || request.command.first().is_some_and(|w| service.entrypoints.iter().any(|e| is_program(w, e)));
    let rest = if request.command.is_empty() || !by_entrypoint { &words[..] } else { &words[1..] };
    match rest.split_first() {
        None => Mode::Service(Vec::new()),
        Some((first, args)) if is_program(first, &service.program) => Mode::Service(args.to_vec()),
        Some((first, _)) if by_entrypoint && first.starts_with('-') => Mode::Service(rest.to_vec()),
        Some(_) => Mode::Command(rest.to_vec()),
    }
}

fn is_program(word: &str, program: &str) -> bool {
    Path::new(word).file_name().is_some_and(|name| name == program)
}
