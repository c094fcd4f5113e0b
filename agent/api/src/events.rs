//! Events from now on, over the deaths of the daemon. They are told apart by their numbers: a host's clock may be set back.

use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::v1::barepod_client::BarepodClient;
use crate::v1::{Event, EventsRequest};

/// How far somebody who follows events has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    last: Option<u64>,
}

impl Cursor {
    /// The events after the last one that [passed](Self::pass): at first, those that come from now on.
    ///
    /// # Errors
    /// As the daemon answers.
    pub async fn follow(&mut self, daemon: &mut BarepodClient<Channel>) -> Result<Streaming<Event>, Status> {
        let after = match self.last {
            Some(last) => last,
            None => newest(daemon).await?,
        };
        self.last = Some(after);
        let request = EventsRequest { follow: true, after: Some(after), ..EventsRequest::default() };
        Ok(daemon.events(request).await?.into_inner())
    }

    /// An event has come.
    pub fn pass(&mut self, event: &Event) {
        self.last = Some(event.number);
    }
}

/// The number of the newest event that the daemon remembers; 0 where there is none.
async fn newest(daemon: &mut BarepodClient<Channel>) -> Result<u64, Status> {
    let mut known = daemon.events(EventsRequest::default()).await?.into_inner();
    let mut newest = 0;
    while let Some(event) = known.message().await? {
        newest = event.number;
    }
    Ok(newest)
}
