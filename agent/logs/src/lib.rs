//! CRI log framing, rotation and following.
