//! The preset catalogue: what stands in for a container image.
