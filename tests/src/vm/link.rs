//! The connection to the agent inside the guest: many requests at once, each answered by its id.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use barepod_test_programs::wire::{Frame, GREETING, Reply, Request};

use super::qemu::{self, QemuError};
use crate::Scratch;
use crate::wait::{WaitedInVain, wait_for};

type Answer = (Reply, Vec<u8>);

/// An open connection.
#[derive(Debug)]
pub(super) struct Link {
    port: Mutex<UnixStream>,
    waiting: Arc<Waiting>,
    greeting: Mutex<mpsc::Receiver<Answer>>,
    next: AtomicU32,
}

/// The agent cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// QEMU has not connected.
    #[error(transparent)]
    Late(#[from] WaitedInVain),
    /// QEMU is gone, before it connected.
    #[error("qemu {0}")]
    Qemu(#[from] QemuError),
    /// No answer within the limit.
    #[error("no answer within {limit:?} to {request}")]
    Silent {
        /// What was asked.
        request: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The guest went down before it answered.
    #[error("the guest went away before it answered {request}")]
    Gone {
        /// What was asked.
        request: String,
    },
}

/// Who waits for which answer; `None` once no answer will come any more.
#[derive(Debug)]
struct Waiting(Mutex<Option<HashMap<u32, mpsc::Sender<Answer>>>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u32, mpsc::Sender<Answer>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place where the answer to `id` will arrive. A closed connection yields one that is closed, too.
    fn expect(&self, id: u32) -> mpsc::Receiver<Answer> {
        let (sender, receiver) = mpsc::channel();
        if let Some(map) = self.lock().as_mut() {
            map.insert(id, sender);
        }
        receiver
    }

    fn forget(&self, id: u32) {
        if let Some(map) = self.lock().as_mut() {
            map.remove(&id);
        }
    }

    fn deliver(&self, frame: Frame<Reply>) {
        let waiter = self.lock().as_mut().and_then(|map| map.remove(&frame.id));
        if let Some(waiter) = waiter {
            // Who has given up in this moment does not want it.
            let _ = waiter.send((frame.message, frame.body));
        }
    }

    fn close(&self) {
        *self.lock() = None;
    }
}

/// The socket before QEMU has connected.
pub(super) struct Listener(UnixListener);

impl Listener {
    /// Waits for QEMU, as long as it is alive.
    pub(super) fn accept(
        self,
        limit: Duration,
        mut alive: impl FnMut() -> Result<(), QemuError>,
    ) -> Result<Link, LinkError> {
        let stream = wait_for("qemu's connection", limit, || match (self.0.accept(), alive()) {
            (Ok((stream, _)), _) => Some(Ok(stream)),
            (Err(_), Err(gone)) => Some(Err(LinkError::Qemu(gone))),
            (Err(error), Ok(())) if error.kind() == io::ErrorKind::WouldBlock => None,
            (Err(error), Ok(())) => Some(Err(LinkError::Io(error))),
        })??;
        stream.set_nonblocking(false)?;
        Link::over(stream).map_err(LinkError::Io)
    }
}

impl Link {
    /// Listens on the guest's socket, anew at each boot.
    pub(super) fn listen(scratch: &Scratch) -> Result<Listener, LinkError> {
        let path = qemu::socket(scratch);
        if path.exists() {
            fs_err::remove_file(&path)?;
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Listener(listener))
    }

    fn over(stream: UnixStream) -> io::Result<Self> {
        let waiting = Arc::new(Waiting(Mutex::new(Some(HashMap::new()))));
        let greeting = Mutex::new(waiting.expect(GREETING));
        let (mut reading, answers) = (stream.try_clone()?, Arc::clone(&waiting));
        thread::spawn(move || {
            while let Ok(frame) = Frame::read(&mut reading) {
                answers.deliver(frame);
            }
            answers.close();
        });
        Ok(Self { port: Mutex::new(stream), waiting, greeting, next: AtomicU32::new(GREETING + 1) })
    }

    /// Waits for the agent to start.
    pub(super) fn greeting(&self, limit: Duration) -> Result<(), LinkError> {
        let greeting = self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        receive(&greeting, "be greeted", limit).map(drop)
    }

    /// One request and its answer.
    pub(super) fn call(&self, message: Request, body: Vec<u8>, limit: Duration) -> Result<Answer, LinkError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let asked = describe(&message);
        let answer = self.waiting.expect(id);
        let received = self
            .send(&Frame { id, message, body }, limit)
            .map_err(LinkError::Io)
            .and_then(|()| receive(&answer, &asked, limit));
        self.waiting.forget(id);
        received
    }

    /// A frame that could not be written whole leaves the connection useless: it is closed.
    fn send(&self, frame: &Frame<Request>, limit: Duration) -> io::Result<()> {
        let mut port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        port.set_write_timeout(Some(limit))?;
        frame.write(&mut *port).inspect_err(|_| {
            // It may be closed already, which is what is wanted.
            let _ = port.shutdown(Shutdown::Both);
        })
    }
}

fn describe(request: &Request) -> String {
    match request {
        Request::Exec(exec) => format!("`{}`", exec.argv.join(" ")),
        Request::Put { path, .. } => format!("writing {path}"),
        Request::Get { path } => format!("reading {path}"),
    }
}

fn receive(answer: &mpsc::Receiver<Answer>, request: &str, limit: Duration) -> Result<Answer, LinkError> {
    answer.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => LinkError::Silent { request: request.to_owned(), limit },
        RecvTimeoutError::Disconnected => LinkError::Gone { request: request.to_owned() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn get(path: &str) -> Request {
        Request::Get { path: path.to_owned() }
    }

    #[test]
    fn answers_out_of_order_find_their_requests() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let link = Link::over(ours).unwrap();
        thread::scope(|scope| {
            let callers = ["a", "b"].map(|path| {
                let link = &link;
                scope.spawn(move || link.call(get(path), Vec::new(), LIMIT).unwrap())
            });
            let mut asked = [(); 2].map(|()| Frame::<Request>::read(&mut theirs).unwrap());
            asked.reverse();
            for Frame { id, message, .. } in asked {
                let body = describe(&message).into_bytes();
                Frame { id, message: Reply::Content, body }.write(&mut theirs).unwrap();
            }

            let answers = callers.map(|caller| String::from_utf8(caller.join().unwrap().1).unwrap());

            assert_eq!(answers, ["reading a", "reading b"]);
        });
    }

    #[test]
    fn a_guest_that_goes_away_ends_the_wait() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let link = Link::over(ours).unwrap();
        let first = thread::scope(|scope| {
            let caller = scope.spawn(|| link.call(get("a"), Vec::new(), LIMIT));
            Frame::<Request>::read(&mut &theirs).unwrap();
            drop(theirs);
            caller.join().unwrap()
        });

        assert!(matches!(first, Err(LinkError::Gone { .. })), "{first:?}");
        assert!(matches!(link.call(get("b"), Vec::new(), LIMIT), Err(LinkError::Gone { .. } | LinkError::Io(_))));
    }

    #[test]
    fn silence_ends_at_the_limit_and_names_the_request() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let link = Link::over(ours).unwrap();

        let error = link.call(get("/x"), Vec::new(), Duration::from_millis(5)).unwrap_err();

        assert_eq!(error.to_string(), "no answer within 5ms to reading /x");
    }
}
