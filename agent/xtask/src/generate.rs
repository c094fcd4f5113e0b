//! What is made from something else and checked in; drift is an error.
//!
//! Rust code from the `.proto` files, so that a build needs no generator: compiled by protox, so that no `protoc` has to be
//! installed. The JSON Schema of presets, and the tables of their keys and of those of the configuration. The table of what is
//! done with each field of a Pod.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::keys;

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
    /// Packages that it imports, and the modules that their code is in.
    imports: &'static [(&'static str, &'static str)],
}

/// Where the packages are that those of Nomad share.
const NOMAD_SHARED: [(&str, &str); 2] = [
    (".hashicorp.nomad.plugins.shared.hclspec", "crate::wire::hclspec"),
    (".hashicorp.nomad.plugins.shared.structs", "crate::wire::structs"),
];

const GENERATED: [Generated; 8] = [
    Generated {
        proto: "agent/shim/proto/shim.proto",
        package: "barepod.shim.v1",
        target: "agent/shim/src/wire/generated.rs",
        kind: Kind::Messages,
        imports: &[],
    },
    Generated {
        proto: "agent/prober-wire/proto/prober.proto",
        package: "barepod.prober.v1",
        target: "agent/prober-wire/src/generated.rs",
        kind: Kind::Messages,
        imports: &[],
    },
    Generated {
        proto: "agent/api/proto/barepod.proto",
        package: "barepod.v1",
        target: "agent/api/src/generated.rs",
        kind: Kind::Services,
        imports: &[],
    },
    Generated {
        proto: "agent/goplugin/proto/goplugin.proto",
        package: "plugin",
        target: "agent/goplugin/src/generated.rs",
        kind: Kind::Services,
        imports: &[],
    },
    Generated {
        proto: "agent/nomad/proto/structs.proto",
        package: "hashicorp.nomad.plugins.shared.structs",
        target: "agent/nomad/src/wire/structs.rs",
        kind: Kind::Messages,
        imports: &[],
    },
    Generated {
        proto: "agent/nomad/proto/hclspec.proto",
        package: "hashicorp.nomad.plugins.shared.hclspec",
        target: "agent/nomad/src/wire/hclspec.rs",
        kind: Kind::Messages,
        imports: &[],
    },
    Generated {
        proto: "agent/nomad/proto/base.proto",
        package: "hashicorp.nomad.plugins.base.proto",
        target: "agent/nomad/src/wire/base.rs",
        kind: Kind::Services,
        imports: &NOMAD_SHARED,
    },
    Generated {
        proto: "agent/nomad/proto/driver.proto",
        package: "hashicorp.nomad.plugins.drivers.proto",
        target: "agent/nomad/src/wire/driver.rs",
        kind: Kind::Services,
        imports: &NOMAD_SHARED,
    },
];

/// The table of what is done with each field of a Pod.
const FIELDS: &str = "agent/manifest/FIELDS.md";

/// Writes what is generated, or, with `check`, compares it with what is there. A `.proto` file that does not exist is
/// left out.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let root = repository_root();
    for item in &GENERATED {
        if root.join(item.proto).exists() {
            let code = generate(&root, item).with_context(|| format!("code for {}", item.proto))?;
            put(&root, item.target, &code, check)?;
        }
    }
    put(&root, FIELDS, &barepod_manifest::fields::page(), check)?;
    let schema = serde_json::to_string_pretty(&barepod_presets::json_schema())?;
    put(&root, "configs/presets/preset.schema.json", &format!("{schema}\n"), check)?;
    put_table(&root, "configs/presets/README.md", &barepod_presets::markdown(), check)?;
    let configuration = std::fs::read_to_string(root.join("configs/barepod.yaml")).context("configs/barepod.yaml")?;
    put_table(&root, "configs/README.md", &keys::table(&configuration)?, check)
}

/// Writes a file, or compares it.
fn put(root: &Path, file: &str, text: &str, check: bool) -> anyhow::Result<()> {
    let target = root.join(file);
    if !check {
        return std::fs::write(&target, text).with_context(|| target.display().to_string());
    }
    let present = std::fs::read_to_string(&target).with_context(|| target.display().to_string())?;
    if present != text {
        bail!("{file} is not what it is made from: run `cargo xtask gen`");
    }
    Ok(())
}

/// Writes, or compares, a table of keys: the end of a page of which the rest is written by hand.
fn put_table(root: &Path, page: &str, table: &str, check: bool) -> anyhow::Result<()> {
    const BEGIN: &str = "<!-- keys: made by `cargo xtask gen` -->\n";
    let present = std::fs::read_to_string(root.join(page)).with_context(|| page.to_owned())?;
    let Some((by_hand, _)) = present.split_once(BEGIN) else { bail!("{page} has no line {BEGIN:?}") };
    put(root, page, &format!("{by_hand}{BEGIN}\n{}\n", table.trim_end()), check)
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
        Kind::Services => {
            let services = tonic_prost_build::configure().out_dir(out.path());
            let import = |services: tonic_prost_build::Builder, (package, module): &(&str, &str)| {
                services.extern_path(*package, *module)
            };
            item.imports.iter().fold(services, import).compile_fds(descriptors)?;
        }
    }
    let file = out.path().join(format!("{}.rs", item.package));
    std::fs::read_to_string(&file).with_context(|| format!("package {} expected in {}", item.package, item.proto))
}

fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate is two levels deep").to_path_buf()
}
