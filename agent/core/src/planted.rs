//! Faults planted on purpose, to show that the simulation sees them. Without the feature `planted` nothing of them is
//! compiled: [`on`] is then a constant.

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident),+ $(,)?) => {
        /// A realistic mistake that can be switched on under the feature `planted`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(not(feature = "planted"), expect(unreachable_pub, reason = "public under the feature `planted` only"))]
        pub enum Fault {
            $($(#[$doc])* $variant,)+
        }

        #[cfg(feature = "planted")]
        impl Fault {
            /// All of them.
            pub const ALL: &'static [Fault] = &[$(Fault::$variant),+];
        }
    };
}

faults! {
    /// The replacement starts when the main process ended, not when its cgroup is empty.
    StartBeforeEmptied,
    /// The pod's grace is used where the preset's minimum is longer.
    PodGraceOnly,
    /// An apply is acknowledged before it is durable.
    AckApplyBeforeDurable,
    /// A deletion is acknowledged before it is durable.
    AckDeleteBeforeDurable,
    /// The answer of an old attempt is taken for one of the present attempt.
    StaleAttemptAccepted,
    /// A pod that its source no longer mentions is deleted.
    MissingDeletes,
    /// A deletion whose write failed is carried out all the same.
    FailedDeleteGoesOn,
    /// An update whose write failed is carried out all the same.
    FailedUpdateGoesOn,
    /// Data paths conflict only if they are equal.
    NestedPathsIgnored,
    /// A dying pod no longer holds its name and data paths.
    DyingHoldsNothing,
    /// After a start of the daemon containers are started without looking for what runs.
    StartWithoutObserving,
    /// A running process of a higher attempt than the ledger's is not adopted.
    HigherAttemptIgnored,
    /// At the end of the grace nothing is killed.
    NoKillAtGraceEnd,
    /// What outlives the main process is killed once and never again.
    DrainKilledOnce,
    /// After a start of the daemon a stop's grace begins anew.
    GraceRestartsWithDaemon,
    /// After a reboot the back-off goes on with boot time of the former boot.
    BackoffIgnoresBoot,
    /// The back-off is measured by the wall clock.
    BackoffByWallClock,
    /// A lazy write that failed is not tried again.
    LazyWriteForgotten,
    /// An update that gives up a data path frees it while the old process still uses it.
    PathFreedTooEarly,
    /// A pod that waits for another is not looked at when that one is gone.
    WaiterForgotten,
    /// The next container is started before the sidecar before it has started.
    SidecarNotAwaited,
    /// The sidecars of a dying pod are stopped with the others.
    SidecarsStopAtOnce,
    /// A container is started although what its environment refers to does not exist.
    StartsIncomplete,
    /// Pods are evicted although they use no more than they may.
    EvictsWithinLimits,
    /// A pod that was evicted is begun anew although nobody changed it.
    EvictedComesBack,
    /// Pods are evicted for others whatever their priority.
    ExemptEvicted,
    /// The order in which pods are evicted does not look at their priority.
    PriorityIgnored,
    /// Another pod is evicted while the one before is still on its way out.
    SecondEvicted,
    /// What was measured before a pod was gone counts as if it still held everything.
    StaleSurveyEvicts,
    /// A pod is stopped for others before that is written.
    EvictedBeforeWritten,
    /// A CPU that a container has for itself is given to another.
    CpuGivenTwice,
    /// Pods are begun whatever the host has left.
    ResourcesNotCounted,
    /// What others than barepod have on the host is given to pods.
    OthersNotCounted,
    /// What a container has that is on its way out, or is to become smaller, is given to others at once.
    LeavingNotCounted,
    /// Another value behind the same reference replaces a process.
    ValueReplaces,
    /// What the policy refuses is done all the same.
    PolicyIgnored,
    /// A change is refused before it is known that it changes nothing.
    UnchangedIsRefused,
    /// There may be any number of pods.
    QuotaIgnored,
    /// What a service did not say counts although nobody could have heard it.
    SilenceOfTheDeaf,
    /// A pod is ready whatever the conditions say that others must set.
    GatesIgnored,
    /// A service counts as ready before it has said so.
    ReadyUnsaid,
    /// An ephemeral container is restarted like the others.
    EphemeralComesBack,
    /// Containers are started on a host that goes down.
    StartsOnTheWayDown,
    /// What an operator has stopped is begun again.
    StoppedComesBack,
    /// On a host that goes down no pod waits for those that depend on it.
    AllGoDownAtOnce,
    /// The ends of attempts that others have followed are not asked of the shim.
    OvertakenEndForgotten,
}

#[cfg(feature = "planted")]
mod active {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static ACTIVE: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Switches one fault on in this thread, or all off.
    pub fn plant(fault: Option<Fault>) {
        ACTIVE.set(fault);
    }

    /// Whether this fault is switched on.
    pub(crate) fn on(fault: Fault) -> bool {
        ACTIVE.get() == Some(fault)
    }
}

#[cfg(feature = "planted")]
pub(crate) use active::on;
#[cfg(feature = "planted")]
pub use active::plant;

/// Always off.
#[cfg(not(feature = "planted"))]
pub(crate) const fn on(_: Fault) -> bool {
    false
}
