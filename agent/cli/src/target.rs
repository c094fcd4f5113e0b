//! How a pod is named on the command line: `db`, `pod db` or `pod/db`.

use anyhow::{Result, bail};

const KINDS: [&str; 3] = ["pod", "pods", "po"];

/// Whether `word` names the type.
pub(crate) fn is_kind(word: &str) -> bool {
    KINDS.contains(&word)
}

/// One pod's name from `NAME` or `pod/NAME`.
pub(crate) fn name(word: &str) -> Result<String> {
    match word.split_once('/') {
        None => Ok(word.to_owned()),
        Some((kind, name)) if is_kind(kind) && !name.is_empty() => Ok(name.to_owned()),
        Some((kind, _)) => bail!("{word:?}: there is no type {kind:?} here; write pod/NAME or just NAME"),
    }
}

/// Pods' names from `NAME...`, `pod NAME...` or `pod/NAME...`.
pub(crate) fn names(words: &[String]) -> Result<Vec<String>> {
    let words = match words {
        [kind, rest @ ..] if is_kind(kind) && !rest.is_empty() => rest,
        all => all,
    };
    words.iter().map(|word| name(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Vec<String>> {
        names(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn all_three_ways_name_the_same_pod() {
        for words in [&["db"][..], &["pod", "db"], &["pod/db"], &["po/db"]] {
            assert_eq!(of(words).unwrap(), ["db"], "{words:?}");
        }
    }

    #[test]
    fn a_pod_may_be_called_pod() {
        assert_eq!(of(&["pod"]).unwrap(), ["pod"]);
    }

    #[test]
    fn other_types_are_refused_by_name() {
        assert!(of(&["svc/db"]).unwrap_err().to_string().contains("svc"));
    }
}
