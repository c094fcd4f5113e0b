//! Questions whose answers are waited for, and what becomes of them when a prober dies.
//!
//! ```text
//!   asked ──answer──▶ told
//!     │ ▲
//!     │ └── its prober died, the timeout is not over: asked again, with the whole timeout
//!     └──── its prober died later, or too often, or never answered: undecided
//! ```
//!
//! Asked again with what is *left* of the timeout, a service that needs most of it would fail for the prober's death.

use std::collections::BTreeMap;
use std::time::Duration;

use barepod_prober_wire::{self as wire, Ask, ToProber, to_prober};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Answer, Asked};

/// A question that so many probers have died of is not put to another.
const MOST_DEATHS: u32 = 10;

/// A prober tries three times where an answer breaks off.
const TRIES: u32 = 3;

/// What an answer may be late on a loaded host before the prober counts as having forgotten it.
const SLACK: Duration = Duration::from_secs(10);

/// Questions under way, oldest first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    next: u64,
    questions: BTreeMap<u64, Question>,
}

#[derive(Debug)]
struct Question {
    frame: Bytes,
    timeout: Option<Duration>,
    first_asked: Instant,
    last_asked: Instant,
    deaths: u32,
    reply: oneshot::Sender<Answer>,
}

impl Waiting {
    /// Takes a question in; the frame to send, unless it cannot be asked.
    pub(super) fn add(&mut self, asked: Asked, now: Instant) -> Option<Bytes> {
        let id = self.next;
        self.next += 1;
        let Asked { question, timeout, reply } = asked;
        let timeout_ms = timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let ask = Ask { id, timeout_ms, question: Some(question) };
        match wire::encode(&ToProber { message: Some(to_prober::Message::Ask(ask)) }) {
            Ok(frame) => {
                let sent = frame.clone();
                let question = Question { frame, timeout, first_asked: now, last_asked: now, deaths: 0, reply };
                self.questions.insert(id, question);
                Some(sent)
            }
            Err(error) => {
                reply.send(Answer::Undecided(error.to_string())).ok();
                None
            }
        }
    }

    /// Takes an answer. One that nobody waits for any more is dropped.
    pub(super) fn answer(&mut self, id: u64, answer: Answer) {
        if let Some(question) = self.questions.remove(&id) {
            question.tell(answer);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// The prober has died: keeps what is asked again.
    pub(super) fn prober_died(&mut self, now: Instant) {
        for question in self.questions.values_mut() {
            question.deaths += 1;
        }
        for (_, question) in self.questions.extract_if(.., |_, question| !question.may_be_asked_again(now)) {
            question.tell(Answer::Undecided("the prober died while it asked".to_owned()));
        }
    }

    /// There is no prober: nothing is asked.
    pub(super) fn give_up(&mut self, why: &str) {
        for (_, question) in std::mem::take(&mut self.questions) {
            question.tell(Answer::Undecided(why.to_owned()));
        }
    }

    /// The frames for a new prober.
    pub(super) fn ask_again(&mut self, now: Instant) -> Vec<Bytes> {
        self.questions.retain(|_, question| !question.reply.is_closed());
        let again = self.questions.values_mut().map(|question| {
            question.last_asked = now;
            question.frame.clone()
        });
        again.collect()
    }

    /// Gives up what a living prober must have forgotten; how many that were.
    pub(super) fn give_up_forgotten(&mut self, now: Instant) -> usize {
        let forgotten = self.questions.extract_if(.., |_, question| question.is_forgotten(now));
        let told = forgotten.map(|(_, question)| {
            question.tell(Answer::Undecided("the prober did not answer".to_owned()));
        });
        told.count()
    }
}

impl Question {
    fn may_be_asked_again(&self, now: Instant) -> bool {
        let in_time = self.timeout.is_none_or(|timeout| now < self.first_asked + timeout);
        in_time && self.deaths < MOST_DEATHS && !self.reply.is_closed()
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        self.timeout.is_some_and(|timeout| now > self.last_asked + timeout * TRIES + SLACK)
    }

    fn tell(self, answer: Answer) {
        // Whoever asked may have gone.
        self.reply.send(answer).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn asked(timeout: Option<Duration>) -> (Asked, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        let question = wire::ask::Question::Tcp(wire::Tcp { host: "127.0.0.1".to_owned(), port: 1 });
        (Asked { question, timeout, reply }, answer)
    }

    #[tokio::test]
    async fn what_its_prober_died_of_is_asked_again_until_its_timeout_is_over() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let (question, mut answer) = asked(Some(SECOND));
        let frame = waiting.add(question, now);

        waiting.prober_died(now + SECOND / 2);
        assert_eq!(waiting.ask_again(now + SECOND / 2), [frame.unwrap()]);

        waiting.prober_died(now + SECOND);
        assert!(waiting.is_empty());
        assert!(matches!(answer.try_recv(), Ok(Answer::Undecided(_))));
    }

    #[tokio::test]
    async fn a_hook_is_asked_again_however_long_it_takes_but_not_for_ever() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let (question, mut answer) = asked(None);
        waiting.add(question, now);

        for _ in 1..MOST_DEATHS {
            waiting.prober_died(now + 1000 * SECOND);
        }
        assert_eq!(waiting.ask_again(now + 1000 * SECOND).len(), 1);

        waiting.prober_died(now + 1000 * SECOND);
        assert!(matches!(answer.try_recv(), Ok(Answer::Undecided(_))));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_asked_again() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let (question, answer) = asked(None);
        waiting.add(question, now);
        drop(answer);

        assert!(waiting.ask_again(now).is_empty());
    }

    #[tokio::test]
    async fn a_prober_that_lives_and_says_nothing_is_not_waited_for_for_ever() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let (question, mut answer) = asked(Some(SECOND));
        waiting.add(question, now);

        assert_eq!(waiting.give_up_forgotten(now + 13 * SECOND), 0);
        assert_eq!(waiting.give_up_forgotten(now + 14 * SECOND), 1);
        assert!(matches!(answer.try_recv(), Ok(Answer::Undecided(_))));
    }

    #[tokio::test]
    async fn a_second_answer_to_a_question_is_dropped() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let (question, mut answer) = asked(Some(SECOND));
        waiting.add(question, now);

        waiting.answer(0, Answer::Good);
        waiting.answer(0, Answer::Bad("later".to_owned()));

        assert_eq!(answer.try_recv(), Ok(Answer::Good));
    }
}
