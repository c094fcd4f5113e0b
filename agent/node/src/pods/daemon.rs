//! The daemon's pods.

use barepod_api::v1::{self, watch_response};
use tokio::sync::mpsc;

use crate::Daemon;
use crate::call::Pauses;

/// What the daemon says.
#[derive(Debug)]
pub(crate) enum News {
    /// It shows all its pods from now on, those that are there first.
    Begin,
    /// One that is there, or has changed.
    Present(Box<v1::Pod>),
    /// Nothing of it is left; as it was.
    Gone(Box<v1::Pod>),
    /// All that were there have been shown.
    Synced,
    /// It does not answer: nothing is known until it begins again.
    Lost,
}

/// Tells what the daemon says, whenever it is there.
pub(crate) async fn listen(daemon: Daemon, tell: mpsc::Sender<News>) {
    let mut pauses = Pauses::default();
    loop {
        if let Err(status) = follow(daemon.clone(), &tell, &mut pauses).await {
            tracing::warn!("barepodd cannot be asked for its pods: {}; trying again", status.message());
        }
        if tell.send(News::Lost).await.is_err() {
            return;
        }
        tokio::time::sleep(pauses.pause()).await;
    }
}

async fn follow(mut daemon: Daemon, tell: &mpsc::Sender<News>, pauses: &mut Pauses) -> Result<(), tonic::Status> {
    let mut stream = daemon.watch(v1::ListRequest::default()).await?.into_inner();
    let mut next = Some(News::Begin);
    loop {
        if let Some(news) = next.take()
            && tell.send(news).await.is_err()
        {
            return Ok(());
        }
        let Some(message) = stream.message().await? else { return Ok(()) };
        let kind = message.kind();
        let pod = message.pod.map(Box::new);
        next = match (kind, pod) {
            (watch_response::Kind::Synced, _) => {
                pauses.reset();
                Some(News::Synced)
            }
            (watch_response::Kind::Present, Some(pod)) => Some(News::Present(pod)),
            (watch_response::Kind::Gone, Some(pod)) => Some(News::Gone(pod)),
            (watch_response::Kind::Present | watch_response::Kind::Gone, None) => None,
        };
    }
}
