//! Mistakes that somebody could make, played by the doubles: the proof that the simulation can fail.

/// One mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// The edge is said to have nothing under way, so replicas stop with requests unfinished.
    StopBeforeDrain,
    /// Replicas are named by the clock instead of by their revision.
    ClockDerivedNames,
    /// A repeated start makes a second replica.
    SecondReplicaOnRepeat,
    /// Every replica that runs is taken for ready.
    RoutedBeforeReady,
    /// What the engine showed once is shown again.
    CachedObservation,
    /// The edge is said to have taken a table over that is still on its way.
    AcknowledgedBeforeApplied,
    /// Two processes take each other's leases for their own.
    LeaseNotChecked,
    /// A revision that was given up is offered again under a new number.
    QuarantineIgnored,
    /// What a person asks for is acknowledged before it is stored.
    AcknowledgedBeforeStored,
    /// Requests are not held while a volume changes hands.
    HandOverWithoutHold,
    /// Nobody takes away what has no owner.
    SweepSkipped,
    /// A write under an old generation is carried out.
    StaleWriteAccepted,
    /// Figures are made up, so that canaries are promoted that nobody visited.
    PromotedWithoutData,
    /// A canary gets all requests at its first step.
    StepsSkipped,
    /// A person gives a rollout up and is told so, but nobody writes it down.
    AbortForgotten,
    /// A repeated start of a step begins it anew.
    StepBegunAnew,
    /// The engine forgets jobs of steps when they end.
    EndedJobForgotten,
    /// A step's output is read from its beginning, wherever reading shall go on.
    OutputReadAgain,
    /// A push is acknowledged, but nobody writes it down.
    PushForgotten,
}

impl Mistake {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::StopBeforeDrain,
        Self::ClockDerivedNames,
        Self::SecondReplicaOnRepeat,
        Self::RoutedBeforeReady,
        Self::CachedObservation,
        Self::AcknowledgedBeforeApplied,
        Self::LeaseNotChecked,
        Self::QuarantineIgnored,
        Self::AcknowledgedBeforeStored,
        Self::HandOverWithoutHold,
        Self::SweepSkipped,
        Self::StaleWriteAccepted,
        Self::PromotedWithoutData,
        Self::StepsSkipped,
        Self::AbortForgotten,
        Self::StepBegunAnew,
        Self::EndedJobForgotten,
        Self::OutputReadAgain,
        Self::PushForgotten,
    ];

    /// Whether it shows before there is a release.
    pub(super) fn is_in_front(self) -> bool {
        matches!(
            self,
            Self::StepBegunAnew | Self::EndedJobForgotten | Self::OutputReadAgain | Self::PushForgotten
        )
    }
}
