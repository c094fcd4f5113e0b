//! `barepod policy`: what holds, and what it would say to manifests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use barepod_api::v1::{self, CheckPolicyRequest, ManifestFile, PolicyRequest, diagnostic, policy_response};
use barepod_linux::Dirs;
use barepod_manifest::Objects;
use barepod_policy::{Finding, Host, RuleVerdict, Subject, Verdict};
use barepod_reader::{Diagnostics, LocalHost, Reader, user_of};

use super::{Client, apply};
use crate::args::{Policy, PolicyCheck, Source, VerdictOutput};
use crate::output::print;
use crate::refusal::from_status;

/// Something is denied.
const DENIED: u8 = 1;
/// It could not be judged.
const UNJUDGED: u8 = 3;

/// What was found out.
struct Checked {
    verdicts: Vec<Verdict>,
    errors: bool,
}

pub(super) async fn run(socket: &Path, args: Policy) -> Result<ExitCode> {
    match args {
        Policy::Check(args) => Ok(check(socket, &args).await.unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            ExitCode::from(UNJUDGED)
        })),
        Policy::Show => show(barepod_api::connect(socket).await?).await,
    }
}

async fn show(mut client: Client) -> Result<ExitCode> {
    let answer = client.policy(PolicyRequest {}).await.map_err(from_status)?.into_inner();
    match answer.origin() {
        policy_response::Origin::File => {}
        policy_response::Origin::BuiltIn => eprintln!("there is no policy file: the built-in policy holds"),
        policy_response::Origin::Nothing => eprintln!("the policy file is broken: nothing new is allowed"),
    }
    print(&answer.text)?;
    if answer.fault.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: {}", answer.fault);
    Ok(ExitCode::FAILURE)
}

async fn check(socket: &Path, args: &PolicyCheck) -> Result<ExitCode> {
    let files = args.files.iter().map(|path| apply::read(path)).collect::<Result<Vec<_>>>()?;
    let uid = args.as_user.as_deref().map(uid_of).transpose()?;
    let checked = match client(socket, args).await? {
        Some(client) => ask(client, args, files, uid).await?,
        None => look(args, files, uid)?,
    };
    match args.output {
        Some(VerdictOutput::Json) => print(&format!("{:#}\n", serde_json::to_value(&checked.verdicts)?))?,
        None => print(&checked.verdicts.iter().map(Verdict::explain).collect::<String>())?,
    }
    if args.files.is_empty() && args.output.is_none() {
        print("the policy is valid\n")?;
    }
    let denied = checked.verdicts.iter().any(|verdict| !verdict.is_allowed());
    Ok(match (checked.errors, denied) {
        (true, _) => ExitCode::from(UNJUDGED),
        (false, true) => ExitCode::from(DENIED),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// The daemon, if it is to be asked and there is one.
async fn client(socket: &Path, args: &PolicyCheck) -> Result<Option<Client>> {
    if args.offline {
        return Ok(None);
    }
    match barepod_api::connect(socket).await {
        Ok(client) => Ok(Some(client)),
        Err(error) => {
            eprintln!("warning: {:#}; the policy's file is read instead", anyhow!(error));
            Ok(None)
        }
    }
}

async fn ask(mut client: Client, args: &PolicyCheck, files: Vec<ManifestFile>, uid: Option<u32>) -> Result<Checked> {
    let (policy_file, policy_text) = match &args.policy {
        Some(path) => (path.display().to_string(), fs_err::read_to_string(path)?),
        None => (String::new(), String::new()),
    };
    let source = source_of(args.as_source).to_string();
    let request = CheckPolicyRequest { files, source, uid, policy_text, policy_file };
    let answer = client.check_policy(request).await.map_err(from_status)?.into_inner();
    let mut errors = false;
    for diagnostic in &answer.diagnostics {
        eprintln!("{}", apply::render(diagnostic));
        errors |= diagnostic.severity() == diagnostic::Severity::Error;
    }
    Ok(Checked { verdicts: answer.verdicts.into_iter().map(verdict).collect(), errors })
}

/// Without the daemon.
fn look(args: &PolicyCheck, files: Vec<ManifestFile>, uid: Option<u32>) -> Result<Checked> {
    let dirs = Dirs::system();
    let policy = policy(args.policy.clone(), &dirs)?;
    let reader = Reader::new(&dirs, BTreeMap::new())?;
    let source = source_of(args.as_source);
    let own = || user_of(nix::unistd::geteuid().as_raw(), Some(nix::unistd::getegid().as_raw()));
    let user = uid.map_or_else(own, |uid| user_of(uid, None));
    let user = Some(user).filter(|_| source == barepod_model::Source::File);
    let files: Vec<_> = files.into_iter().map(|file| (file.name, file.text)).collect();
    let mut said = Diagnostics::default();
    let verdicts = reader.judge(&files, &Objects::default(), &policy, &Subject { source, user }, &mut said);
    let mut errors = false;
    for diagnostic in said.0 {
        let severity = if diagnostic.is_error { "error" } else { "warning" };
        eprintln!("{}: {severity}: {diagnostic}", diagnostic.file);
        errors |= diagnostic.is_error;
    }
    Ok(Checked { verdicts, errors })
}

/// The one that is named, else the host's own, else the built-in one.
fn policy(named: Option<PathBuf>, dirs: &Dirs) -> Result<barepod_policy::Policy> {
    let path = named.clone().unwrap_or_else(|| dirs.config.join("policy.yaml"));
    match fs_err::read_to_string(&path) {
        Ok(text) => Ok(barepod_policy::parse(&path.display().to_string(), &text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            Ok(barepod_policy::parse("built-in policy", barepod_policy::DEFAULT)?)
        }
        Err(error) => Err(error).context("the policy cannot be read"),
    }
}

fn uid_of(user: &str) -> Result<u32> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    match LocalHost.account(user) {
        Some(account) => Ok(account.uid),
        None => bail!("this host has no user {user:?}"),
    }
}

fn source_of(source: Source) -> barepod_model::Source {
    match source {
        Source::File => barepod_model::Source::File,
        Source::Kubernetes => barepod_model::Source::Kubernetes,
        Source::Nomad => barepod_model::Source::Nomad,
    }
}

fn verdict(verdict: v1::Verdict) -> Verdict {
    let v1::Verdict { asked, policy, allowed_by, rules } = verdict;
    Verdict { asked, policy, allowed_by: some(allowed_by), rules: rules.into_iter().map(rule).collect() }
}

fn rule(rule: v1::RuleVerdict) -> RuleVerdict {
    let v1::RuleVerdict { rule, line, not_about, findings, at_most } = rule;
    let finding = |v1::PolicyFinding { field, power, lacks }| Finding { field, power, lacks: some(lacks) };
    let findings = findings.into_iter().map(finding).collect();
    RuleVerdict { rule, line, not_about: some(not_about), findings, at_most }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
