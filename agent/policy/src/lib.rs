//! The host administrator's policy, `/etc/barepod/policy.yaml`: who may run what, as which user, on which paths.
//!
//! A policy is a list of rules. A rule says whom it is about (`subjects`), what they may do (`verbs`), and with which powers
//! (`allow`). Rules only allow; what no rule allows is denied, so their order does not matter. One rule must allow all of
//! a pod: the powers of two rules do not add up, or a rule for a database and one for a network tool would together allow
//! what nobody wrote down.
//!
//! ```text
//!   text ──parse──▶ Policy ─┐
//!   Pod ──demands──▶ powers ─┴──judge──▶ Verdict: each rule, why it is not about this, or what it lacks
//! ```
//!
//! Pure: what must be looked up on the host (accounts, where links lead) is asked of [`Host`].

mod demand;
mod error;
mod file;
mod host;
mod judge;
mod load;
mod policy;
mod power;
mod subject;
mod verdict;
mod words;

pub use demand::{Demand, demands};
pub use error::PolicyError;
pub use host::{Account, Host};
pub use judge::{judge, may};
pub use load::parse;
pub use policy::Policy;
pub use power::Power;
pub use subject::{Subject, User, Verb};
pub use verdict::{Finding, RuleVerdict, Verdict};

/// The policy that holds where the administrator has written none: `configs/policy.yaml`.
pub const DEFAULT: &str = include_str!("../../../configs/policy.yaml");
