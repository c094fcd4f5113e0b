//! Streams over one connection, as Kubernetes carries those of remote commands and of forwarded ports: SPDY/3.1, WebSocket
//! channels, and SPDY/3.1 within a WebSocket. The server's side, from the request's headers to bytes on named streams.
//!
//! ```text
//!   headers ── upgrade ──▶ which protocol
//!                             │
//!   upgraded connection ── link ── spdy | websocket::channels | websocket::tunnel     bytes ⇄ what they mean
//!                             │
//!                     Session | Forwards                                              streams with a purpose
//! ```
//!
//! The codecs do no input or output and know no clock. [`link`] drives them: it holds at most a fixed number of bytes of
//! each connection, whatever the peer does, and ends what is idle, half made, or gone without a word.

mod link;
pub mod port_forward;
pub mod remote_command;
pub mod spdy;
mod status;
mod stream;
pub mod upgrade;
pub mod websocket;
mod wire;

pub use link::{End, Link, Timing, link};
pub use stream::{Gone, Incoming, Next, Outgoing, Stream};
pub use upgrade::{Drive, Refusal, Upgrade};
pub use wire::{Code, Decode, Echo, Encode, Event, Headers, Say, Violation};
