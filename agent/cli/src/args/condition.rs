//! Conditions that others set.

use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;

use crate::complete;

#[derive(Debug, clap::Args)]
pub(crate) struct Condition {
    #[command(subcommand)]
    pub(crate) verb: ConditionVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConditionVerb {
    /// Set a condition. It is kept until it is set anew or removed, whatever happens to the pod's containers.
    Set {
        /// `NAME` or `pod/NAME`.
        #[arg(add = ArgValueCandidates::new(complete::pods))]
        pod: String,
        /// The condition's type and whether it holds.
        #[arg(value_name = "TYPE=True|False|Unknown")]
        condition: String,
        /// Why, in one word for programs.
        #[arg(long, default_value = "", value_name = "WORD")]
        reason: String,
        /// Why, in a sentence for people.
        #[arg(long, default_value = "", value_name = "TEXT")]
        message: String,
    },
    /// Remove a condition.
    Remove {
        /// `NAME` or `pod/NAME`.
        #[arg(add = ArgValueCandidates::new(complete::pods))]
        pod: String,
        /// The condition's type.
        #[arg(value_name = "TYPE")]
        condition: String,
    },
}
