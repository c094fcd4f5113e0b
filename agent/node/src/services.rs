//! The variables that tell pods of services (`enableServiceLinks`), as kubelet's `pkg/kubelet/envvars` makes them.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::api::Api;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};

use crate::watching::watch;

/// Where the API server's own service is.
const MASTER_NAMESPACE: &str = "default";
const MASTER: &str = "kubernetes";

/// The services of the cluster.
#[derive(Clone)]
pub(crate) struct Services {
    store: Store<Service>,
}

impl Services {
    /// The services, and what keeps them up to date.
    pub(crate) fn new(client: Client) -> (Self, impl Future<Output = ()>) {
        let (store, writer) = reflector::store();
        let lean = |service: &mut Service| {
            service.managed_fields_mut().clear();
            service.status = None;
        };
        let stream = watch(Api::<Service>::all(client), watcher::Config::default()).modify(lean).reflect(writer);
        let keep = stream.for_each(|event| async move {
            if let Err(error) = event {
                tracing::warn!("services are not up to date: {error}; trying again");
            }
        });
        (Self { store }, keep)
    }

    /// The variables of a pod in a namespace, once the services are known.
    pub(crate) async fn variables(&self, namespace: &str, links: bool) -> BTreeMap<String, String> {
        // The writer lives as long as the node does.
        self.store.wait_until_ready().await.ok();
        let counts = |service: &Service| {
            let own = service.namespace().unwrap_or_default();
            let is_master = own == MASTER_NAMESPACE && service.name_any() == MASTER;
            is_master || (links && own == namespace)
        };
        let mut variables = BTreeMap::new();
        for service in self.store.state().iter().filter(|service| counts(service)) {
            variables.extend(of(service));
        }
        variables
    }
}

/// Docker's links too, which kubelet keeps.
fn of(service: &Service) -> Vec<(String, String)> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let Some(address) = spec.cluster_ip.as_deref().filter(|address| !address.is_empty() && *address != "None") else {
        return Vec::new();
    };
    let Some(ports) = spec.ports.as_ref().filter(|ports| !ports.is_empty()) else { return Vec::new() };
    let name = service.name_any().to_uppercase().replace('-', "_");
    let mut variables = vec![
        (format!("{name}_SERVICE_HOST"), address.to_owned()),
        (format!("{name}_SERVICE_PORT"), ports[0].port.to_string()),
    ];
    let named = ports.iter().filter_map(|port| Some((port.name.as_ref().filter(|name| !name.is_empty())?, port)));
    variables.extend(named.map(|(port_name, port)| {
        (format!("{name}_SERVICE_PORT_{}", port_name.to_uppercase().replace('-', "_")), port.port.to_string())
    }));
    for (index, port) in ports.iter().enumerate() {
        let (protocol, url) = url(address, port);
        if index == 0 {
            variables.push((format!("{name}_PORT"), url.clone()));
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_uppercase());
        variables.extend([
            (prefix.clone(), url),
            (format!("{prefix}_PROTO"), protocol.to_lowercase()),
            (format!("{prefix}_PORT"), port.port.to_string()),
            (format!("{prefix}_ADDR"), address.to_owned()),
        ]);
    }
    variables
}

fn url<'a>(address: &str, port: &'a ServicePort) -> (&'a str, String) {
    let protocol = port.protocol.as_deref().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP");
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    (protocol, format!("{}://{host}:{}", protocol.to_lowercase(), port.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: &serde_json::Value) -> Service {
        serde_json::from_value(serde_json::json!({"metadata": {"name": "my-db", "namespace": "n"}, "spec": spec}))
            .unwrap()
    }

    #[test]
    fn a_service_is_told_as_kubelet_tells_it() {
        let ports = serde_json::json!([{"name": "pg-main", "port": 5432}, {"port": 53, "protocol": "UDP"}]);
        let variables = of(&service(&serde_json::json!({"clusterIP": "10.0.0.7", "ports": ports})));
        let wanted = [
            ("MY_DB_SERVICE_HOST", "10.0.0.7"),
            ("MY_DB_SERVICE_PORT", "5432"),
            ("MY_DB_SERVICE_PORT_PG_MAIN", "5432"),
            ("MY_DB_PORT", "tcp://10.0.0.7:5432"),
            ("MY_DB_PORT_5432_TCP", "tcp://10.0.0.7:5432"),
            ("MY_DB_PORT_5432_TCP_PROTO", "tcp"),
            ("MY_DB_PORT_5432_TCP_PORT", "5432"),
            ("MY_DB_PORT_5432_TCP_ADDR", "10.0.0.7"),
            ("MY_DB_PORT_53_UDP", "udp://10.0.0.7:53"),
            ("MY_DB_PORT_53_UDP_PROTO", "udp"),
            ("MY_DB_PORT_53_UDP_PORT", "53"),
            ("MY_DB_PORT_53_UDP_ADDR", "10.0.0.7"),
        ];
        assert_eq!(variables, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_headless_service_has_no_variables() {
        let ports = serde_json::json!([{"port": 1}]);
        assert!(of(&service(&serde_json::json!({"clusterIP": "None", "ports": ports}))).is_empty());
        assert!(of(&service(&serde_json::json!({"ports": ports}))).is_empty());
    }
}
