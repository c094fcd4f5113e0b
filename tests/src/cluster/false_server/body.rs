//! Bodies of answers: passed on, made up, changed, or cut.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::Response;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Any body.
pub(super) type Any = BoxBody<Bytes, Error>;

/// What the API server says, as it comes.
pub(super) fn passed_on(answer: Response<Incoming>) -> Response<Any> {
    answer.map(|body| body.map_err(Error::from).boxed())
}

/// An HTTP status with the object that says the same.
pub(super) fn status(code: u16, retry_after: Option<u32>) -> Response<Any> {
    let mut response = json_response(code, &status_object(code));
    response.headers_mut().extend(retry_after.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds))));
    response
}

/// A watch with one event, an error.
pub(super) fn watch_error(code: u16) -> Response<Any> {
    json_response(200, &json!({"type": "ERROR", "object": status_object(code)}))
}

/// The same list with so many of its objects as `kept` says of their number. Anything else is passed on.
pub(super) async fn shortened(
    answer: Response<Incoming>,
    kept: impl Fn(usize) -> usize,
) -> Result<Response<Any>, Error> {
    let (mut head, body) = answer.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let mut list: Value = serde_json::from_slice(&bytes)?;
    let Some(items) = list["items"].as_array_mut() else {
        return Ok(Response::from_parts(head, full(bytes)));
    };
    items.truncate(kept(items.len()));
    if let Some(metadata) = list["metadata"].as_object_mut() {
        // As if there were no more.
        metadata.remove("continue");
        metadata.remove("remainingItemCount");
    }
    head.headers.remove(CONTENT_LENGTH);
    Ok(Response::from_parts(head, full(list.to_string().into())))
}

/// The same until so many bytes have passed; then the connection breaks.
pub(super) fn cut(answer: Response<Incoming>, after: usize) -> Response<Any> {
    answer.map(|body| Cut { body, left: after, flushed: false }.boxed())
}

fn json_response(code: u16, object: &Value) -> Response<Any> {
    let mut response = Response::new(full(format!("{object}\n").into()));
    *response.status_mut() = code.try_into().unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn status_object(code: u16) -> Value {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("the false API server says {reason}"), "reason": reason, "code": code,
    })
}

fn full(bytes: Bytes) -> Any {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// A body that ends in an error.
struct Cut {
    body: Incoming,
    left: usize,
    flushed: bool,
}

impl Body for Cut {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.left == 0 && this.flushed {
            return Poll::Ready(Some(Err("the connection is cut as was ordered".into())));
        }
        if this.left == 0 {
            // What has passed is written out while this waits.
            this.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else { return Poll::Pending };
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|data| data.slice(..this.keep(data.len()))))))
    }
}

impl Cut {
    fn keep(&mut self, length: usize) -> usize {
        let kept = length.min(self.left);
        self.left -= kept;
        kept
    }
}
