//! Those who are attached to the running attempt: they see what it writes from then on, and may write to its standard input.
//!
//! A service never waits for them: who does not take what is sent to him is left.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use barepod_logs::cri::Stream;
use barepod_sys::poll::{Interest, Ready};

use crate::attempt::Attempt;
use crate::wire::attach_ended::Why;
use crate::wire::attach_event::Event;
use crate::wire::attach_request::Request;
use crate::wire::{AttachEnded, AttachEvent, AttachRequest, Attached, Frames, encode_frame};

/// At once.
pub const MOST: usize = 4;
/// Bytes that wait for one of them.
const MOST_UNSENT: usize = 4 << 20;
const CHUNK: usize = 16 * 1024;
/// Bytes of output in one message; a frame holds it.
const PIECE: usize = 32 * 1024;

/// The socket, and who has come.
#[derive(Debug)]
pub struct Attachments {
    listener: UnixListener,
    clients: [Option<Client>; MOST],
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    frames: Frames,
    unsent: Vec<u8>,
    /// It sees and may do something since it began.
    begun: bool,
    writes: bool,
    /// When all is sent it goes.
    leaving: bool,
}

impl Attachments {
    /// On a socket that never blocks.
    #[must_use]
    pub fn new(listener: UnixListener) -> Self {
        Self { listener, clients: std::array::from_fn(|_| None) }
    }

    /// The socket.
    #[must_use]
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Somebody sees what is written.
    #[must_use]
    pub fn any(&self) -> bool {
        self.clients.iter().flatten().any(|client| client.begun)
    }

    /// What is to be waited for of one of them. While the service takes no more input, none is read.
    #[must_use]
    pub fn wanted(&self, place: usize, room: bool) -> Option<(BorrowedFd<'_>, Interest)> {
        let client = self.clients.get(place)?.as_ref()?;
        let interest = match (client.unsent.is_empty(), room && !client.leaving) {
            (true, true) => Interest::Read,
            (false, true) => Interest::ReadWrite,
            (false, false) => Interest::Write,
            (true, false) => Interest::End,
        };
        Some((client.stream.as_fd(), interest))
    }

    /// Takes one who comes.
    pub fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let client = Client {
            stream,
            frames: Frames::default(),
            unsent: Vec::new(),
            begun: false,
            writes: false,
            leaving: false,
        };
        match self.clients.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(client),
            None => {
                let mut refused = client;
                // It is told once, if that is taken.
                let _ = refused.end(Why::TooMany);
            }
        }
    }

    /// Does what one of them asks, and sends what he takes.
    pub fn serve(&mut self, place: usize, ready: Ready, attempt: Option<&mut Attempt>) {
        let Some(slot) = self.clients.get_mut(place) else { return };
        let Some(client) = slot else { return };
        if client.turn(ready, attempt).is_err() {
            *slot = None;
        }
    }

    /// What the service has written.
    pub fn show(&mut self, stream: Stream, data: &[u8]) {
        for piece in data.chunks(PIECE) {
            let event = match stream {
                Stream::Stdout => Event::Stdout(piece.to_vec()),
                Stream::Stderr => Event::Stderr(piece.to_vec()),
            };
            self.tell_all(&event.into());
        }
    }

    /// Nothing of the attempt is left.
    pub fn end_all(&mut self) {
        for slot in &mut self.clients {
            if slot
                .as_mut()
                .filter(|client| client.begun && !client.leaving)
                .is_some_and(|client| client.end(Why::ContainerEnded).is_err())
            {
                *slot = None;
            }
        }
    }

    fn tell_all(&mut self, event: &AttachEvent) {
        for slot in &mut self.clients {
            let client = slot.as_mut().filter(|client| client.begun && !client.leaving);
            if client.is_some_and(|client| client.send(event).is_err()) {
                *slot = None;
            }
        }
    }
}

/// It is gone, or has to go.
struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Client {
    fn turn(&mut self, ready: Ready, mut attempt: Option<&mut Attempt>) -> Result<(), Gone> {
        self.flush()?;
        if self.leaving && self.unsent.is_empty() {
            return Err(Gone);
        }
        if !ready.readable() && !ready.hung_up() {
            return Ok(());
        }
        let end = self.receive();
        while let Some(request) = self.frames.take::<AttachRequest>().map_err(|_| Gone)? {
            self.answer(request.request, attempt.as_deref_mut())?;
        }
        if end.is_err() && self.writes {
            // The session is over.
            if let Some(attempt) = attempt {
                attempt.leave_stdin();
            }
        }
        end
    }

    fn answer(&mut self, request: Option<Request>, attempt: Option<&mut Attempt>) -> Result<(), Gone> {
        let Some(attempt) = attempt.filter(|attempt| attempt.runs()) else { return self.end(Why::NotRunning) };
        match request {
            Some(Request::Begin(begin)) => {
                (self.begun, self.writes) = (true, begin.stdin && attempt.takes_stdin());
                let attached = Attached { attempt: attempt.number(), tty: attempt.has_terminal(), stdin: self.writes };
                self.send(&Event::Attached(attached).into())
            }
            Some(Request::Stdin(data)) if self.writes => {
                attempt.put_stdin(&data);
                Ok(())
            }
            Some(Request::StdinClosed(_)) if self.writes => {
                self.writes = false;
                if attempt.leave_stdin() { Ok(()) } else { self.end(Why::StdinClosed) }
            }
            Some(Request::Resize(size)) if self.begun => {
                attempt.resize(size);
                Ok(())
            }
            Some(Request::Stdin(_) | Request::StdinClosed(_) | Request::Resize(_)) | None => Ok(()),
        }
    }

    fn receive(&mut self) -> Result<(), Gone> {
        let mut chunk = [0; CHUNK];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Gone),
            Ok(count) => {
                self.frames.push(&chunk[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn end(&mut self, why: Why) -> Result<(), Gone> {
        self.leaving = true;
        self.send(&Event::Ended(AttachEnded { why: why.into() }).into())?;
        if self.unsent.is_empty() { Err(Gone) } else { Ok(()) }
    }

    fn send(&mut self, event: &AttachEvent) -> Result<(), Gone> {
        self.unsent.extend_from_slice(&encode_frame(event).map_err(|_| Gone)?);
        self.flush()?;
        if self.unsent.len() > MOST_UNSENT { Err(Gone) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Gone> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(0) => return Err(Gone),
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent = Vec::new();
        Ok(())
    }
}
