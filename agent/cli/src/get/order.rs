//! `--sort-by`: the order of a list by what a path finds, as kubectl orders it: quantities and numbers by their size, text
//! as people count (`db-2` before `db-10`), and what has nothing there first.

use std::cmp::Ordering;

use barepod_model::MilliCpu;
use serde_json::Value;

use super::Item;
use crate::jsonpath::{Path, Shown};

/// By what is sorted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    path: Path,
    text: String,
}

impl Order {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { path: Path::parse(text)?, text: text.to_owned() })
    }

    /// Sorts.
    ///
    /// # Errors
    /// None of them has anything there: the path is wrong.
    pub(crate) fn sort(&self, items: &mut [Item]) -> Result<(), String> {
        let nobody = items.iter().all(|item| self.key(item.object.value()).is_none());
        if nobody && !items.is_empty() {
            return Err(format!("nothing of these has a field {}; `-o json` shows what they have", self.text));
        }
        items.sort_by_cached_key(|item| Key::of(self.key(item.object.value())));
        Ok(())
    }

    fn key<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.path.find(object).into_iter().find(|value| !value.is_null())
    }
}

/// What is compared. What cannot be compared has an order all the same: as here.
enum Key {
    Nothing,
    Number(f64),
    /// In thousandths there are those of memory, too.
    Quantity(MilliCpu),
    Text(String),
}

impl Key {
    fn of(value: Option<&Value>) -> Self {
        match value {
            None => Key::Nothing,
            Some(Value::Number(number)) => Key::Number(number.as_f64().unwrap_or_default()),
            Some(value) => {
                let text = Shown(value).to_string();
                text.parse().map_or_else(|_| Key::Text(text), Key::Quantity)
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Key::Nothing => 0,
            Key::Number(_) => 1,
            Key::Quantity(_) => 2,
            Key::Text(_) => 3,
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Key::Number(a), Key::Number(b)) => a.total_cmp(b),
            (Key::Quantity(a), Key::Quantity(b)) => a.cmp(b),
            (Key::Text(a), Key::Text(b)) => natural(a, b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

/// Digits that stand together are a number.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (first, second) = (a.chars().next(), b.chars().next());
        let (Some(first), Some(second)) = (first, second) else { return first.is_some().cmp(&second.is_some()) };
        let order = if first.is_ascii_digit() && second.is_ascii_digit() {
            let (left, right) = (digits(&mut a), digits(&mut b));
            let (x, y) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y)).then_with(|| left.len().cmp(&right.len()))
        } else {
            (a, b) = (&a[first.len_utf8()..], &b[second.len_utf8()..]);
            first.cmp(&second)
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Takes the digits from the beginning of a text.
fn digits<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Object;
    use super::*;

    fn sorted(values: &[Value], path: &str) -> Vec<Value> {
        let item = |value: &Value| Item {
            namespace: String::new(),
            name: String::new(),
            cells: Vec::new(),
            wide: Vec::new(),
            object: Object::of_text(json!({"v": value}).to_string()),
        };
        let mut items: Vec<_> = values.iter().map(item).collect();
        Order::parse(path).unwrap().sort(&mut items).unwrap();
        items.iter().map(|item| item.object.value()["v"].clone()).collect()
    }

    #[test]
    fn numbers_quantities_times_and_names_have_the_order_that_people_expect() {
        for ordered in [
            [json!(null), json!(2), json!(10)],
            [json!("500m"), json!("1"), json!("2")],
            [json!("900Ki"), json!("1Mi"), json!("1Gi")],
            [json!("db-2"), json!("db-10"), json!("db-010")],
            [json!("a"), json!("a1"), json!("b")],
            [json!("2026-01-02T00:00:00Z"), json!("2026-01-10T00:00:00Z"), json!("2026-02-01T00:00:00Z")],
            [json!(false), json!(true), json!(true)],
        ] {
            let mixed = [ordered[2].clone(), ordered[0].clone(), ordered[1].clone()];
            for path in [".v", "{.v}", "v"] {
                assert_eq!(sorted(&mixed, path), ordered);
            }
        }
    }

    #[test]
    fn a_field_that_none_has_is_a_mistake() {
        let item = |text: &str| Item {
            namespace: String::new(),
            name: String::new(),
            cells: Vec::new(),
            wide: Vec::new(),
            object: Object::of_text(text.to_owned()),
        };
        let order = Order::parse(".metadata.nmae").unwrap();
        assert!(order.sort(&mut [item("{}")]).unwrap_err().contains(".metadata.nmae"));
        assert_eq!(order.sort(&mut []), Ok(()));
    }
}
