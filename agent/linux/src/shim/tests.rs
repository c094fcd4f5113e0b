//! The client against shims that this file plays; `as_root` starts programs into this host's own control groups.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use barepod_model::{ContainerKey, ContainerName, PodUid};
use barepod_shim::layout;
use barepod_shim::wire::{self, Event, encode_frame, event, request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::*;

fn key() -> ContainerKey {
    ContainerKey { pod: PodUid::new("uid-1").unwrap(), container: ContainerName::new("db").unwrap() }
}

struct Played {
    dir: tempfile::TempDir,
    listener: UnixListener,
}

impl Played {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(layout::SOCKET)).unwrap();
        Self { dir, listener }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join(layout::SOCKET)
    }

    /// Takes a connection and reads its Hello.
    async fn greeted(&self) -> UnixStream {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let length = stream.read_u32_le().await.unwrap();
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame).await.unwrap();
        let hello: wire::Request = prost::Message::decode(frame.as_slice()).unwrap();
        assert!(matches!(hello.request, Some(request::Request::Hello(hello)) if hello.protocol == wire::PROTOCOL));
        stream
    }
}

fn frame(event: event::Event) -> Vec<u8> {
    encode_frame(&Event::from(event)).unwrap()
}

fn welcome() -> Vec<u8> {
    frame(event::Event::Welcome(wire::Welcome { shim_pid: 7, ..wire::Welcome::default() }))
}

fn emptied(attempt: u32) -> event::Event {
    event::Event::Emptied(wire::Emptied { attempt, ..wire::Emptied::default() })
}

/// Connects while `answer` is played.
async fn connect(played: &Played, answer: &[u8]) -> (Result<(ShimClient, wire::Welcome), ShimError>, UnixStream) {
    let socket = played.socket();
    let greet = async {
        let mut stream = played.greeted().await;
        stream.write_all(answer).await.unwrap();
        stream
    };
    tokio::join!(ShimClient::connect(&socket, "1"), greet)
}

#[tokio::test]
async fn what_came_right_after_the_welcome_is_not_lost() {
    let played = Played::new();
    let answer = [welcome(), frame(emptied(4))].concat();
    let (connected, stream) = connect(&played, &answer).await;
    let (mut client, welcome) = connected.unwrap();
    assert_eq!(welcome.shim_pid, 7);
    drop(stream);
    assert_eq!(client.next().await.unwrap(), Some(emptied(4)));
    assert_eq!(client.next().await.unwrap(), None);
}

#[tokio::test]
async fn an_event_in_pieces_survives_a_wait_that_was_given_up() {
    let played = Played::new();
    let (connected, mut stream) = connect(&played, &welcome()).await;
    let (mut client, _) = connected.unwrap();
    let bytes = frame(emptied(5));
    stream.write_all(&bytes[..3]).await.unwrap();
    tokio::select! {
        biased;
        _ = client.next() => panic!("three bytes are no event"),
        () = tokio::task::yield_now() => {}
    }
    stream.write_all(&bytes[3..]).await.unwrap();
    assert_eq!(client.next().await.unwrap(), Some(emptied(5)));
}

#[tokio::test]
async fn an_event_of_a_later_shim_is_skipped() {
    let played = Played::new();
    let (connected, mut stream) = connect(&played, &welcome()).await;
    let (mut client, _) = connected.unwrap();
    let unknown = [3, 0, 0, 0, 0xfa, 0x0f, 0];
    stream.write_all(&[&unknown[..], &frame(emptied(6))].concat()).await.unwrap();
    assert_eq!(client.next().await.unwrap(), Some(emptied(6)));
}

#[tokio::test]
async fn who_says_something_else_than_welcome_is_no_shim() {
    let played = Played::new();
    let (connected, _stream) = connect(&played, &frame(emptied(0))).await;
    assert!(matches!(connected, Err(ShimError::NoWelcome)));
}

#[tokio::test]
async fn where_nobody_listens_there_is_silence() {
    let dir = tempfile::tempdir().unwrap();
    let connected = ShimClient::connect(&dir.path().join("sock"), "1").await;
    assert!(matches!(connected, Err(ShimError::Silent { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_shim_does_not_hold_the_daemon_for_ever() {
    let played = Played::new();
    let connected = ShimClient::connect(&played.socket(), "1").await;
    assert!(matches!(connected, Err(ShimError::Hung { .. })));
}

#[tokio::test]
async fn a_living_shim_is_used_and_no_other_is_started() {
    let played = Played::new();
    let spawn = Spawn {
        program: "/nonexistent".into(),
        directory: played.dir.path().to_owned(),
        key: key(),
        group: crate::cgroup::Leaf { unified: "/nonexistent".into(), legacy: Vec::new(), legacy_memory: None },
        version: "1".to_owned(),
    };
    let answer = async {
        let mut stream = played.greeted().await;
        stream.write_all(&welcome()).await.unwrap();
        stream
    };
    let (found, _stream) = tokio::join!(ensure(&spawn), answer);
    assert_eq!(found.unwrap().1.shim_pid, 7);
}

mod as_root {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::cgroup::testing::RealGroups;

    fn spawn(real: &RealGroups, program: &str, directory: &Path) -> Spawn {
        crate::cgroup::testing::prepare(&real.groups, &key().pod);
        Spawn {
            program: program.into(),
            directory: directory.to_owned(),
            key: key(),
            group: real.groups.shim_leaf(&key().pod),
            version: "1".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_shim_that_cannot_be_executed_names_the_program() {
        let (real, dir) = (RealGroups::new("no-shim"), tempfile::tempdir().unwrap());
        let failed = ensure(&spawn(&real, "/nonexistent/barepod-shim", dir.path())).await.unwrap_err();
        assert!(matches!(&failed, ShimError::Start { program, .. } if program.ends_with("barepod-shim")), "{failed}");
    }

    #[tokio::test]
    async fn a_shim_that_ends_before_it_listens_is_noticed_at_once() {
        let (real, dir) = (RealGroups::new("dead-shim"), tempfile::tempdir().unwrap());
        let started = std::time::Instant::now();
        let failed = ensure(&spawn(&real, "/bin/false", dir.path())).await.unwrap_err();
        assert!(matches!(failed, ShimError::Ended { .. } | ShimError::Silent { .. }), "{failed}");
        assert!(started.elapsed().as_secs() < 5);
        let identity = std::fs::read_to_string(dir.path().join(layout::IDENTITY)).unwrap();
        assert_eq!(identity, "uid-1\ndb\n");
    }

    #[tokio::test]
    async fn a_helper_that_dies_is_an_error_not_an_exit_code() {
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let stdio = Joined { stdin: null(), stdout: null(), stderr: null().as_fd().try_clone_to_owned().unwrap() };
        let executed = exec("/bin/false".into(), wire::Exec::default(), stdio).await;
        assert!(matches!(executed, Err(ShimError::Broken(_))), "{executed:?}");
    }
}
