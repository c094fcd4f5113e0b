//! What a parser says of a file, in the words of whoever wrote it.

/// What it says of values of another kind than what is expected, and what to write.
const KINDS: [(&str, &str); 5] = [
    ("invalid u", "a whole number is expected here, without a unit"),
    ("invalid floating point", "a number is expected here, without a unit"),
    ("invalid boolean", "write true or false here"),
    ("expected sequence start", "a list is expected here: write [A, B]"),
    ("expected mapping start", "keys with values are expected here: write {KEY: VALUE}"),
];

/// Keys that are often looked for one step too high.
const BELOW_RESOURCES: [&str; 9] = [
    "systemReserved",
    "maxPods",
    "podPidsLimit",
    "evictionHard",
    "evictionSoft",
    "cpuManagerPolicy",
    "reservedSystemCPUs",
    "memoryReservationPolicy",
    "evictionExemptPriority",
];

/// Line and column, and the message with the likely fix, of ``error: line 2 column 1: unknown field `a`, expected one of b, c``
/// with a picture below it.
pub(super) fn of(error: &str) -> (String, String) {
    let first = error.lines().next().unwrap_or_default();
    let located = first.strip_prefix("error: line ").and_then(|rest| {
        let (place, message) = rest.split_once(": ")?;
        let (line, column) = place.split_once(" column ")?;
        Some((format!("{line}:{column}"), message))
    });
    let (place, message) = located.unwrap_or_else(|| ("1".to_owned(), first));
    let kind = KINDS.iter().find(|(says, _)| message.starts_with(says)).map(|(_, means)| (*means).to_owned());
    (place, kind.or_else(|| unknown(message)).unwrap_or_else(|| message.to_owned()))
}

/// A key that there is not, and what was meant by it.
fn unknown(message: &str) -> Option<String> {
    let (_, named) = message.split_once("unknown field `")?;
    let (unknown, known) = named.split_once("`, expected ")?;
    let known = known.trim_start_matches("one of ").split([',', ' ', '`']).filter(|word| !word.is_empty());
    let known: Vec<_> = known.collect();
    if BELOW_RESOURCES.contains(&unknown) {
        return Some(format!("there is no key {unknown} here; write it below resources"));
    }
    let distance = |key: &str| strsim::osa_distance(&unknown.to_lowercase(), &key.to_lowercase());
    let nearest = known.iter().map(|key| (distance(key), *key)).min().filter(|(far, key)| *far <= 1 + key.len() / 4);
    Some(match nearest {
        Some((_, key)) => format!("there is no key {unknown}; did you mean {key:?}?"),
        None => format!("there is no key {unknown}; there are {}", known.join(", ")),
    })
}
