//! What a request asks for, before anybody is asked whether it may. For fuzzers: they look for one that is allowed as one thing
//! and carried out as another.

use barepod_api::v1;
use hyper::{HeaderMap, Method, Uri};

use crate::authorization::{subresources, verb};
use crate::handlers::logs;
use crate::query::Query;
use crate::route::{decoded, find};
use crate::streams::forward;
use crate::token;

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The verb that is authorized, empty for none.
    pub verb: &'static str,
    /// What of the node is authorized, for this path.
    pub subresources: &'static [&'static str],
    /// Verb and subresources of the row of the table that is carried out, if there is one.
    pub carried_out: Option<(&'static str, &'static [&'static str])>,
    /// What the path names.
    pub names: Vec<String>,
    /// What the query asks of a log, if that can be.
    pub log: Option<v1::LogsRequest>,
    /// The ports that the query asks for, if they can be.
    pub ports: Option<Vec<u16>>,
    /// The bearer token, wherever it was.
    pub token: Option<String>,
    /// The headers as handlers see them.
    pub headers: HeaderMap,
}

/// Reads a request as the port does; `None` where it is none that the port would look at.
#[must_use]
pub fn asked(method: &str, uri: &str, mut headers: HeaderMap) -> Option<Asked> {
    let (method, uri): (Method, Uri) = (method.parse().ok()?, uri.parse().ok()?);
    let path = decoded(uri.path())?;
    let route = find(&method, &path).ok();
    let names = route.as_ref().map(|route| {
        let target = &route.target;
        let all = [Some(&target.namespace), Some(&target.pod), target.uid.as_ref(), Some(&target.container)];
        all.into_iter().flatten().chain(&target.check).filter(|name| !name.is_empty()).cloned().collect()
    });
    let query = Query::of(uri.query());
    Some(Asked {
        token: token::take(&mut headers),
        headers,
        ports: forward::ports(&query).ok(),
        log: logs::options(&query).ok(),
        verb: verb(&method, &path),
        subresources: subresources(&path),
        carried_out: route.map(|route| (verb(&method, route.pattern), subresources(route.pattern))),
        names: names.unwrap_or_default(),
    })
}
