//! Which of the things there are are meant: by labels and by fields, as kubectl selects them.

mod fields;
mod labels;

pub(crate) use fields::{EVENT_FIELDS, FieldSelector, POD_FIELDS};
pub(crate) use labels::LabelSelector;
