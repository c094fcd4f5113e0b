//! The token's life: its end is told of before it comes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::time::Instant;

use crate::Client;

/// It is looked at so often at most.
const LOOK: Duration = Duration::from_secs(3600);
/// Its end is near when so little of it is left, or a third of its life.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Life {
    create_time: Timestamp,
    expiration_time: Option<Timestamp>,
}

impl Life {
    /// When it ends, if that is soon.
    fn near_end(&self, now: Timestamp) -> Option<Timestamp> {
        let end = self.expiration_time?;
        let soon = SOON.min(end.duration_since(self.create_time) / 3);
        (end.duration_since(now) < soon).then_some(end)
    }
}

/// Looks at it from time to time.
#[derive(Debug, Default)]
pub(crate) struct TokenWatch {
    next: Option<Instant>,
}

impl TokenWatch {
    pub(crate) async fn look(&mut self, client: &Client) {
        if client.settings().token_file.is_none() || self.next.is_some_and(|next| Instant::now() < next) {
            return;
        }
        // One that is of no use any more is told of by whoever needs it.
        let Ok(life) = client.get::<Life>("/v1/acl/token/self").await else { return };
        let mut pause = LOOK;
        if let Some(end) = life.expiration_time {
            let left = end.duration_since(Timestamp::now()).max(SignedDuration::ZERO).unsigned_abs();
            pause = LOOK.min(left / 4);
        }
        self.next = Some(Instant::now() + pause);
        if let Some(end) = life.near_end(Timestamp::now()) {
            tracing::warn!("Nomad's token for this host ends at {end}: `barepod nomad setup` gets another one");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_near_a_week_before_and_for_a_short_life_in_its_last_third() {
        let at = |hours: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        let life = |hours: Option<i64>| Life { create_time: at(0), expiration_time: hours.map(at) };
        assert_eq!(life(None).near_end(at(1000)), None);
        assert_eq!(life(Some(1000)).near_end(at(800)), None);
        assert_eq!(life(Some(1000)).near_end(at(900)), Some(at(1000)));
        assert_eq!(life(Some(24)).near_end(at(15)), None);
        assert_eq!(life(Some(24)).near_end(at(17)), Some(at(24)));
    }

    #[test]
    fn nomads_own_form_is_read() {
        let text = r#"{"CreateTime": "2026-11-27T15:28:54.123456789Z", "ExpirationTime": null, "Name": "x"}"#;
        assert!(serde_json::from_str::<Life>(text).unwrap().expiration_time.is_none());
    }
}
