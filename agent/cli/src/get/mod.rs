//! What `barepod get` shows: things of one kind, those that are meant of them, in the form that is asked for.
//!
//! A kind says what its rows and objects are ([`pods`], ...); forms, order and headings are the same for all ([`list`],
//! [`form`], [`order`]).

mod columns;
pub(crate) mod events;
mod form;
mod kind;
mod list;
mod order;
pub(crate) mod pods;
pub(crate) mod presets;
pub(crate) mod volumes;

pub(crate) use form::Form;
pub(crate) use kind::{Kind, Wanted};
pub(crate) use list::{Item, Layout, List, Object};
pub(crate) use order::Order;
