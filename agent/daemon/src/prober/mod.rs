//! The daemon's side of `barepod-prober`: questions for the network go to it, and its answers come back.
//!
//! Root holds no internet socket, so a process without rights asks. It is started with the first question. If it dies,
//! another takes its place at once, and what was on its way is asked again as long as the probe's timeout lasts; after that
//! it is [`Answer::Undecided`], which counts neither way: the prober's death is never a service's failure. What it says is
//! said by a process that is not trusted: lengths are bounded, and control characters do not get through.

mod backoff;
mod conversation;
mod waiting;

use std::path::PathBuf;
use std::time::Duration;

use barepod_model::{HttpGet, HttpScheme};
use barepod_prober_wire::{self as wire, ask::Question};
use tokio::sync::{mpsc, oneshot};

use crate::settings::Settings;

pub(crate) use conversation::Keeper;

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Good.
    Good,
    /// Good, with something to tell.
    Warning(String),
    /// Bad, with what it said.
    Bad(String),
    /// Neither: it could not be asked, or its answer broke off.
    Undecided(String),
}

/// One question on its way to the keeper.
#[derive(Debug)]
struct Asked {
    question: Question,
    /// `None` where it may take as long as it likes.
    timeout: Option<Duration>,
    reply: oneshot::Sender<Answer>,
}

/// The way to the prober.
#[derive(Debug, Clone)]
pub(crate) struct Prober {
    asks: mpsc::UnboundedSender<Asked>,
    settings: Settings,
}

impl Prober {
    /// The way, and who keeps a prober at its end. The settings say who is asked where a probe names no host.
    pub(crate) fn new(program: PathBuf, account: (u32, u32), settings: Settings) -> (Self, Keeper) {
        let (asks, questions) = mpsc::unbounded_channel();
        (Self { asks, settings }, Keeper::new(program, account, questions))
    }

    /// `httpGet` of a probe.
    pub(crate) async fn http(&self, get: &HttpGet, timeout: Duration) -> Answer {
        self.ask(Question::Http(self.get(get)), Some(timeout)).await
    }

    /// `tcpSocket` of a probe.
    pub(crate) async fn tcp(&self, host: Option<&str>, port: u16, timeout: Duration) -> Answer {
        let question = wire::Tcp { host: self.host(host), port: port.into() };
        self.ask(Question::Tcp(question), Some(timeout)).await
    }

    /// `grpc` of a probe.
    pub(crate) async fn grpc(&self, port: u16, service: &str, timeout: Duration) -> Answer {
        let question = wire::Grpc { host: self.host(None), port: port.into(), service: service.to_owned() };
        self.ask(Question::Grpc(question), Some(timeout)).await
    }

    /// `httpGet` of a hook, as long as it takes.
    pub(crate) async fn hook(&self, get: &HttpGet) -> Answer {
        self.ask(Question::Hook(self.get(get)), None).await
    }

    async fn ask(&self, question: Question, timeout: Option<Duration>) -> Answer {
        let (reply, answer) = oneshot::channel();
        let ended = || Answer::Undecided("barepodd is ending".to_owned());
        match self.asks.send(Asked { question, timeout, reply }) {
            Ok(()) => answer.await.unwrap_or_else(|_| ended()),
            Err(_) => ended(),
        }
    }

    fn get(&self, get: &HttpGet) -> wire::HttpGet {
        let headers = get.headers.iter().cloned().map(|(name, value)| wire::Header { name, value });
        wire::HttpGet {
            tls: match get.scheme {
                HttpScheme::Http => false,
                HttpScheme::Https => true,
            },
            host: self.host(get.host.as_deref()),
            port: get.port.into(),
            path: get.path.clone(),
            headers: headers.collect(),
        }
    }

    fn host(&self, given: Option<&str>) -> String {
        given.map_or_else(|| self.settings.now().probe_address.to_string(), str::to_owned)
    }
}

impl From<wire::Answer> for Answer {
    fn from(answer: wire::Answer) -> Self {
        let verdict = answer.verdict();
        let text = clean(&answer.text);
        match verdict {
            wire::Verdict::Good => Self::Good,
            wire::Verdict::Warning => Self::Warning(text),
            wire::Verdict::Bad => Self::Bad(text),
            wire::Verdict::Undecided => Self::Undecided(text),
            wire::Verdict::Unspecified => Self::Undecided("the prober's answer is of a newer release".to_owned()),
        }
    }
}

/// Most characters of a text: what a Kubernetes event can carry.
const MAX_TEXT: usize = 1024;

/// What strangers said, for terminals and logs: bounded, and without control characters.
fn clean(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.trim().chars().take(MAX_TEXT).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_strangers_said_is_bounded_and_moves_no_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb");
        assert_eq!(clean(&"x".repeat(5000)).len(), MAX_TEXT);
    }

    #[test]
    fn a_verdict_of_a_newer_prober_decides_nothing() {
        let answer = wire::Answer { verdict: 99, ..wire::Answer::default() };

        assert!(matches!(Answer::from(answer), Answer::Undecided(_)));
    }

    #[tokio::test]
    async fn who_names_no_host_means_the_configured_address() {
        let (asks, mut questions) = mpsc::unbounded_channel();
        let config = Config { probe_address: "10.1.2.3".parse().unwrap(), ..Config::default() };
        let prober = Prober { asks, settings: Settings::new(config) };
        let timeout = Duration::from_secs(1);

        let (first, second) =
            tokio::join!(async { tokio::time::timeout(Duration::ZERO, prober.tcp(None, 1, timeout)).await }, async {
                tokio::time::timeout(Duration::ZERO, prober.tcp(Some("::1"), 1, timeout)).await
            },);

        assert!(first.is_err() && second.is_err());
        let mut hosts = Vec::new();
        while let Ok(Asked { question: Question::Tcp(tcp), .. }) = questions.try_recv() {
            hosts.push(tcp.host);
        }
        assert_eq!(hosts, ["10.1.2.3", "::1"]);
    }
}
