//! Calls of the API server: within a limit, and what their failures mean.

use std::time::Duration;

/// How long one call may take. A server that is frozen answers nothing at all.
const LIMIT: Duration = Duration::from_secs(10);

/// First pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Status must be true again soon after the API server is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It was not answered in time.
    #[error("the API server does not answer within {LIMIT:?}")]
    Late,
    /// It was refused, or could not be made.
    #[error(transparent)]
    Kube(#[from] kube::Error),
}

impl CallError {
    /// The status code of an answer.
    fn code(&self) -> Option<u16> {
        match self {
            CallError::Kube(kube::Error::Api(status)) => Some(status.code),
            CallError::Kube(_) | CallError::Late => None,
        }
    }

    /// The server says that there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Another one has been there before, or is there instead.
    pub(crate) fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// The server understood, and will say the same again.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.code(), Some(400 | 403 | 422))
    }
}

/// One call.
pub(crate) async fn call<T>(work: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    Ok(within(work).await??)
}

/// What follows from calls that somebody else makes.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> Result<T, CallError> {
    tokio::time::timeout(LIMIT, work).await.map_err(|_| CallError::Late)
}

/// Pauses between tries.
#[derive(Debug, Clone)]
pub(crate) struct Pauses {
    first: Duration,
    next: Duration,
    longest: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self::between(FIRST_PAUSE, LONGEST_PAUSE)
    }
}

impl Pauses {
    /// With another upper bound.
    pub(crate) fn up_to(longest: Duration) -> Self {
        Self::between(FIRST_PAUSE, longest)
    }

    /// From one to the other, each twice the one before.
    pub(crate) fn between(first: Duration, longest: Duration) -> Self {
        Self { first, next: first, longest }
    }

    /// The next one.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.longest);
        pause
    }

    /// All is well again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Sleeps so long, or for ever.
pub(crate) async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_begin_anew() {
        let mut pauses = Pauses::up_to(Duration::from_millis(500));
        let three: Vec<_> = (0..3).map(|_| pauses.pause().as_millis()).collect();
        pauses.reset();
        assert_eq!((three, pauses.pause().as_millis()), (vec![200, 400, 500], 200));
    }
}
