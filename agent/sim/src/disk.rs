//! The simulated ledger: what a reader finds now, and what a power cut leaves.

use std::collections::BTreeMap;

use barepod_core::{PodRecord, Sync};
use barepod_model::PodUid;

use crate::rng::Rng;

#[derive(Debug, Default)]
struct File {
    now: Option<PodRecord>,
    synced: Option<PodRecord>,
}

/// All ledger files.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<PodUid, File>,
}

impl Disk {
    pub(crate) fn write(&mut self, record: PodRecord, sync: Sync) {
        let file = self.files.entry(record.pod.uid.clone()).or_default();
        match sync {
            Sync::Durable => file.synced = Some(record.clone()),
            Sync::Lazy => {}
        }
        file.now = Some(record);
    }

    /// Removes a file for good.
    pub(crate) fn remove(&mut self, pod: &PodUid) {
        self.files.remove(pod);
    }

    /// The power goes: what was not synced may be lost.
    pub(crate) fn power_cut(&mut self, rng: &mut Rng) {
        for file in self.files.values_mut() {
            if rng.chance(500) {
                file.now = file.synced.clone();
            } else {
                file.synced = file.now.clone();
            }
        }
        self.files.retain(|_, file| file.now.is_some());
    }

    /// What a daemon finds.
    pub(crate) fn records(&self) -> impl Iterator<Item = &PodRecord> {
        self.files.values().filter_map(|file| file.now.as_ref())
    }

    /// What a daemon finds, and what one finds after a power cut.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &PodRecord> {
        self.files.values().flat_map(|file| file.now.iter().chain(&file.synced))
    }

    /// What would survive a power cut of one pod.
    pub(crate) fn synced(&self, pod: &PodUid) -> Option<&PodRecord> {
        self.files.get(pod)?.synced.as_ref()
    }
}
