//! The headers of a request: the manifest's, and what goes with every one (`pkg/probe/http/request.go`).

use barepod_prober_wire::Header;
use hyper::HeaderMap;
use hyper::header::{ACCEPT, HOST, HeaderName, HeaderValue, USER_AGENT};

/// The manifest's headers without its `Host`; `User-Agent` and `Accept` are added where it has none. Given empty, they are
/// not sent.
///
/// # Errors
/// A name or value that HTTP does not allow.
pub(crate) fn headers(given: &[Header], agent: &'static str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for Header { name, value } in given {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("invalid header field name {name:?}"))?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| format!("invalid header field value for {name:?}"))?;
        headers.append(key, value);
    }
    headers.remove(HOST);
    for (name, default) in [(USER_AGENT, agent), (ACCEPT, "*/*")] {
        match headers.get(&name) {
            None => drop(headers.insert(name, HeaderValue::from_static(default))),
            Some(value) if value.is_empty() => drop(headers.remove(name)),
            Some(_) => {}
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Vec<Header> {
        pairs.iter().map(|(name, value)| Header { name: (*name).to_owned(), value: (*value).to_owned() }).collect()
    }

    #[test]
    fn agent_and_accept_are_added_where_the_manifest_has_none() {
        let headers = headers(&given(&[("X-A", "1"), ("x-a", "2"), ("Host", "h")]), "us").unwrap();

        assert_eq!((&headers[USER_AGENT], &headers[ACCEPT]), (&"us".parse().unwrap(), &"*/*".parse().unwrap()));
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert!(!headers.contains_key(HOST));
    }

    #[test]
    fn given_empty_they_are_not_sent() {
        let headers = headers(&given(&[("user-agent", ""), ("ACCEPT", "")]), "us").unwrap();

        assert!(headers.is_empty());
    }

    #[test]
    fn what_http_does_not_allow_is_named() {
        assert!(headers(&given(&[("a b", "1")]), "us").unwrap_err().contains("\"a b\""));
        assert!(headers(&given(&[("a", "\u{1}")]), "us").unwrap_err().contains("\"a\""));
    }
}
