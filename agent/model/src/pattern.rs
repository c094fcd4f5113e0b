//! Patterns of names and paths, as a policy writes them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pattern: `*` stands for any text without `/`, `**` for any text at all. Alone, `*` matches everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a pattern: it must have 1 to 255 bytes")]
pub struct InvalidPattern {
    /// The refused text.
    pub value: String,
}

const MAX: usize = 255;

impl Pattern {
    /// Checks `value`.
    ///
    /// # Errors
    /// It is empty or too long.
    pub fn new(value: impl Into<String>) -> Result<Self, InvalidPattern> {
        let value = value.into();
        if (1..=MAX).contains(&value.len()) { Ok(Self(value)) } else { Err(InvalidPattern { value }) }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0 == "*"
    }

    /// Whether it matches all of `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.is_everything() || matches(self.0.as_bytes(), text.as_bytes())
    }
}

/// Which beginnings of the pattern match the text so far: time grows with the product of both lengths, whatever they hold.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let tokens = tokens(pattern);
    let mut reached = vec![false; tokens.len() + 1];
    reached[0] = true;
    skip_stars(&tokens, &mut reached);
    for byte in text {
        let mut next = vec![false; tokens.len() + 1];
        for (i, token) in tokens.iter().enumerate().filter(|(i, _)| reached[*i]) {
            match token {
                Token::Byte(wanted) => next[i + 1] |= wanted == byte,
                Token::Part => next[i] |= *byte != b'/',
                Token::Anything => next[i] = true,
            }
        }
        skip_stars(&tokens, &mut next);
        reached = next;
    }
    reached[tokens.len()]
}

/// A star may stand for nothing.
fn skip_stars(tokens: &[Token], reached: &mut [bool]) {
    for (i, token) in tokens.iter().enumerate() {
        if reached[i] && matches!(token, Token::Part | Token::Anything) {
            reached[i + 1] = true;
        }
    }
}

enum Token {
    Byte(u8),
    Part,
    Anything,
}

fn tokens(pattern: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let [first, after @ ..] = rest {
        let (token, left) = match (first, after) {
            (b'*', [b'*', left @ ..]) => (Token::Anything, left),
            (b'*', left) => (Token::Part, left),
            (byte, left) => (Token::Byte(*byte), left),
        };
        tokens.push(token);
        rest = left;
    }
    tokens
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;
    fn try_from(value: String) -> Result<Self, InvalidPattern> {
        Self::new(value)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_a_part_of_a_path_and_two_do_not() {
        for (pattern, text, fits) in [
            ("*", "/anything/at all", true),
            ("shop-*", "shop-a", true),
            ("shop-*", "shop-", true),
            ("shop-*", "a-shop-a", false),
            ("/usr/bin/*", "/usr/bin/psql", true),
            ("/usr/bin/*", "/usr/bin/a/b", false),
            ("/usr/**", "/usr/bin/a/b", true),
            ("/usr/*/psql", "/usr/bin/psql", true),
            ("15.*", "15.20", true),
            ("15.*", "15", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("psql", "psqlx", false),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().matches(text), fits, "{pattern} {text}");
        }
        assert!(Pattern::new("").is_err() && Pattern::new("x".repeat(256)).is_err());
    }
}
