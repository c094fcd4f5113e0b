//! How a block of HCL is described to a Nomad client. The client says what is wrong with a job's block as a task event.

use std::collections::HashMap;

use crate::wire::hclspec::{Attr, Default, Literal, Object, Spec, spec};

/// `name = value` of this type, which may be left out.
pub(crate) fn attr(name: &str, kind: &str) -> (String, Spec) {
    let attr = Attr { name: name.to_owned(), r#type: kind.to_owned(), required: false };
    (name.to_owned(), Spec { block: Some(spec::Block::Attr(attr)) })
}

/// The same with a value where it is left out, written as in HCL.
pub(crate) fn attr_or(name: &str, kind: &str, value: &str) -> (String, Spec) {
    let (key, primary) = attr(name, kind);
    let literal = Spec { block: Some(spec::Block::Literal(Literal { value: value.to_owned() })) };
    let default = Default { primary: Some(Box::new(primary)), default: Some(Box::new(literal)) };
    (key, Spec { block: Some(spec::Block::Default(Box::new(default))) })
}

/// A block of these.
pub(crate) fn object<const N: usize>(of: [(String, Spec); N]) -> Spec {
    Spec { block: Some(spec::Block::Object(Object { attributes: HashMap::from(of) })) }
}
