//! Connections that send anything but what they should: the shim and its process live on.

mod support;

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use barepod_shim::layout;
use barepod_shim::wire::exit::How;
use barepod_shim::wire::{MAX_FRAME, Request, Start, Stats, encode_frame, event, request};
use support::until;

/// Numbers that look random and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn random_bytes_and_broken_frames_end_their_connection_only() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let started = shim.start(host.start(1, "sleep 1000"));
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    for round in 0..300_u32 {
        let mut stream = UnixStream::connect(host.dir.join(layout::SOCKET)).unwrap();
        let length = (numbers.next() % 300) as usize;
        let body = numbers.bytes(length);
        let bytes = match round % 3 {
            0 => body,
            1 => [&(length as u32).to_le_bytes()[..], &body].concat(),
            _ => {
                let mut frame = encode_frame(&Request::from(request::Request::Start(Start::default()))).unwrap();
                frame.extend(encode_frame(&Request::from(request::Request::Stats(Stats {}))).unwrap());
                let at = (numbers.next() as usize) % frame.len();
                frame[at] ^= numbers.next() as u8;
                frame
            }
        };
        // the shim may have closed it already
        let _ = stream.write_all(&bytes);
    }

    let shim = host.connect();

    let attempt = shim.welcome.current.unwrap();
    assert_eq!((attempt.attempt, attempt.pid, attempt.exit), (1, started.pid, None));
}

#[test]
fn a_frame_over_the_limit_is_refused_and_its_connection_closed() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();

    shim.stream.write_all(&(MAX_FRAME as u32 + 1).to_le_bytes()).unwrap();

    assert!(shim.refused().message.contains("at most"));
    let ended = barepod_shim::wire::read_frame::<barepod_shim::wire::Event>(&mut shim.stream).unwrap();
    assert_eq!(ended, None);
    host.connect();
}

#[test]
fn a_request_of_a_later_protocol_is_refused_and_the_connection_goes_on() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();

    // field 999 of the message, of length 0
    shim.stream.write_all(&[3, 0, 0, 0, 0xba, 0x3e, 0x00]).unwrap();

    assert_eq!(shim.refused().request, "unknown");
    assert_eq!(shim.run(host.start(1, "exit 2")).how, Some(How::Code(2)));
}

#[test]
fn nothing_is_done_for_a_connection_without_hello() {
    let mut host = host_or_skip!();
    host.spawn();
    drop(host.connect());
    let mut stream = UnixStream::connect(host.dir.join(layout::SOCKET)).unwrap();

    let start = Request::from(request::Request::Start(host.start(1, "exit 2")));
    stream.write_all(&encode_frame(&start).unwrap()).unwrap();
    let answer = barepod_shim::wire::read_frame::<barepod_shim::wire::Event>(&mut stream).unwrap().unwrap();

    assert!(matches!(answer.event, Some(event::Event::Refused(refused)) if refused.message.contains("Hello")));
    assert_eq!(host.connect().welcome.current, None);
}

#[test]
fn a_daemon_that_reads_nothing_holds_nothing_up() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    for _ in 0..200_000 {
        let request = encode_frame(&Request::from(request::Request::Stats(Stats {}))).unwrap();
        if shim.stream.write_all(&request).is_err() {
            break;
        }
    }

    let mut next = until("another connection", || Some(host.connect()));

    assert_eq!(next.run(host.start(1, "exit 2")).how, Some(How::Code(2)));
}
