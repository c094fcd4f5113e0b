//! Where a connection becomes something else: exec, attach, port-forward; and run, which is an exec that is read to its end.
//!
//! Each is given the request with its upgrade (`hyper::upgrade::on`), what its path and query say, and the place of its
//! connection: it is held for as long as the stream lasts, so that streams are counted among the connections.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};

use crate::answer::{Answer, text};
use crate::guests::Visit;
use crate::port::Port;
use crate::query::Query;
use crate::route::Target;

/// A process in a container.
pub(crate) async fn exec(_: &Port, _: Request<Incoming>, _: Target, _: Query, _: Arc<Visit>) -> Answer {
    not_yet()
}

/// What a container's own process reads and writes.
pub(crate) async fn attach(_: &Port, _: Request<Incoming>, _: Target, _: Query, _: Arc<Visit>) -> Answer {
    not_yet()
}

/// Connections to a pod's ports.
pub(crate) async fn port_forward(_: &Port, _: Request<Incoming>, _: Target, _: Query, _: Arc<Visit>) -> Answer {
    not_yet()
}

/// A process in a container, and all that it wrote.
pub(crate) async fn run(_: &Port, _: Target, _: Query) -> Answer {
    not_yet()
}

fn not_yet() -> Answer {
    text(StatusCode::NOT_IMPLEMENTED, "this node does not stream yet\n")
}
