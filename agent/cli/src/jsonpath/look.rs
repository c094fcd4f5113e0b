//! Looking a path up.

use serde_json::Value;

use super::Fault;
use super::path::{Path, Placed, Root, Step};

/// What a path can begin at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    whole: &'a Value,
    current: &'a Value,
}

impl<'a> Scope<'a> {
    pub(super) fn of(whole: &'a Value) -> Self {
        Self { whole, current: whole }
    }

    pub(super) fn at(self, current: &'a Value) -> Self {
        Self { current, ..self }
    }
}

/// What there is, in its order.
pub(super) fn find<'a>(path: &Path, scope: Scope<'a>) -> Result<Vec<&'a Value>, Fault> {
    let start = match path.root {
        Root::Whole => scope.whole,
        Root::Current => scope.current,
    };
    let mut found = vec![start];
    for placed in &path.steps {
        let mut next = Vec::new();
        for value in found {
            step(placed, value, scope, &mut next)?;
        }
        found = next;
    }
    Ok(found)
}

fn step<'a>(placed: &Placed, value: &'a Value, scope: Scope<'a>, out: &mut Vec<&'a Value>) -> Result<(), Fault> {
    match &placed.step {
        Step::Fields(names) => out.extend(names.iter().filter_map(|name| value.as_object()?.get(name))),
        Step::All => children(value, out),
        Step::Descend => descend(value, out),
        Step::Elements(numbers) => {
            let list = list(placed.at, value)?;
            for number in numbers {
                out.push(element(placed.at, list, *number)?);
            }
        }
        Step::Slice { from, to, by } => {
            let list = list(placed.at, value)?;
            let bound = |bound: &Option<i64>, default| bound.map_or(default, |bound| place(list.len(), bound));
            let (from, to) = (bound(from, 0), bound(to, list.len()));
            out.extend(list.get(from..to).unwrap_or_default().iter().step_by(*by));
        }
        Step::Filter(filter) => {
            for element in list(placed.at, value)? {
                if filter.holds(scope.at(element), placed.at)? {
                    out.push(element);
                }
            }
        }
    }
    Ok(())
}

fn children<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    match value {
        Value::Array(list) => out.extend(list),
        Value::Object(fields) => out.extend(fields.values()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn descend<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        out.push(value);
        let mut below = Vec::new();
        children(value, &mut below);
        left.extend(below.into_iter().rev());
    }
}

fn list(at: usize, value: &Value) -> Result<&[Value], Fault> {
    let kind = match value {
        Value::Array(list) => return Ok(list),
        Value::Object(_) => "an object",
        Value::String(_) => "a text",
        Value::Number(_) => "a number",
        Value::Bool(_) | Value::Null => "a single value",
    };
    Err(Fault::new(at, format!("this takes elements of a list, and here is {kind}")))
}

fn element(at: usize, list: &[Value], number: i64) -> Result<&Value, Fault> {
    let index = match usize::try_from(number) {
        Ok(index) => Some(index),
        Err(_) => usize::try_from(number.unsigned_abs()).ok().and_then(|back| list.len().checked_sub(back)),
    };
    index.and_then(|index| list.get(index)).ok_or_else(|| {
        Fault::new(at, format!("there is no element {number}: the list has {} (the first is 0)", list.len()))
    })
}

/// A bound of a slice within a list.
fn place(length: usize, bound: i64) -> usize {
    let amount = usize::try_from(bound.unsigned_abs()).unwrap_or(usize::MAX);
    if bound < 0 { length.saturating_sub(amount) } else { amount.min(length) }
}
