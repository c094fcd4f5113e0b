//! The condition of `[?(...)]`.

use std::cmp::Ordering;

use serde_json::Value;

use super::Fault;
use super::look::{self, Scope};
use super::path::Path;

/// What must hold of an element.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    /// There is one.
    Exists(Path),
    Compare(Operand, Operator, Operand),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Path(Path),
    Value(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// As they are written; those that begin with another one come before it.
pub(super) const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl Filter {
    /// Whether it holds of the current element. An element that has not what is compared is not one of them.
    pub(super) fn holds(&self, scope: Scope<'_>, at: usize) -> Result<bool, Fault> {
        match self {
            Filter::Exists(path) => Ok(!look::find(path, scope)?.is_empty()),
            Filter::Compare(left, operator, right) => {
                let (left, right) = (left.value(scope, at)?, right.value(scope, at)?);
                Ok(left.zip(right).is_some_and(|(left, right)| operator.holds(left, right)))
            }
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, scope: Scope<'a>, at: usize) -> Result<Option<&'a Value>, Fault> {
        match self {
            Operand::Value(value) => Ok(Some(value)),
            Operand::Path(path) => match look::find(path, scope)?[..] {
                [] => Ok(None),
                [one] => Ok(Some(one)),
                ref several => {
                    Err(Fault::new(at, format!("one value can be compared, and here are {}", several.len())))
                }
            },
        }
    }
}

impl Operator {
    fn holds(self, left: &Value, right: &Value) -> bool {
        match self {
            Operator::Equal => is_same(left, right),
            Operator::NotEqual => !is_same(left, right),
            Operator::Less => order(left, right) == Some(Ordering::Less),
            Operator::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
            Operator::Greater => order(left, right) == Some(Ordering::Greater),
            Operator::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
        }
    }
}

fn is_same(left: &Value, right: &Value) -> bool {
    // 1 is 1.0.
    left == right || order(left, right) == Some(Ordering::Equal)
}

/// Numbers and texts have an order, each among themselves.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}
