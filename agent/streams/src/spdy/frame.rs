//! Frames: eight bytes of what and how long, then that.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::headers::{Deflate, Inflate};
use crate::wire::{Code, Decode, Echo, Encode, Event, Headers, PIECE, Say, Violation};

const HEAD: usize = 8;
const VERSION: u16 = 3;
const CONTROL: u32 = 1 << 31;
const FIN: u8 = 1;
const UNIDIRECTIONAL: u8 = 2;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// Most bytes of a control frame, all but data: what headers may take, twice over.
const MAX_CONTROL: usize = 32 << 10;

/// Our pings have even numbers, the client's odd ones.
const OUR_PING: u32 = 2;

/// Takes the client's frames apart.
#[derive(Debug, Default)]
pub struct Decoder {
    inflate: Inflate,
    /// The data frame whose bytes are coming.
    data: Option<Data>,
    /// The last stream that was opened.
    last: u32,
}

#[derive(Debug)]
struct Data {
    stream: u32,
    left: usize,
    fin: bool,
}

impl Decode for Decoder {
    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Event>, Violation> {
        if let Some(data) = &mut self.data {
            if data.left > 0 {
                return Ok(take_data(data, bytes));
            }
            let Data { stream, fin, .. } = *data;
            self.data = None;
            if fin {
                return Ok(Some(Event::End { stream }));
            }
        }
        let Some(mut head) = bytes.get(..HEAD) else { return Ok(None) };
        let (first, second) = (head.get_u32(), head.get_u32());
        let (flags, length) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
        if first & CONTROL == 0 {
            bytes.advance(HEAD);
            self.data = Some(Data { stream: first, left: length, fin: flags & FIN != 0 });
            return Ok(Some(Event::Other));
        }
        let (version, kind) = (((first >> 16) & 0x7fff) as u16, (first & 0xffff) as u16);
        if version != VERSION {
            return Err(Violation::Version(version));
        }
        if length > MAX_CONTROL {
            return Err(Violation::Length { kind: name(kind), length: length as u64 });
        }
        if bytes.len() < HEAD + length {
            return Ok(None);
        }
        bytes.advance(HEAD);
        let body = bytes.split_to(length).freeze();
        self.control(kind, flags, &body).map(Some)
    }
}

fn take_data(data: &mut Data, bytes: &mut BytesMut) -> Option<Event> {
    let length = data.left.min(bytes.len()).min(PIECE);
    if length == 0 {
        return None;
    }
    data.left -= length;
    let piece = Bytes::copy_from_slice(&bytes[..length]);
    bytes.advance(length);
    Some(Event::Data { stream: data.stream, data: piece })
}

impl Decoder {
    fn control(&mut self, kind: u16, flags: u8, body: &[u8]) -> Result<Event, Violation> {
        let short = Violation::Length { kind: name(kind), length: body.len() as u64 };
        let word = |at: usize| {
            let bytes = body.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or_else(|| short.clone())
        };
        match kind {
            SYN_STREAM => {
                let headers = self.inflate.block(body.get(10..).ok_or_else(|| short.clone())?)?;
                Ok(self.opened(word(0)? & !CONTROL, headers, flags))
            }
            // Of streams that we opened, and we open none; what they say is read for the sake of the compression.
            SYN_REPLY => self.inflate.block(body.get(4..).ok_or(short)?).map(|_| Event::Other),
            HEADERS => {
                self.inflate.block(body.get(4..).ok_or_else(|| short.clone())?)?;
                let stream = word(0)? & !CONTROL;
                Ok(if flags & FIN == 0 { Event::Other } else { Event::End { stream } })
            }
            RST_STREAM => Ok(Event::Reset { stream: word(0)? & !CONTROL }),
            PING => match word(0)? {
                ours if ours % 2 == 0 => Ok(Event::Pong),
                theirs => Ok(Event::Ping(Echo::Spdy(theirs))),
            },
            GOAWAY => Ok(Event::Closed),
            // SETTINGS, WINDOW_UPDATE (see the module), CREDENTIAL, and what the protocol does not know: to be ignored.
            _ => Ok(Event::Other),
        }
    }

    fn opened(&mut self, stream: u32, headers: Headers, flags: u8) -> Event {
        // Numbers only grow: a second use would confuse two streams.
        if stream <= self.last {
            return Event::Refused { stream, code: Code::Protocol };
        }
        self.last = stream;
        if flags & UNIDIRECTIONAL != 0 {
            return Event::Refused { stream, code: Code::Refused };
        }
        Event::Open { stream, headers, ended: flags & FIN != 0 }
    }
}

fn name(kind: u16) -> &'static str {
    match kind {
        SYN_STREAM => "SYN_STREAM",
        SYN_REPLY => "SYN_REPLY",
        RST_STREAM => "RST_STREAM",
        PING => "PING",
        GOAWAY => "GOAWAY",
        HEADERS => "HEADERS",
        _ => "control",
    }
}

/// Puts our frames together.
#[derive(Debug, Default)]
pub struct Encoder {
    deflate: Deflate,
}

impl Encode for Encoder {
    fn encode(&mut self, say: Say, bytes: &mut BytesMut) {
        match say {
            Say::Accept(stream) => {
                let mut body = BytesMut::new();
                body.put_u32(stream);
                self.deflate.block(&Headers::default(), &mut body);
                control(SYN_REPLY, &body, bytes);
            }
            Say::Data(stream, data) => data_frame(stream, 0, &data, bytes),
            Say::End(stream) => data_frame(stream, FIN, &[], bytes),
            Say::Reset(stream, code) => {
                let status: u32 = match code {
                    Code::Protocol => 1,
                    Code::Refused => 3,
                    Code::Done | Code::Cancel => 5,
                };
                control(RST_STREAM, &[stream.to_be_bytes(), status.to_be_bytes()].concat(), bytes);
            }
            Say::Ping => control(PING, &OUR_PING.to_be_bytes(), bytes),
            Say::Pong(Echo::Spdy(id)) => control(PING, &id.to_be_bytes(), bytes),
            Say::Pong(Echo::WebSocket(_)) => {}
            // The client closes when it has read all that it waits for. A word of ours could only make it stop before.
            Say::Close(Code::Done) => {}
            Say::Close(code) => {
                let status: u32 = if code == Code::Protocol { 1 } else { 0 };
                control(GOAWAY, &[[0; 4], status.to_be_bytes()].concat(), bytes);
            }
        }
    }
}

fn control(kind: u16, body: &[u8], bytes: &mut BytesMut) {
    bytes.put_u32(CONTROL | u32::from(VERSION) << 16 | u32::from(kind));
    bytes.put_u32(body.len() as u32);
    bytes.put_slice(body);
}

fn data_frame(stream: u32, flags: u8, data: &[u8], bytes: &mut BytesMut) {
    bytes.put_u32(stream);
    bytes.put_u32(u32::from(flags) << 24 | (data.len() as u32 & 0x00ff_ffff));
    bytes.put_slice(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PIECE;

    /// As a client opens a stream.
    fn open(deflate: &mut Deflate, stream: u32, flags: u8, headers: &Headers) -> BytesMut {
        let (mut body, mut out) = (BytesMut::new(), BytesMut::new());
        body.put_u32(stream);
        body.put_slice(&[0; 6]);
        deflate.block(headers, &mut body);
        control(SYN_STREAM, &body, &mut out);
        out[4] = flags;
        out
    }

    /// All there is, but for what changes nothing.
    fn all(decoder: &mut Decoder, bytes: &mut BytesMut) -> Result<Vec<Event>, Violation> {
        let mut events = Vec::new();
        while let Some(event) = decoder.decode(bytes)? {
            if event != Event::Other {
                events.push(event);
            }
        }
        Ok(events)
    }

    fn typed(kind: &str) -> Headers {
        Headers::from([("streamtype", kind)])
    }

    #[test]
    fn a_stream_is_opened_used_and_ended() {
        let (mut decoder, mut deflate) = (Decoder::default(), Deflate::default());
        let mut bytes = open(&mut deflate, 1, 0, &typed("stdin"));
        bytes.extend(open(&mut deflate, 3, FIN, &typed("error")));
        data_frame(1, 0, b"abc", &mut bytes);
        data_frame(1, FIN, b"d", &mut bytes);
        control(PING, &7u32.to_be_bytes(), &mut bytes);
        control(RST_STREAM, &[0, 0, 0, 3, 0, 0, 0, 5], &mut bytes);
        let data = |text: &'static str| Event::Data { stream: 1, data: Bytes::from_static(text.as_bytes()) };
        let expected = vec![
            Event::Open { stream: 1, headers: typed("stdin"), ended: false },
            Event::Open { stream: 3, headers: typed("error"), ended: true },
            data("abc"),
            data("d"),
            Event::End { stream: 1 },
            Event::Ping(Echo::Spdy(7)),
            Event::Reset { stream: 3 },
        ];
        assert_eq!(all(&mut decoder, &mut bytes.clone()), Ok(expected.clone()));

        // Cut at every byte it means the same.
        let (mut decoder, mut buffer, mut events) = (Decoder::default(), BytesMut::new(), Vec::new());
        for byte in bytes {
            buffer.put_u8(byte);
            events.extend(all(&mut decoder, &mut buffer).unwrap());
        }
        let joined: Vec<u8> = events
            .iter()
            .flat_map(|event| match event {
                Event::Data { data, .. } => data.to_vec(),
                _ => Vec::new(),
            })
            .collect();
        assert_eq!(joined, b"abcd");
        events.retain(|event| !matches!(event, Event::Data { .. }));
        assert_eq!(events, expected.into_iter().filter(|e| !matches!(e, Event::Data { .. })).collect::<Vec<_>>());
    }

    #[test]
    fn data_comes_in_pieces_and_is_never_waited_for_as_a_whole() {
        let (mut decoder, mut bytes) = (Decoder::default(), BytesMut::new());
        bytes.put_u32(1);
        bytes.put_u32(0x00ff_ffff);
        bytes.put_slice(&vec![7; PIECE + 10]);
        let lengths: Vec<_> = all(&mut decoder, &mut bytes)
            .unwrap()
            .iter()
            .map(|event| match event {
                Event::Data { data, .. } => data.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lengths, [PIECE, 10]);
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_number_that_is_used_again_is_refused_and_the_rest_goes_on() {
        let (mut decoder, mut deflate) = (Decoder::default(), Deflate::default());
        let mut bytes = open(&mut deflate, 5, 0, &typed("data"));
        bytes.extend(open(&mut deflate, 5, 0, &typed("data")));
        bytes.extend(open(&mut deflate, 0, 0, &typed("data")));
        bytes.extend(open(&mut deflate, 7, 0, &typed("data")));
        let events = all(&mut decoder, &mut bytes).unwrap();
        assert_eq!(events[1..3], [5, 0].map(|stream| Event::Refused { stream, code: Code::Protocol }));
        assert!(matches!(events[3], Event::Open { stream: 7, .. }));
    }

    #[test]
    fn a_control_frame_that_is_too_long_is_refused_before_it_has_come() {
        let mut bytes = BytesMut::new();
        bytes.put_u32(CONTROL | 3 << 16 | u32::from(SYN_STREAM));
        bytes.put_u32(0x00ff_ffff);
        let refused = Decoder::default().decode(&mut bytes).unwrap_err();
        assert_eq!(refused, Violation::Length { kind: "SYN_STREAM", length: 0x00ff_ffff });
    }

    #[test]
    fn what_is_not_known_is_skipped_and_another_version_is_not() {
        let mut bytes = BytesMut::new();
        control(4, &[0; 12], &mut bytes);
        control(9, &[0, 0, 0, 1, 0, 1, 0, 0], &mut bytes);
        control(99, b"later", &mut bytes);
        control(GOAWAY, &[0; 8], &mut bytes);
        assert_eq!(all(&mut Decoder::default(), &mut bytes), Ok(vec![Event::Closed]));
        let mut http = BytesMut::from("\u{0}x".as_bytes());
        http.clear();
        http.put_u32(CONTROL | 2 << 16 | 1);
        http.put_u32(0);
        assert_eq!(Decoder::default().decode(&mut http), Err(Violation::Version(2)));
    }
}
