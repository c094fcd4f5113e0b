//! The calls of the bridge and of the Nomad driver: pods that somebody has bound here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use barepod_api::refusal;
use barepod_api::v1::{self, Binder, end_request};
use barepod_core::Evidence;
use barepod_manifest::{Cluster, TokenRef};
use barepod_model::{Contents, PodUid, Reason, Source};
use barepod_reader::Diagnostics;
use tonic::{Code, Status};

use super::service::{denied, verb};
use crate::source::{BindError, Bound, ClusterSource, Grace, Node};

pub(super) async fn bind(source: &ClusterSource, request: v1::BindRequest) -> Result<v1::BindResponse, Status> {
    let (accepted, warnings) = source.bind(bound(request)?).await.map_err(refused)?;
    Ok(v1::BindResponse {
        verb: verb(accepted.verb).to_owned(),
        warnings: warnings.0.into_iter().map(Into::into).collect(),
    })
}

/// The source that a binder speaks for.
fn source(binder: Binder) -> Source {
    match binder {
        Binder::Cluster => Source::Kubernetes,
        Binder::Nomad => Source::Nomad,
    }
}

fn bound(request: v1::BindRequest) -> Result<Bound, Status> {
    let binder = request.binder();
    let token = |token: v1::ServiceAccountToken| {
        let v1::ServiceAccountToken { audience, expiration_seconds, token } = token;
        (TokenRef { audience, expiration_seconds }, Contents(token))
    };
    let cluster = Cluster {
        tokens: request.tokens.into_iter().map(token).collect(),
        service_variables: request.service_variables.into_iter().collect::<BTreeMap<_, _>>(),
        provisioned: request.provisioned_volumes.into_iter().collect(),
    };
    let address = |text: String| {
        let wrong = || refusal(Code::InvalidArgument, Reason::InvalidValue.as_str(), format!("{text:?} is no address"));
        text.parse::<IpAddr>().map_err(|_| wrong())
    };
    let node = Node {
        name: request.node_name,
        labels: request.node_labels.into_iter().collect(),
        addresses: request.node_addresses.into_iter().map(address).collect::<Result<_, _>>()?,
    };
    let cluster = (binder == Binder::Cluster).then_some(cluster);
    Ok(Bound { pod: request.pod, objects: request.objects, cluster, node })
}

fn refused(error: BindError) -> Status {
    match error {
        BindError::Denied(why) => denied(why),
        BindError::Invalid(Diagnostics(found)) => {
            let errors: Vec<_> = found.iter().filter(|diagnostic| diagnostic.is_error).collect();
            let reason = errors.first().map_or(Reason::InvalidValue, |first| first.reason);
            // Lines and columns would be those of the wire.
            let say = |d: &&barepod_reader::Diagnostic| {
                let hint = d.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
                format!("{}: {}{hint}", d.field, d.message)
            };
            let message = errors.iter().map(say).collect::<Vec<_>>().join("; ");
            refusal(Code::InvalidArgument, reason.as_str(), message)
        }
    }
}

pub(super) async fn end(source: &ClusterSource, request: v1::EndRequest) -> Result<v1::EndResponse, Status> {
    let evidence = match request.evidence() {
        end_request::Evidence::DeletionTimestamp => Evidence::DeletionTimestamp,
        end_request::Evidence::Deleted => Evidence::Deleted,
        end_request::Evidence::Replaced => Evidence::Replaced,
        end_request::Evidence::TaskStopped => Evidence::TaskStopped,
        end_request::Evidence::Unspecified => {
            let message = "no pod is ended without a reason: say the evidence";
            return Err(refusal(Code::InvalidArgument, Reason::InvalidValue.as_str(), message));
        }
    };
    let grace = Grace {
        given: request.grace_seconds.map(Duration::from_secs),
        least: Duration::from_secs(request.least_grace_seconds),
    };
    let whose = (uid(&request.uid)?, self::source(request.binder()));
    let present = source.end(whose, evidence, grace).await.map_err(denied)?;
    Ok(v1::EndResponse { present })
}

pub(super) async fn missing(
    source: &ClusterSource,
    request: v1::MissingRequest,
) -> Result<v1::MissingResponse, Status> {
    source.missing(uid(&request.uid)?, self::source(request.binder())).await.map_err(denied)?;
    Ok(v1::MissingResponse {})
}

fn uid(text: &str) -> Result<PodUid, Status> {
    PodUid::new(text).map_err(|error| {
        refusal(Code::InvalidArgument, Reason::InvalidValue.as_str(), format!("{text:?} is no UID: {error}"))
    })
}
