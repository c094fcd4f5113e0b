//! Requests to the kubelet port: whoever reaches it may send any.

use barepod_kubelet::asked;

/// The first line of a request: a method, a space, a target.
pub(crate) fn port_requests(data: &[u8]) {
    let line = String::from_utf8_lossy(data);
    let Some((method, target)) = line.split_once(' ') else { return };
    let Some(asked) = asked(method, target) else { return };
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
}
