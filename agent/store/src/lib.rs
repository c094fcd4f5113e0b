//! The ledger: one durable file a pod.
