//! `barepod port`.

use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::{ListRequest, Listener, ListenersRequest, Pod};
use serde_json::Value;

use super::Client;
use crate::args::{Port, PortList};
use crate::output::{Table, print};
use crate::refusal::from_status;
use crate::target;

const HEADINGS: [&str; 5] = ["NAMESPACE", "POD", "PORT", "ADDRESS", "DECLARED"];

pub(super) async fn run(client: Client, namespace: String, args: Port) -> Result<ExitCode> {
    match args {
        Port::List(args) => list(client, namespace, args).await,
    }
}

async fn list(mut client: Client, namespace: String, args: PortList) -> Result<ExitCode> {
    let name = args.pod.as_deref().map(target::name).transpose()?;
    let request = ListRequest {
        namespace: if args.all_namespaces { String::new() } else { namespace.clone() },
        name: name.clone().unwrap_or_default(),
        uid: String::new(),
    };
    let mut pods = client.list(request).await.map_err(from_status)?.into_inner().pods;
    if let (Some(name), true) = (&name, pods.is_empty()) {
        anyhow::bail!("there is no pod {name} in namespace {namespace}; see `barepod get pods -A`");
    }
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let mut table = Table::new(&HEADINGS);
    for pod in &pods {
        let request = ListenersRequest { namespace: pod.namespace.clone(), name: pod.name.clone() };
        let found = client.listeners(request).await.map_err(from_status)?.into_inner().listeners;
        rows(pod, &found).into_iter().for_each(|row| table.row(row));
    }
    print(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

/// On which ports its processes listen, and those that its manifest names without anybody listening.
fn rows(pod: &Pod, listeners: &[Listener]) -> Vec<Vec<String>> {
    let object: Value = serde_json::from_str(&pod.object).unwrap_or_default();
    let declared = declared(&object);
    let name_of =
        |port: u32| declared.iter().find(|(number, _)| *number == u64::from(port)).map(|(_, name)| name.clone());
    let row = |port: String, address: &str, declared: Option<String>| {
        let declared = declared.unwrap_or_else(|| "-".to_owned());
        vec![pod.namespace.clone(), pod.name.clone(), port, address.to_owned(), declared]
    };
    let heard = listeners.iter().map(|it| row(it.port.to_string(), &it.address, name_of(it.port)));
    let silent = declared.iter().filter(|(number, _)| !listeners.iter().any(|it| u64::from(it.port) == *number));
    heard.chain(silent.map(|(port, name)| row(port.to_string(), "nobody listens", Some(name.clone())))).collect()
}

/// Ports of the manifest with their names: the container's where they have none.
fn declared(object: &Value) -> Vec<(u64, String)> {
    let containers = object["spec"]["containers"].as_array().into_iter().flatten();
    let ports = containers.flat_map(|container| {
        let ports = container["ports"].as_array().into_iter().flatten();
        ports.filter_map(|port| {
            let name = port["name"].as_str().or(container["name"].as_str())?;
            Some((port["containerPort"].as_u64()?, name.to_owned()))
        })
    });
    ports.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_and_what_should_is_listed() {
        let object = serde_json::json!({"spec": {"containers": [
            {"name": "db", "ports": [{"containerPort": 5432, "name": "sql"}, {"containerPort": 9187}]},
        ]}});
        let pod =
            Pod { namespace: "shop".to_owned(), name: "db".to_owned(), object: object.to_string(), ..Pod::default() };
        let listener = |port, address: &str| Listener { port, address: address.to_owned() };
        let rows = rows(&pod, &[listener(5432, "0.0.0.0"), listener(7000, "127.0.0.1")]);
        let mut table = Table::new(&HEADINGS);
        rows.into_iter().for_each(|row| table.row(row));
        insta::assert_snapshot!(table.render(), @r"
        NAMESPACE   POD   PORT   ADDRESS          DECLARED
        shop        db    5432   0.0.0.0          sql
        shop        db    7000   127.0.0.1        -
        shop        db    9187   nobody listens   db
        ");
    }
}
