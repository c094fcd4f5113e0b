//! Answers of the cluster that hold for a while: so many at most, and of more the oldest goes.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde::Serialize;

/// What an answer is about: a digest, so that no token lies in memory for longer than its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Of anything that can be written as JSON.
    pub(crate) fn of(what: &impl Serialize) -> Self {
        let text = serde_json::to_vec(what).unwrap_or_default();
        let digest = ring::digest::digest(&ring::digest::SHA256, &text);
        let mut key = [0; 32];
        key.copy_from_slice(digest.as_ref());
        Self(key)
    }
}

/// The answers.
#[derive(Debug)]
pub(crate) struct Cache<T> {
    limit: usize,
    held: HashMap<Key, Held<T>>,
    /// Oldest first.
    order: BTreeMap<u64, Key>,
    next: u64,
}

#[derive(Debug)]
struct Held<T> {
    answer: T,
    until: Instant,
    number: u64,
}

impl<T: Clone> Cache<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, held: HashMap::new(), order: BTreeMap::new(), next: 0 }
    }

    /// What was answered, if it still holds.
    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<T> {
        self.held.get(key).filter(|held| now < held.until).map(|held| held.answer.clone())
    }

    /// Keeps an answer for so long.
    pub(crate) fn put(&mut self, key: Key, answer: T, now: Instant, life: Duration) {
        let number = self.next;
        self.next += 1;
        if let Some(before) = self.held.insert(key, Held { answer, until: now + life, number }) {
            self.order.remove(&before.number);
        }
        self.order.insert(number, key);
        while self.held.len() > self.limit {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.held.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(10);

    #[test]
    fn an_answer_holds_for_its_life_and_no_longer() {
        let (mut cache, now) = (Cache::new(3), Instant::now());
        cache.put(Key::of(&"a"), 1, now, LIFE);
        assert_eq!(cache.get(&Key::of(&"a"), now + LIFE - Duration::from_nanos(1)), Some(1));
        assert_eq!(cache.get(&Key::of(&"a"), now + LIFE), None);
        assert_eq!(cache.get(&Key::of(&"b"), now), None);
    }

    #[test]
    fn of_too_many_answers_the_oldest_goes() {
        let (mut cache, now) = (Cache::new(3), Instant::now());
        for round in 0..100 {
            for name in ["a", "b", "c"] {
                cache.put(Key::of(&name), round, now, LIFE);
            }
        }
        cache.put(Key::of(&"a"), 1000, now, LIFE);
        cache.put(Key::of(&"d"), 1001, now, LIFE);
        let of = |name: &str| cache.get(&Key::of(&name), now);
        assert_eq!([of("a"), of("b"), of("c"), of("d")], [Some(1000), None, Some(99), Some(1001)]);
        assert_eq!((cache.held.len(), cache.order.len()), (3, 3));
    }
}
