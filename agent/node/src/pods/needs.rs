//! What a pod refers to, as it is written.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, Pod, PodSpec, Volume};
use kube::ResourceExt as _;

use crate::objects::{Kind, Name};
use crate::tokens;

/// All that must be known before it can be bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// ConfigMaps and Secrets.
    pub(crate) objects: BTreeSet<Name>,
    /// Names of PersistentVolumeClaims.
    pub(crate) claims: BTreeSet<String>,
    /// Tokens of its service account.
    pub(crate) tokens: BTreeSet<tokens::Wanted>,
    /// It wants the variables of all services of its namespace.
    pub(crate) service_links: bool,
    /// Whose tokens.
    pub(crate) service_account: String,
}

/// What the API server's defaults fill in.
const TOKEN_SECONDS: i64 = 3600;

impl Needs {
    pub(crate) fn of(pod: &Pod) -> Self {
        let mut needs = Self::default();
        let namespace = pod.namespace().unwrap_or_default();
        let Some(spec) = &pod.spec else { return needs };
        needs.service_links = spec.enable_service_links.unwrap_or(true);
        needs.service_account = spec.service_account_name.clone().unwrap_or_else(|| "default".to_owned());
        let mut add = |kind, name: &str| {
            needs.objects.insert(Name { kind, namespace: namespace.clone(), name: name.to_owned() });
        };
        for (env, from) in environments(spec) {
            for variable in env.iter().filter_map(|variable| variable.value_from.as_ref()) {
                variable.config_map_key_ref.iter().for_each(|key| add(Kind::ConfigMap, &key.name));
                variable.secret_key_ref.iter().for_each(|key| add(Kind::Secret, &key.name));
            }
            for source in from {
                source.config_map_ref.iter().for_each(|map| add(Kind::ConfigMap, &map.name));
                source.secret_ref.iter().for_each(|secret| add(Kind::Secret, &secret.name));
            }
        }
        let volumes = || spec.volumes.iter().flatten();
        for (kind, name) in volumes().flat_map(of_volume) {
            add(kind, &name);
        }
        needs.claims = volumes().filter_map(claim).collect();
        needs.tokens = volumes().flat_map(tokens_of).collect();
        needs
    }
}

fn environments(spec: &PodSpec) -> impl Iterator<Item = (&[EnvVar], &[EnvFromSource])> {
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let plain = containers.map(|c| (c.env.as_deref().unwrap_or_default(), c.env_from.as_deref().unwrap_or_default()));
    let late = spec.ephemeral_containers.iter().flatten();
    plain.chain(late.map(|c| (c.env.as_deref().unwrap_or_default(), c.env_from.as_deref().unwrap_or_default())))
}

fn of_volume(volume: &Volume) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    found.extend(volume.config_map.iter().map(|map| (Kind::ConfigMap, map.name.clone())));
    found.extend(volume.secret.iter().filter_map(|secret| Some((Kind::Secret, secret.secret_name.clone()?))));
    for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
        found.extend(source.config_map.iter().map(|map| (Kind::ConfigMap, map.name.clone())));
        found.extend(source.secret.iter().map(|secret| (Kind::Secret, secret.name.clone())));
    }
    found
}

fn claim(volume: &Volume) -> Option<String> {
    volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.clone())
}

fn tokens_of(volume: &Volume) -> Vec<tokens::Wanted> {
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let tokens = sources.filter_map(|source| source.service_account_token.as_ref());
    let wanted = tokens.map(|token| tokens::Wanted {
        audience: token.audience.clone().unwrap_or_default(),
        expiration_seconds: token.expiration_seconds.unwrap_or(TOKEN_SECONDS),
    });
    wanted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_pod_refers_to_is_found() {
        let pod = serde_json::json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {
                "serviceAccountName": "db",
                "enableServiceLinks": false,
                "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "s1"}}]}],
                "containers": [{
                    "name": "c",
                    "env": [
                        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c1", "key": "k"}}},
                        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s2", "key": "k"}}},
                    ],
                    "envFrom": [{"configMapRef": {"name": "c2"}}],
                }],
                "volumes": [
                    {"name": "v1", "configMap": {"name": "c3"}},
                    {"name": "v2", "secret": {"secretName": "s3"}},
                    {"name": "v3", "persistentVolumeClaim": {"claimName": "data"}},
                    {"name": "v4", "projected": {"sources": [
                        {"configMap": {"name": "c4"}}, {"secret": {"name": "s4"}},
                        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                        {"serviceAccountToken": {"path": "vault", "audience": "vault"}},
                    ]}},
                ],
            },
        });
        let needs = Needs::of(&serde_json::from_value(pod).unwrap());
        let named = |kind: Kind| -> Vec<_> {
            needs.objects.iter().filter(|object| object.kind == kind).map(|object| object.name.as_str()).collect()
        };
        assert_eq!(named(Kind::ConfigMap), ["c1", "c2", "c3", "c4"]);
        assert_eq!(named(Kind::Secret), ["s1", "s2", "s3", "s4"]);
        assert_eq!(needs.claims.iter().collect::<Vec<_>>(), ["data"]);
        let token =
            |audience: &str, seconds| tokens::Wanted { audience: audience.to_owned(), expiration_seconds: seconds };
        assert_eq!(needs.tokens, BTreeSet::from([token("", 3607), token("vault", 3600)]));
        assert_eq!((needs.service_account.as_str(), needs.service_links), ("db", false));
    }
}
