//! Which version a tag asks for, which are installed, and which of them it gets.

use std::fmt;
use std::path::{Path, PathBuf};

use barepod_model::{Reason, RequestError};

use crate::distribution::Distribution;
use crate::error::refuse;
use crate::file::{Compatible, PlaceFile, VersionsFile};
use crate::host::Host;
use crate::image::Image;
use crate::template::Scope;

/// A version: its numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) Vec<u32>);

impl Version {
    /// The numbers that `text` begins with, and what follows them.
    fn leading(text: &str) -> Option<(Version, &str)> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let digits = text[..end].trim_end_matches('.');
        let numbers = digits.split('.').map(|n| n.parse().ok()).collect::<Option<Vec<u32>>>()?;
        Some((Version(numbers), &text[digits.len()..]))
    }

    fn begins_with(&self, other: &Version) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

/// An installed version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    /// As far as it is known.
    pub(crate) version: Version,
    /// Where its programs are.
    pub(crate) dir: PathBuf,
}

/// What was chosen, with what is worth telling about the choice.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) installed: Installed,
    pub(crate) warning: Option<RequestError>,
}

/// What a tag asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Highest,
    Exactly(Version),
    /// A pre-release or something else that is never a distribution's package.
    Unknown(String),
}

fn wanted(image: &Image, versions: &VersionsFile) -> Wanted {
    let Some(tag) = image.tag.as_deref() else { return Wanted::Highest };
    match Version::leading(without_prefix(tag, versions)) {
        None => Wanted::Highest,
        Some((version, rest)) if rest.is_empty() || rest.starts_with('-') => Wanted::Exactly(version),
        Some(_) => Wanted::Unknown(tag.to_owned()),
    }
}

/// What follows the letters that a version begins with: `v1.2`, `RELEASE.2025-09-07`.
fn without_prefix<'a>(text: &'a str, versions: &VersionsFile) -> &'a str {
    let text = versions.tag_prefix.as_deref().and_then(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    text.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(text)
}

/// Everything that is installed, the highest version first.
pub(crate) fn all(versions: &VersionsFile, host: &dyn Host) -> Vec<Installed> {
    let distribution = Distribution::of(host);
    let places = versions.places.iter().filter(|place| distribution.is_one_of(&place.distributions));
    let mut found: Vec<Installed> = places.flat_map(|place| installed(place, versions, host)).collect();
    found.sort_by(|a, b| b.version.cmp(&a.version));
    found
}

/// Chooses among what is installed.
pub(crate) fn choose(
    image: &Image,
    title: &str,
    versions: &VersionsFile,
    host: &dyn Host,
) -> Result<Chosen, RequestError> {
    let found = all(versions, host);
    let missing = |what: String, series: &str| Err(not_installed(title, what, series, &found, versions, host));
    match wanted(image, versions) {
        Wanted::Unknown(tag) => missing(tag, ""),
        Wanted::Highest => match found.first() {
            None => missing(String::new(), ""),
            Some(first) => {
                let mut installed = first.clone();
                installed.version = full_version(first, versions, host)?;
                Ok(Chosen { warning: unpinned(image, title, &installed), installed })
            }
        },
        Wanted::Exactly(version) => {
            let named = |i: &&Installed| version.begins_with(&i.version) || i.version.begins_with(&version);
            let other = |i: &&Installed| may_stand_in(versions, &i.version, &version);
            match found.iter().find(named).or_else(|| found.iter().find(other)) {
                None => missing(version.to_string(), &version.0[0].to_string()),
                Some(installed) => {
                    hold_against(installed, &version, title, versions, host).map_err(|full| match full {
                        Ok(full) => older(title, &version, &full),
                        Err(error) => error,
                    })
                }
            }
        }
    }
}

/// Reads the full version and compares what the directory's name does not say. Fails with the version if it does not fit.
fn hold_against(
    installed: &Installed,
    wanted: &Version,
    title: &str,
    versions: &VersionsFile,
    host: &dyn Host,
) -> Result<Chosen, Result<Version, RequestError>> {
    let full = full_version(installed, versions, host).map_err(Err)?;
    let fits = match versions.compatible.unwrap_or(Compatible::Minor) {
        Compatible::Minor | Compatible::Newer => full.begins_with(wanted) || full > *wanted,
        Compatible::Exact => full.begins_with(wanted),
    };
    if !fits {
        return Err(Ok(full));
    }
    let warning = (!full.begins_with(wanted)).then(|| {
        let message = format!("{title} {full} runs instead of {wanted}: it is what this host has");
        refuse(Reason::VersionNotInstalled, "image", message, "write only the first number of the version")
    });
    Ok(Chosen { installed: Installed { version: full, dir: installed.dir.clone() }, warning })
}

fn full_version(installed: &Installed, versions: &VersionsFile, host: &dyn Host) -> Result<Version, RequestError> {
    let mut scope = Scope::default();
    scope.set("dir", installed.dir.display().to_string());
    let argv = scope.render_all(&versions.read)?;
    let fault = |message: String| refuse(Reason::VersionNotInstalled, "image", message, "mend its installation");
    let output = host.run_version(&argv).map_err(|e| fault(format!("its version cannot be read: {e}")))?;
    first_version(&output, versions).ok_or_else(|| fault(format!("{:?} does not say its version", argv.join(" "))))
}

/// The first word that begins with a number.
fn first_version(output: &str, versions: &VersionsFile) -> Option<Version> {
    let words = output.split(|c: char| c.is_whitespace() || matches!(c, '=' | ',' | '('));
    words.into_iter().find_map(|word| Version::leading(without_prefix(word, versions)).map(|(version, _)| version))
}

/// Whether a version that the name of no directory says can be taken for the one asked for.
fn may_stand_in(versions: &VersionsFile, installed: &Version, wanted: &Version) -> bool {
    match versions.compatible.unwrap_or(Compatible::Minor) {
        Compatible::Minor => installed.0.len() > 1 && installed.0.first() == wanted.0.first(),
        Compatible::Newer => installed > wanted,
        Compatible::Exact => false,
    }
}

fn unpinned(image: &Image, title: &str, installed: &Installed) -> Option<RequestError> {
    let tag = image.tag.as_deref().filter(|t| *t != "latest");
    let because = match (&image.digest, tag) {
        (Some(_), _) => "a digest alone says nothing about a version",
        (None, Some(_)) => "its tag names no version",
        (None, None) => return None,
    };
    let message = format!("{title} {} is chosen, the highest here: {because}", installed.version);
    Some(refuse(Reason::VersionNotInstalled, "image", message, "add a tag with a version"))
}

fn older(title: &str, wanted: &Version, full: &Version) -> RequestError {
    let message = format!("{title} {wanted} is not installed on this host, which has {full}");
    refuse(Reason::VersionNotInstalled, "image", message, "update the package, or write only the first number")
}

fn not_installed(
    title: &str,
    what: String,
    series: &str,
    found: &[Installed],
    versions: &VersionsFile,
    host: &dyn Host,
) -> RequestError {
    let have: Vec<String> = found.iter().map(|i| i.version.to_string()).collect();
    let have = if have.is_empty() { "none".to_owned() } else { have.join(", ") };
    let name = format!("{title} {what}");
    let message = format!("{} is not installed on this host; installed: {have}", name.trim_end());
    let mut scope = Scope::default();
    scope.set("version", if series.is_empty() { "VERSION" } else { series });
    let distribution = Distribution::of(host);
    let install = versions.install.iter().find(|i| distribution.is_one_of(&i.distributions));
    let how = install.and_then(|i| {
        let about = i.about.as_ref().and_then(|about| scope.render(about).ok());
        let about = about.map(|about| format!(" ({about})")).unwrap_or_default();
        Some(format!("install it: {}{about}", scope.render(&i.command).ok()?))
    });
    let hint = how.unwrap_or_else(|| "install it, or use a version that is there".to_owned());
    refuse(Reason::VersionNotInstalled, "image", message, hint)
}

/// What is installed at one place.
fn installed(place: &PlaceFile, versions: &VersionsFile, host: &dyn Host) -> Vec<Installed> {
    let pattern = &place.dir.value;
    let Some((before, after)) = pattern.split_once("{version}") else {
        return unversioned(place, versions, host).into_iter().collect();
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let (suffix, below) = after.split_once('/').map_or((after, ""), |(suffix, below)| (suffix, below));
    let mut found = Vec::new();
    for name in host.list_dir(Path::new(if parent.is_empty() { "/" } else { parent })) {
        let text = name.strip_prefix(prefix).and_then(|n| n.strip_suffix(suffix));
        let Some((version, "")) = text.and_then(Version::leading) else { continue };
        let dir = Path::new(parent).join(&name);
        let dir = if below.is_empty() { dir } else { dir.join(below) };
        if host.exists(&dir.join(&place.program)) {
            found.push(Installed { version, dir });
        }
    }
    found
}

/// A place whose name does not say the version: the program is asked.
fn unversioned(place: &PlaceFile, versions: &VersionsFile, host: &dyn Host) -> Option<Installed> {
    let dir = PathBuf::from(&place.dir.value);
    if !host.exists(&dir.join(&place.program)) {
        return None;
    }
    let version = full_version(&Installed { version: Version(Vec::new()), dir: dir.clone() }, versions, host).ok()?;
    Some(Installed { version, dir })
}
