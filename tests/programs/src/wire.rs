//! The wire between the VM harness and the agent inside the guest: frames over one virtio-serial port.
//!
//! A frame is three little-endian `u32` (id, length of the header, length of the body), a JSON header and raw bytes. Many
//! requests may be open at once; a reply carries the id of its request. Id 0 belongs to the agent's greeting.

use std::io::{self, Read, Write};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The port's name: `/dev/virtio-ports/<this>` inside the guest.
pub const PORT: &str = "barepod.0";
/// The id of the frame that the agent sends unasked when it starts.
pub const GREETING: u32 = 0;
/// No header or body is longer than this; more means that the two sides are out of step.
const LONGEST: u32 = 512 << 20;

/// What the harness asks of the agent. The frame's body is the standard input of `Exec` and the content of `Put`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Run a program and wait for its end.
    Exec(Exec),
    /// Write a file: beside its place first, then renamed into it.
    Put {
        /// Absolute path; missing parents are made.
        path: String,
        /// Permission bits.
        mode: u32,
    },
    /// Read a whole file.
    Get {
        /// Absolute path.
        path: String,
    },
}

/// A program to run as root inside the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Program (found by `PATH`) and its arguments.
    pub argv: Vec<String>,
    /// Added to the agent's environment.
    pub env: Vec<(String, String)>,
    /// After this the program's process group is killed.
    pub limit: Duration,
}

/// What the agent answers. The body is stdout followed by stderr of `Ended`, or the content of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The agent has started.
    Hello,
    /// The program of an `Exec` is over.
    Ended {
        /// How.
        outcome: Outcome,
        /// So many bytes of the body are stdout, the rest is stderr.
        stdout: usize,
    },
    /// A `Put` is in place.
    Stored,
    /// The body is the file.
    Content,
    /// The request could not be carried out.
    Failed {
        /// What failed, for people.
        why: String,
    },
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It, or a process that kept its output open, was still there at the limit and was killed.
    TimedOut,
}

/// One message with its raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<T> {
    /// Joins a reply to its request.
    pub id: u32,
    /// The header.
    pub message: T,
    /// The bytes that belong to it.
    pub body: Vec<u8>,
}

impl<T: Serialize> Frame<T> {
    /// Writes the frame as one piece. Fails as the writer does, or with `InvalidInput` for a body over 512 MB.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let header = serde_json::to_vec(&self.message)?;
        to.write_all(&self.id.to_le_bytes())?;
        to.write_all(&length(&header)?.to_le_bytes())?;
        to.write_all(&length(&self.body)?.to_le_bytes())?;
        to.write_all(&header)?;
        to.write_all(&self.body)?;
        to.flush()
    }
}

impl<T: DeserializeOwned> Frame<T> {
    /// Reads one frame; `UnexpectedEof` where the other side has gone.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let id = number(from)?;
        let (header, body) = (number(from)?, number(from)?);
        let header = bytes(from, header)?;
        let body = bytes(from, body)?;
        Ok(Self { id, message: serde_json::from_slice(&header)?, body })
    }
}

fn length(bytes: &[u8]) -> io::Result<u32> {
    match u32::try_from(bytes.len()) {
        Ok(length) if length <= LONGEST => Ok(length),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a frame of {} bytes is too long", bytes.len()))),
    }
}

fn number(from: &mut impl Read) -> io::Result<u32> {
    let mut number = [0; 4];
    from.read_exact(&mut number)?;
    Ok(u32::from_le_bytes(number))
}

fn bytes(from: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a length of {length}: not a frame")));
    }
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Frame<Reply> {
        Frame { id: 7, message: Reply::Ended { outcome: Outcome::Code(3), stdout: 2 }, body: body.to_vec() }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut bytes = Vec::new();
        frame(b"\0\xffab").write(&mut bytes).unwrap();
        frame(b"").write(&mut bytes).unwrap();

        let mut rest = bytes.as_slice();

        assert_eq!(Frame::read(&mut rest).unwrap(), frame(b"\0\xffab"));
        assert_eq!(Frame::read(&mut rest).unwrap(), frame(b""));
        assert!(rest.is_empty());
    }

    #[test]
    fn a_frame_cut_short_is_an_end_of_file() {
        let mut bytes = Vec::new();
        frame(b"body").write(&mut bytes).unwrap();

        for cut in 0..bytes.len() {
            let error = Frame::<Reply>::read(&mut &bytes[..cut]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
        }
    }

    #[test]
    fn a_senseless_length_is_refused_before_memory_is_taken() {
        let error = Frame::<Reply>::read(&mut [0xff; 64].as_slice()).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
