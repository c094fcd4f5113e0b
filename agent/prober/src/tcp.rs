//! `tcpSocket`: a connection is good (`pkg/probe/tcp`).

use std::time::Duration;

use tokio::time::Instant;

use crate::Verdict;
use crate::dial::dial;

/// Connects and says nothing.
pub async fn probe(host: &str, port: u16, timeout: Duration) -> Verdict {
    match dial(host, port, Some(Instant::now() + timeout)).await {
        Ok(_) => Verdict::Good,
        Err(error) if error.is_ours() => Verdict::Undecided(error.to_string()),
        Err(error) => Verdict::Bad(error.to_string()),
    }
}
