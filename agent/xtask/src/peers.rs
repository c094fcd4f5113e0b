//! Builds the real servers of `tests/peers` where they are missing: minutes the first time, nothing after that.

use std::path::Path;

use anyhow::{Context as _, bail};
use barepod_tests::peers::{ALL, Peer};

use crate::repository::{Repository, succeed};
use crate::setup::find;

/// What is missing, one after the other: each build takes all processors.
pub(crate) fn run(repository: &Repository) -> anyhow::Result<()> {
    build(repository, &ALL)
}

/// The same for those that not every test needs.
pub(crate) fn build(repository: &Repository, peers: &[Peer]) -> anyhow::Result<()> {
    peers.iter().filter(|peer| !peer.is_built()).try_for_each(|peer| build_one(repository, peer))
}

fn build_one(repository: &Repository, peer: &Peer) -> anyhow::Result<()> {
    if find("go").is_none() {
        bail!(
            "tests/peers/{} is built by Go, which is not here: install Go 1.26 or newer (https://go.dev/dl), put its bin \
             directory on the PATH, then run `cargo xtask setup` again",
            peer.name
        );
    }
    let directory = peer.directory();
    let parent = directory.parent().context("the cache is a directory")?;
    fs_err::create_dir_all(parent)?;
    // On the same file system, so that what is complete appears in one stroke.
    let scratch = tempfile::Builder::new().prefix(".building-").tempdir_in(parent)?;
    let module = scratch.path().join("module");
    fs_err::create_dir(&module)?;
    fs_err::write(module.join("go.mod"), peer.module)?;
    fs_err::write(module.join("go.sum"), peer.sums)?;
    for (name, text) in peer.sources {
        fs_err::write(module.join(name), text)?;
    }
    let programs = scratch.path().join("programs");
    for (program, package) in peer.programs {
        println!("setup: building {program} of tests/peers/{}; from nothing it takes minutes", peer.name);
        build_program(repository, peer, &module, package, &programs.join(program))?;
    }
    put(&programs, peer)
}

fn build_program(
    repository: &Repository,
    peer: &Peer,
    module: &Path,
    package: &str,
    program: &Path,
) -> anyhow::Result<()> {
    // A package's tests, built into a program, have this name.
    let verb: &[&str] =
        if program.extension().is_some_and(|it| it == "test") { &["test", "-c", "-vet=off"] } else { &["build"] };
    let mut go = repository.command("go");
    go.current_dir(module).envs(peer.environment.iter().copied()).args(verb);
    go.args(["-mod=mod", "-ldflags", peer.linker_flags, "-o"]).arg(program).arg(package);
    succeed(&mut go).with_context(|| {
        format!("{package} cannot be built; Go's own words are above (it fetches modules from `go env GOPROXY`)")
    })
}

/// Into their place, unless another setup was first.
fn put(programs: &Path, peer: &Peer) -> anyhow::Result<()> {
    let directory = peer.directory();
    if directory.exists() && !peer.is_built() {
        fs_err::remove_dir_all(&directory)?;
    }
    match fs_err::rename(programs, &directory) {
        Err(_) if peer.is_built() => Ok(()),
        other => Ok(other?),
    }
}
