//! What a false API server answers, and when.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Asked;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It is not passed on, and this HTTP status is the answer, with a `Status` object.
    Status(u16),
    /// 429, and for how many seconds nobody should ask again.
    RetryAfter(u32),
    /// A watch that begins well and whose first event is an error of this code: 410 where its version is too old.
    WatchError(u16),
    /// A list without anything in it.
    EmptyList,
    /// A list that ends after half of what is in it, and says nothing of more.
    HalfList,
    /// The connection is cut when so many bytes of the answer's body have passed.
    CutAfter(usize),
    /// The connection is cut before it is passed on.
    Cut,
    /// It is passed on, and the connection is cut instead of the answer: who asked does not know what has been done.
    CutAnswer,
    /// It is passed on after this time.
    Delay(Duration),
    /// Nothing, until the connection is cut.
    Silence,
}

/// How often a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Until it is ended.
    Always,
    /// For the first so many.
    First(usize),
}

type Kind = Box<dyn Fn(&Asked) -> bool + Send + Sync>;

/// Which requests get which answer.
pub struct Rule {
    answer: Answer,
    times: Times,
    kind: Kind,
    hits: AtomicUsize,
    ended: AtomicBool,
}

impl Rule {
    pub(super) fn new(answer: Answer, times: Times, kind: Kind) -> Self {
        Self { answer, times, kind, hits: AtomicUsize::new(0), ended: AtomicBool::new(false) }
    }

    /// How many requests it was for.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// It holds no more.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Whether this request is one of those, which then is counted.
    fn takes(&self, asked: &Asked) -> bool {
        let limit = match self.times {
            Times::Always => usize::MAX,
            Times::First(times) => times,
        };
        let counted = |hits| (hits < limit).then_some(hits + 1);
        !self.ended.load(Ordering::SeqCst)
            && (self.kind)(asked)
            && self.hits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, counted).is_ok()
    }
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rule").field("answer", &self.answer).field("times", &self.times).finish_non_exhaustive()
    }
}

/// All rules, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Rules(Mutex<Vec<Arc<Rule>>>);

impl Rules {
    pub(super) fn add(&self, rule: Rule) -> Arc<Rule> {
        let rule = Arc::new(rule);
        self.all().push(Arc::clone(&rule));
        rule
    }

    /// What becomes of this request, where there is a rule for it.
    pub(super) fn answer(&self, asked: &Asked) -> Option<Answer> {
        self.all().iter().rev().find(|rule| rule.takes(asked)).map(|rule| rule.answer.clone())
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Rule>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(code: u16, times: Times) -> Rule {
        Rule::new(Answer::Status(code), times, Box::new(|asked| asked.is("list", "pods")))
    }

    fn status(rules: &Rules, path: &str) -> Option<u16> {
        match rules.answer(&Asked::new(&hyper::Method::GET, &path.parse().unwrap(), None)) {
            Some(Answer::Status(code)) => Some(code),
            _ => None,
        }
    }

    #[test]
    fn the_newest_rule_holds_until_it_is_used_up_or_ended() {
        let rules = Rules::default();
        let old = rules.add(rule(500, Times::Always));
        rules.add(rule(429, Times::First(1)));

        let pods = || status(&rules, "/api/v1/pods");

        assert_eq!((pods(), pods(), status(&rules, "/api/v1/nodes")), (Some(429), Some(500), None));
        assert_eq!(old.hits(), 1);
        old.end();
        assert_eq!(pods(), None);
    }
}
