//! Amounts of what is given out, as messages.

use barepod_api::v1;
use barepod_model::{Amounts, Bytes, MilliCpu};

pub(crate) fn to_message(amounts: Amounts) -> v1::Amounts {
    v1::Amounts {
        cpu_milli: amounts.cpu.0,
        memory: amounts.memory.0,
        ephemeral_storage: amounts.storage.0,
        huge_2mi: amounts.huge_two_mi.0,
        huge_1gi: amounts.huge_one_gi.0,
    }
}

/// More than any host has is as good as so much, and cannot overflow a sum.
pub(crate) fn from_message(amounts: v1::Amounts) -> Amounts {
    const MOST: u64 = 1 << 60;
    Amounts {
        cpu: MilliCpu(amounts.cpu_milli.min(MOST)),
        memory: Bytes(amounts.memory.min(MOST)),
        storage: Bytes(amounts.ephemeral_storage.min(MOST)),
        huge_two_mi: Bytes(amounts.huge_2mi.min(MOST)),
        huge_one_gi: Bytes(amounts.huge_1gi.min(MOST)),
    }
}
