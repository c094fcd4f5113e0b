//! Questions to real servers, in this process.
#![expect(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod grpc;
mod http;
mod support;
