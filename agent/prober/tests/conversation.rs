//! The program itself, as the daemon starts it.
#![expect(clippy::unwrap_used, reason = "in a test, an error is a failure")]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::{Child, Command, Stdio};

use barepod_prober_wire::{self as wire, Ask, Frames, FromProber, Ping, ToProber, ask, from_prober, to_prober};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, UnixStream};

struct Prober {
    child: Child,
    stream: UnixStream,
    frames: Frames,
}

impl Prober {
    fn start() -> Self {
        let (ours, theirs) = StdStream::pair().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_barepod-prober"));
        command.args(["run", "--uid", "65534", "--gid", "65534"]).stdin(Stdio::from(OwnedFd::from(theirs)));
        let child = command.spawn().unwrap();
        ours.set_nonblocking(true).unwrap();
        Self { child, stream: UnixStream::from_std(ours).unwrap(), frames: Frames::default() }
    }

    async fn heard(&mut self) -> Option<from_prober::Message> {
        self.frames.read::<FromProber>(&mut self.stream).await.unwrap().and_then(|message| message.message)
    }

    async fn say(&mut self, message: to_prober::Message) {
        let frame = wire::encode(&ToProber { message: Some(message) }).unwrap();
        self.stream.write_all(&frame).await.unwrap();
    }

    fn status(&self, field: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn by_its_first_word_it_has_no_rights_left() {
    let mut prober = Prober::start();

    let hello = prober.heard().await;

    assert!(matches!(hello, Some(from_prober::Message::Hello(hello)) if hello.version == wire::VERSION));
    assert_eq!(prober.status("Uid"), "65534 65534 65534 65534");
    assert_eq!(prober.status("Gid"), "65534 65534 65534 65534");
    assert_eq!(prober.status("Groups"), "");
    assert_eq!(prober.status("NoNewPrivs"), "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(prober.status(set), "0000000000000000", "{set}");
    }
    let score = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", prober.child.id())).unwrap();
    assert_eq!(score.trim(), "800");
}

#[tokio::test]
async fn each_question_is_answered_under_its_number() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = u32::from(listener.local_addr().unwrap().port());
    let mut prober = Prober::start();
    prober.heard().await;

    let tcp = wire::Tcp { host: "127.0.0.1".to_owned(), port };
    let question = Some(ask::Question::Tcp(tcp));
    prober.say(to_prober::Message::Ask(Ask { id: 7, timeout_ms: 10_000, question })).await;
    assert!(matches!(prober.heard().await, Some(from_prober::Message::Answer(answer))
        if answer.id == 7 && answer.verdict() == wire::Verdict::Good));

    // One that it does not know.
    prober.say(to_prober::Message::Ask(Ask { id: 8, timeout_ms: 1, question: None })).await;
    assert!(matches!(prober.heard().await, Some(from_prober::Message::Answer(answer))
        if answer.id == 8 && answer.verdict() == wire::Verdict::Undecided));

    prober.say(to_prober::Message::Ping(Ping { id: 9 })).await;
    assert!(matches!(prober.heard().await, Some(from_prober::Message::Pong(pong)) if pong.id == 9));
}

#[tokio::test]
async fn it_ends_when_the_daemon_does() {
    let mut prober = Prober::start();
    prober.heard().await;

    prober.stream.shutdown().await.unwrap();

    assert!(prober.heard().await.is_none());
    assert!(prober.child.wait().unwrap().success());
}
