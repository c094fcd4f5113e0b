//! What a node is told about itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The node, as its administrator wants it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name; the credentials must be those of `system:node:<name>`.
    pub name: String,
    /// Its addresses, the main one first; empty: those of the host.
    pub addresses: Vec<IpAddr>,
    /// Labels beside those of every node. NodeRestriction lets a node have only some of `kubernetes.io`'s.
    pub labels: BTreeMap<String, String>,
    /// Taken at registration only: a node may not change its own.
    pub taints: Vec<Taint>,
    /// Pods at most; kubelet's default is 110.
    pub max_pods: u32,
    /// Whether the API server is told that it may send WebSockets on to the kubelet port. What is not said here is translated
    /// to SPDY by it.
    pub web_sockets: bool,
}

/// A feature that can be left out; kubelet's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureGate {
    /// `ExtendWebSocketsToKubelet`: see [`Settings::web_sockets`].
    ExtendWebSocketsToKubelet(bool),
}

/// Why a text is no feature gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no feature gate of this program; there is ExtendWebSocketsToKubelet=true|false")]
pub struct NoFeatureGate(String);

impl std::str::FromStr for FeatureGate {
    type Err = NoFeatureGate;

    fn from_str(text: &str) -> Result<Self, NoFeatureGate> {
        let gate = text.split_once('=').filter(|(name, _)| *name == "ExtendWebSocketsToKubelet");
        let enabled = gate.and_then(|(_, value)| value.parse().ok());
        enabled.map(Self::ExtendWebSocketsToKubelet).ok_or_else(|| NoFeatureGate(text.to_owned()))
    }
}

/// A taint of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// Why a text is no taint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no taint; write key=value:Effect or key:Effect with NoSchedule, PreferNoSchedule or NoExecute")]
pub struct NoTaint(String);

impl std::str::FromStr for Taint {
    type Err = NoTaint;

    fn from_str(text: &str) -> Result<Self, NoTaint> {
        let wrong = || NoTaint(text.to_owned());
        let (name, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
        if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            return Err(wrong());
        }
        let (key, value) = name.split_once('=').unwrap_or((name, ""));
        if key.is_empty() {
            return Err(wrong());
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_gate_is_written_as_kubelet_writes_it() {
        let gate = |text: &str| text.parse::<FeatureGate>();
        assert_eq!(gate("ExtendWebSocketsToKubelet=false"), Ok(FeatureGate::ExtendWebSocketsToKubelet(false)));
        for wrong in ["ExtendWebSocketsToKubelet", "ExtendWebSocketsToKubelet=0", "AllAlpha=true"] {
            assert_eq!(gate(wrong), Err(NoFeatureGate(wrong.to_owned())));
        }
    }

    #[test]
    fn a_taint_is_written_as_kubectl_writes_it() {
        let taint = |key: &str, value: &str, effect: &str| Taint {
            key: key.to_owned(),
            value: value.to_owned(),
            effect: effect.to_owned(),
        };
        assert_eq!("a.b/c=d:NoSchedule".parse(), Ok(taint("a.b/c", "d", "NoSchedule")));
        assert_eq!("a:NoExecute".parse(), Ok(taint("a", "", "NoExecute")));
        for wrong in ["", "a", "a=b", "a=b:Never", ":NoSchedule"] {
            assert_eq!(wrong.parse::<Taint>(), Err(NoTaint(wrong.to_owned())));
        }
    }
}
