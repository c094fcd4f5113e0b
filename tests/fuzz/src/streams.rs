//! What clients say on connections of remote commands and forwarded ports.

use barepod_streams::websocket::{ChannelDecoder, ChannelProtocol, TunnelDecoder};
use barepod_streams::{Decode, Event, Violation, spdy};

/// Frames of SPDY, with their headers.
pub(crate) fn spdy_frames(data: &[u8]) {
    same_in_pieces(data, spdy::Decoder::default);
    spdy::Inflate::new().block(data).ok();
}

/// Frames of a WebSocket: channels in every protocol, and SPDY.
pub(crate) fn websocket_channels(data: &[u8]) {
    for (base64, close) in [(false, false), (false, true), (true, false)] {
        same_in_pieces(data, || ChannelDecoder::new(ChannelProtocol { base64, close }));
    }
    same_in_pieces(data, TunnelDecoder::default);
}

/// In one piece and byte by byte it means the same.
fn same_in_pieces<D: Decode>(data: &[u8], decoder: impl Fn() -> D) {
    let whole = heard(decoder(), std::iter::once(data));
    let pieces = heard(decoder(), data.chunks(1));
    assert_eq!(whole.1, pieces.1, "pieces and whole differ in what is an error");
    // What is a fault in the whole may be looked at before what comes before it is handed on, not so in pieces.
    assert!(whole.1.is_some() || whole.0 == pieces.0, "pieces and whole differ");
}

/// All that was said, with the bytes that follow each other on a stream joined, and how it ended.
fn heard<'a>(mut decoder: impl Decode, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Option<Violation>) {
    let (mut bytes, mut events) = (bytes::BytesMut::new(), Vec::new());
    for piece in pieces {
        bytes.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut bytes) {
                Ok(None) => break,
                Ok(Some(event)) => add(&mut events, event),
                Err(violation) => return (events, Some(violation)),
            }
        }
    }
    (events, None)
}

fn add(events: &mut Vec<Event>, event: Event) {
    match (events.last_mut(), event) {
        (_, Event::Other) => {}
        (_, Event::Data { data, .. }) if data.is_empty() => {}
        (Some(Event::Data { stream: at, data: all }), Event::Data { stream, data }) if *at == stream => {
            assert!(data.len() <= 16 << 10, "a piece of {} bytes", data.len());
            *all = [&all[..], &data].concat().into();
        }
        (_, event) => events.push(event),
    }
}
