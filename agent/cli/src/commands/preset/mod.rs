//! `barepod preset`: what stands in for images on this host. Works without the daemon: on the built-in presets and those of
//! the administrator's directory.

mod explain;
mod new;
mod pods;
mod render;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use barepod_presets::{Catalogue, Listed, LocalHost};

use crate::args::{Preset, PresetVerb};
use crate::get::presets::{above, installed};
use crate::output::{Table, print};

/// Where a verb looks, and what it needs to ask the daemon about a pod.
pub(super) struct Surroundings<'a> {
    pub(super) socket: &'a Path,
    pub(super) namespace: &'a str,
}

pub(super) async fn run(surroundings: Surroundings<'_>, args: Preset) -> Result<ExitCode> {
    let presets = args.config.join("presets");
    match args.verb {
        PresetVerb::List { images } => list(&presets, images),
        PresetVerb::Show { name, origins } => show(&presets, &name, origins),
        PresetVerb::Explain(what) => explain::run(&surroundings, &catalogue(&presets)?, what).await,
        PresetVerb::Render(what) => render::run(&surroundings, &catalogue(&presets)?, what).await,
        PresetVerb::New { name, extends, dry_run } => new::run(&presets, &name, extends.as_deref(), dry_run),
        PresetVerb::Validate { paths } => validate(if paths.is_empty() { vec![presets] } else { paths }),
    }
}

/// All presets; what is wrong with the administrator's is said, and leaves those out, as in the daemon.
pub(crate) fn catalogue(presets: &Path) -> Result<Catalogue> {
    let mut catalogue = Catalogue::built_in()?;
    for fault in catalogue.add_dir(presets) {
        eprintln!("warning: a preset is left out: {fault}");
    }
    Ok(catalogue)
}

fn list(presets: &Path, images: bool) -> Result<ExitCode> {
    print(&table(&catalogue(presets)?.list(&LocalHost), images).render())?;
    Ok(ExitCode::SUCCESS)
}

fn table(presets: &[Listed], images: bool) -> Table {
    let mut headings = vec!["NAME", "TITLE", "INSTALLED", "FROM", "OVER"];
    if images {
        headings.push("IMAGES");
    }
    let mut table = Table::new(&headings);
    for preset in presets {
        let mut row =
            vec![preset.name.clone(), preset.title.clone(), installed(preset), preset.file.clone(), above(preset)];
        if images {
            row.push(preset.images.join(", "));
        }
        table.row(row);
    }
    table
}

fn show(presets: &Path, name: &str, origins: bool) -> Result<ExitCode> {
    let catalogue = catalogue(presets)?;
    match catalogue.show(name, origins) {
        Some(text) => print(&text)?,
        None => bail!("there is no preset {name}; there are {}", catalogue.names().join(", ")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Directories are read as the administrator's would be; a file as one that lies in its directory.
fn validate(paths: Vec<PathBuf>) -> Result<ExitCode> {
    let mut sound = true;
    for path in paths {
        let mut catalogue = Catalogue::built_in()?;
        if !path.exists() {
            bail!("there is no {}", path.display());
        }
        let dir = if path.is_dir() { path.clone() } else { parent(&path) };
        let of_file = |file: &str| path.is_dir() || Path::new(file) == dir.join(path.file_name().unwrap_or_default());
        let faults: Vec<_> = catalogue.add_dir(&dir).into_iter().filter(|fault| of_file(&fault.file)).collect();
        faults.iter().for_each(|fault| eprintln!("{fault}"));
        sound &= faults.is_empty();
        if faults.is_empty() {
            print(&format!("{}: valid\n", path.display()))?;
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parent(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Presets of an administrator: one of his own, and a change of it.
    pub(super) fn of_administrator() -> (tempfile::TempDir, Catalogue) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in
            [("counter.yaml", include_str!("counter.yaml")), ("patient.yaml", include_str!("patient.yaml"))]
        {
            fs_err::write(dir.path().join(name), text).unwrap();
        }
        let catalogue = catalogue(dir.path()).unwrap();
        (dir, catalogue)
    }

    #[test]
    fn presets_are_listed_and_shown_with_where_each_line_is_from() {
        let (dir, catalogue) = of_administrator();
        let named = |text: String| text.replace(&dir.path().display().to_string(), "/etc/barepod/presets");
        let mut own = catalogue.list(&LocalHost);
        own.retain(|preset| preset.file.starts_with(&dir.path().display().to_string()));
        for preset in &mut own {
            preset.file = named(std::mem::take(&mut preset.file));
            preset.above = preset.above.drain(..).map(named).collect();
        }
        insta::assert_snapshot!("preset_list", table(&own, true).render());
        insta::assert_snapshot!("preset_show", named(catalogue.show("patient", false).unwrap()));
        insta::assert_snapshot!("preset_show_origins", named(catalogue.show("patient", true).unwrap()));
    }
}
