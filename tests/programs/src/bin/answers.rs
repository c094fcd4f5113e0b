//! A service to be probed: speaks HTTP as files in a directory say, and writes down what it is asked.
//!
//! `answers PORT DIRECTORY`. In the directory: `status` is the status of the next answer (200 where there is none), or `hang`
//! for no answer at all, or `slow` for a late 200; `requests` grows by one line a request: milliseconds since the start, path, user agent.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How late a late answer is.
const SLOW: Duration = Duration::from_millis(400);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: answers PORT DIRECTORY";
    let port: u16 = arguments.next().ok_or(usage)?.parse()?;
    let directory = PathBuf::from(arguments.next().ok_or(usage)?);
    let start = Instant::now();
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut held = Vec::new();
    for stream in listener.incoming() {
        // A client that is gone is no matter.
        if let Ok(Some(open)) = answer(stream?, &directory, start) {
            held.push(open);
        }
    }
    Ok(())
}

/// Answers; gives the connection back where it is to be held without an answer.
fn answer(mut stream: TcpStream, directory: &Path, start: Instant) -> Result<Option<TcpStream>, Box<dyn Error>> {
    let Some((path, agent)) = request(&stream)? else { return Ok(None) };
    let mut requests = OpenOptions::new().append(true).create(true).open(directory.join("requests"))?;
    writeln!(requests, "{} {path} {agent}", start.elapsed().as_millis())?;
    let status = std::fs::read_to_string(directory.join("status")).unwrap_or_else(|_| "200".to_owned());
    match status.trim() {
        "hang" => Ok(Some(stream)),
        status => {
            let status = match status {
                "slow" => {
                    std::thread::sleep(SLOW);
                    "200"
                }
                status => status,
            };
            write!(stream, "HTTP/1.1 {status} As told\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            Ok(None)
        }
    }
}

/// Path and user agent; `None` for a connection that says nothing.
fn request(stream: &TcpStream) -> Result<Option<(String, String)>, Box<dyn Error>> {
    let (mut path, mut agent) = (None, String::new());
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if path.is_none() {
            path = line.split(' ').nth(1).map(str::to_owned);
        } else if let Some(("User-Agent", value)) = line.split_once(": ") {
            agent = value.to_owned();
        }
    }
    Ok(path.map(|path| (path, agent)))
}
