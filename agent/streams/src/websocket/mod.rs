//! WebSocket (RFC 6455), the server's side: channels in its messages, or SPDY.
//!
//! The framing is our own. The libraries there are hand on a message when all of it has come, up to a limit; but a channel's
//! message is a piece of a stream, clients send files in one, and a limit that takes those is memory that every client may
//! hold. Here a message is passed on as it comes.

mod channels;
mod frame;
mod tunnel;

pub use channels::{ChannelDecoder, ChannelEncoder, ChannelProtocol};
pub use frame::{Frame, Frames};
pub use tunnel::{TunnelDecoder, TunnelEncoder};
