//! Frames, and the messages that they are pieces of.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::wire::{Code, PIECE, Violation};

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Most bytes of a control frame.
const MAX_CONTROL: usize = 125;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A piece of a message, at most 16 KiB.
    Piece {
        /// Unmasked.
        data: Bytes,
        /// It begins a message.
        first: bool,
        /// It ends it.
        last: bool,
    },
    /// To be answered with the same bytes.
    Ping(Bytes),
    /// An answer.
    Pong,
    /// The last frame.
    Close,
}

/// Takes the client's frames apart.
#[derive(Debug, Default)]
pub struct Frames {
    /// A message has begun and its last frame has not.
    in_message: bool,
    /// Nothing of the present message has been handed on.
    first: bool,
    /// The frame of data whose bytes are coming.
    data: Option<Data>,
}

#[derive(Debug)]
struct Data {
    left: u64,
    fin: bool,
    mask: [u8; 4],
    /// Of the next byte in the mask.
    at: usize,
}

struct Head {
    fin: bool,
    opcode: u8,
    length: u64,
    mask: [u8; 4],
    /// Bytes that it takes itself.
    size: usize,
}

impl Frames {
    /// The next frame, or piece of one; `None` if more bytes are needed.
    ///
    /// # Errors
    /// `Violation::Frame`.
    pub fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Frame>, Violation> {
        loop {
            if let Some(data) = &mut self.data {
                let Some((piece, ended)) = data.take(bytes) else { return Ok(None) };
                let last = ended && data.fin;
                if ended {
                    self.data = None;
                }
                if piece.is_empty() && !last {
                    continue;
                }
                self.in_message = !last;
                let first = std::mem::replace(&mut self.first, false);
                return Ok(Some(Frame::Piece { data: piece, first, last }));
            }
            let Some(head) = head(bytes)? else { return Ok(None) };
            match head.opcode {
                CONTINUATION | TEXT | BINARY => {
                    self.begin(head.opcode)?;
                    bytes.advance(head.size);
                    self.data = Some(Data { left: head.length, fin: head.fin, mask: head.mask, at: 0 });
                }
                CLOSE | PING | PONG => return control(&head, bytes),
                _ => return Err(Violation::Frame("an unknown opcode")),
            }
        }
    }

    fn begin(&mut self, opcode: u8) -> Result<(), Violation> {
        match (opcode == CONTINUATION, self.in_message) {
            (true, false) => Err(Violation::Frame("a continuation of nothing")),
            (false, true) => Err(Violation::Frame("a message within another")),
            (true, true) => Ok(()),
            (false, false) => {
                (self.in_message, self.first) = (true, true);
                Ok(())
            }
        }
    }
}

impl Data {
    /// The next bytes, and whether they are the frame's last.
    fn take(&mut self, bytes: &mut BytesMut) -> Option<(Bytes, bool)> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len()).min(PIECE);
        if length == 0 && self.left > 0 {
            return None;
        }
        self.left -= length as u64;
        let piece = unmask(&bytes[..length], self.mask, self.at);
        self.at += length;
        bytes.advance(length);
        Some((piece, self.left == 0))
    }
}

fn unmask(masked: &[u8], mask: [u8; 4], at: usize) -> Bytes {
    masked.iter().enumerate().map(|(index, byte)| byte ^ mask[(at + index) % 4]).collect()
}

fn head(bytes: &BytesMut) -> Result<Option<Head>, Violation> {
    let Some(&[first, second]) = bytes.first_chunk() else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Violation::Frame("an extension that was not agreed on"));
    }
    if second & MASKED == 0 {
        return Err(Violation::Frame("not masked, as a client's must be"));
    }
    let mut rest = &bytes[2..];
    let length = match second & !MASKED {
        126 => rest.try_get_u16().map(u64::from),
        127 => rest.try_get_u64(),
        short => Ok(u64::from(short)),
    };
    let (Ok(length), Some(&mask)) = (length, rest.first_chunk()) else { return Ok(None) };
    if length > i64::MAX as u64 {
        return Err(Violation::Frame("a length over 2^63"));
    }
    let size = bytes.len() - rest.len() + mask.len();
    Ok(Some(Head { fin: first & FIN != 0, opcode: first & 0x0f, length, mask, size }))
}

fn control(head: &Head, bytes: &mut BytesMut) -> Result<Option<Frame>, Violation> {
    let length = usize::try_from(head.length).unwrap_or(usize::MAX);
    if !head.fin || length > MAX_CONTROL {
        return Err(Violation::Frame("a control frame in pieces or over 125 bytes"));
    }
    if bytes.len() < head.size + length {
        return Ok(None);
    }
    bytes.advance(head.size);
    let body = unmask(&bytes.split_to(length), head.mask, 0);
    Ok(Some(match head.opcode {
        PING => Frame::Ping(body),
        PONG => Frame::Pong,
        _ => Frame::Close,
    }))
}

/// Appends the head of a whole message.
pub(super) fn message(text: bool, length: usize, out: &mut BytesMut) {
    put(if text { TEXT } else { BINARY }, length, out);
}

pub(super) fn ping(out: &mut BytesMut) {
    put(PING, 0, out);
}

pub(super) fn pong(body: &[u8], out: &mut BytesMut) {
    let body = body.get(..MAX_CONTROL).unwrap_or(body);
    put(PONG, body.len(), out);
    out.put_slice(body);
}

pub(super) fn close(code: Code, out: &mut BytesMut) {
    let status: u16 = match code {
        Code::Protocol => 1002,
        Code::Done | Code::Refused | Code::Cancel => 1000,
    };
    put(CLOSE, 2, out);
    out.put_u16(status);
}

fn put(opcode: u8, length: usize, out: &mut BytesMut) {
    out.put_u8(FIN | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => out.put_u8(short),
        (_, Ok(middle)) => {
            out.put_u8(126);
            out.put_u16(middle);
        }
        (_, Err(_)) => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
}

/// A client's frame.
#[cfg(test)]
pub(super) fn client(opcode: u8, fin: bool, body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put(opcode, body.len(), &mut out);
    if !fin {
        out[0] &= !FIN;
    }
    out[1] |= MASKED;
    let mask = [0x12, 0x34, 0x56, 0x78];
    out.put_slice(&mask);
    out.put_slice(&unmask(body, mask, 0));
    out.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(frames: &mut Frames, bytes: &mut BytesMut) -> Result<Vec<Frame>, Violation> {
        std::iter::from_fn(|| frames.decode(bytes).transpose()).collect()
    }

    fn refused(bytes: &[u8]) -> Violation {
        all(&mut Frames::default(), &mut BytesMut::from(bytes)).unwrap_err()
    }

    #[test]
    fn messages_come_in_pieces_with_control_frames_between() {
        let mut bytes = client(BINARY, false, b"one ");
        bytes.extend(client(PING, true, b"?"));
        bytes.extend(client(CONTINUATION, true, b"two"));
        bytes.extend(client(TEXT, true, b""));
        bytes.extend(client(CLOSE, true, &[3, 232]));
        let piece = |data: &'static str, first, last| Frame::Piece { data: data.into(), first, last };
        let expected = [
            piece("one ", true, false),
            Frame::Ping("?".into()),
            piece("two", false, true),
            piece("", true, true),
            Frame::Close,
        ];
        assert_eq!(all(&mut Frames::default(), &mut BytesMut::from(&bytes[..])).unwrap(), expected);
    }

    #[test]
    fn cut_at_every_byte_a_message_is_the_same() {
        let body: Vec<u8> = (0..400u16).map(|n| n as u8).collect();
        let (mut frames, mut buffer, mut got) = (Frames::default(), BytesMut::new(), Vec::new());
        let (mut firsts, mut lasts) = (0, 0);
        for byte in client(BINARY, true, &body) {
            buffer.put_u8(byte);
            for frame in all(&mut frames, &mut buffer).unwrap() {
                let Frame::Piece { data, first, last } = frame else { panic!("{frame:?}") };
                got.extend_from_slice(&data);
                firsts += usize::from(first);
                lasts += usize::from(last);
            }
        }
        assert_eq!((got, firsts, lasts), (body, 1, 1));
    }

    #[test]
    fn a_long_message_is_never_waited_for() {
        let mut bytes = BytesMut::from(&[FIN | BINARY, MASKED | 127, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0][..]);
        bytes.put_slice(&vec![1; PIECE + 1]);
        let got = all(&mut Frames::default(), &mut bytes).unwrap();
        assert_eq!((got.len(), bytes.len()), (2, 0));
    }

    #[test]
    fn what_the_rfc_does_not_allow_is_refused_with_its_fault() {
        let frame = Violation::Frame;
        assert_eq!(refused(&[FIN | BINARY, 1, 0]), frame("not masked, as a client's must be"));
        assert_eq!(refused(&[FIN | 0x40 | BINARY, MASKED]), frame("an extension that was not agreed on"));
        assert_eq!(refused(&client(CONTINUATION, true, b"x")), frame("a continuation of nothing"));
        assert_eq!(refused(&client(3, true, b"x")), frame("an unknown opcode"));
        assert_eq!(refused(&client(PING, true, &[0; 126])), frame("a control frame in pieces or over 125 bytes"));
        assert_eq!(refused(&client(CLOSE, false, b"")), frame("a control frame in pieces or over 125 bytes"));
        let nested = [client(TEXT, false, b"x"), client(TEXT, true, b"x")].concat();
        assert_eq!(refused(&nested), frame("a message within another"));
        assert_eq!(refused(&[FIN | BINARY, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), frame("a length over 2^63"));
    }

    #[test]
    fn our_frames_say_their_length_in_its_shortest_form() {
        for (length, head) in
            [(125, vec![0x82, 125]), (126, vec![0x82, 126, 0, 126]), (65536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0])]
        {
            let mut out = BytesMut::new();
            message(false, length, &mut out);
            assert_eq!(out, head);
        }
    }
}
