//! Names and identities of pods, made of Nomad's, which may be longer and hold other letters.

use sha2::{Digest as _, Sha256};

/// As many letters as a DNS label may have.
const LONGEST: usize = 63;
/// Digits that tell two names apart which would otherwise be the same.
const DIGITS: usize = 6;

/// A DNS label like this text: the text itself where it is one.
pub(crate) fn label(text: &str) -> String {
    let alike: String = text
        .chars()
        .map(|letter| match letter.to_ascii_lowercase() {
            letter @ ('a'..='z' | '0'..='9') => letter,
            _ => '-',
        })
        .collect();
    let alike = alike.trim_matches('-');
    if alike == text && (1..=LONGEST).contains(&alike.len()) {
        return alike.to_owned();
    }
    let short = alike[..alike.len().min(LONGEST - DIGITS - 1)].trim_matches('-');
    let digits = &hex(text)[..DIGITS];
    if short.is_empty() { format!("x{digits}") } else { format!("{short}-{digits}") }
}

/// The UID that always follows from this identity, in the form of a UUID (version 8: of one's own making).
pub(crate) fn uid(identity: &str) -> String {
    let hex = hex(identity);
    format!("{}-{}-8{}-8{}-{}", &hex[0..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}

fn hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_will_do_is_kept_and_any_other_gets_digits_of_its_own() {
        assert_eq!(label("pg-main"), "pg-main");
        let [one, other] = [label("PG_main"), label("pg.main")];
        assert!(one.starts_with("pg-main-") && other.starts_with("pg-main-"), "{one} {other}");
        assert_ne!(one, other);
        assert_eq!(label(&"a".repeat(200)).len(), LONGEST);
        assert!(label("ß").starts_with('x'));
    }

    #[test]
    fn an_identity_has_one_uid() {
        assert_eq!(uid("a"), uid("a"));
        assert_ne!(uid("a"), uid("b"));
        assert_eq!(uid("a").split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    }
}
