//! What it took to start tasks and to end them is given back to the host.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Tasks often begin and end together.
const QUIET: Duration = Duration::from_secs(2);

/// Who is told that something has been let go of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Thrift(Arc<Notify>);

impl Thrift {
    /// Gives back until `stop`.
    pub(crate) fn begin(stop: CancellationToken) -> Self {
        let thrift = Self::default();
        let told = Arc::clone(&thrift.0);
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            loop {
                told.notified().await;
                while tokio::time::timeout(QUIET, told.notified()).await.is_ok() {}
                barepod_sys::allocator::give_back();
            }
        }));
        thrift
    }

    /// A task has begun, or has been forgotten.
    pub(crate) fn tell(&self) {
        self.0.notify_one();
    }
}
