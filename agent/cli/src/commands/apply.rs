//! `barepod apply`.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use barepod_api::v1::{ApplyRequest, Diagnostic, ListRequest, ManifestFile, PodResult, diagnostic, watch_response};

use super::Client;
use crate::args::Apply;
use crate::output::print;
use crate::progress::awaited;
use crate::refusal::from_status;

pub(super) async fn run(mut client: Client, args: Apply) -> Result<ExitCode> {
    let files = args.filename.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    let request = ApplyRequest { files, dry_run: args.dry_run };
    let answer = client.apply(request).await.map_err(from_status)?.into_inner();
    let mut failed = false;
    for diagnostic in &answer.diagnostics {
        eprintln!("{}", render(diagnostic));
        failed |= diagnostic.severity() == diagnostic::Severity::Error;
    }
    for result in &answer.results {
        failed |= !show(result);
    }
    if args.dry_run && !failed {
        print("valid; nothing was changed (dry run)\n")?;
    }
    if args.wait && !failed {
        wait(&mut client, &answer.results, Duration::from_secs(args.timeout)).await?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(super) fn read(path: &Path) -> Result<ManifestFile> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(ManifestFile { name: "<stdin>".to_owned(), text });
    }
    let text = fs_err::read_to_string(path)?;
    Ok(ManifestFile { name: path.display().to_string(), text })
}

/// `file:line:column: error: field: message; hint [Reason]`, as compilers write it.
pub(crate) fn render(d: &Diagnostic) -> String {
    let severity = match d.severity() {
        diagnostic::Severity::Error => "error",
        diagnostic::Severity::Warning => "warning",
    };
    let place = if d.line == 0 { d.file.clone() } else { format!("{}:{}:{}", d.file, d.line, d.column) };
    let field = if d.field.is_empty() { String::new() } else { format!("{}: ", d.field) };
    let hint = if d.hint.is_empty() { String::new() } else { format!("; {}", d.hint) };
    format!("{place}: {severity}: {field}{}{hint} [{}]", d.message, d.reason)
}

pub(super) fn show(result: &PodResult) -> bool {
    let pod = format!("{}/{}", kind(result), result.name);
    if !result.denied_reason.is_empty() {
        eprintln!("{pod} denied: {} [{}]", result.message, result.denied_reason);
        return false;
    }
    // It is done, whoever reads that.
    let _ = print(&format!("{pod} {}\n", result.verb));
    if !result.message.is_empty() {
        eprintln!("{pod} warning: {}", result.message);
    }
    true
}

fn kind(result: &PodResult) -> &str {
    if result.kind.is_empty() { "pod" } else { &result.kind }
}

/// Until all pods among them are ready; what is waited for is said as it changes.
pub(super) async fn wait(client: &mut Client, results: &[PodResult], limit: Duration) -> Result<()> {
    for result in results.iter().filter(|result| result.kind.is_empty()) {
        let ready = until_ready(client, &result.uid);
        match tokio::time::timeout(limit, ready).await {
            Ok(outcome) => outcome?,
            Err(_) => bail!(
                "pod/{} is not ready after {} s; see `barepod describe {}`",
                result.name,
                limit.as_secs(),
                result.name
            ),
        }
        print(&format!("pod/{} ready\n", result.name))?;
    }
    Ok(())
}

pub(super) async fn until_ready(client: &mut Client, uid: &str) -> Result<()> {
    let request = ListRequest { uid: uid.to_owned(), ..ListRequest::default() };
    let mut changes = client.watch(request).await.map_err(from_status)?.into_inner();
    let mut said = String::new();
    while let Some(change) = changes.message().await.map_err(from_status)? {
        let Some(pod) = &change.pod else { continue };
        if change.kind() == watch_response::Kind::Gone {
            bail!("pod/{} was deleted while it was waited for", pod.name);
        }
        if pod.ready || pod.phase == "Succeeded" {
            return Ok(());
        }
        if pod.phase == "Failed" {
            bail!("pod/{} failed; see `barepod describe {}`", pod.name, pod.name);
        }
        let awaited = awaited(pod);
        if awaited != said {
            eprintln!("pod/{}: {awaited}", pod.name);
            said = awaited;
        }
    }
    bail!("barepodd ended while a pod was waited for")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_reads_like_a_compiler_error() {
        let diagnostic = Diagnostic {
            reason: "UnknownField".to_owned(),
            file: "pod.yaml".to_owned(),
            line: 3,
            column: 7,
            field: "spec.containrs".to_owned(),
            message: "unknown field".to_owned(),
            hint: "did you mean \"containers\"?".to_owned(),
            ..Diagnostic::default()
        };
        assert_eq!(
            render(&diagnostic),
            "pod.yaml:3:7: error: spec.containrs: unknown field; did you mean \"containers\"? [UnknownField]"
        );
    }
}
