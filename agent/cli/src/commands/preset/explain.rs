//! `barepod preset explain`: what a preset computes, from what, why, and who decides in the end.

use std::process::ExitCode;

use anyhow::Result;
use barepod_model::{ContainerRequest, RequestError};
use barepod_presets::{Catalogue, Explanation, LocalHost, Setting, Verdict};

use super::{Surroundings, pods};
use crate::args::Subject;
use crate::output::print;

pub(super) async fn run(surroundings: &Surroundings<'_>, catalogue: &Catalogue, what: Subject) -> Result<ExitCode> {
    let (text, sound) = explained(surroundings, catalogue, &what).await?;
    print(&text)?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What there is to say, and whether nothing was wrong.
async fn explained(surroundings: &Surroundings<'_>, catalogue: &Catalogue, what: &Subject) -> Result<(String, bool)> {
    let mut text = String::new();
    // Of a preset alone it is asked what it computes, not whether a manifest is complete.
    let alone = what.name.as_deref().is_some_and(|name| !name.starts_with("pod/"));
    let sound = pods::each(surroundings, catalogue, what, |request| {
        let explained = if alone {
            catalogue.explain_alone(request, &LocalHost)?
        } else {
            catalogue.explain(request, &LocalHost)?
        };
        text += &one(request, &explained);
        Ok(explained.resolved)
    })
    .await?;
    Ok((text, sound))
}

fn one(request: &ContainerRequest, explained: &Explanation) -> String {
    let mut text =
        format!("container {}: image {}, preset {}\n", request.name, request.image, explained.resolved.preset);
    text += &format!("  from      {}", explained.file);
    if !explained.above.is_empty() {
        text += &format!(" over {}", explained.above.join(", "));
    }
    text.push('\n');
    if let Some(source) = &explained.documented {
        text += &format!("  contract  {source}\n");
    }
    for (path, about) in &explained.paths {
        text += &format!("  reads     {}: {about}\n", path.display());
    }
    explained.settings.iter().for_each(|setting| text += &tuned(setting));
    explained.resolved.warnings.iter().for_each(|warning| text += &said(warning));
    text
}

fn tuned(setting: &Setting) -> String {
    let mut text = match &setting.verdict {
        Verdict::Preset { value, by } => format!("\n  {} = {value}  ({by})\n", setting.name),
        Verdict::Manifest { field } => format!("\n  {}: the manifest decides, in {field}\n", setting.name),
        Verdict::Nobody { when } => {
            format!("\n  {}: the service's own default, for this does not hold: {when}\n", setting.name)
        }
    };
    let inputs: Vec<String> = setting.inputs.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let inputs = if inputs.is_empty() { String::new() } else { format!("  with {}", inputs.join(", ")) };
    text += &format!("      formula  {}{inputs}\n", setting.formula);
    text += &format!("      why      {}\n", setting.why);
    if let Some(source) = &setting.source {
        text += &format!("      source   {source}\n");
    }
    text += &format!("      rule     {}\n", setting.rule);
    text
}

fn said(warning: &RequestError) -> String {
    let hint = warning.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("\n  note: {}: {}{hint} [{}]\n", warning.field, warning.message, warning.reason)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::commands::preset::tests::of_administrator;

    #[tokio::test]
    async fn each_setting_is_explained_with_its_formula_and_who_decides() {
        let (dir, catalogue) = of_administrator();
        let subject = Subject {
            name: Some("patient".to_owned()),
            filename: Vec::new(),
            memory: Some("1Gi".to_owned()),
            cpu: None,
            env: vec!["COUNTER_STEP=5".to_owned()],
            args: Vec::new(),
        };
        let surroundings = Surroundings { socket: Path::new("/"), namespace: "default" };
        let (text, sound) = explained(&surroundings, &catalogue, &subject).await.unwrap();
        assert!(sound);
        insta::assert_snapshot!(text.replace(&dir.path().display().to_string(), "/etc/barepod/presets"));
    }
}
