//! One stream: what comes on it, and what is sent.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use crate::wire::{Code, Headers, Say};

/// A stream, as the peer opened it.
#[derive(Debug)]
pub struct Stream {
    /// What it is for.
    pub headers: Headers,
    /// What comes.
    pub incoming: Incoming,
    /// What is sent.
    pub outgoing: Outgoing,
}

/// What comes on a stream. Read slowly, it holds the whole connection back.
#[derive(Debug)]
pub struct Incoming {
    pub(crate) pieces: mpsc::UnboundedReceiver<Piece>,
    pub(crate) _place: Arc<Place>,
}

/// Counts the stream among the open ones for as long as somebody holds an end of it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) _permit: Option<OwnedSemaphorePermit>,
}

/// What waits to be read.
#[derive(Debug)]
pub(crate) enum Piece {
    Data {
        data: Bytes,
        /// What it takes of the connection's budget.
        _room: OwnedSemaphorePermit,
    },
    End,
}

/// The next of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Bytes.
    Data(Bytes),
    /// The peer has sent all it had.
    End,
    /// The peer has given the stream up, or is gone. What came may not be all.
    Lost,
}

impl Incoming {
    /// The next piece. Cancel-safe.
    pub async fn next(&mut self) -> Next {
        match self.pieces.recv().await {
            Some(Piece::Data { data, .. }) => Next::Data(data),
            Some(Piece::End) => Next::End,
            None => Next::Lost,
        }
    }
}

/// What is sent on a stream. All streams of a connection share one short queue: the peer's pace is the writer's.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub(crate) stream: u32,
    pub(crate) say: mpsc::Sender<Say>,
    pub(crate) reset: CancellationToken,
    pub(crate) _place: Arc<Place>,
}

/// Nobody takes what is sent: the peer has given the stream up, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream is gone")]
pub struct Gone;

impl Outgoing {
    /// Lets the peer use the stream. To be said before anything else; on a channel of a WebSocket it means nothing.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn accept(&self) -> Result<(), Gone> {
        self.say(Say::Accept(self.stream)).await
    }

    /// Sends bytes; waits until there is room in the queue.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn write(&self, data: Bytes) -> Result<(), Gone> {
        self.say(Say::Data(self.stream, data)).await
    }

    /// Sends that no more will come.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn end(&self) -> Result<(), Gone> {
        self.say(Say::End(self.stream)).await
    }

    /// Gives the stream up in both directions.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn reset(&self, code: Code) -> Result<(), Gone> {
        self.say(Say::Reset(self.stream, code)).await
    }

    /// Waits until nobody takes what is sent.
    pub async fn gone(&self) {
        tokio::select! {
            () = self.reset.cancelled() => {}
            () = self.say.closed() => {}
        }
    }

    /// Its number on the connection.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.stream
    }

    async fn say(&self, say: Say) -> Result<(), Gone> {
        tokio::select! {
            biased;
            () = self.reset.cancelled() => Err(Gone),
            sent = self.say.send(say) => sent.map_err(|_| Gone),
        }
    }
}
