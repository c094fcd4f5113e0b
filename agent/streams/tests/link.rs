//! Connections from end to end, on a clock of their own: what is held in memory, what is waited for, and who ends what.

use std::time::Duration;

use barepod_streams::port_forward::Forwards;
use barepod_streams::remote_command::{CHANNELS, Options, Outcome, Session, Size};
use barepod_streams::{Drive, End, Headers, Link, Next, Timing, Upgrade, spdy};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;

const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

fn by_spdy(protocol: &'static str) -> HeaderMap {
    headers(&[("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", protocol)])
}

fn by_websocket(protocol: &'static str) -> HeaderMap {
    headers(&[
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", protocol),
    ])
}

/// A client of SPDY, as far as it is needed.
struct Client {
    io: DuplexStream,
    deflate: spdy::Deflate,
    inflate: spdy::Inflate,
}

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Accepted(u32),
    Reset(u32),
    Ping(u32),
    Data(u32, Bytes),
    End(u32),
    GoAway,
}

impl Client {
    fn new(io: DuplexStream) -> Self {
        Self { io, deflate: spdy::Deflate::default(), inflate: spdy::Inflate::new() }
    }

    async fn open(&mut self, stream: u32, pairs: &[(&str, &str)]) {
        let mut body = BytesMut::new();
        body.put_u32(stream);
        body.put_slice(&[0; 6]);
        let headers = match *pairs {
            [one] => Headers::from([one]),
            [one, two] => Headers::from([one, two]),
            [one, two, three] => Headers::from([one, two, three]),
            _ => panic!("{pairs:?}"),
        };
        self.deflate.block(&headers, &mut body);
        self.control(SYN_STREAM, &body).await;
    }

    async fn control(&mut self, kind: u16, body: &[u8]) {
        let mut frame = BytesMut::new();
        frame.put_u32(0x8003_0000 | u32::from(kind));
        frame.put_u32(body.len() as u32);
        frame.put_slice(body);
        self.io.write_all(&frame).await.expect("the peer is there");
    }

    async fn send(&mut self, stream: u32, fin: bool, data: &[u8]) {
        let mut frame = BytesMut::new();
        frame.put_u32(stream);
        frame.put_u32(u32::from(fin) << 24 | data.len() as u32);
        frame.put_slice(data);
        self.io.write_all(&frame).await.expect("the peer is there");
    }

    async fn hear(&mut self) -> Option<Said> {
        let first = self.io.read_u32().await.ok()?;
        let second = self.io.read_u32().await.expect("the peer is there");
        let mut body = vec![0; (second & 0x00ff_ffff) as usize];
        self.io.read_exact(&mut body).await.expect("the peer is there");
        let word = |at: usize| u32::from_be_bytes(*body[at..].first_chunk().expect("the peer is there"));
        Some(match first {
            0x8003_0002 => {
                self.inflate.block(&body[4..]).expect("the peer is there");
                Said::Accepted(word(0))
            }
            0x8003_0003 => Said::Reset(word(0)),
            0x8003_0006 => Said::Ping(word(0)),
            0x8003_0007 => Said::GoAway,
            stream if second >> 24 == 1 => Said::End(stream),
            stream => Said::Data(stream, body.into()),
        })
    }
}

fn begin(asked: &HeaderMap) -> (Client, Upgrade, Link, Drive) {
    let upgrade = Upgrade::remote_command(asked).expect("the peer is there");
    let (ours, theirs) = tokio::io::duplex(4096);
    let (link, drive) = upgrade.link(theirs, &CHANNELS, Timing::default());
    (Client::new(ours), upgrade, link, drive)
}

async fn exec(options: Options) -> (Client, Session, tokio::task::JoinHandle<End>) {
    let (mut client, upgrade, link, drive) = begin(&by_spdy("v4.channel.k8s.io"));
    let drive = tokio::spawn(drive);
    client.open(1, &[("streamtype", "error")]).await;
    let mut stream = 1;
    for (kind, wanted) in
        [("stdin", options.stdin), ("stdout", options.stdout), ("stderr", options.stderr), ("resize", options.tty)]
    {
        if wanted {
            stream += 2;
            client.open(stream, &[("streamtype", kind)]).await;
        }
    }
    let session = Session::begin(link, &upgrade, options, Timing::default()).await.expect("the peer is there");
    for accepted in (1..=stream).step_by(2) {
        assert_eq!(client.hear().await, Some(Said::Accepted(accepted)));
    }
    (client, session, drive)
}

const ALL: Options = Options { stdin: true, stdout: true, stderr: true, tty: false };
const CAT: Options = Options { stdin: true, stdout: true, stderr: false, tty: false };

#[tokio::test(start_paused = true)]
async fn a_command_has_its_streams_and_its_end_is_told_before_the_connection_s() {
    let (mut client, mut session, drive) = exec(ALL).await;
    client.send(3, false, b"in").await;
    client.send(3, true, b"").await;
    let stdin = session.stdin.as_mut().unwrap();
    assert_eq!(stdin.next().await, Next::Data("in".into()));
    assert_eq!(stdin.next().await, Next::End);
    session.stdout.as_ref().unwrap().write("out".into()).await.unwrap();
    session.stderr.as_ref().unwrap().write("err".into()).await.unwrap();
    session.finish(&Outcome::ExitCode(3)).await;
    assert_eq!(client.hear().await, Some(Said::Data(5, "out".into())));
    assert_eq!(client.hear().await, Some(Said::Data(7, "err".into())));
    assert_eq!(client.hear().await, Some(Said::Reset(3)));
    let Some(Said::Data(1, status)) = client.hear().await else { panic!() };
    assert!(status.windows(8).any(|part| part == b"ExitCode"), "{status:?}");
    for stream in [5, 7, 1] {
        assert_eq!(client.hear().await, Some(Said::End(stream)));
    }
    // What the client still sends breaks nothing, and is answered: it has not read all yet.
    client.send(3, false, &[0; 3000]).await;
    client.control(PING, &[0, 0, 0, 9]).await;
    assert_eq!(client.hear().await, Some(Said::Ping(9)));
    drop(client);
    assert!(matches!(drive.await.unwrap(), End::Done));
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_not_opened_are_waited_for_half_a_minute() {
    let (mut client, upgrade, link, drive) = begin(&by_spdy("v4.channel.k8s.io"));
    tokio::spawn(drive);
    client.open(1, &[("streamtype", "error")]).await;
    let started = tokio::time::Instant::now();
    assert!(Session::begin(link, &upgrade, CAT, Timing::default()).await.is_err());
    assert_eq!(started.elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_asked_for_is_refused_at_any_time() {
    let (mut client, session, _drive) = exec(CAT).await;
    for stream in (11..100).step_by(2) {
        client.open(stream, &[("streamtype", "stderr")]).await;
        assert_eq!(client.hear().await, Some(Said::Reset(stream)));
    }
    drop(session);
}

#[tokio::test(start_paused = true)]
async fn input_that_nobody_reads_is_held_up_to_a_bound_and_then_holds_the_client_back() {
    let (mut client, mut session, _drive) = exec(CAT).await;
    let chunk = [7; 16 << 10];
    let mut sent = 0;
    while timeout(Duration::from_secs(60), client.send(3, false, &chunk)).await.is_ok() {
        sent += chunk.len();
        assert!(sent < 1 << 20, "nothing holds the client back");
    }
    assert!(sent > 128 << 10, "{sent}");
    let mut stdin = session.stdin.take().unwrap();
    assert!(matches!(stdin.next().await, Next::Data(_)));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_is_noticed_though_its_input_is_not_read() {
    let (mut client, session, drive) = exec(CAT).await;
    while timeout(Duration::from_secs(1), client.send(3, false, &[7; 4096])).await.is_ok() {}
    drop(client);
    // Only the next ping breaks the connection: what the client sent lies before its end.
    session.client().gone().await;
    assert!(matches!(drive.await.unwrap(), End::Broken(_)));
}

#[tokio::test(start_paused = true)]
async fn output_that_nobody_reads_holds_the_command_back() {
    let (_client, session, _drive) = exec(CAT).await;
    let stdout = session.stdout.as_ref().unwrap();
    let chunk = Bytes::from_static(&[7; 32 << 10]);
    let mut written = 0;
    while timeout(Duration::from_secs(60), stdout.write(chunk.clone())).await.is_ok() {
        written += chunk.len();
        assert!(written < 2 << 20, "nothing holds the command back");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_the_client_gives_up_takes_no_more() {
    let (mut client, session, _drive) = exec(CAT).await;
    client.control(RST_STREAM, &[0, 0, 0, 5, 0, 0, 0, 5]).await;
    let stdout = session.stdout.as_ref().unwrap();
    stdout.gone().await;
    assert!(stdout.write("x".into()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_ended_after_four_hours_whatever_is_answered_to_pings() {
    let (mut client, session, drive) = exec(CAT).await;
    let started = tokio::time::Instant::now();
    let mut pings = 0;
    loop {
        match client.hear().await {
            Some(Said::Ping(id)) => {
                pings += 1;
                client.control(PING, &id.to_be_bytes()).await;
            }
            other => {
                assert_eq!(other, Some(Said::GoAway));
                break;
            }
        }
    }
    assert!(pings > 100, "{pings}");
    assert_eq!(started.elapsed().as_secs() / 60, 240);
    session.client().gone().await;
    drop(client);
    assert!(matches!(drive.await.unwrap(), End::Idle));
}

#[tokio::test(start_paused = true)]
async fn who_breaks_the_protocol_is_told_so() {
    let (mut client, session, drive) = exec(CAT).await;
    client.io.write_all(b"\x80\x02\0\x01\0\0\0\0").await.unwrap();
    session.client().gone().await;
    while let Some(said) = client.hear().await {
        assert_eq!(said, Said::GoAway);
    }
    drop(client);
    assert!(matches!(drive.await.unwrap(), End::Violation(_)));
}

#[tokio::test(start_paused = true)]
async fn a_terminal_s_sizes_come_in_any_pieces() {
    let tty = Options { stdin: false, stdout: true, stderr: false, tty: true };
    let (mut client, mut session, _drive) = exec(tty).await;
    for piece in [
        "{\"Width\":80,",
        "\"Height\":24}\n{\"Width\":1",
        "00,\"Height\":50}",
        "nonsense}",
        "{\"Width\":1,\"Height\":2}",
    ] {
        client.send(5, false, piece.as_bytes()).await;
    }
    client.send(5, true, b"").await;
    let sizes = session.sizes.as_mut().unwrap();
    for (width, height) in [(80, 24), (100, 50), (1, 2)] {
        assert_eq!(sizes.next().await, Some(Size { width, height }));
    }
    assert_eq!(sizes.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_says_the_same_on_channels() {
    let (mut client, upgrade, link, drive) = begin(&by_websocket("v5.channel.k8s.io"));
    let drive = tokio::spawn(drive);
    let mut session = Session::begin(link, &upgrade, ALL, Timing::default()).await.unwrap();
    // Masked with zeros: "hi" on channel 0, and its end.
    client.io.write_all(b"\x82\x83\0\0\0\0\x00hi\x82\x82\0\0\0\0\xff\x00").await.unwrap();
    let stdin = session.stdin.as_mut().unwrap();
    assert_eq!((stdin.next().await, stdin.next().await), (Next::Data("hi".into()), Next::End));
    session.stdout.as_ref().unwrap().write("out".into()).await.unwrap();
    session.finish(&Outcome::Success).await;
    let mut said = vec![0; 6];
    client.io.read_exact(&mut said).await.unwrap();
    assert_eq!(said, b"\x82\x04\x01out");
    let head = client.io.read_u16().await.unwrap();
    let mut status = vec![0; usize::from(head & 0x7f)];
    client.io.read_exact(&mut status).await.unwrap();
    assert_eq!((status[0], &status[1..]), (3, &b"{\"metadata\":{},\"status\":\"Success\"}"[..]));
    let mut close = [0; 4];
    client.io.read_exact(&mut close).await.unwrap();
    assert_eq!(&close, b"\x88\x02\x03\xe8");
    client.io.write_all(b"\x88\x80\0\0\0\0").await.unwrap();
    assert!(matches!(drive.await.unwrap(), End::Done));
}

fn forwards(timing: Timing) -> (Client, Forwards, tokio::task::JoinHandle<End>) {
    let upgrade = Upgrade::port_forward(&by_spdy("portforward.k8s.io")).expect("it is asked for well");
    let (ours, theirs) = tokio::io::duplex(4096);
    let (link, drive) = upgrade.link(theirs, &[], timing);
    (Client::new(ours), Forwards::opened(link, timing), tokio::spawn(drive))
}

#[tokio::test(start_paused = true)]
async fn streams_of_one_request_are_one_connection_in_whatever_order_they_come() {
    let (mut client, mut forwards, _drive) = forwards(Timing::default());
    let opened = async {
        for (stream, kind, id) in [(1, "error", "0"), (3, "data", "1"), (5, "error", "1"), (7, "data", "0")] {
            client.open(stream, &[("streamtype", kind), ("port", "5432"), ("requestid", id)]).await;
            assert_eq!(client.hear().await, Some(Said::Accepted(stream)));
        }
        client
    };
    let both = async { (forwards.next().await.unwrap(), forwards.next().await.unwrap()) };
    let (mut client, (first, second)) = tokio::join!(opened, both);
    assert_eq!((first.port, first.data.outgoing.id(), second.data.outgoing.id()), (5432, 3, 7));
    first.fail("nobody listens".to_owned()).await.unwrap();
    assert_eq!(client.hear().await, Some(Said::Data(5, "nobody listens".into())));
    assert_eq!(client.hear().await, Some(Said::End(5)));
    assert_eq!(client.hear().await, Some(Said::Reset(3)));
}

#[tokio::test(start_paused = true)]
async fn half_a_connection_is_given_up_after_half_a_minute() {
    let (mut client, mut forwards, _drive) = forwards(Timing::default());
    client.open(1, &[("streamtype", "error"), ("port", "80"), ("requestid", "0")]).await;
    let next = tokio::spawn(async move { forwards.next().await });
    assert_eq!(client.hear().await, Some(Said::Accepted(1)));
    loop {
        match client.hear().await {
            Some(Said::Ping(_)) => {}
            Some(Said::Data(1, text)) => assert!(text.ends_with(b"timed out waiting for streams")),
            Some(Said::Reset(1)) => break,
            other => panic!("{other:?}"),
        }
    }
    drop(client);
    assert!(next.await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn streams_without_a_port_or_a_purpose_are_refused() {
    let (mut client, mut forwards, _drive) = forwards(Timing::default());
    tokio::spawn(async move { forwards.next().await });
    let wrong: [&[(&str, &str)]; 4] = [
        &[("streamtype", "data")],
        &[("streamtype", "data"), ("port", "0")],
        &[("streamtype", "data"), ("port", "65536")],
        &[("streamtype", "other"), ("port", "80")],
    ];
    for (stream, pairs) in (1..).step_by(2).zip(wrong) {
        client.open(stream, pairs).await;
        assert_eq!(client.hear().await, Some(Said::Reset(stream)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_port_is_said_first_on_both_channels_of_a_websocket() {
    let upgrade = Upgrade::port_forward(&by_websocket("v4.channel.k8s.io")).unwrap();
    let (mut client, theirs) = tokio::io::duplex(4096);
    let ports = [80, 5432];
    let (link, drive) = upgrade.link(theirs, &barepod_streams::port_forward::channels(&ports), Timing::default());
    tokio::spawn(drive);
    let mut forwards = Forwards::named(link, &ports, Timing::default());
    let found = [forwards.next().await.unwrap(), forwards.next().await.unwrap()].map(|forward| forward.port);
    assert!(forwards.next().await.is_none());
    assert_eq!(found, ports);
    let mut said = vec![0; 20];
    client.read_exact(&mut said).await.unwrap();
    assert_eq!(said, b"\x82\x03\x00\x50\x00\x82\x03\x01\x50\x00\x82\x03\x02\x38\x15\x82\x03\x03\x38\x15");
}
