//! Who of several does the work: the holder of a Lease, as client-go's leader election has it and with its figures.
//!
//! A holder that could not renew in time stops before the others may take over. Clocks need not agree: a Lease that was taken
//! by somebody else is free when it has not changed for its own duration by the clock here.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

const NAMESPACE: &str = "barepod-system";
const NAME: &str = "barepod-controllers";
/// client-go's `LeaseDuration`, `RenewDeadline` and `RetryPeriod`.
const DURATION: Duration = Duration::from_secs(15);
const DEADLINE: Duration = Duration::from_secs(10);
const PERIOD: Duration = Duration::from_secs(2);

/// The Lease, seen by one who would hold it.
pub(crate) struct Lease {
    api: Api<Object>,
    identity: String,
    seen: Mutex<Seen>,
}

/// Holder and time of renewal, as they were seen last, and since when.
#[derive(Default)]
struct Seen(Option<(Value, Instant)>);

/// What is to be done about a Lease.
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    /// There is none.
    Create,
    /// It is free, or one's own.
    Take {
        /// It was somebody else's.
        is_new: bool,
    },
    /// Somebody holds it.
    Wait,
}

impl Lease {
    pub(crate) fn new(client: Client, identity: String) -> Self {
        Self { api: Api::namespaced(client, NAMESPACE), identity, seen: Mutex::default() }
    }

    /// Waits until it is held.
    pub(crate) async fn held(&self) {
        let mut said = None;
        loop {
            match self.attempt().await {
                Ok(true) => return,
                Ok(false) => said = None,
                Err(error) => {
                    let error = error.to_string();
                    if said.as_ref() != Some(&error) {
                        tracing::warn!("the Lease {NAMESPACE}/{NAME} cannot be had: {error}; trying again");
                        said = Some(error);
                    }
                }
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Renews it, until that has not been possible for too long, or it is somebody else's.
    pub(crate) async fn lost(&self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(PERIOD).await;
            match self.attempt().await {
                Ok(true) => renewed = Instant::now(),
                Ok(false) => return,
                Err(error) if renewed.elapsed() > DEADLINE => {
                    tracing::warn!("the Lease {NAMESPACE}/{NAME} is not renewed: {error}");
                    return;
                }
                Err(error) => tracing::debug!("the Lease {NAMESPACE}/{NAME} is not renewed: {error}; trying again"),
            }
        }
    }

    /// Whether it is held now.
    async fn attempt(&self) -> kube::Result<bool> {
        match tokio::time::timeout(PERIOD * 2, self.try_once()).await {
            Ok(result) => result,
            Err(_) => Err(kube::Error::Service("the API server does not answer".into())),
        }
    }

    async fn try_once(&self) -> kube::Result<bool> {
        let object = self.api.get_opt(NAME).await?;
        let written = match self.claim(object.as_ref()) {
            Claim::Wait => return Ok(false),
            Claim::Create => self.create().await.map(drop),
            Claim::Take { is_new } => self.take(object.as_ref(), is_new).await.map(drop),
        };
        match written {
            Ok(()) => Ok(true),
            // Somebody was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn claim(&self, object: Option<&Object>) -> Claim {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.claim(&self.identity, object, Instant::now())
    }

    async fn create(&self) -> kube::Result<Object> {
        let spec = self.spec(true, 0);
        let object = json!({"metadata": {"name": NAME, "namespace": NAMESPACE}, "spec": spec});
        let object = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        self.api.create(&PostParams::default(), &object).await
    }

    /// Only what was seen is changed: the resource version says so.
    async fn take(&self, object: Option<&Object>, is_new: bool) -> kube::Result<Object> {
        let version = object.and_then(ResourceExt::resource_version);
        let transitions = object.and_then(|object| object.spec.as_ref()?.lease_transitions).unwrap_or(0);
        let patch = json!({
            "metadata": {"resourceVersion": version},
            "spec": self.spec(is_new, transitions + i32::from(is_new)),
        });
        self.api.patch(NAME, &PatchParams::default(), &Patch::Merge(&patch)).await
    }

    fn spec(&self, is_new: bool, transitions: i32) -> Value {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        let mut spec = json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": DURATION.as_secs(),
            "renewTime": now,
            "leaseTransitions": transitions,
        });
        if is_new {
            spec["acquireTime"] = json!(now);
        }
        spec
    }
}

impl Seen {
    fn claim(&mut self, identity: &str, object: Option<&Object>, now: Instant) -> Claim {
        let Some(object) = object else { return Claim::Create };
        let spec = object.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        if holder == identity {
            return Claim::Take { is_new: false };
        }
        let record = json!({"holder": holder, "renewed": spec.renew_time});
        let since = match &self.0 {
            Some((before, since)) if *before == record => *since,
            Some(_) | None => now,
        };
        self.0 = Some((record, since));
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let is_over = now.duration_since(since) >= seconds.map_or(DURATION, Duration::from_secs);
        if holder.is_empty() || is_over { Claim::Take { is_new: true } } else { Claim::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(holder: &str, renewed: &str) -> Object {
        let spec = json!({"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15});
        serde_json::from_value(json!({"metadata": {"name": NAME}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_lease_is_taken_that_nobody_has_or_renews() {
        let (mut seen, begin) = (Seen::default(), Instant::now());
        let mut claim =
            |object: Option<Object>, seconds| seen.claim("a", object.as_ref(), begin + Duration::from_secs(seconds));
        let (first, second) = ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:02.000000Z");
        assert_eq!(claim(None, 0), Claim::Create);
        assert_eq!(claim(Some(object("", first)), 0), Claim::Take { is_new: true });
        assert_eq!(claim(Some(object("a", first)), 0), Claim::Take { is_new: false });
        // However old it says it is: it was seen just now.
        assert_eq!(claim(Some(object("b", first)), 1), Claim::Wait);
        assert_eq!(claim(Some(object("b", first)), 15), Claim::Wait);
        assert_eq!(claim(Some(object("b", second)), 16), Claim::Wait);
        assert_eq!(claim(Some(object("b", second)), 30), Claim::Wait);
        assert_eq!(claim(Some(object("b", second)), 31), Claim::Take { is_new: true });
    }
}
