//! The contract of an image: how a command line is read by its own entry point, and what it documents of its environment.

use std::path::Path;

use barepod_model::{ContainerRequest, Reason, RequestError};

use crate::arguments;
use crate::error::{near, refuse};
use crate::file::{ArgumentFile, ContractFile, ServiceFile, VariableFile};
use crate::template::Scope;

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
    // An entry point that is the program itself reads every word as an argument.
    let plain = service.entrypoints.is_empty() && request.command.is_empty();
    match rest.split_first() {
        None => Mode::Service(Vec::new()),
        Some((first, args)) if service.is_called(first) => Mode::Service(args.to_vec()),
        Some(_) if plain => Mode::Service(rest.to_vec()),
        Some((first, _)) if by_entrypoint && first.starts_with('-') => Mode::Service(rest.to_vec()),
        Some(_) => Mode::Command(rest.to_vec()),
    }
}

impl ServiceFile {
    /// The program's name in arguments.
    fn is_called(&self, word: &str) -> bool {
        let argv = self.argv.first().and_then(|text| Path::new(&text.value).file_name()?.to_str());
        self.program.as_deref().or(argv).is_some_and(|program| is_program(word, program))
    }
}

fn is_program(word: &str, program: &str) -> bool {
    Path::new(word).file_name().is_some_and(|name| name == program)
}

/// What the contract has to say of a request: what it forbids, then what is worth knowing.
pub(crate) fn look(
    contract: &ContractFile,
    args: &[String],
    request: &ContainerRequest,
    scope: &Scope,
) -> Result<Vec<RequestError>, RequestError> {
    let env = Environment(request);
    let mut missing = Vec::new();
    for variable in &contract.env {
        env.check(variable, scope)?;
        if variable.required && !env.given(variable) {
            missing.push(variable);
        }
    }
    if let Some(first) = missing.first() {
        return Err(required(first));
    }
    contract.args.iter().try_for_each(|argument| check_argument(argument, args, scope))?;
    let mut warnings = Vec::new();
    for variable in &contract.env {
        if let (Some(text), Some(_)) = (&variable.warning, env.value(&variable.name.value)) {
            warnings.push(said(&variable.name.value, scope.render(text)?, "remove it if it is not needed"));
        }
    }
    warnings.extend(env.strangers(contract));
    Ok(warnings)
}

/// The manifest's own variables.
struct Environment<'a>(&'a ContainerRequest);

impl Environment<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.env.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn given(&self, variable: &VariableFile) -> bool {
        let name = &variable.name.value;
        self.value(name).is_some() || (variable.file && self.value(&format!("{name}_FILE")).is_some())
    }

    fn check(&self, variable: &VariableFile, scope: &Scope) -> Result<(), RequestError> {
        let name = variable.name.value.as_str();
        let file = format!("{name}_FILE");
        let Some(value) = self.value(name) else { return Ok(()) };
        if variable.file && self.value(&file).is_some() {
            return Err(said(&file, format!("{name} and {file} exclude each other"), "keep one of the two"));
        }
        if let Some(why) = &variable.refused {
            return Err(said(name, scope.render(why)?, "remove it"));
        }
        if !variable.values.is_empty() && !variable.values.iter().any(|one| one == value) {
            let hint = match near(value, variable.values.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("write one of {}", variable.values.join(", ")),
            };
            return Err(said(name, format!("{name} cannot have this value"), &hint));
        }
        Ok(())
    }

    /// Variables that look like the image's own and are not: most are typing mistakes.
    fn strangers<'b>(&'b self, contract: &'b ContractFile) -> impl Iterator<Item = RequestError> + 'b {
        let known = |name: &str| {
            let plain = contract.env.iter().find(|v| v.name.value == name);
            let file =
                name.strip_suffix("_FILE").and_then(|n| contract.env.iter().find(|v| v.name.value == n && v.file));
            plain.or(file).is_some()
        };
        let own = |name: &&String| contract.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
        self.0.env.0.keys().filter(own).filter(move |name| !known(name)).map(|name| {
            let hint = match near(name, contract.env.iter().map(|v| v.name.value.as_str())) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("see {}", contract.source),
            };
            said(name, format!("the image does not document {name}, and nothing here reads it"), &hint)
        })
    }
}

fn required(variable: &VariableFile) -> RequestError {
    let name = &variable.name.value;
    let or_file = if variable.file { format!(" or {name}_FILE") } else { String::new() };
    let hint = format!("set {name}{or_file}: {}", variable.about);
    refuse(Reason::InvalidConfiguration, "env", format!("{name} is missing"), hint)
}

fn said(name: &str, message: String, hint: &str) -> RequestError {
    refuse(Reason::InvalidConfiguration, &format!("env[{name}]"), message, hint)
}

fn check_argument(argument: &ArgumentFile, args: &[String], scope: &Scope) -> Result<(), RequestError> {
    let by_flag = argument.flags.iter().any(|flag| arguments::has(args, flag));
    let by_setting = argument.settings.iter().any(|name| arguments::setting(args, name).is_some());
    if !by_flag && !by_setting {
        return Ok(());
    }
    let (message, hint) = (scope.render(&argument.message)?, scope.render(&argument.hint)?);
    Err(refuse(Reason::InvalidConfiguration, "args", message, hint))
}
