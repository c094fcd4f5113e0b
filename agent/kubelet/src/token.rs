//! Where a request has its bearer token: in a header of its own, or, where it asks for a WebSocket and comes from a browser that
//! cannot set that header, among the subprotocols (`k8s.io/apiserver`, `authentication/request/websocket`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE};

/// Before the token, in base64url without padding, in the name of a subprotocol.
const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// Takes the token out of the headers: nothing behind this sees it.
pub(crate) fn take(headers: &mut HeaderMap) -> Option<String> {
    let authorization = headers.remove(AUTHORIZATION);
    let of_subprotocols = of_subprotocols(headers);
    let own = authorization.as_ref().and_then(|value| value.to_str().ok()).and_then(bearer).map(str::to_owned);
    own.or(of_subprotocols)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Of several nobody knows which one is meant, and with nothing else there would be no protocol to speak: neither counts.
fn of_subprotocols(headers: &mut HeaderMap) -> Option<String> {
    let asks = headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let offered =
        headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().map(HeaderValue::to_str).collect::<Result<Vec<_>, _>>();
    let offered = offered.ok().filter(|_| asks)?.join(",");
    let (tokens, others): (Vec<_>, Vec<_>) =
        offered.split(',').map(str::trim).partition(|word| word.starts_with(PREFIX));
    if tokens.is_empty() {
        return None;
    }
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Some(rest) = HeaderValue::from_str(&others.join(", ")).ok().filter(|rest| !rest.is_empty()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, rest);
    }
    let ([token], false) = (&tokens[..], others.is_empty()) else { return None };
    let token = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
    String::from_utf8(token).ok().filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_of_a_bearer() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer(" bearer  abc "), Some("abc"));
        for none in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(bearer(none), None, "{none}");
        }
    }

    fn taken(headers: &[(&'static str, &str)]) -> (Option<String>, Option<String>) {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(*name, value.parse().unwrap());
        }
        let token = take(&mut all);
        let left = all.get_all(SEC_WEBSOCKET_PROTOCOL).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(all.get(AUTHORIZATION), None);
        (token, (!left.is_empty()).then(|| left.join("|")))
    }

    #[test]
    fn a_browser_s_token_is_among_the_subprotocols_and_is_gone_from_there() {
        let (socket, token) = (("upgrade", "WebSocket"), "base64url.bearer.authorization.k8s.io.YWJj");
        let with = |protocols: &str| taken(&[socket, ("sec-websocket-protocol", protocols)]);
        let found = (Some("abc".to_owned()), Some("v5.channel.k8s.io".to_owned()));
        assert_eq!(with(&format!("{token}, v5.channel.k8s.io")), found);
        let apart = [socket, ("sec-websocket-protocol", "v5.channel.k8s.io"), ("sec-websocket-protocol", token)];
        assert_eq!(taken(&apart), found);
        assert_eq!(with("v5.channel.k8s.io"), (None, Some("v5.channel.k8s.io".to_owned())));
        assert_eq!(with(token).0, None, "there is nothing to speak");
        assert_eq!(with(&format!("{token},{token},v4.channel.k8s.io")).0, None, "which one?");
        assert_eq!(with("base64url.bearer.authorization.k8s.io.!,v4.channel.k8s.io").0, None);
        assert_eq!(taken(&[("sec-websocket-protocol", token)]).0, None, "it is no WebSocket");
        let both = [socket, ("authorization", "Bearer own"), ("sec-websocket-protocol", token)];
        assert_eq!(taken(&both).0, Some("own".to_owned()));
    }
}
