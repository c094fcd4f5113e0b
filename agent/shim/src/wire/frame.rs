//! Frames: a length as u32, little-endian, then a message. The reader takes bytes as they come and never reserves memory
//! for what a length only promises.

use std::io::{self, Read, Write};

use prost::Message;

/// Most bytes of one message.
pub const MAX_FRAME: usize = 4 << 20;

const HEADER: usize = 4;

/// Bytes that are not a frame of the expected message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is over the limit.
    #[error("a frame of {0} bytes: at most {MAX_FRAME} are allowed")]
    TooLong(usize),
    /// The bytes are not the message.
    #[error("a frame that cannot be decoded")]
    Decode(#[from] prost::DecodeError),
}

/// Puts arriving bytes together to messages.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Starts with bytes that arrived earlier.
    #[must_use]
    pub fn with(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What is there and is not a whole message yet.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.bytes
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// When the bytes are no frame of `M`. The stream cannot be read any further.
    pub fn take<M: Message + Default>(&mut self) -> Result<Option<M>, FrameError> {
        let Some(header) = self.bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_le_bytes(*header) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length));
        }
        let end = HEADER + length;
        let Some(body) = self.bytes.get(HEADER..end) else { return Ok(None) };
        let message = M::decode(body)?;
        self.bytes.drain(..end);
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
        Ok(Some(message))
    }
}

/// A message as a frame.
///
/// # Errors
/// When the message is longer than a frame may be.
pub fn encode_frame(message: &impl Message) -> Result<Vec<u8>, FrameError> {
    let length = message.encoded_len();
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    let mut bytes = Vec::with_capacity(HEADER + length);
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
    bytes.extend_from_slice(&message.encode_to_vec());
    Ok(bytes)
}

/// Writes one frame.
///
/// # Errors
/// As the writer; `InvalidData` when the message is too long.
pub fn write_frame(writer: &mut impl Write, message: &impl Message) -> io::Result<()> {
    let bytes = encode_frame(message).map_err(invalid)?;
    writer.write_all(&bytes)
}

/// Reads one frame; `None` when the stream ends before it.
///
/// # Errors
/// As the reader; `UnexpectedEof` within a frame; `InvalidData` when it is no frame of `M`.
pub fn read_frame<M: Message + Default>(reader: &mut impl Read) -> io::Result<Option<M>> {
    let mut header = [0; HEADER];
    if read_some(reader, &mut header[..1])? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut header[1..])?;
    let length = u32::from_le_bytes(header) as usize;
    if length > MAX_FRAME {
        return Err(invalid(FrameError::TooLong(length)));
    }
    let mut body = Vec::new();
    let got = reader.take(length as u64).read_to_end(&mut body)?;
    if got < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    M::decode(body.as_slice()).map(Some).map_err(|error| invalid(error.into()))
}

/// `read`, which alone of its family gives up when a signal comes.
fn read_some(reader: &mut impl Read, place: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(place) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn invalid(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Event, Refused, event};

    fn refused(text: &str) -> Event {
        event::Event::Refused(Refused { message: text.into(), ..Refused::default() }).into()
    }

    #[test]
    fn frames_come_back_whole_however_they_were_cut() {
        let stream = [encode_frame(&refused("one")).unwrap(), encode_frame(&refused("two")).unwrap()].concat();
        for size in 1..stream.len() {
            let mut frames = Frames::default();
            let mut got = Vec::new();
            for piece in stream.chunks(size) {
                frames.push(piece);
                while let Some(event) = frames.take::<Event>().unwrap() {
                    got.push(event);
                }
            }
            assert_eq!(got, [refused("one"), refused("two")]);
            assert!(frames.rest().is_empty());
        }
    }

    #[test]
    fn a_length_over_the_limit_is_an_error_before_any_body() {
        let mut frames = Frames::default();
        frames.push(&(MAX_FRAME as u32 + 1).to_le_bytes());

        assert!(matches!(frames.take::<Event>(), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_an_error_and_before_one_is_not() {
        let bytes = encode_frame(&refused("cut")).unwrap();

        assert!(read_frame::<Event>(&mut &bytes[..0]).unwrap().is_none());
        for end in 1..bytes.len() {
            assert!(read_frame::<Event>(&mut &bytes[..end]).is_err());
        }
        assert_eq!(read_frame::<Event>(&mut bytes.as_slice()).unwrap(), Some(refused("cut")));
    }
}
