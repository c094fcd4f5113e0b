//! Pods that are bound to this node: what the API server and the daemon say of each, brought together.
//!
//! One task knows all pods, by UID; each has a worker, which sees the newest of both sides and does what is to be done. A
//! worker may be late, and may be told twice: it looks at what is, not at what happened.
//!
//! | the API server | so |
//! |---|---|
//! | shows a pod | it is bound: the daemon is told of it, and of every change |
//! | shows a deletionTimestamp | it is ended; when nothing of it is left, its object is removed |
//! | says DELETED of it, while it was watched | it is ended |
//! | shows another UID under its name, no older than it | it is ended |
//! | lists all pods without it | nothing is known: it runs on, as an orphan |
//! | does not answer, or answers with an error | nothing is known: nothing is done |
//!
//! What the host runs on its own account is shown in the cluster by [`mirror`] pods.

mod daemon;
mod desired;
mod ephemeral;
mod index;
mod mirror;
mod needs;
mod state;
mod status;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::{mpsc, watch::Receiver};
use tokio::time::Instant;

use crate::call::Pauses;
use crate::events::Events;
use crate::objects::Objects;
use crate::registration::Known;
use crate::services::Services;
use crate::tokens::Tokens;
use crate::watching::watch;
use crate::{Daemon, Settings};
pub(crate) use ephemeral::Refusal;
use index::Index;
use mirror::Mirrors;

/// When pods that run here are listed no more, the list is made again: it may have been wrong.
const FIRST_DOUBT: Duration = Duration::from_secs(5);
const LAST_DOUBT: Duration = Duration::from_secs(60);

/// What all workers share.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) daemon: Daemon,
    pub(crate) settings: Settings,
    pub(crate) node: Receiver<Option<Known>>,
    pub(crate) objects: Objects,
    pub(crate) services: Services,
    pub(crate) tokens: Tokens,
    pub(crate) events: Events,
}

/// Brings pods together until it is dropped.
pub(crate) async fn run(
    client: Client,
    daemon: Daemon,
    settings: Settings,
    node: Receiver<Option<Known>>,
    events: Events,
) {
    let (services, keep_services) = Services::new(client.clone());
    let objects = Objects::new(client.clone());
    let here = watcher::Config::default().fields(&format!("spec.nodeName={}", settings.name));
    let listed = || watch(Api::<Pod>::all(client.clone()), here.clone()).boxed();
    let mut api = listed();
    let (tell, mut told) = mpsc::channel(256);
    let listen = daemon::listen(daemon.clone(), tell);
    let tokens = Tokens::default();
    let context =
        Arc::new(Context { client: client.clone(), daemon, settings, node, objects, services, tokens, events });
    let (mirrors, tell_mirrors) = Mirrors::new(Arc::clone(&context));
    let mut index = Index::new(context, tell_mirrors);
    let bring_together = async {
        let mut doubts = Pauses::between(FIRST_DOUBT, LAST_DOUBT);
        let mut list_again = None;
        loop {
            // Each branch is cancel-safe: streams and channels lose nothing that is not taken.
            tokio::select! {
                Some(event) = api.next() => match event {
                    Ok(event) => {
                        let is_listed = matches!(event, watcher::Event::InitDone);
                        index.api(event);
                        match index.lacks_some() {
                            false => {
                                doubts.reset();
                                list_again = None;
                            }
                            // A watch does not show what a list has left out.
                            true if is_listed => list_again = Some(Instant::now() + doubts.pause()),
                            true => {}
                        }
                    }
                    Err(error) => tracing::warn!("the cluster's pods are not up to date: {error}; trying again"),
                },
                () = reached(list_again) => {
                    list_again = None;
                    api = listed();
                }
                Some(news) = told.recv() => index.daemon(news),
                uid = index.done() => index.retire(&uid),
            }
        }
    };
    tokio::join!(keep_services, listen, mirrors.run(), bring_together);
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
