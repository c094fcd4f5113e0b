//! Rust code from the `.proto` files, checked in so that a build needs no generator; drift is an error.
//!
//! Compiled by protox, so that no `protoc` has to be installed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Messages that carry an environment or a header: their `Debug` is written by hand and shows names only.
const SECRET_MESSAGES: [&str; 3] = ["Start", "Exec", "Header"];

/// Which code a file gets.
enum Kind {
    /// Messages only.
    Messages,
    /// Messages, clients and servers.
    Services,
}

/// One `.proto` file and where its code goes, both from the repository's root.
struct Generated {
    proto: &'static str,
    package: &'static str,
    target: &'static str,
    kind: Kind,
}

const GENERATED: [Generated; 3] = [
    Generated {
        proto: "agent/shim/proto/shim.proto",
        package: "barepod.shim.v1",
        target: "agent/shim/src/wire/generated.rs",
        kind: Kind::Messages,
    },
    Generated {
        proto: "agent/prober-wire/proto/prober.proto",
        package: "barepod.prober.v1",
        target: "agent/prober-wire/src/generated.rs",
        kind: Kind::Messages,
    },
    Generated {
        proto: "agent/api/proto/barepod.proto",
        package: "barepod.v1",
        target: "agent/api/src/generated.rs",
        kind: Kind::Services,
    },
];

/// Writes the generated code, or, with `check`, compares it with what is there. A `.proto` file that does not exist is
/// left out.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let root = repository_root();
    for item in &GENERATED {
        if root.join(item.proto).exists() {
            one(&root, item, check).with_context(|| format!("code for {}", item.proto))?;
        }
    }
    Ok(())
}

fn one(root: &Path, item: &Generated, check: bool) -> anyhow::Result<()> {
    let code = generate(root, item)?;
    let target = root.join(item.target);
    if !check {
        return std::fs::write(&target, code).with_context(|| target.display().to_string());
    }
    let present = std::fs::read_to_string(&target).with_context(|| target.display().to_string())?;
    if present != code {
        bail!("{} differs from what {} yields: run `cargo xtask gen`", item.target, item.proto);
    }
    Ok(())
}

fn generate(root: &Path, item: &Generated) -> anyhow::Result<String> {
    let proto = root.join(item.proto);
    let include = proto.parent().context("a file has a directory")?;
    let descriptors = protox::compile([&proto], [include])?;
    let out = tempfile::tempdir()?;
    match item.kind {
        Kind::Messages => prost_build::Config::new()
            .out_dir(out.path())
            .skip_debug(SECRET_MESSAGES.map(|name| format!(".{}.{name}", item.package)))
            .compile_fds(descriptors)?,
        Kind::Services => tonic_prost_build::configure().out_dir(out.path()).compile_fds(descriptors)?,
    }
    let file = out.path().join(format!("{}.rs", item.package));
    std::fs::read_to_string(&file).with_context(|| format!("package {} expected in {}", item.package, item.proto))
}

fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate is two levels deep").to_path_buf()
}
