//! Writes the corpora's first files: `cargo run -p barepod-fuzz --example seed`. They need not be what the newest code would
//! write: what older releases wrote must be read for ever.

use std::path::Path;
use std::time::Duration;

use barepod_core::{BackoffFigures, Core, Effect, Input, Moment, RequestId};
use barepod_model::{BootId, BootTime, Permit, Pod, WallTime};
use barepod_prober_wire as prober;
use barepod_shim::wire;
use barepod_streams::{Headers, spdy};
use prost::Message;

fn main() -> std::io::Result<()> {
    for (name, record) in records() {
        write("ledger", name, record.as_bytes())?;
    }
    for (name, bytes) in shim() {
        write("shim_frames", name, &bytes)?;
    }
    for (name, bytes) in asked() {
        write("prober_frames", name, &bytes)?;
    }
    for (name, bytes) in spdy() {
        write("spdy_frames", name, &bytes)?;
    }
    for (name, bytes) in websocket() {
        write("websocket_channels", name, &bytes)?;
    }
    Ok(())
}

fn write(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    fs_err::create_dir_all(&directory)?;
    fs_err::write(directory.join(name), bytes)
}

/// The record of a pod that was accepted, of one that is ending, and damaged ones.
fn records() -> Vec<(&'static str, String)> {
    let stored = |delete: bool| {
        let now = Moment { boot: BootTime(Duration::from_secs(1)), wall: WallTime(jiff::Timestamp::UNIX_EPOCH) };
        let mut core = Core::new(BootId("boot".to_owned()), BackoffFigures::default());
        let pod: Box<Pod> = Box::new(barepod_fuzz::small_pod());
        let uid = pod.uid.clone();
        core.handle(now, Input::Apply { request: RequestId(1), pod, permit: Permit::Granted(Vec::new()) });
        let mut record = String::new();
        for round in 0..2 {
            while let Some(effect) = core.poll_effect() {
                if let Effect::Store { pod, revision, record: stored, .. } = effect {
                    record = serde_json::to_string(&stored).expect("a record can be written");
                    core.handle(now, Input::Stored { pod, revision });
                }
            }
            if delete && round == 0 {
                let evidence = barepod_core::Evidence::Operator;
                core.handle(now, Input::Delete { request: RequestId(2), pod: uid.clone(), grace: None, evidence });
            }
        }
        record
    };
    let (accepted, ending) = (stored(false), stored(true));
    vec![
        ("cut-off", accepted[..accepted.len() / 2].to_owned()),
        ("empty", String::new()),
        ("newer", r#"{"format":99,"sha256":"","record":{}}"#.to_owned()),
        ("no-record", "{}".to_owned()),
        ("accepted", accepted),
        ("ending", ending),
    ]
}

fn shim() -> Vec<(&'static str, Vec<u8>)> {
    use wire::request::Request as Asked;
    let frame = |request| wire::encode_frame(&wire::Request { request: Some(request) }).expect("small");
    let hello = frame(Asked::Hello(wire::Hello { protocol: 2, daemon_version: "0.1.0".to_owned() }));
    let start = frame(Asked::Start(wire::Start {
        attempt: 1,
        argv: vec!["/bin/true".to_owned()],
        env: vec!["A=b".to_owned()],
        cwd: "/".to_owned(),
        ..wire::Start::default()
    }));
    let exit = wire::Exit { how: Some(wire::exit::How::Code(3)), ..wire::Exit::default() };
    let attempt = wire::Attempt { attempt: 1, pid: 4711, exit: Some(exit), ..wire::Attempt::default() };
    let record = wire::ExitRecord { attempt: Some(attempt) }.encode_to_vec();
    vec![
        ("cut-off", hello[..hello.len() - 2].to_vec()),
        ("two", [hello.clone(), start.clone()].concat()),
        ("too-long", vec![0xff; 8]),
        ("exit-record", record),
        ("hello", hello),
        ("start", start),
    ]
}

fn asked() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |message: &prober::FromProber| prober::encode(message).expect("small").to_vec();
    let from = |message| frame(&prober::FromProber { message: Some(message) });
    let hello = from(prober::from_prober::Message::Hello(prober::Hello { version: 1, release: "0.1.0".to_owned() }));
    let answer =
        from(prober::from_prober::Message::Answer(prober::Answer { id: 7, verdict: 1, text: "ok".to_owned() }));
    let ping = prober::ToProber { message: Some(prober::to_prober::Message::Ping(prober::Ping { id: 7 })) };
    let ping = prober::encode(&ping).expect("small").to_vec();
    vec![
        ("cut-off", answer[..5].to_vec()),
        ("two", [hello.clone(), answer.clone()].concat()),
        ("too-long", vec![0xff; 8]),
        ("hello", hello),
        ("answer", answer),
        ("ping", ping),
    ]
}

/// A connection to a forwarded port: both streams opened, data, a ping, the end.
fn spdy() -> Vec<(&'static str, Vec<u8>)> {
    let mut deflate = spdy::Deflate::default();
    let mut open = |stream: u8, kind| {
        let mut body = bytes::BytesMut::from(&[0, 0, 0, stream, 0, 0, 0, 0, 0, 0][..]);
        deflate.block(&Headers::from([("streamtype", kind), ("port", "5432"), ("requestid", "0")]), &mut body);
        control(1, &body)
    };
    let opened = [open(1, "error"), open(3, "data")].concat();
    let data = b"\0\0\0\x03\0\0\0\x05hello\0\0\0\x03\x01\0\0\0".to_vec();
    let rest = [control(6, &[0, 0, 0, 1]), control(3, &[0, 0, 0, 1, 0, 0, 0, 5]), control(7, &[0; 8])].concat();
    vec![
        ("cut-off", opened[..40].to_vec()),
        ("connection", [opened.clone(), data.clone(), rest.clone()].concat()),
        ("too-long", [&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff][..], &[0; 20]].concat()),
        ("opened", opened),
        ("data", data),
        ("rest", rest),
    ]
}

fn control(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).expect("a small frame");
    [&[0x80, 3, 0, kind, 0, 0, 0, length][..], body].concat()
}

/// Messages on channels, one in two frames, base64, the end of a channel, and SPDY; masked with zeros.
fn websocket() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |head: u8, body: &[u8]| match u8::try_from(body.len()) {
        Ok(length @ ..126) => [&[head, 0x80 | length, 0, 0, 0, 0][..], body].concat(),
        _ => [&[head, 0xfe][..], &u16::try_from(body.len()).expect("small").to_be_bytes(), &[0; 4], body].concat(),
    };
    let spdy = spdy().into_iter().find(|(name, _)| *name == "connection").expect("it is there").1;
    vec![
        ("channels", [frame(0x82, b"\0in"), frame(0x82, b"\x04{}"), frame(0x82, b"\xff\0")].concat()),
        ("pieces", [frame(0x02, b"\0a"), frame(0x89, b"?"), frame(0x80, b"b"), frame(0x88, b"\x03\xe8")].concat()),
        ("base64", [frame(0x81, b"0Zm9vCg=="), frame(0x81, b"1YmFy")].concat()),
        ("tunnel", [frame(0x82, &spdy[..30]), frame(0x82, &spdy[30..])].concat()),
        ("too-long", vec![0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 2]),
        ("not-masked", vec![0x82, 2, 0, 1]),
    ]
}
