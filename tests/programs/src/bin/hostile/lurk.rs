//! Waiting for the moment at which somebody with more rights does something here.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::files;

/// The program that brings others into a container.
const HELPER: &str = "barepod-shim";

/// Takes hold of barepod's helper in the moment before it has become the program that it is to run: of its binary, its open
/// files, its memory: for so long, and until it has seen so many processes. Tells what it got.
pub(crate) fn lurk(time: Duration, enough: usize) -> io::Result<()> {
    let begin = Instant::now();
    let (mut seen, mut got) = (BTreeSet::new(), BTreeSet::new());
    while begin.elapsed() < time || seen.len() < enough {
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            seen.insert(pid);
            grasp(pid, &mut got);
        }
    }
    for line in &got {
        writeln!(io::stdout(), "got\t{line}")?;
    }
    writeln!(io::stdout(), "saw\t{}", seen.len())
}

fn grasp(pid: u32, got: &mut BTreeSet<String>) {
    let at = |what: &str| format!("/proc/{pid}/{what}");
    let Ok(binary) = File::open(at("exe")) else { return };
    let name = fs::read_link(at("exe")).unwrap_or_default();
    if files::is_this_program(&binary).unwrap_or(true) || !name.ends_with(HELPER) {
        return;
    }
    got.insert(format!("the binary {}", name.display()));
    for what in ["fd", "mem"] {
        if File::open(at(what)).is_ok() {
            got.insert(format!("{what} of {}", name.display()));
        }
    }
}

/// By turns nothing, a link and a directory, as fast as can be.
pub(crate) fn swap(path: &str, target: &str, time: Duration) -> io::Result<()> {
    let (path, beside) = (Path::new(path), format!("{path}.beside"));
    let begin = Instant::now();
    let mut swaps = 0_u64;
    while begin.elapsed() < time {
        // What is there may be a link, a directory, or a mount point that stays.
        let _ = fs::remove_file(path);
        let _ = fs::remove_dir(path);
        let _ = fs::remove_file(&beside);
        if symlink(target, &beside).is_ok() && fs::rename(&beside, path).is_ok() {
            swaps += 1;
        }
    }
    writeln!(io::stdout(), "swapped\t{swaps}")
}
