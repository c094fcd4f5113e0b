//! The configuration in force, for all who follow it: whoever asks anew gets what holds now.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;

/// The way to it.
#[derive(Debug, Clone)]
pub(crate) struct Settings(watch::Sender<Arc<Config>>);

impl Settings {
    pub(crate) fn new(config: Config) -> Self {
        Self(watch::Sender::new(Arc::new(config)))
    }

    /// What holds now. As long as nothing is changed it is the same one.
    pub(crate) fn now(&self) -> Arc<Config> {
        Arc::clone(&self.0.borrow())
    }

    /// Puts another one in force.
    pub(crate) fn put(&self, config: Config) {
        self.0.send_replace(Arc::new(config));
    }
}
