//! `barepod run`: a preset by its name, without a manifest of one's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use barepod_api::v1::{ApplyRequest, ApplyResponse, ListRequest, ManifestFile, diagnostic};
use barepod_presets::{LocalHost, RunPlan};
use serde_json::{Value, json};

use super::{Client, apply, preset};
use crate::args::{Run, RunOutput};
use crate::output::print;
use crate::refusal::from_status;
use crate::run::{Wish, file_of_secret, manifests, password, to_be_made};

pub(super) async fn run(socket: &Path, namespace: String, args: Run) -> Result<ExitCode> {
    let catalogue = preset::catalogue(&args.config.join("presets"))?;
    let plan = catalogue.run_plan(&args.preset, &LocalHost).map_err(|error| match error.hint {
        Some(hint) => anyhow!("{}; {hint} [{}]", error.message, error.reason),
        None => anyhow!("{} [{}]", error.message, error.reason),
    })?;
    let wish = Wish {
        namespace,
        name: args.name.clone().unwrap_or_else(|| plan.preset.clone()),
        memory: args.memory.clone(),
        cpu: args.cpu.clone(),
        storage: args.storage.clone(),
        set: args.set.iter().map(|pair| variable(pair)).collect::<Result<_>>()?,
        args: args.args.clone(),
    };
    if args.dry_run {
        return dry_run(&plan, &wish, args.output.unwrap_or(RunOutput::Yaml));
    }
    let client = barepod_api::connect(socket).await?;
    begin(client, &plan, &wish, &args).await
}

fn variable(pair: &str) -> Result<(String, String)> {
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => bail!(
            "--set {pair}: write --set NAME=VALUE, with a variable that the image documents; arguments come after --"
        ),
    }
}

fn dry_run(plan: &RunPlan, wish: &Wish, output: RunOutput) -> Result<ExitCode> {
    let passwords = to_be_made(plan, wish)?;
    let made = make(passwords.iter().map(|password| password.variable.clone()))?;
    let objects = manifests(plan, wish, &passwords, Some(&made).filter(|made| !made.is_empty()));
    match output {
        RunOutput::Yaml => print(&yaml(&objects)?)?,
        RunOutput::Json => print(&format!("{:#}\n", json!({"apiVersion": "v1", "kind": "List", "items": objects})))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn make(variables: impl Iterator<Item = String>) -> Result<BTreeMap<String, String>> {
    variables.map(|variable| Ok((variable, password().context("no password can be made")?))).collect()
}

fn yaml(objects: &[Value]) -> Result<String> {
    let documents = objects.iter().map(serde_saphyr::to_string).collect::<Result<Vec<_>, _>>()?;
    Ok(documents.join("---\n"))
}

async fn begin(mut client: Client, plan: &RunPlan, wish: &Wish, args: &Run) -> Result<ExitCode> {
    let Wish { namespace, name, .. } = wish;
    let request = ListRequest { namespace: namespace.clone(), name: name.clone(), ..ListRequest::default() };
    if !client.list(request).await.map_err(from_status)?.into_inner().pods.is_empty() {
        bail!(
            "there is a pod {name} in namespace {namespace} already; give this one another --name, or change that one with `barepod apply`"
        );
    }
    let passwords = to_be_made(plan, wish)?;
    let kept = match passwords.is_empty() {
        true => None,
        false => file_of_secret(&args.config.join("manifests"), namespace, &wish.secret())?,
    };
    let made = match &kept {
        Some(_) => BTreeMap::new(),
        None => make(passwords.iter().map(|password| password.variable.clone()))?,
    };
    let objects = manifests(plan, wish, &passwords, Some(&made).filter(|made| !made.is_empty()));
    let text = yaml(&objects)?;
    // Nothing is written before all of it can be: a Secret whose pod is refused would have a password that nobody saw.
    if !is_sound(&apply_text(&mut client, wish, &text, true).await?) {
        return Ok(ExitCode::FAILURE);
    }
    let answer = apply_text(&mut client, wish, &text, false).await?;
    let refused = answer.results.iter().filter(|result| !apply::show(result)).count();
    for (variable, password) in &made {
        print(&format!("{variable} is {password}\n"))?;
    }
    if !made.is_empty() {
        let secret = wish.secret();
        print(&format!(
            "this is shown once; it is kept in Secret {namespace}/{secret}, in a file that root alone can read\n"
        ))?;
    }
    if let Some(file) = kept {
        print(&format!("passwords are those of Secret {namespace}/{}, in {}\n", wish.secret(), file.display()))?;
    }
    if refused > 0 {
        return Ok(ExitCode::FAILURE);
    }
    if !args.no_wait {
        apply::wait(&mut client, &answer.results, Duration::from_secs(args.timeout)).await?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn apply_text(client: &mut Client, wish: &Wish, text: &str, dry_run: bool) -> Result<ApplyResponse> {
    let files = vec![ManifestFile { name: format!("pod {}", wish.name), text: text.to_owned() }];
    Ok(client.apply(ApplyRequest { files, dry_run }).await.map_err(from_status)?.into_inner())
}

/// Says what is to be said.
fn is_sound(answer: &ApplyResponse) -> bool {
    answer.diagnostics.iter().for_each(|diagnostic| eprintln!("{}", apply::render(diagnostic)));
    answer.diagnostics.iter().all(|diagnostic| diagnostic.severity() != diagnostic::Severity::Error)
}
