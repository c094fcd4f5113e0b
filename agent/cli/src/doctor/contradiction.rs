//! What cannot be had at once: two pods whose presets want one setting of the host to be different things.

use barepod_presets::{HostWants, Want};

use super::facts::InUse;
use super::report::{Finding, Level};

/// What a setting may be, read of a preset's words.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    Any,
    AtLeast(u64),
    AtMost(u64),
    OneOf(Vec<String>),
}

impl Wish {
    fn read(words: &str) -> Self {
        let number = |prefix: &str| words.strip_prefix(prefix)?.trim().parse().ok();
        match (number("at least "), number("at most ")) {
            _ if words == "any" => Self::Any,
            (Some(least), _) => Self::AtLeast(least),
            (_, Some(most)) => Self::AtMost(most),
            (None, None) => Self::OneOf(words.split(" or ").map(|word| word.trim().to_owned()).collect()),
        }
    }

    /// Whether one value can please both.
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::AtLeast(_), Self::AtLeast(_)) | (Self::AtMost(_), Self::AtMost(_)) => true,
            (Self::AtLeast(least), Self::AtMost(most)) | (Self::AtMost(most), Self::AtLeast(least)) => least <= most,
            (Self::OneOf(words), wish) | (wish, Self::OneOf(words)) => words.iter().any(|word| wish.takes(word)),
        }
    }

    fn takes(&self, word: &str) -> bool {
        let number = word.parse::<u64>().ok();
        match self {
            Self::Any => true,
            Self::AtLeast(least) => number.is_some_and(|number| number >= *least),
            Self::AtMost(most) => number.is_some_and(|number| number <= *most),
            Self::OneOf(words) => words.iter().any(|known| known == word),
        }
    }
}

/// Each pair that disagrees about something, once.
pub(super) fn contradictions(in_use: &[InUse]) -> Vec<Finding> {
    let wishes = |one: &InUse| {
        let HostWants { preset, wants } = one.wants.as_ref().ok()?;
        let of = if one.pods.is_empty() { String::new() } else { format!(" ({})", one.pods.join(", ")) };
        Some((format!("{preset}{of}"), wants.clone()))
    };
    let all: Vec<(String, Vec<Want>)> = in_use.iter().filter_map(wishes).collect();
    let mut findings = Vec::new();
    for (index, (who, wants)) in all.iter().enumerate() {
        for (other, theirs) in &all[index + 1..] {
            let pairs = wants.iter().flat_map(|want| theirs.iter().map(move |against| (want, against)));
            findings.extend(pairs.filter_map(|(want, against)| pair((who, want), (other, against))));
        }
    }
    findings
}

fn pair((who, want): (&str, &Want), (other, against): (&str, &Want)) -> Option<Finding> {
    let (mine, theirs) = (want.wants.as_deref()?, against.wants.as_deref()?);
    if want.of != against.of || Wish::read(mine).agrees(&Wish::read(theirs)) {
        return None;
    }
    let message = format!(
        "{who} wants {mine}, {other} wants {theirs}: no value pleases both, and what mends one breaks the other; run one of \
         them on another host, or decide which has to do without"
    );
    Some(Finding::ok(&want.of, want.found.clone().unwrap_or_default()).at(Level::Warn, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_agree_where_there_is_a_value_for_both() {
        for (one, other, agree) in [
            ("madvise or never", "never", true),
            ("madvise or never", "always", false),
            ("always", "never", false),
            ("at least 128000", "at least 262144", true),
            ("at most 10", "at least 11", false),
            ("at most 10", "at least 10", true),
            ("1", "at least 1", true),
            ("0", "at least 1", false),
            ("synchronised", "synchronised", true),
            ("any", "never", true),
        ] {
            assert_eq!(Wish::read(one).agrees(&Wish::read(other)), agree, "{one}, {other}");
            assert_eq!(Wish::read(other).agrees(&Wish::read(one)), agree, "{other}, {one}");
        }
    }
}
