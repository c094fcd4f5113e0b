//! What the host, its pods and their containers use, in the forms in which it is asked for: kubelet's summary, and the text of
//! Prometheus under kubelet's and cAdvisor's names.

pub(crate) mod cadvisor;
pub(crate) mod own;
pub(crate) mod probes;
mod rates;
pub(crate) mod resource;
pub(crate) mod summary;
mod text;

use std::time::Duration;

use barepod_api::v1;
use tonic::Status;

use crate::answer::{Answer, of, refused, whole};
use crate::port::Port;

pub(crate) use rates::Rates;
pub(crate) use text::Page;

/// How long the daemon may measure: directories may hold many files.
const LIMIT: Duration = Duration::from_secs(60);

/// What is used now.
///
/// # Errors
/// The daemon does not answer.
pub(crate) async fn stats(port: &Port, disk: bool) -> Result<v1::StatsResponse, Status> {
    let mut daemon = port.daemon();
    match tokio::time::timeout(LIMIT, daemon.stats(v1::StatsRequest { disk })).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(Status::unavailable("barepodd does not answer")),
    }
}

/// A page of Prometheus, or why there is none.
pub(crate) fn page(page: Result<Page, Status>) -> Answer {
    match page {
        Ok(page) => of(hyper::StatusCode::OK, text::CONTENT_TYPE, whole(page.into_text())),
        Err(status) => refused(&status),
    }
}

/// Memory without the file cache that nobody touched of late.
fn working_set(usage: &v1::Usage) -> Option<u64> {
    Some(usage.memory?.saturating_sub(usage.memory_inactive_file.unwrap_or(0)))
}

/// Milliseconds since 1970.
fn millis(time: Option<v1::Timestamp>) -> Option<i64> {
    time.map(|time| time.seconds * 1000 + i64::from(time.nanos) / 1_000_000)
}

/// Seconds since 1970, with a fraction of thousandths.
fn epoch(time: Option<v1::Timestamp>) -> Option<f64> {
    // A number of milliseconds is far from where a float has no room for it.
    millis(time).map(|millis| millis as f64 / 1e3)
}

/// Seconds, of nanoseconds.
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
