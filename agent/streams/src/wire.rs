//! What the two ends of a connection say to each other, whichever protocol carries it.

use bytes::{Bytes, BytesMut};

/// What the peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It opened a stream.
    Open {
        /// By which it is known from now on.
        stream: u32,
        /// What it is for.
        headers: Headers,
        /// Nothing will come on it.
        ended: bool,
    },
    /// The next bytes of a stream, at most 16 KiB. May be empty.
    Data {
        /// Which.
        stream: u32,
        /// A copy: it keeps nothing else in memory.
        data: Bytes,
    },
    /// No more comes on this stream; it takes what is sent.
    End {
        /// Which.
        stream: u32,
    },
    /// The stream is no more, in neither direction.
    Reset {
        /// Which.
        stream: u32,
    },
    /// Asked for a stream that cannot be; to be answered with a reset.
    Refused {
        /// Which.
        stream: u32,
        /// Why not.
        code: Code,
    },
    /// To be answered with the same.
    Ping(Echo),
    /// An answer to our ping.
    Pong,
    /// Something that changes nothing here.
    Other,
    /// The peer ends the connection.
    Closed,
}

/// What we say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// The peer may use the stream it has opened.
    Accept(u32),
    /// Bytes on a stream.
    Data(u32, Bytes),
    /// No more comes on a stream.
    End(u32),
    /// The stream is no more.
    Reset(u32, Code),
    /// Are you there?
    Ping,
    /// The answer to the peer's ping.
    Pong(Echo),
    /// The last words on a connection.
    Close(Code),
}

/// What a ping carries, by the layer that it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Echo {
    /// Of SPDY.
    Spdy(u32),
    /// Of the WebSocket.
    WebSocket(Bytes),
}

/// Why something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// It is done.
    Done,
    /// The peer broke the protocol.
    Protocol,
    /// There are too many of these.
    Refused,
    /// It was given up.
    Cancel,
}

/// Most bytes of one [`Event::Data`].
pub(crate) const PIECE: usize = 16 << 10;

/// Bytes that the protocol does not allow. The connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A frame of another version.
    #[error("a frame of SPDY version {0}, not 3")]
    Version(u16),
    /// A frame whose length cannot be.
    #[error("a {kind} frame of {length} bytes")]
    Length {
        /// Its name in the protocol.
        kind: &'static str,
        /// What it says of itself.
        length: u64,
    },
    /// Headers that are over a limit or are none.
    #[error("headers: {0}")]
    Headers(&'static str),
    /// A WebSocket frame against RFC 6455.
    #[error("a WebSocket frame: {0}")]
    Frame(&'static str),
    /// A message of a channel protocol that means nothing.
    #[error("a message on a channel: {0}")]
    Channel(&'static str),
}

/// Takes bytes apart.
pub trait Decode {
    /// What the bytes begin with, taken from them; `None` if more are needed. Never waits for the whole of a stream's data.
    ///
    /// # Errors
    /// The bytes mean nothing, and neither does what comes after.
    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Event>, Violation>;
}

/// Puts bytes together.
pub trait Encode {
    /// Appends what is to be sent.
    fn encode(&mut self, say: Say, bytes: &mut BytesMut);
}

/// What a stream was opened with. Names are in small letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub(crate) Vec<(String, String)>);

impl Headers {
    /// The value under a name in small letters.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Headers {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}
