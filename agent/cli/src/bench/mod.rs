//! What `barepod bench disk` measures, how, and how it is shown.
//!
//! A [`Task`] is a line of shell that runs on the same files in each [`Arm`]: as a bare process, in a pod, in containers. The
//! [`Ground`] has the files and takes them away again; [`rounds`] says in which order.

mod arm;
mod container;
mod figures;
mod ground;
mod inside;
mod plot;
mod pod;
mod process;
mod report;
mod rounds;
mod task;
mod tools;

pub(crate) use arm::Arms;
pub(crate) use ground::Ground;
pub(crate) use inside::{first_write, look};
pub(crate) use plot::svg;
pub(crate) use report::{Report, Subject};
pub(crate) use rounds::{measure, turns};
pub(crate) use task::Course;
pub(crate) use tools::Tools;
