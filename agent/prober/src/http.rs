//! `httpGet` of probes and hooks (`pkg/probe/http`, `pkg/kubelet/lifecycle`).
//!
//! Two rules of kubelet's surprise, and are kept, since manifests live with them: an answer whose *body* breaks off or is too
//! slow decides nothing after three tries, and a *hook* has gone well with whatever status it is answered.

use std::time::Duration;

use barepod_prober_wire::HttpGet;
use hyper::HeaderMap;
use tokio::time::{Instant, timeout, timeout_at};

use crate::Verdict;
use crate::agent::{HOOK, PROBE};
use crate::exchange::{Answer, ExchangeError};
use crate::headers::headers;
use crate::redirect::{NoAnswer, Why, follow, without_authorization};
use crate::target::Target;
use crate::tls::{Offer, TlsError};

/// Most of an answer's body that is read.
const MAX_BODY: usize = 10 << 10;

/// How often an answer that broke off is asked for.
const TRIES: usize = 3;

/// How long a hook's answer may take to end once its head has come: nobody waits for what it says.
const DISCARD: Duration = Duration::from_secs(1);

/// Asks; a status from 200 to 399 is good.
pub async fn probe(get: &HttpGet, timeout: Duration) -> Verdict {
    let (target, headers) = match prepare(get, PROBE) {
        Ok(prepared) => prepared,
        Err(text) => return Verdict::Bad(text),
    };
    let mut broken = String::new();
    for _ in 0..TRIES {
        match once(target.clone(), headers.clone(), timeout).await {
            Ok(verdict) => return verdict,
            Err(text) => broken = text,
        }
    }
    Verdict::Undecided(broken)
}

/// Asks; any answer is good. A service that answers TLS with plain HTTP is asked again without, and without a password.
pub async fn hook(get: &HttpGet) -> Verdict {
    let (target, headers) = match prepare(get, HOOK) {
        Ok(prepared) => prepared,
        Err(text) => return Verdict::Bad(text),
    };
    let first = match follow(target.clone(), headers.clone(), Offer::Http1, None).await {
        Ok(answer) => return answered(answer, Verdict::Good).await,
        Err(error) => error,
    };
    if matches!(&first.why, Why::Exchange(ExchangeError::Tls(TlsError::PlainHttp))) {
        let place = target.authority().to_owned();
        if let Ok(answer) = follow(target.without_tls(), without_authorization(headers), Offer::Http1, None).await {
            let text = format!("request to HTTPS lifecycle hook {place} got HTTP response, retry with HTTP succeeded");
            return answered(answer, Verdict::Warning(text)).await;
        }
    }
    failed(&first)
}

fn prepare(get: &HttpGet, agent: &'static str) -> Result<(Target, HeaderMap), String> {
    Ok((Target::new(get)?, headers(&get.headers, agent)?))
}

/// One try; an error where the answer broke off.
async fn once(target: Target, headers: HeaderMap, timeout: Duration) -> Result<Verdict, String> {
    let (deadline, url) = (Instant::now() + timeout, target.text());
    let mut answer = match timeout_at(deadline, follow(target, headers, Offer::Both, Some(deadline))).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Ok(failed(&error)),
        Err(_) => return Ok(Verdict::Bad(late(&url, "awaiting headers"))),
    };
    match timeout_at(deadline, answer.body(MAX_BODY)).await {
        Ok(Ok(body)) => Ok(judge(answer.status(), &String::from_utf8_lossy(&body))),
        Ok(Err(error)) => Err(format!("Get \"{url}\": {error} while reading body")),
        Err(_) => Err(late(&url, "reading body")),
    }
}

fn failed(error: &NoAnswer) -> Verdict {
    match &error.why {
        Why::Exchange(ExchangeError::Dial(dial)) if dial.is_ours() => Verdict::Undecided(error.to_string()),
        Why::Exchange(_) | Why::Redirect(_) => Verdict::Bad(error.to_string()),
    }
}

fn late(url: &str, doing: &str) -> String {
    format!("Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while {doing})")
}

/// A failure does not quote the body, which may say what is nobody's business.
fn judge(status: u16, body: &str) -> Verdict {
    match status {
        200..=299 => Verdict::Good,
        300..=399 => Verdict::Warning(format!("Probe terminated redirects, Response body: {body}")),
        _ => Verdict::Bad(format!("HTTP probe failed with statuscode: {status}")),
    }
}

async fn answered(mut answer: Answer, verdict: Verdict) -> Verdict {
    // Read so that the service can finish in peace; whether it does is its own affair.
    timeout(DISCARD, answer.body(MAX_BODY)).await.ok();
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_from_200_to_399_is_good() {
        for (status, good) in [(199, false), (200, true), (299, true), (400, false), (503, false)] {
            assert_eq!(judge(status, "") == Verdict::Good, good, "{status}");
        }
        assert!(matches!(judge(300, "x"), Verdict::Warning(text) if text.ends_with(": x")));
        assert!(matches!(judge(399, ""), Verdict::Warning(_)));
    }

    #[test]
    fn a_failure_does_not_quote_the_body() {
        assert_eq!(judge(500, "secret"), Verdict::Bad("HTTP probe failed with statuscode: 500".to_owned()));
    }
}
