//! Redirects as kubelet follows them: on the same host, at most ten.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue, LOCATION, REFERER};
use tokio::time::Instant;

use crate::exchange::{Answer, ExchangeError, exchange};
use crate::target::Target;
use crate::tls::Offer;

/// Go's limit.
const MOST: usize = 10;

/// Why there is no answer, and which URL it was that gave none.
#[derive(Debug)]
pub(crate) struct NoAnswer {
    pub(crate) url: String,
    pub(crate) why: Why,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Why {
    /// The connection or what came over it.
    Exchange(ExchangeError),
    /// A redirect that cannot be followed.
    Redirect(String),
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.why {
            Why::Exchange(error) => write!(f, "Get \"{}\": {error}", self.url),
            Why::Redirect(error) => write!(f, "Get \"{}\": {error}", self.url),
        }
    }
}

/// Asks, and asks again where it is sent, as long as that is the same host.
pub(crate) async fn follow(
    mut target: Target,
    mut headers: HeaderMap,
    offer: Offer,
    deadline: Option<Instant>,
) -> Result<Answer, NoAnswer> {
    let mut asked = 0;
    loop {
        asked += 1;
        let answer = exchange(&target, &headers, offer, deadline).await;
        let answer = answer.map_err(|error| NoAnswer { url: target.text(), why: Why::Exchange(error) })?;
        let location = answer.response.headers().get(LOCATION).map(|value| value.as_bytes().to_vec());
        let next = next(&target, answer.status(), location.as_deref(), asked);
        let next = next.map_err(|text| NoAnswer { url: target.text(), why: Why::Redirect(text) })?;
        let Some(next) = next else { return Ok(answer) };
        refer(&mut headers, &target, &next);
        target = next;
    }
}

/// Where an answer leads, after so many requests; `None` where it is the last one.
fn next(from: &Target, status: u16, location: Option<&[u8]>, asked: usize) -> Result<Option<Target>, String> {
    let Some(location) = location.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308)) else { return Ok(None) };
    let next = from.join(&String::from_utf8_lossy(location))?;
    if next.host() != from.host() {
        return Ok(None);
    }
    if asked >= MOST {
        return Err(format!("stopped after {MOST} redirects"));
    }
    Ok(Some(next))
}

/// Says where the request comes from, unless it would tell a plain connection of one under TLS.
fn refer(headers: &mut HeaderMap, from: &Target, to: &Target) {
    if from.is_tls() && !to.is_tls() {
        headers.remove(REFERER);
    } else if let Ok(value) = HeaderValue::from_str(&from.text()) {
        headers.insert(REFERER, value);
    }
}

/// Takes off what must not go over a plain connection.
pub(crate) fn without_authorization(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(AUTHORIZATION);
    headers
}

#[cfg(test)]
mod tests {
    use barepod_prober_wire::HttpGet;

    use super::*;

    fn target() -> Target {
        let get = HttpGet { host: "127.0.0.1".to_owned(), port: 8080, path: "/a".to_owned(), ..HttpGet::default() };
        Target::new(&get).unwrap()
    }

    #[test]
    fn the_same_host_is_followed_on_any_port() {
        for location in ["/b", "b", "http://127.0.0.1:9090/b", "https://127.0.0.1/b"] {
            let next = next(&target(), 302, Some(location.as_bytes()), 1).unwrap();
            assert_eq!(next.map(|next| next.path().to_owned()), Some("/b".to_owned()), "{location}");
        }
    }

    #[test]
    fn another_host_another_status_or_no_location_end_it() {
        assert_eq!(next(&target(), 302, Some(b"http://localhost:8080/b"), 1), Ok(None));
        assert_eq!(next(&target(), 304, Some(b"/b"), 1), Ok(None));
        assert_eq!(next(&target(), 302, None, 1), Ok(None));
    }

    #[test]
    fn the_eleventh_request_is_not_made() {
        assert!(next(&target(), 302, Some(b"/b"), 9).unwrap().is_some());
        assert_eq!(next(&target(), 302, Some(b"/b"), 10), Err("stopped after 10 redirects".to_owned()));
    }
}
