//! Frames: a length as u32, little-endian, then a message.

use std::io;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Most bytes of one message. A question carries the headers of a manifest, which is at most a megabyte.
pub const MAX_FRAME: usize = 2 << 20;

const HEADER: usize = 4;

/// Bytes that are no message of this wire.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is over the limit.
    #[error("a frame of more than {MAX_FRAME} bytes")]
    TooLong,
    /// The bytes are not the message.
    #[error("a frame that cannot be decoded")]
    Decode(#[from] prost::DecodeError),
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Cut,
    /// The stream.
    #[error("cannot read the stream")]
    Io(#[source] io::Error),
}

/// Puts arriving bytes together to messages.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: BytesMut,
}

impl Frames {
    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// `TooLong`, `Decode`. The stream cannot be read any further.
    pub fn take<M: Message + Default>(&mut self) -> Result<Option<M>, FrameError> {
        let Some(header) = self.bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_le_bytes(*header) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong);
        }
        if self.bytes.len() < HEADER + length {
            return Ok(None);
        }
        self.bytes.advance(HEADER);
        Ok(Some(M::decode(self.bytes.split_to(length))?))
    }

    /// Reads the next message; `None` when the stream ends before it. Cancel-safe: what has been read is kept.
    ///
    /// # Errors
    /// As the reader and [`Frames::take`]; `Cut` within a frame.
    pub async fn read<M: Message + Default>(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<M>, FrameError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            self.bytes.reserve(4096);
            match reader.read_buf(&mut self.bytes).await {
                Ok(0) if self.bytes.is_empty() => return Ok(None),
                Ok(0) => return Err(FrameError::Cut),
                Ok(_) => {}
                Err(error) => return Err(FrameError::Io(error)),
            }
        }
    }
}

/// A message as a frame.
///
/// # Errors
/// `TooLong`.
pub fn encode(message: &impl Message) -> Result<Bytes, FrameError> {
    let length = message.encoded_len();
    let header = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME).ok_or(FrameError::TooLong)?;
    let mut frame = BytesMut::with_capacity(HEADER + length);
    frame.put_u32_le(header);
    frame.put(message.encode_to_vec().as_slice());
    Ok(frame.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, FromProber, Hello, Verdict, from_prober};

    fn hello() -> FromProber {
        let hello = Hello { version: 1, release: "test".to_owned() };
        FromProber { message: Some(from_prober::Message::Hello(hello)) }
    }

    fn answer() -> FromProber {
        let answer = Answer { id: 7, verdict: Verdict::Bad.into(), text: "no".to_owned() };
        FromProber { message: Some(from_prober::Message::Answer(answer)) }
    }

    #[test]
    fn frames_come_back_whole_however_they_were_cut() {
        let stream = [encode(&hello()).unwrap(), encode(&answer()).unwrap()].concat();
        for size in 1..stream.len() {
            let mut frames = Frames::default();
            let mut got = Vec::new();
            for piece in stream.chunks(size) {
                frames.push(piece);
                while let Some(message) = frames.take::<FromProber>().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, [hello(), answer()], "in pieces of {size}");
        }
    }

    #[test]
    fn a_length_over_the_limit_is_an_error_before_any_body() {
        let mut frames = Frames::default();
        frames.push(&(MAX_FRAME as u32 + 1).to_le_bytes());

        assert!(matches!(frames.take::<FromProber>(), Err(FrameError::TooLong)));
        assert!(matches!(encode(&long()), Err(FrameError::TooLong)));
    }

    fn long() -> FromProber {
        let answer = Answer { text: "x".repeat(MAX_FRAME + 1), ..Answer::default() };
        FromProber { message: Some(from_prober::Message::Answer(answer)) }
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        let mut frames = Frames::default();
        frames.push(&[2, 0, 0, 0, 0xff, 0xff]);

        assert!(matches!(frames.take::<FromProber>(), Err(FrameError::Decode(_))));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_stream_that_ends_within_a_frame_is_an_error_and_before_one_is_not() {
        let bytes = encode(&hello()).unwrap();

        for end in 0..=bytes.len() {
            let mut reader = &bytes[..end];
            let mut frames = Frames::default();
            match frames.read::<FromProber>(&mut reader).await {
                Ok(None) => assert_eq!(end, 0),
                Ok(Some(message)) => assert_eq!((message, end), (hello(), bytes.len())),
                Err(error) => assert!(matches!(error, FrameError::Cut) && end < bytes.len(), "{end}: {error}"),
            }
        }
    }
}
