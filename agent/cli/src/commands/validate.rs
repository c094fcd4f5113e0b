//! `barepod validate`.

use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::diagnostic::Severity;

use super::apply;
use crate::args::Validate;
use crate::offline;
use crate::output::print;

pub(super) fn run(args: &Validate) -> Result<ExitCode> {
    let files = args.files.iter().map(|path| apply::read(path)).collect::<Result<Vec<_>>>()?;
    let found = offline::read(&args.root, &files)?;
    found.diagnostics.iter().for_each(|diagnostic| eprintln!("{}", apply::render(diagnostic)));
    let is_wrong = |file: &str| {
        found.diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error && diagnostic.file == file)
    };
    let (wrong, sound): (Vec<_>, Vec<_>) = files.iter().map(|file| &file.name).partition(|name| is_wrong(name));
    for name in sound {
        print(&format!("{name}: valid\n"))?;
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
