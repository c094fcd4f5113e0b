//! A listener of the test itself, which pods ask as a service of theirs (they share the host's network): it remembers what
//! it was asked.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What it does with who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Answers with this HTTP status.
    Answers(u16),
    /// Says nothing until the other side goes.
    Hangs,
}

/// One that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When.
    pub at: Instant,
    /// The first bytes it sent.
    pub text: String,
    /// How long it stayed.
    pub stayed: Duration,
}

/// A listener.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
}

impl Listener {
    /// On a free port of this address. It ends with the test.
    pub fn new(host: &str, manner: Manner) -> io::Result<Self> {
        let listener = TcpListener::bind((host, 0))?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || serve(stream, manner, &kept));
            }
        });
        Ok(Self { address, seen })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All that came, in the order in which it came: whoever has been answered may ask again before it is noted.
    pub fn seen(&self) -> Vec<Asked> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.sort_by_key(|asked| asked.at);
        seen
    }

    /// The first bytes of the first that came.
    pub fn first(&self) -> Option<String> {
        self.seen().into_iter().next().map(|asked| asked.text)
    }
}

fn serve(mut stream: TcpStream, manner: Manner, seen: &Mutex<Vec<Asked>>) {
    let at = Instant::now();
    let mut chunk = [0; 4096];
    let count = stream.read(&mut chunk).unwrap_or(0);
    let text = String::from_utf8_lossy(&chunk[..count]).into_owned();
    match manner {
        Manner::Answers(status) => {
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            // Who asks may have gone.
            let _ = stream.write_all(answer.as_bytes());
        }
        Manner::Hangs => while stream.read(&mut chunk).is_ok_and(|count| count > 0) {},
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(Asked { at, text, stayed: at.elapsed() });
}
