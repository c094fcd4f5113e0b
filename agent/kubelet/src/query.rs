//! What a request says behind its `?`, read as the Kubernetes API reads it.

use std::str::FromStr;

/// Names and values, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

/// A value that is none of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the query's {name}={value:?} cannot be read")]
pub(crate) struct Unreadable {
    name: &'static str,
    value: String,
}

impl Query {
    pub(crate) fn of(text: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(text.unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The first value of a name.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(its, _)| its == name).map(|(_, value)| value.as_str())
    }

    /// All values of a name, such as the words of a command.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(its, _)| its == name).map(|(_, value)| value.as_str())
    }

    /// Whether it is said, and not denied.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// A value that is read.
    ///
    /// # Errors
    /// It cannot be.
    pub(crate) fn read<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Unreadable> {
        let unreadable = |value: &str| Unreadable { name, value: value.to_owned() };
        self.first(name).map(|value| value.parse().map_err(|_| unreadable(value))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_the_api_reads_it() {
        let query = Query::of(Some("command=sh&command=-c&command=a%20%26+b&stdin=1&tty=FALSE&stderr=0&tail=x&follow"));
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "-c", "a & b"]);
        assert!(query.flag("stdin") && query.flag("follow"));
        assert!(!query.flag("tty") && !query.flag("stderr") && !query.flag("stdout"));
        let unreadable = Unreadable { name: "tail", value: "x".to_owned() };
        assert_eq!(query.read::<u64>("tail"), Err(unreadable));
        assert_eq!(query.read::<u64>("limit"), Ok(None));
        assert_eq!(Query::of(None), Query::default());
    }
}
