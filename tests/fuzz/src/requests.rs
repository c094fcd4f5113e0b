//! Requests to the kubelet port: whoever reaches it may send any.

use barepod_kubelet::asked;
use barepod_streams::Upgrade;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

/// The first line of a request, a method, a space, a target; then its headers, one a line.
pub(crate) fn port_requests(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default();
    let Some((method, target)) = line.split_once(' ') else { return };
    let Some(asked) = asked(method, target, lines.filter_map(header).collect()) else { return };
    if let Some(carried_out) = asked.carried_out {
        assert_eq!(
            (asked.verb, asked.subresources),
            carried_out,
            "{line:?} is allowed as one thing and carried out as another"
        );
        assert!(matches!(method, "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE"), "{line:?} has no verb");
    }
    for name in &asked.names {
        assert!(!name.is_empty() && !name.contains('/'), "{line:?} names {name:?}");
    }
    if let Some(log) = asked.log {
        assert!(log.limit_bytes != Some(0) && log.since_seconds != Some(0), "{log:?}");
        assert!(log.since_seconds.is_none() || log.since_time.is_none(), "{log:?}");
        assert!(log.tail_lines.is_none() || log.stream == 0, "{log:?}");
    }
    if let Some(ports) = asked.ports {
        assert!((1..=127).contains(&ports.len()) && !ports.contains(&0), "{ports:?}");
    }
    assert!(asked.token.is_none_or(|token| !token.is_empty()));
    assert!(!asked.headers.contains_key(AUTHORIZATION), "a handler sees a token");
    upgrades(&asked.headers);
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

/// What is agreed on was asked for, and no token is among it.
fn upgrades(headers: &HeaderMap) {
    for upgrade in [Upgrade::remote_command(headers), Upgrade::port_forward(headers)].into_iter().flatten() {
        for name in ["sec-websocket-protocol", "x-stream-protocol-version"] {
            let Some(agreed) = upgrade.response().headers().get(name).cloned() else { continue };
            let agreed = agreed.to_str().expect("a protocol is a word");
            let mut offered = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            assert!(offered.any(|value| value.split(',').any(|word| word.trim() == agreed)), "{agreed} of {headers:?}");
            assert!(!agreed.contains("bearer"), "{agreed}");
        }
    }
}
