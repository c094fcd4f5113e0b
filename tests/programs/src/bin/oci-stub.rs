//! What conmon takes for an OCI runtime: starts the program named in the bundle's file `argv`, one argument a line, as a
//! plain process with the pipes that conmon made, so that conmon is measured alone.
//!
//! `oci-stub create --bundle DIRECTORY --pid-file FILE ID`; every other command succeeds and does nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "create") {
        return Ok(());
    }
    let bundle = PathBuf::from(value(&arguments, "--bundle")?);
    let child = start(&std::fs::read_to_string(bundle.join("argv"))?)?;
    std::fs::write(Path::new(value(&arguments, "--pid-file")?), child.to_string())
}

fn value<'a>(arguments: &'a [String], option: &str) -> io::Result<&'a str> {
    let found = arguments.windows(2).find(|pair| pair[0] == option);
    found.map(|pair| pair[1].as_str()).ok_or_else(|| io::Error::other(format!("{option} is missing")))
}

fn start(argv: &str) -> io::Result<u32> {
    let mut argv = argv.lines();
    let program = argv.next().ok_or_else(|| io::Error::other("an empty argv"))?;
    Ok(Command::new(program).args(argv).spawn()?.id())
}
