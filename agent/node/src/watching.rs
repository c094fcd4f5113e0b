//! Watches that begin anew after every failure.
//!
//! kube's watcher goes on where it was when a connection breaks. A server that was restored from an older copy then says
//! nothing at all for a long time, for what it has is older than what it is asked for. A node's lists are short: they are
//! made again.

use std::fmt::Debug;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::call::Pauses;

struct Watching<K: 'static> {
    api: Api<K>,
    config: Config,
    stream: Option<BoxStream<'static, watcher::Result<Event<K>>>>,
    pauses: Pauses,
    has_failed: bool,
}

/// The events of all objects that the configuration selects, for ever. After an error a new list begins.
pub(crate) fn watch<K>(api: Api<K>, config: Config) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let watching = Watching { api, config, stream: None, pauses: Pauses::default(), has_failed: false };
    stream::unfold(watching, |mut watching| async move {
        if std::mem::take(&mut watching.has_failed) {
            tokio::time::sleep(watching.pauses.pause()).await;
        }
        let Watching { api, config, stream, .. } = &mut watching;
        let item = stream.get_or_insert_with(|| watcher::watcher(api.clone(), config.clone()).boxed()).next().await?;
        match &item {
            Ok(Event::Init) => {}
            Ok(Event::InitApply(_) | Event::InitDone | Event::Apply(_) | Event::Delete(_)) => watching.pauses.reset(),
            Err(_) => {
                watching.stream = None;
                watching.has_failed = true;
            }
        }
        Some((item, watching))
    })
}

/// One object as it is, whenever that changes; `None` if there is none.
pub(crate) fn watch_one<K>(api: Api<K>, name: &str) -> impl Stream<Item = watcher::Result<Option<K>>> + Send + use<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watch(api, Config::default().fields(&format!("metadata.name={name}")));
    let seen = stream::StreamExt::scan(events, false, |listed, event| {
        let item = match event {
            Ok(Event::Init) => {
                *listed = false;
                None
            }
            Ok(Event::InitApply(object)) => {
                *listed = true;
                Some(Ok(Some(object)))
            }
            Ok(Event::Apply(object)) => Some(Ok(Some(object))),
            Ok(Event::InitDone) if *listed => None,
            Ok(Event::InitDone | Event::Delete(_)) => Some(Ok(None)),
            Err(error) => Some(Err(error)),
        };
        futures::future::ready(Some(item))
    });
    seen.filter_map(futures::future::ready)
}
