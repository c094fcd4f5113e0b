//! Messages that say in their first byte which channel they are of: `channel.k8s.io` and its kin.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};

use super::frame::{self, Frame, Frames};
use crate::wire::{Decode, Echo, Encode, Event, Say, Violation};

/// What a client of version 5 says to end a channel; the channel's number follows.
const CLOSE: u8 = 255;

/// How the channels are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelProtocol {
    /// As text: a digit, then base64.
    pub base64: bool,
    /// The client can end one channel (`v5.channel.k8s.io`).
    pub close: bool,
}

/// Takes a client's messages apart.
#[derive(Debug)]
pub struct ChannelDecoder {
    protocol: ChannelProtocol,
    frames: Frames,
    message: Message,
    /// Characters that are no group of four yet.
    held: Vec<u8>,
}

/// What is known of the present message.
#[derive(Debug, Clone, Copy)]
enum Message {
    /// No byte has come.
    Empty,
    /// It is of this channel.
    Of(u8),
    /// It ends a channel, this one.
    Closes(Option<u8>),
}

impl ChannelDecoder {
    /// At the beginning of a connection.
    #[must_use]
    pub fn new(protocol: ChannelProtocol) -> Self {
        Self { protocol, frames: Frames::default(), message: Message::Empty, held: Vec::new() }
    }

    fn piece(&mut self, data: &Bytes, last: bool) -> Result<Event, Violation> {
        let mut data = data.clone();
        if let Message::Empty = self.message
            && !data.is_empty()
        {
            self.message = self.begin(data.split_to(1)[0]);
        }
        let event = match &mut self.message {
            Message::Empty => Event::Other,
            Message::Of(channel) => {
                let stream = u32::from(*channel);
                let data = if self.protocol.base64 { self.decoded(&data, last)? } else { data };
                if data.is_empty() { Event::Other } else { Event::Data { stream, data } }
            }
            Message::Closes(which) => {
                for byte in data {
                    if which.replace(byte).is_some() {
                        return Err(Violation::Channel("more than one channel is closed"));
                    }
                }
                match *which {
                    Some(channel) if last => Event::End { stream: u32::from(channel) },
                    None if last => return Err(Violation::Channel("no channel is closed")),
                    Some(_) | None => Event::Other,
                }
            }
        };
        if last {
            self.message = Message::Empty;
        }
        Ok(event)
    }

    fn begin(&self, byte: u8) -> Message {
        match byte {
            CLOSE if self.protocol.close => Message::Closes(None),
            digit if self.protocol.base64 => Message::Of(digit.wrapping_sub(b'0')),
            channel => Message::Of(channel),
        }
    }

    fn decoded(&mut self, text: &[u8], last: bool) -> Result<Bytes, Violation> {
        self.held.extend_from_slice(text);
        let whole = if last { self.held.len() } else { self.held.len() / 4 * 4 };
        let data = STANDARD.decode(&self.held[..whole]).map_err(|_| Violation::Channel("no base64"))?;
        self.held.drain(..whole);
        Ok(data.into())
    }
}

impl Decode for ChannelDecoder {
    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Event>, Violation> {
        let Some(frame) = self.frames.decode(bytes)? else { return Ok(None) };
        Ok(Some(match frame {
            Frame::Piece { data, last, .. } => self.piece(&data, last)?,
            Frame::Ping(body) => Event::Ping(Echo::WebSocket(body)),
            Frame::Pong => Event::Pong,
            Frame::Close => Event::Closed,
        }))
    }
}

/// Puts our messages together.
#[derive(Debug)]
pub struct ChannelEncoder {
    protocol: ChannelProtocol,
}

impl ChannelEncoder {
    /// For a connection.
    #[must_use]
    pub fn new(protocol: ChannelProtocol) -> Self {
        Self { protocol }
    }
}

impl Encode for ChannelEncoder {
    fn encode(&mut self, say: Say, out: &mut BytesMut) {
        match say {
            Say::Data(stream, data) if self.protocol.base64 => {
                let text = STANDARD.encode(&data);
                frame::message(true, 1 + text.len(), out);
                out.put_u8(b'0'.wrapping_add(stream as u8));
                out.put_slice(text.as_bytes());
            }
            Say::Data(stream, data) => {
                frame::message(false, 1 + data.len(), out);
                out.put_u8(stream as u8);
                out.put_slice(&data);
            }
            Say::Ping => frame::ping(out),
            Say::Pong(Echo::WebSocket(body)) => frame::pong(&body, out),
            Say::Close(code) => frame::close(code, out),
            // A channel is there from the beginning, and a server has no word for its end.
            Say::Accept(_) | Say::End(_) | Say::Reset(..) | Say::Pong(Echo::Spdy(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::client;
    use super::*;

    const RAW: ChannelProtocol = ChannelProtocol { base64: false, close: false };
    const V5: ChannelProtocol = ChannelProtocol { base64: false, close: true };
    const BASE64: ChannelProtocol = ChannelProtocol { base64: true, close: false };

    /// What the messages say, whole and cut at every byte, with the data of a channel joined.
    fn said(protocol: ChannelProtocol, messages: &[&[u8]]) -> Result<Vec<Event>, Violation> {
        let bytes: Vec<u8> = messages.iter().flat_map(|body| client(2, true, body)).collect();
        let whole = join(protocol, std::iter::once(&bytes[..]));
        assert_eq!(whole, join(protocol, bytes.chunks(1)));
        whole
    }

    fn join<'a>(protocol: ChannelProtocol, chunks: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Event>, Violation> {
        let (mut decoder, mut buffer) = (ChannelDecoder::new(protocol), BytesMut::new());
        let mut events: Vec<Event> = Vec::new();
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let Some(event) = decoder.decode(&mut buffer)? {
                match (events.last_mut(), event) {
                    (_, Event::Other) => {}
                    (Some(Event::Data { stream: at, data: all }), Event::Data { stream, data }) if *at == stream => {
                        *all = [&all[..], &data].concat().into();
                    }
                    (_, event) => events.push(event),
                }
            }
        }
        Ok(events)
    }

    fn data(stream: u32, text: &'static str) -> Event {
        Event::Data { stream, data: text.into() }
    }

    #[test]
    fn the_first_byte_says_the_channel() {
        assert_eq!(said(RAW, &[b"\x00foo", b"\x04{}", b"", b"\x00"]), Ok(vec![data(0, "foo"), data(4, "{}")]));
    }

    #[test]
    fn only_version_5_ends_a_channel() {
        assert_eq!(said(V5, &[b"\x00a", b"\xff\x00"]), Ok(vec![data(0, "a"), Event::End { stream: 0 }]));
        assert_eq!(said(RAW, &[b"\xff\x00"]), Ok(vec![data(255, "\0")]));
        assert_eq!(said(V5, &[b"\xff"]), Err(Violation::Channel("no channel is closed")));
        assert_eq!(said(V5, &[b"\xff\x00\x01"]), Err(Violation::Channel("more than one channel is closed")));
    }

    #[test]
    fn base64_is_decoded_message_by_message() {
        assert_eq!(said(BASE64, &[b"0Zm9vCg==", b"0YmFy"]), Ok(vec![data(0, "foo\nbar")]));
        assert_eq!(said(BASE64, &[b"0Zm9"]), Err(Violation::Channel("no base64")));
    }

    #[test]
    fn ours_say_the_channel_as_well() {
        let written = |protocol| {
            let mut out = BytesMut::new();
            ChannelEncoder::new(protocol).encode(Say::Data(1, "foo\n".into()), &mut out);
            out
        };
        assert_eq!(written(V5), &b"\x82\x05\x01foo\n"[..]);
        assert_eq!(written(BASE64), &b"\x81\x091Zm9vCg=="[..]);
    }
}
