//! What `barepod run` makes of a preset: manifests as a person would write them, and passwords.

mod credentials;
mod manifests;

pub(crate) use credentials::{file_of_secret, password};
pub(crate) use manifests::{Wish, manifests, to_be_made};
