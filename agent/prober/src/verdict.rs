//! What an answer is worth.

/// What became of a question. Texts are for people and reach a pod's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Good.
    Good,
    /// Good, with something to tell.
    Warning(String),
    /// Bad.
    Bad(String),
    /// Neither: this host could not ask, or the answer broke off. Counts neither way.
    Undecided(String),
}
