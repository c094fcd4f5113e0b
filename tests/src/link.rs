//! A way to a server of this machine that can be cut, as a cable is: what is on it stays where it is, nobody is told, and it goes
//! on when the way is mended.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::scratch::steady_port;

/// The way.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    way: Mutex<Way>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Whole,
    Cut,
    /// Nobody has it any more.
    Gone,
}

impl Link {
    /// A way to this address, whether anybody listens there yet or not.
    ///
    /// # Errors
    /// There is no port for it.
    pub fn to(target: SocketAddr) -> io::Result<Self> {
        let port = steady_port(Ipv4Addr::LOCALHOST.into())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let (address, state) = (listener.local_addr()?, Arc::<State>::default());
        let its = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if *its.lock() == Way::Gone {
                    return;
                }
                let state = Arc::clone(&its);
                thread::spawn(move || join(&client, target, &state));
            }
        });
        Ok(Self { address, state })
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing passes, in either direction.
    pub fn cut(&self) {
        self.state.set(Way::Cut);
    }

    /// All passes again, also what has waited.
    pub fn mend(&self) {
        self.state.set(Way::Whole);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.set(Way::Gone);
        // The listener looks up, and ends.
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, now: Way) {
        *self.lock() = now;
        self.changed.notify_all();
    }

    /// Waits while it is cut.
    fn pass(&self) {
        drop(self.changed.wait_while(self.lock(), |way| *way == Way::Cut));
    }
}

/// A connection with all that is on it, until one side ends it.
fn join(client: &TcpStream, target: SocketAddr, state: &State) {
    state.pass();
    let Ok(server) = TcpStream::connect(target) else { return };
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &server, state));
        copy(&server, client, state);
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, state: &State) {
    let mut buffer = [0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).unwrap_or_default();
        state.pass();
        if length == 0 || to.write_all(&buffer[..length]).is_err() {
            from.shutdown(Shutdown::Both).ok();
            to.shutdown(Shutdown::Both).ok();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_on_a_way_that_is_cut_waits_until_it_is_mended() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let link = Link::to(server.local_addr().unwrap()).unwrap();
        let mut here = TcpStream::connect(link.address()).unwrap();
        let mut there = server.accept().unwrap().0;
        let mut letter = [0];
        here.write_all(b"a").unwrap();
        there.read_exact(&mut letter).unwrap();

        link.cut();
        here.write_all(b"b").unwrap();
        there.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        there.read_exact(&mut letter).unwrap_err();
        link.mend();

        there.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        there.read_exact(&mut letter).unwrap();
        assert_eq!(letter, *b"b");
    }
}
