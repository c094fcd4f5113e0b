//! A path: where to begin, and the steps from there.

use super::filter::Filter;

/// From an object to what is looked up in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    pub(super) root: Root,
    pub(super) steps: Vec<Placed>,
}

/// Where a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// `$`: the whole object.
    Whole,
    /// `@`, or nothing: the element that a range or a filter is at, else the whole object.
    Current,
}

/// A step, and the byte of the template at which it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) at: usize,
    pub(super) step: Step,
}

/// From each value to others.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// The fields of these names.
    Fields(Vec<String>),
    /// All fields, or all elements.
    All,
    /// The value itself, and all that is in it.
    Descend,
    /// The elements of these numbers; negative ones are counted from the end.
    Elements(Vec<i64>),
    /// A part of a list, every `by`-th of it.
    Slice { from: Option<i64>, to: Option<i64>, by: usize },
    /// The elements for which it holds.
    Filter(Filter),
}
