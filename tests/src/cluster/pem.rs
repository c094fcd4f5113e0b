//! DER as text.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Characters of a line.
const WIDTH: usize = 64;

/// DER under a label, such as `CERTIFICATE`.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut lines = vec![format!("-----BEGIN {label}-----")];
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, further) = rest.split_at(WIDTH.min(rest.len()));
        lines.push(line.to_owned());
        rest = further;
    }
    lines.push(format!("-----END {label}-----\n"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_of_64_characters_but_for_the_last() {
        let text = pem("DATA", &[0; 50]);

        assert_eq!(text, format!("-----BEGIN DATA-----\n{}\nAAA=\n-----END DATA-----\n", "A".repeat(64)));
    }
}
