//! Each planted fault is found.
