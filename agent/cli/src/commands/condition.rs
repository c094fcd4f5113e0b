//! `barepod condition`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use barepod_api::v1::SetConditionRequest;

use super::Client;
use crate::args::{Condition, ConditionVerb};
use crate::output::print;
use crate::refusal::from_status;
use crate::target;

pub(super) async fn run(mut client: Client, namespace: String, args: Condition) -> Result<ExitCode> {
    let (request, done) = match args.verb {
        ConditionVerb::Set { pod, condition, reason, message } => {
            let (kind, status) =
                condition.split_once('=').filter(|(_, status)| !status.is_empty()).with_context(|| {
                    format!("{condition:?} says not whether it holds: write {}=True", condition.trim_end_matches('='))
                })?;
            let (kind, status) = (kind.to_owned(), status.to_owned());
            let name = target::name(&pod)?;
            let done = format!("condition {kind} of pod/{name} set to {status}");
            (SetConditionRequest { namespace, name, r#type: kind, status, reason, message }, done)
        }
        ConditionVerb::Remove { pod, condition } => {
            let name = target::name(&pod)?;
            let done = format!("condition {condition} of pod/{name} removed");
            (SetConditionRequest { namespace, name, r#type: condition, ..SetConditionRequest::default() }, done)
        }
    };
    client.set_condition(request).await.map_err(from_status)?;
    print(&format!("{done}\n"))?;
    Ok(ExitCode::SUCCESS)
}
