//! Plain scalars, resolved as go-yaml v2 resolves them.

use serde_json::Number;

use crate::Value;

/// The value of an unquoted scalar without a tag.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::Text(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let plain = text.replace('_', "");
    integer(&plain).or_else(|| float(&plain))
}

/// `12`, `-12`, `0x1f`, `0o17`, `017`, `0b11`.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = magnitude(digits)?;
    if negative { 0_i64.checked_sub_unsigned(value).map(Number::from) } else { Some(Number::from(value)) }
}

fn magnitude(digits: &str) -> Option<u64> {
    let (radix, rest) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if rest.starts_with(['+', '-']) { None } else { u64::from_str_radix(rest, radix).ok() }
}

/// Decimal fractions and exponents. Infinity and NaN stay text: no Kubernetes field takes them.
fn float(text: &str) -> Option<Number> {
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if !text.chars().all(allowed) || !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        match resolve(text) {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(_) | Value::Map(_) => unreachable!("a scalar is not a collection"),
        }
    }

    #[test]
    fn plain_scalars_mean_what_they_mean_to_kubernetes() {
        let cases = [
            ("", "null"),
            ("~", "null"),
            ("yes", "true"),
            ("Off", "false"),
            ("0644", "420"),
            ("0o644", "420"),
            ("0x10", "16"),
            ("1_000", "1000"),
            ("-7", "-7"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1.5", "1.5"),
            ("1e3", "1000.0"),
            ("512Mi", "\"512Mi\""),
            ("1.2.3", "\"1.2.3\""),
            ("099", "99.0"),
            ("-", "\"-\""),
            (".", "\".\""),
            ("15-bookworm", "\"15-bookworm\""),
            ("2026-11-21", "\"2026-11-21\""),
            ("0é", "\"0é\""),
        ];
        for (text, want) in cases {
            assert_eq!(json(text), want, "{text}");
        }
    }
}
