//! Repositories that apt and dnf install from: plain directories, for a web server or a disk.
//!
//! ```text
//!   OUT/key.asc                              what both check by
//!   OUT/apt/dists/stable/{InRelease, ...}    deb [signed-by=/etc/apt/keyrings/barepod.asc] URL/apt stable main
//!   OUT/apt/pool/main/*.deb
//!   OUT/rpm/repodata/{repomd.xml, repomd.xml.asc, ...}
//!   OUT/rpm/*.rpm
//! ```
//!
//! The key is the user's, in the user's keyring. It signs what lists the packages, and with it their hashes; apt wants no more, and dnf
//! checks that by `repo_gpgcheck=1`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::package::run_quietly;
use crate::repository::Repository;
use crate::setup;

/// The name of what apt calls a suite.
const SUITE: &str = "stable";
const COMPONENT: &str = "main";

/// What it is made of.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The key that signs, as gpg knows it: a fingerprint, or an address
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Where it is made. What is there of an earlier one stays, and is listed as well
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
    /// Packages: *.deb and *.rpm
    #[arg(required = true, value_name = "PACKAGE")]
    packages: Vec<PathBuf>,
}

/// Makes both.
pub(crate) fn run(repository: &Repository, options: &Options) -> anyhow::Result<()> {
    for (program, package) in
        [("apt-ftparchive", "apt-utils"), ("createrepo_c", "createrepo-c"), ("gpg", "gpg"), ("gzip", "gzip")]
    {
        if setup::find(program).is_none() {
            bail!("{program} is missing: `apt-get install {package}`");
        }
    }
    let out = std::path::absolute(&options.out)?;
    let (apt, rpm) = (out.join("apt"), out.join("rpm"));
    let pool = apt.join("pool").join(COMPONENT);
    for directory in [&pool, &rpm] {
        fs_err::create_dir_all(directory)?;
    }
    for package in &options.packages {
        let place = match package.extension().and_then(|extension| extension.to_str()) {
            Some("deb") => &pool,
            Some("rpm") => &rpm,
            _ => bail!("{} is neither a .deb nor an .rpm", package.display()),
        };
        fs_err::copy(package, place.join(package.file_name().context("a package has a name")?))?;
    }
    let signer = Signer { repository, key: &options.key };
    for_apt(&signer, &apt)?;
    for_dnf(&signer, &rpm)?;
    signer.export(&out.join("key.asc"))?;
    println!("{}", out.display());
    Ok(())
}

/// Signs with a key of the user's keyring.
struct Signer<'a> {
    repository: &'a Repository,
    key: &'a str,
}

impl Signer<'_> {
    fn gpg(&self) -> Command {
        let mut gpg = self.repository.command("gpg");
        gpg.args(["--batch", "--yes", "--local-user", self.key, "--armor"]);
        gpg
    }

    fn sign(&self, how: &str, file: &Path, signature: &Path) -> anyhow::Result<()> {
        run_quietly(self.gpg().arg("--output").arg(signature).arg(how).arg(file)).map(drop)
    }

    fn export(&self, file: &Path) -> anyhow::Result<()> {
        let key = run_quietly(self.gpg().args(["--export", self.key]))?;
        if key.is_empty() {
            bail!("gpg has no public key {}", self.key);
        }
        Ok(fs_err::write(file, key)?)
    }
}

/// Lists what is in the pool, for each processor, and signs the list of lists.
fn for_apt(signer: &Signer<'_>, apt: &Path) -> anyhow::Result<()> {
    let suite = apt.join("dists").join(SUITE);
    let archive = || {
        let mut archive = signer.repository.command("apt-ftparchive");
        // Names in the lists are relative to where it runs.
        archive.current_dir(apt);
        archive
    };
    let arches = ["amd64", "arm64"];
    for arch in arches {
        let place = suite.join(COMPONENT).join(format!("binary-{arch}"));
        fs_err::create_dir_all(&place)?;
        let list = run_quietly(archive().args(["--arch", arch, "packages"]).arg(Path::new("pool").join(COMPONENT)))?;
        fs_err::write(place.join("Packages"), list)?;
        run_quietly(signer.repository.command("gzip").args(["-9", "-n", "-k", "-f"]).arg(place.join("Packages")))?;
    }
    let mut release = archive();
    for (field, value) in [
        ("Origin", "barepod"),
        ("Label", "barepod"),
        ("Suite", SUITE),
        ("Codename", SUITE),
        ("Components", COMPONENT),
        ("Architectures", &arches.join(" ")),
    ] {
        release.args(["-o", &format!("APT::FTPArchive::Release::{field}={value}")]);
    }
    let signed = ["Release", "InRelease", "Release.gpg"].map(|name| suite.join(name));
    // Its own old signature is not to be listed.
    for old in signed.iter().filter(|file| file.exists()) {
        fs_err::remove_file(old)?;
    }
    let [list, inline, beside] = signed;
    let text = run_quietly(release.arg("release").arg(Path::new("dists").join(SUITE)))?;
    fs_err::write(&list, text)?;
    signer.sign("--clear-sign", &list, &inline)?;
    signer.sign("--detach-sign", &list, &beside)
}

fn for_dnf(signer: &Signer<'_>, rpm: &Path) -> anyhow::Result<()> {
    run_quietly(signer.repository.command("createrepo_c").arg("--quiet").arg(rpm))?;
    let list = rpm.join("repodata/repomd.xml");
    signer.sign("--detach-sign", &list, &list.with_extension("xml.asc"))
}
