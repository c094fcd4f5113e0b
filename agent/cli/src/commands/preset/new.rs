//! `barepod preset new`: the beginning of a preset of one's own, with what one may want to say, explained.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use barepod_model::ContainerName;

use super::catalogue;
use crate::output::print;

/// A preset from nothing. Without a blank after `#` there is a key that holds when the `#` goes.
const SKELETON: &str = include_str!("skeleton.yaml");
/// One that changes another.
const CHILD: &str = include_str!("child.yaml");
/// What stands in them for names.
const NAME: &str = "MY-SERVICE";
const PARENT: &str = "PARENT";

/// Writes it among the administrator's presets, or prints it.
pub(super) fn run(presets: &Path, name: &str, extends: Option<&str>, dry_run: bool) -> Result<ExitCode> {
    let catalogue = catalogue(presets)?;
    let text = text(&catalogue.names(), name, extends)?;
    if dry_run {
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    fs_err::create_dir_all(presets)?;
    let path = presets.join(format!("{name}.yaml"));
    // Nobody's work is written over.
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = file.with_context(|| format!("{} is not written", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| path.display().to_string())?;
    let path = path.display();
    print(&format!("{path} written\nedit it, then: barepod preset validate {path} && systemctl restart barepod\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn text(known: &[&str], name: &str, extends: Option<&str>) -> Result<String> {
    if ContainerName::new(name).is_err() {
        bail!("{name:?} is no name of a preset: write lower case letters, digits and -, as in my-service");
    }
    match extends {
        Some(parent) if !known.contains(&parent) => {
            bail!("there is no preset {parent} to begin with; there are {}", known.join(", "))
        }
        Some(parent) => Ok(CHILD.replace(NAME, name).replace(PARENT, parent)),
        None if known.contains(&name) => {
            bail!("there is a preset {name} already: `--extends {name}` begins a change of it")
        }
        None => Ok(SKELETON.replace(NAME, name)),
    }
}

#[cfg(test)]
mod tests {
    use barepod_presets::{Catalogue, PresetSource};

    use super::*;

    /// What is wrong with a preset.
    fn faults(text: &str) -> Vec<String> {
        let source = PresetSource { file: "new.yaml", text, beside: &|_| None };
        let added = Catalogue::built_in().unwrap().add(&source);
        added.err().into_iter().flatten().map(|fault| fault.to_string()).collect()
    }

    /// With all that is commented out.
    fn filled(text: &str) -> String {
        let key =
            |line: &str| line.strip_prefix('#').filter(|rest| !rest.is_empty() && !is_prose(line)).map(str::to_owned);
        text.lines().map(|line| key(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
    }

    /// `# Words.`; a key below another one is indented by two.
    fn is_prose(line: &str) -> bool {
        line.starts_with("# ") && !line.starts_with("#  ")
    }

    #[test]
    fn what_is_written_is_a_valid_preset_and_so_is_all_that_is_commented_out() {
        let names = ["postgresql"];
        for (name, extends) in [("my-db", None), ("my-db", Some("postgresql")), ("postgresql", Some("postgresql"))] {
            let text = text(&names, name, extends).unwrap();
            assert_eq!(faults(&text), [""; 0], "{text}");
            let filled = filled(&text);
            assert!(filled.contains("minGraceSeconds"), "{filled}");
            assert_eq!(faults(&filled), [""; 0], "{filled}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_is_answered_with_what_can() {
        let said = |name, extends| text(&["postgresql"], name, extends).unwrap_err().to_string();
        assert!(said("My_DB", None).contains("lower case letters"));
        assert!(said("postgresql", None).contains("--extends postgresql"));
        assert!(said("my-db", Some("oracle")).contains("there are postgresql"));
    }
}
