//! ConfigMaps and Secrets that pods here refer to: each watched on its own, for a node may see no others, and only while
//! some pod refers to it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube::api::Api;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::json::without_nulls;
use crate::watching::watch_one;

/// What kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    ConfigMap,
    Secret,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// What is known of an object: nothing yet, that it is not there, or its contents.
type Seen = Option<Option<Arc<Value>>>;

/// The objects that are watched.
#[derive(Clone)]
pub(crate) struct Objects {
    client: Client,
    watched: Arc<Mutex<HashMap<Name, Arc<Watched>>>>,
}

#[derive(Debug)]
struct Watched {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An object as long as somebody refers to it.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Held, for what nobody holds is not watched.
    _watched: Arc<Watched>,
    seen: watch::Receiver<Seen>,
}

impl Objects {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, watched: Arc::default() }
    }

    /// Watches an object, or joins those who do.
    pub(crate) fn watch(&self, name: &Name) -> Watch {
        let mut all = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody holds any more is not watched any more.
        all.retain(|known, watched| known == name || Arc::strong_count(watched) > 1);
        let start = || {
            let (sender, seen) = watch::channel(None);
            let task = tokio::spawn(follow(self.client.clone(), name.clone(), sender));
            Arc::new(Watched { seen, task })
        };
        let watched = Arc::clone(all.entry(name.clone()).or_insert_with(start));
        let seen = watched.seen.clone();
        Watch { seen, _watched: watched }
    }
}

impl Watch {
    /// The object as it is known now, waited for if nothing is known yet; `None` if there is none.
    pub(crate) async fn get(&mut self) -> Option<Arc<Value>> {
        let seen = self.seen.wait_for(Option::is_some).await.map(|seen| seen.clone().flatten());
        match seen {
            Ok(seen) => seen,
            // The task that watches is ended by nobody but those who hold it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Returns when it has become another. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        if self.seen.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

async fn follow(client: Client, name: Name, seen: watch::Sender<Seen>) {
    let Name { kind, namespace, name: own } = &name;
    match kind {
        Kind::ConfigMap => {
            let stream = watch_one::<ConfigMap>(Api::namespaced(client, namespace), own);
            let lean = |map: ConfigMap| json!({"kind": "ConfigMap", "data": map.data, "binaryData": map.binary_data, "immutable": map.immutable});
            tell(&name, stream.map(move |item| item.map(|object| object.map(lean))), &seen).await;
        }
        Kind::Secret => {
            let stream = watch_one::<Secret>(Api::namespaced(client, namespace), own);
            let lean = |secret: Secret| json!({"kind": "Secret", "data": secret.data, "type": secret.type_, "immutable": secret.immutable});
            tell(&name, stream.map(move |item| item.map(|object| object.map(lean))), &seen).await;
        }
    }
}

async fn tell(
    name: &Name,
    stream: impl futures::Stream<Item = Result<Option<Value>, kube::runtime::watcher::Error>> + Send,
    seen: &watch::Sender<Seen>,
) {
    let mut stream = std::pin::pin!(stream);
    while let Some(item) = stream.next().await {
        match item {
            Ok(object) => {
                let object = object.map(|object| Arc::new(named(object, name)));
                seen.send_if_modified(|before| {
                    let is_new = before.as_ref() != Some(&object);
                    *before = Some(object);
                    is_new
                });
            }
            // What is known stands.
            Err(error) => tracing::warn!("{name} is not up to date: {error}; trying again"),
        }
    }
}

/// Without what is null, and with its name.
fn named(mut object: Value, name: &Name) -> Value {
    without_nulls(&mut object);
    object["apiVersion"] = json!("v1");
    object["metadata"] = json!({"name": name.name, "namespace": name.namespace});
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_its_contents_and_its_name() {
        let name = Name { kind: Kind::ConfigMap, namespace: "n".to_owned(), name: "c".to_owned() };
        let object = named(json!({"kind": "ConfigMap", "data": {"a": "b"}, "immutable": null}), &name);
        let wanted = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": {"a": "b"},
        });
        assert_eq!(object, wanted);
    }
}
