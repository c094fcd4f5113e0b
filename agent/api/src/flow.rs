//! How much may be on its way between the daemon and a client. Whoever does not read holds up its own stream alone: all streams
//! of a connection together may be behind by as much as they may one by one.

/// Calls of one connection at a time: a bridge has one for each `kubectl exec` and `kubectl logs -f` of its node.
pub const STREAMS: u32 = 4096;

/// Bytes that are on their way for one of them.
pub const STREAM_WINDOW: u32 = 64 << 10;

/// Bytes that are on their way for all of them.
pub const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;
