//! Objects of the API server as JSON: what they say, and what they leave out.

use serde_json::Value;

/// Whether all that `wanted` says is so; lists have to be the same, one by one.
pub(crate) fn includes(is: &Value, wanted: &Value) -> bool {
    match (is, wanted) {
        (Value::Object(is), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| includes(is.get(key).unwrap_or(&Value::Null), value))
        }
        (Value::Array(is), Value::Array(wanted)) => {
            is.len() == wanted.len() && is.iter().zip(wanted).all(|(is, wanted)| includes(is, wanted))
        }
        // What the API server leaves out because it is empty.
        (Value::Null, wanted) => is_empty(wanted),
        (is, wanted) => is == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Takes fields away that say nothing, here and below.
pub(crate) fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn more_may_be_so_than_is_wanted_but_lists_are_whole() {
        let is = json!({"a": 1, "b": [{"c": 2, "d": 3}]});
        for (wanted, so) in [
            (json!({"b": [{"c": 2}]}), true),
            (json!({"b": []}), false),
            (json!({"a": 2}), false),
            (json!({"e": {}, "f": ""}), true),
            (json!({"e": 0}), false),
        ] {
            assert_eq!(includes(&is, &wanted), so, "{wanted}");
        }
    }

    #[test]
    fn what_says_nothing_is_taken_away() {
        let mut value = json!({"a": null, "b": [{"c": null, "d": 1}]});
        without_nulls(&mut value);
        assert_eq!(value, json!({"b": [{"d": 1}]}));
    }
}
