//! Answers, in kubelet's words: errors are plain text, as its clients show them to people.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// What goes wrong while a body is sent ends its connection.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// A body that is there, or comes.
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;
/// An answer.
pub(crate) type Answer = Response<Body>;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// A text for people.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    of(status, TEXT, whole(text))
}

/// An object.
pub(crate) fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(text) => of(StatusCode::OK, JSON, whole(text)),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("an answer cannot be written: {error}")),
    }
}

/// A text that comes in parts, each as soon as it is there.
pub(crate) fn parts(
    content_type: &'static str,
    parts: impl futures::Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
) -> Answer {
    let frames = futures::StreamExt::map(parts, |part| part.map(Frame::data));
    of(StatusCode::OK, content_type, StreamBody::new(frames).boxed_unsync())
}

/// A body that is there.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Any answer.
pub(crate) fn of(status: StatusCode, content_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // What a pod writes into its log is no page.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// What a refusal of the daemon is to who asks here.
pub(crate) fn refused(status: &tonic::Status) -> Answer {
    let code = match status.code() {
        tonic::Code::NotFound => StatusCode::NOT_FOUND,
        tonic::Code::PermissionDenied => StatusCode::FORBIDDEN,
        tonic::Code::InvalidArgument | tonic::Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        tonic::Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    text(code, status.message().to_owned())
}
