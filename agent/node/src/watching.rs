//! Watches that begin anew after every failure.
//!
//! kube's watcher goes on where it was when a connection breaks. A server that was restored from an older copy then says
//! nothing at all for a long time, for what it has is older than what it is asked for. A node's lists are short: they are
//! made again.

use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use kube::runtime::watcher::{self, Config, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::call::Pauses;
use crate::chance;

struct Watching<K: 'static> {
    api: Api<K>,
    config: Config,
    stream: Option<BoxStream<'static, watcher::Result<Event<K>>>>,
    pauses: Pauses,
    has_failed: bool,
    /// The list has been taken whole; from then on there may be nothing to tell for long.
    is_listed: bool,
}

/// Seconds that a watch takes, at least and at most; the API server ends it then, and it goes on where it was. It is drawn: watches
/// that a server has lost together are not asked for together ever after. kube takes no more.
const LIFE: (f64, f64) = (270.0, 294.0);
/// How long a list may bring nothing.
const SILENCE: Duration = Duration::from_secs(10);

impl<K> Watching<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    async fn next(&mut self) -> Option<watcher::Result<Event<K>>> {
        loop {
            if std::mem::take(&mut self.has_failed) {
                tokio::time::sleep(self.pauses.pause()).await;
            }
            let (api, config) = (self.api.clone(), self.config.clone().timeout(life()));
            let stream = self.stream.get_or_insert_with(|| watcher::watcher(api, config).boxed());
            let item = match self.is_listed {
                true => stream.next().await?,
                false => match tokio::time::timeout(SILENCE, stream.next()).await {
                    Ok(item) => item?,
                    Err(_) => {
                        tracing::warn!("the API server begins a list and does not end it; asking anew");
                        self.begin_anew();
                        continue;
                    }
                },
            };
            match &item {
                Ok(Event::Init) => self.is_listed = false,
                Ok(Event::InitDone) => {
                    self.is_listed = true;
                    self.pauses.reset();
                }
                Ok(Event::InitApply(_) | Event::Apply(_) | Event::Delete(_)) => self.pauses.reset(),
                Err(_) => self.begin_anew(),
            }
            return Some(item);
        }
    }

    fn begin_anew(&mut self) {
        self.stream = None;
        self.has_failed = true;
        self.is_listed = false;
    }
}

fn life() -> u32 {
    let (least, most) = LIFE;
    // Truncated, and far from what a number of 32 bits holds.
    (least + (most - least) * chance::part()) as u32
}

/// The events of all objects that the configuration selects, for ever. After an error a new list begins.
pub(crate) fn watch<K>(api: Api<K>, config: Config) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let pauses = Pauses::default();
    let watching = Watching { api, config, stream: None, pauses, has_failed: false, is_listed: false };
    stream::unfold(watching, |mut watching| async move {
        let item = watching.next().await?;
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
