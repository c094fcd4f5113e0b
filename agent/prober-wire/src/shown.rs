//! How secrets are shown: not at all.

use std::fmt;

use crate::generated::Header;

impl fmt::Debug for Header {
    /// The name only: a value may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_header_is_not_shown() {
        let header = Header { name: "Authorization".to_owned(), value: "Basic c2VjcmV0".to_owned() };

        let shown = format!("{header:?}");

        assert!(shown.contains("Authorization") && !shown.contains("c2VjcmV0"), "{shown}");
    }
}
