//! What is written in the cluster: the namespace, a policy for all hosts, and a token for this one.

use std::path::Path;

use barepod_credentials::files::{self, Owner};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{HostError, SetupError, Step, Wanted};
use crate::booked::DRIVER;
use crate::{Client, ClientError, Settings};

/// The policy's name.
fn policy_name(namespace: &str) -> String {
    format!("barepod-registrar-{namespace}")
}

/// What the registrar may: its jobs and volumes in its namespace; to see what others have on its node; which node that is.
fn rules(namespace: &str) -> String {
    format!(
        r#"namespace "{namespace}" {{
  capabilities = ["list-jobs", "read-job", "submit-job", "host-volume-read", "host-volume-register", "host-volume-delete"]
}}
namespace "*" {{
  capabilities = ["read-job"]
}}
node {{
  policy = "read"
}}
agent {{
  policy = "read"
}}
"#
    )
}

fn may(what: &str, error: ClientError) -> SetupError {
    match error.is_forbidden() {
        true => SetupError::Forbidden { what: what.to_owned(), source: error },
        false => error.into(),
    }
}

/// A namespace in which nothing but pods runs. Of one that is there, all else stays as it is.
pub(super) async fn namespace(client: &Client, name: &str) -> Result<Step, SetupError> {
    let path = format!("/v1/namespace/{name}");
    let there = match client.get::<Value>(&path).await {
        Ok(there) => Some(there),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(may("read namespaces", error)),
    };
    let drivers = json!([DRIVER]);
    let is_right = there.as_ref().is_some_and(|it| it["Capabilities"]["EnabledTaskDrivers"] == drivers);
    if !is_right {
        let new = json!({"Name": name, "Description": "Pods of barepod's hosts; written by barepod-bridge"});
        let mut wanted = there.unwrap_or(new);
        if !wanted["Capabilities"].is_object() {
            wanted["Capabilities"] = json!({});
        }
        wanted["Capabilities"]["EnabledTaskDrivers"] = drivers;
        client.put::<Value>("/v1/namespace", &wanted).await.map_err(|error| may("write namespaces", error))?;
    }
    Ok(Step::of(!is_right, format!("namespace {name}, with the driver {DRIVER} alone")))
}

pub(super) async fn policy(client: &Client, namespace: &str) -> Result<Step, SetupError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Policy {
        rules: String,
    }
    let (name, rules) = (policy_name(namespace), rules(namespace));
    let path = format!("/v1/acl/policy/{name}");
    let is_right = match client.get::<Policy>(&path).await {
        Ok(there) => there.rules == rules,
        Err(error) if error.is_not_found() => false,
        Err(error) => return Err(may("read policies", error)),
    };
    if !is_right {
        let wanted = json!({"Name": name, "Description": "What barepod-bridge may on each host", "Rules": rules});
        client.put::<Value>(&path, &wanted).await.map_err(|error| may("write policies", error))?;
    }
    Ok(Step::of(!is_right, format!("ACL policy {name}")))
}

/// A token of this host's own, unless the one that it has will do.
pub(super) async fn token(
    client: &Client,
    settings: &Settings,
    wanted: &Wanted,
    file: &Path,
) -> Result<Step, SetupError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Token {
        policies: Option<Vec<String>>,
        #[serde(rename = "SecretID", default)]
        secret: String,
        #[serde(default)]
        expiration_time: Option<String>,
    }
    let policy = policy_name(&settings.namespace);
    let what = |token: &Token| {
        let end = token.expiration_time.as_ref().map_or(String::new(), |end| format!(", which ends at {end}"));
        format!("{}: the token of this host{end}", file.display())
    };
    if file.exists() {
        let own = Client::new(settings.clone())?.get::<Token>("/v1/acl/token/self").await;
        if let Ok(token) = own
            && token.policies.as_ref().is_some_and(|policies| policies.contains(&policy))
        {
            let lives_forever = token.expiration_time.is_none();
            // Asked for one that ends, one that does not will not do; one that ends is renewed by running this again.
            if lives_forever && wanted.token_ttl.is_none() {
                return Ok(Step::of(false, what(&token)));
            }
        }
    }
    let mut body = json!({"Name": "barepod-bridge", "Type": "client", "Policies": [policy]});
    if let Some(ttl) = &wanted.token_ttl {
        body["ExpirationTTL"] = json!(ttl);
    }
    let made: Token = client.put("/v1/acl/token", &body).await.map_err(|error| may("make tokens", error))?;
    let owner = Owner::bridge(&wanted.root.join("etc/barepod/barepod.yaml"));
    let unwritten = |source| HostError::Write { path: file.to_owned(), source };
    if let Some(directory) = file.parent() {
        files::make_directory(directory, owner).map_err(unwritten)?;
    }
    files::write(file, &format!("{}\n", made.secret), owner).map_err(unwritten)?;
    Ok(Step::of(true, what(&made)))
}
