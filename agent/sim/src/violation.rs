//! The invariants, and how a broken one is reported.

/// What must always hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// Never two live attempts of a container.
    OneAttempt,
    /// No replacement before the old attempt's cgroup is empty.
    EmptyBeforeReplacement,
    /// Never two pods on one data path.
    OnePodPerDataPath,
    /// A stop ends within its effective grace, and no process is killed before that.
    StopWithinGrace,
    /// After a crash and a restart the view is the same.
    SameViewAfterRestart,
    /// No acknowledged intent is lost, and none is acknowledged before it is durable.
    NoIntentLost,
    /// A denied request changes nothing; nothing is wanted that nobody asked for.
    DeniedChangesNothing,
    /// What the policy refuses is not done, and there are never more pods than it allows; an apply that changes nothing is
    /// not its business.
    PolicyIsForWhatIsNew,
    /// Nothing is stopped without evidence.
    NothingStoppedWithoutCause,
    /// Sidecars are started before and stopped after the others, pods after those they depend on, containers when what they
    /// refer to exists; hooks run before signals.
    Order,
    /// No more of the host is given out than there is.
    RoomForAll,
    /// Pods are evicted for others in their order, one at a time, as long as the host is short of something, and none that
    /// is exempt.
    EvictedInOrder,
    /// On a host that goes down nothing is begun, and all that runs ends.
    GoesDown,
    /// Of a pod that an operator has stopped nothing is begun before somebody starts it.
    StaysStopped,
    /// A CPU that a container has for itself is nobody else's, as long as it lives.
    OwnCpus,
    /// An ephemeral container is started once.
    EphemeralOnce,
    /// Reboots and clock steps keep the back-off sane.
    SaneBackoff,
    /// What the core shows is what is on the host.
    ViewIsTrue,
    /// A deadline that has come is dealt with.
    DeadlinesPass,
    /// How an attempt ended is known after it, whatever happened to the daemon.
    NoEndLost,
    /// When faults cease, what is wanted runs and what is deleted is gone.
    Converges,
}

/// A broken invariant.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{invariant:?}: {detail}")]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub detail: String,
}

pub(crate) fn violated(invariant: Invariant, detail: impl Into<String>) -> Violation {
    Violation { invariant, detail: detail.into() }
}
