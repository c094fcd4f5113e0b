//! SPDY/3.1, the server's side, as far as Kubernetes uses it: the peer opens streams, we answer.
//!
//! Flow control is the peer's library's, moby/spdystream's, on both sides of every Kubernetes: it neither counts windows nor
//! says `WINDOW_UPDATE`, and holds a peer back by not reading from the connection. So it is here: windows are not kept, and
//! one that is announced changes nothing. A peer that kept them would stop after 64 KiB; none does.

mod dictionary;
mod frame;
mod headers;

pub use frame::{Decoder, Encoder};
pub use headers::{Deflate, Inflate, MAX_HEADERS};
