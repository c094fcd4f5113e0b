//! SPDY within the messages of a WebSocket (`SPDY/3.1+portforward.k8s.io`). Where a message ends means nothing.

use bytes::{BufMut as _, BytesMut};

use super::frame::{self, Frame, Frames};
use crate::spdy;
use crate::wire::{Decode, Echo, Encode, Event, Say, Violation};

/// Takes the client's messages apart.
#[derive(Debug, Default)]
pub struct TunnelDecoder {
    frames: Frames,
    /// What has come of the tunnel and is no whole frame of SPDY yet: at most the longest of those, and a piece.
    inner: BytesMut,
    spdy: spdy::Decoder,
}

impl Decode for TunnelDecoder {
    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Event>, Violation> {
        loop {
            if let Some(event) = self.spdy.decode(&mut self.inner)? {
                return Ok(Some(event));
            }
            match self.frames.decode(bytes)? {
                None => return Ok(None),
                Some(Frame::Piece { data, .. }) => self.inner.extend_from_slice(&data),
                Some(Frame::Ping(body)) => return Ok(Some(Event::Ping(Echo::WebSocket(body)))),
                Some(Frame::Pong) => return Ok(Some(Event::Pong)),
                Some(Frame::Close) => return Ok(Some(Event::Closed)),
            }
        }
    }
}

/// Puts our messages together.
#[derive(Debug, Default)]
pub struct TunnelEncoder {
    spdy: spdy::Encoder,
    inner: BytesMut,
}

impl Encode for TunnelEncoder {
    fn encode(&mut self, say: Say, out: &mut BytesMut) {
        let close = match say {
            Say::Pong(Echo::WebSocket(body)) => return frame::pong(&body, out),
            Say::Close(code) => Some(code),
            _ => None,
        };
        self.inner.clear();
        self.spdy.encode(say, &mut self.inner);
        if !self.inner.is_empty() {
            frame::message(false, self.inner.len(), out);
            out.put_slice(&self.inner);
        }
        if let Some(code) = close {
            frame::close(code, out);
        }
    }
}
