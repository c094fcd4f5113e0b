//! Connections at a time. Those of whom nothing is known yet are few, and of too many the oldest goes: however many come and
//! say nothing, or send a byte a minute, the next one is heard. Those that have been let in are counted apart.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Connections of which nothing is known yet.
const STRANGERS: usize = 128;
/// Connections of users who may do something here: an API server has one for each `kubectl exec`.
const KNOWN: usize = 2048;
/// How long a connection may be there without a request of somebody who may.
const PATIENCE: Duration = Duration::from_secs(30);

/// All connections.
#[derive(Debug, Clone)]
pub(crate) struct Guests(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    strangers: VecDeque<(u64, CancellationToken)>,
    known: usize,
    next: u64,
    most: (usize, usize),
}

/// A connection's place, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Visit {
    guests: Guests,
    number: u64,
    is_known: Mutex<bool>,
    known: CancellationToken,
    sent_away: CancellationToken,
}

impl Guests {
    pub(crate) fn new() -> Self {
        Self::up_to(STRANGERS, KNOWN)
    }

    fn up_to(strangers: usize, known: usize) -> Self {
        let inner = Inner { strangers: VecDeque::new(), known: 0, next: 0, most: (strangers, known) };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// One more, for whom the oldest stranger may have to go.
    pub(crate) fn admit(&self) -> Arc<Visit> {
        let sent_away = CancellationToken::new();
        let mut inner = self.lock();
        if inner.strangers.len() >= inner.most.0
            && let Some((_, oldest)) = inner.strangers.pop_front()
        {
            oldest.cancel();
        }
        let number = inner.next;
        inner.next += 1;
        inner.strangers.push_back((number, sent_away.clone()));
        let (guests, known) = (self.clone(), CancellationToken::new());
        Arc::new(Visit { guests, number, is_known: Mutex::new(false), known, sent_away })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// Somebody who may has asked by it. False where there are too many such connections.
    pub(crate) fn let_in(&self) -> bool {
        let mut is_known = self.is_known.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_known {
            return true;
        }
        let mut inner = self.guests.lock();
        if inner.known >= inner.most.1 {
            return false;
        }
        inner.known += 1;
        inner.strangers.retain(|(number, _)| *number != self.number);
        *is_known = true;
        self.known.cancel();
        true
    }

    /// Returns when the connection has to go; never for one that has been let in.
    pub(crate) async fn over(&self) {
        tokio::select! {
            () = self.known.cancelled() => std::future::pending().await,
            () = self.sent_away.cancelled() => {}
            () = tokio::time::sleep(PATIENCE) => {}
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let is_known = *self.is_known.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut inner = self.guests.lock();
        match is_known {
            true => inner.known -= 1,
            false => inner.strangers.retain(|(number, _)| *number != self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_over(visit: &Visit) -> bool {
        tokio::time::timeout(Duration::ZERO, visit.over()).await.is_ok()
    }

    #[tokio::test]
    async fn of_too_many_strangers_the_oldest_goes_and_who_is_known_stays() {
        let guests = Guests::up_to(2, 1);
        let known = guests.admit();
        assert!(known.let_in() && known.let_in());
        let [first, second, third] = [guests.admit(), guests.admit(), guests.admit()];
        assert!(is_over(&first).await && !is_over(&second).await && !is_over(&third).await);
        assert!(!second.let_in(), "there is room for one only");
        drop(known);
        assert!(second.let_in());
        drop((first, third));
        assert!(guests.lock().strangers.is_empty());
        drop(second);
        assert_eq!(guests.lock().known, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_who_does_not_become_known_goes_in_time() {
        let guests = Guests::new();
        let (stranger, known) = (guests.admit(), guests.admit());
        known.let_in();
        stranger.over().await;
        assert!(tokio::time::timeout(100 * PATIENCE, known.over()).await.is_err());
    }
}
