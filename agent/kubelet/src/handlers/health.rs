//! `/healthz`, as every component of Kubernetes has it.

use std::fmt::Write as _;
use std::time::Duration;

use barepod_api::v1;
use hyper::StatusCode;

use crate::answer::{Answer, text};
use crate::port::Port;
use crate::query::Query;
use crate::route::Target;

/// kubelet's checks. Who can say it is there (`ping`) and can write its log (`log`); the loop that pods depend on is the
/// daemon's (`syncloop`).
pub(crate) const CHECKS: [&str; 3] = ["ping", "log", "syncloop"];
/// How long the daemon may take to say that it is there.
const LIMIT: Duration = Duration::from_secs(5);

/// One check, or all but those that are excluded.
pub(crate) async fn show(port: &Port, target: &Target, query: &Query) -> Answer {
    let Some(check) = target.check.as_deref() else { return all(port, query).await };
    if !CHECKS.contains(&check) {
        return text(StatusCode::NOT_FOUND, "404: Page Not Found");
    }
    match look(port, check).await {
        Ok(()) => text(StatusCode::OK, "ok"),
        Err(why) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
    }
}

async fn all(port: &Port, query: &Query) -> Answer {
    let (mut report, mut is_well) = (String::new(), true);
    for check in CHECKS {
        if query.all("exclude").any(|excluded| excluded == check) {
            writeln!(report, "[+]{check} excluded: ok").ok();
            continue;
        }
        match look(port, check).await {
            Ok(()) => writeln!(report, "[+]{check} ok").ok(),
            Err(why) => {
                tracing::warn!("healthz: {check} fails: {why}");
                is_well = false;
                writeln!(report, "[-]{check} failed: reason withheld").ok()
            }
        };
    }
    match (is_well, query.first("verbose")) {
        (true, None) => text(StatusCode::OK, "ok"),
        (true, Some(_)) => text(StatusCode::OK, format!("{report}healthz check passed\n")),
        (false, _) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{report}healthz check failed\n")),
    }
}

/// One check; why it fails.
pub(crate) async fn look(port: &Port, check: &str) -> Result<(), String> {
    if check != "syncloop" {
        return Ok(());
    }
    let mut daemon = port.daemon();
    match tokio::time::timeout(LIMIT, daemon.version(v1::VersionRequest {})).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(status)) => Err(format!("barepodd: {}", status.message())),
        Err(_) => Err("barepodd does not answer".to_owned()),
    }
}
