//! Which things are meant, where they are not named.

use barepod_api::v1::Pod;
use serde_json::Value;

use crate::select::{FieldSelector, LabelSelector};

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Selectors {
    /// Those with such labels: app=db, tier!=gold, 'app in (db, web)', '!canary'. Commas between several.
    #[arg(short = 'l', long, value_name = "LABELS", value_parser = LabelSelector::parse)]
    pub(crate) selector: Option<LabelSelector>,
    /// Those with such fields: status.phase=Running, metadata.name!=db. Commas between several.
    #[arg(long, value_name = "FIELDS", value_parser = FieldSelector::parse)]
    pub(crate) field_selector: Option<FieldSelector>,
}

impl Selectors {
    /// Whether there is one.
    pub(crate) fn are_given(&self) -> bool {
        self.selector.is_some() || self.field_selector.is_some()
    }

    /// Keeps the pods that are meant.
    pub(crate) fn retain(&self, pods: &mut Vec<Pod>) {
        if self.are_given() {
            pods.retain(|pod| self.pick(&serde_json::from_str(&pod.object).unwrap_or_default()));
        }
    }

    /// Whether an object is meant. Without a selector all are.
    pub(crate) fn pick(&self, object: &Value) -> bool {
        self.selector.as_ref().is_none_or(|labels| labels.picks(object))
            && self.field_selector.as_ref().is_none_or(|fields| fields.picks(object))
    }
}
