//! What a request's headers ask the connection to become, and the answer.

use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
};
use http::header::{HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use ring::digest;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::link::{End, Link, Timing, link};
use crate::remote_command::Version;
use crate::spdy;
use crate::websocket::{ChannelDecoder, ChannelEncoder, ChannelProtocol, TunnelDecoder, TunnelEncoder};

const SPDY: &str = "SPDY/3.1";
const WEBSOCKET: &str = "websocket";
const PORT_FORWARD: &str = "portforward.k8s.io";
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// What is added to a WebSocket's key (RFC 6455, section 1.3).
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What the connection becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    carrier: Carrier,
    /// As the client wrote it; empty if it asked for none.
    protocol: String,
    version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Carrier {
    Spdy,
    Channels { protocol: ChannelProtocol, accept: String },
    Tunnel { accept: String },
}

/// A request that cannot be answered with another protocol.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Of the response.
    pub status: StatusCode,
    /// What the client could say instead.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// In words.
    pub message: String,
}

impl Refusal {
    fn bad(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, headers: Vec::new(), message: message.into() }
    }

    fn forbidden(message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, ..Self::bad(message) }
    }
}

/// The work of a connection.
pub type Drive = Pin<Box<dyn Future<Output = End> + Send>>;

impl Upgrade {
    /// For exec and attach.
    ///
    /// # Errors
    /// The headers ask for no upgrade, or for none that there is.
    pub fn remote_command(headers: &HeaderMap) -> Result<Self, Refusal> {
        if !asks_for(headers, WEBSOCKET) {
            let protocol = spdy(headers, &Version::ALL.map(Version::name))?;
            let version = Version::ALL.into_iter().find(|version| version.name() == protocol).unwrap_or_default();
            return Ok(Self { carrier: Carrier::Spdy, protocol, version });
        }
        let accept = accept(headers)?;
        let asked = listed(headers, &SEC_WEBSOCKET_PROTOCOL);
        // Who can end a channel does so, in whatever order it was asked for.
        if asked.iter().any(|name| name == Version::V5.name()) {
            let protocol = ChannelProtocol { base64: false, close: true };
            let carrier = Carrier::Channels { protocol, accept };
            return Ok(Self { carrier, protocol: Version::V5.name().to_owned(), version: Version::V5 });
        }
        let known = [
            ("", Version::V1, false),
            ("channel.k8s.io", Version::V1, false),
            ("base64.channel.k8s.io", Version::V1, true),
        ];
        Self::channels(asked, &[&known[..], &V4_CHANNELS].concat(), accept)
    }

    /// For port-forward.
    ///
    /// # Errors
    /// As for [`remote_command`](Self::remote_command).
    pub fn port_forward(headers: &HeaderMap) -> Result<Self, Refusal> {
        if !asks_for(headers, WEBSOCKET) {
            let protocol = spdy(headers, &[PORT_FORWARD])?;
            return Ok(Self { carrier: Carrier::Spdy, protocol, version: Version::V1 });
        }
        let accept = accept(headers)?;
        let asked = listed(headers, &SEC_WEBSOCKET_PROTOCOL);
        if asked.iter().any(|name| name == TUNNEL) {
            let carrier = Carrier::Tunnel { accept };
            return Ok(Self { carrier, protocol: TUNNEL.to_owned(), version: Version::V1 });
        }
        Self::channels(asked, &[&[("", Version::V4, false)][..], &V4_CHANNELS].concat(), accept)
    }

    fn channels(mut asked: Vec<String>, known: &[(&str, Version, bool)], accept: String) -> Result<Self, Refusal> {
        if asked.is_empty() {
            asked.push(String::new());
        }
        let chosen = asked.iter().find_map(|name| known.iter().find(|(other, ..)| other == name));
        let Some((name, version, base64)) = chosen else {
            let names: Vec<_> = known.iter().map(|(name, ..)| *name).filter(|name| !name.is_empty()).collect();
            let message = format!("the WebSocket protocols {asked:?} are not known here; {names:?} are");
            return Err(Refusal::forbidden(message));
        };
        let protocol = ChannelProtocol { base64: *base64, close: false };
        Ok(Self { carrier: Carrier::Channels { protocol, accept }, protocol: (*name).to_owned(), version: *version })
    }

    /// Whether streams are channels that are there from the beginning, and not opened by the client.
    #[must_use]
    pub fn has_channels(&self) -> bool {
        matches!(self.carrier, Carrier::Channels { .. })
    }

    /// Of the remote command protocol.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The answer, `101 Switching Protocols`.
    #[must_use]
    pub fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        let (token, name) = match &self.carrier {
            Carrier::Spdy => (SPDY, STREAM_PROTOCOL),
            Carrier::Channels { accept, .. } | Carrier::Tunnel { accept } => {
                headers.extend(HeaderValue::from_str(accept).ok().map(|accept| (SEC_WEBSOCKET_ACCEPT, accept)));
                (WEBSOCKET, SEC_WEBSOCKET_PROTOCOL)
            }
        };
        headers.insert(UPGRADE, HeaderValue::from_static(token));
        let protocol = HeaderValue::from_str(&self.protocol).ok().filter(|protocol| !protocol.is_empty());
        headers.extend(protocol.map(|protocol| (name, protocol)));
        response
    }

    /// Puts the upgraded connection to use; see [`link`]. `channels` are opened where the client does not open streams.
    pub fn link<I>(&self, io: I, channels: &[u32], timing: Timing) -> (Link, Drive)
    where
        I: AsyncRead + AsyncWrite + Send + 'static,
    {
        fn boxed((link, drive): (Link, impl Future<Output = End> + Send + 'static)) -> (Link, Drive) {
            (link, Box::pin(drive))
        }
        match &self.carrier {
            Carrier::Spdy => boxed(link(io, (spdy::Decoder::default(), spdy::Encoder::default()), &[], timing)),
            Carrier::Tunnel { .. } => {
                boxed(link(io, (TunnelDecoder::default(), TunnelEncoder::default()), &[], timing))
            }
            Carrier::Channels { protocol, .. } => {
                let codec = (ChannelDecoder::new(*protocol), ChannelEncoder::new(*protocol));
                boxed(link(io, codec, channels, timing))
            }
        }
    }
}

const V4_CHANNELS: [(&str, Version, bool); 2] =
    [("v4.channel.k8s.io", Version::V4, false), ("v4.base64.channel.k8s.io", Version::V4, true)];

/// Whether the headers ask for this protocol.
fn asks_for(headers: &HeaderMap, protocol: &str) -> bool {
    let upgrades = listed(headers, &CONNECTION).iter().any(|token| token.eq_ignore_ascii_case("upgrade"));
    upgrades && listed(headers, &UPGRADE).iter().any(|token| token.eq_ignore_ascii_case(protocol))
}

/// The values of a header that is a list.
fn listed(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let words = values.flat_map(|value| value.split(',')).map(|word| word.trim().to_owned());
    words.filter(|word| !word.is_empty()).collect()
}

/// Agrees on a protocol for SPDY's streams: the first that the client asks for and the server knows.
fn spdy(headers: &HeaderMap, known: &[&'static str]) -> Result<String, Refusal> {
    if !asks_for(headers, SPDY) {
        let message = "unable to upgrade: the request must ask for the protocol SPDY/3.1 or websocket in its headers \
                       Connection and Upgrade";
        return Err(Refusal::bad(message));
    }
    let asked = listed(headers, &STREAM_PROTOCOL);
    if asked.is_empty() {
        return Err(Refusal::bad("unable to upgrade: the header X-Stream-Protocol-Version names no protocol"));
    }
    if let Some(name) = asked.iter().find(|name| known.contains(&name.as_str())) {
        return Ok(name.clone());
    }
    let mut refusal = Refusal::forbidden(format!(
        "unable to upgrade: unable to negotiate protocol: client supports {asked:?}, server accepts {known:?}"
    ));
    for name in known {
        refusal.headers.push((ACCEPTED_PROTOCOLS, HeaderValue::from_static(name)));
    }
    Err(refusal)
}

/// Checks a WebSocket's handshake, and what proves that it was read.
fn accept(headers: &HeaderMap) -> Result<String, Refusal> {
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut refusal = Refusal::bad("a WebSocket of another version than 13");
        refusal.headers.push((SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
        return Err(refusal);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(str::trim);
    let Some(key) = key.filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)) else {
        return Err(Refusal::bad("the header Sec-WebSocket-Key must be 16 bytes in base64"));
    };
    // SHA-1 is what the RFC says; nothing secret hangs on it.
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{KEY_SUFFIX}").as_bytes());
    Ok(STANDARD.encode(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn websocket(protocols: &'static str) -> HeaderMap {
        headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", protocols),
        ])
    }

    #[test]
    fn a_websocket_is_answered_as_the_rfc_shows() {
        let upgrade = Upgrade::remote_command(&websocket("v4.channel.k8s.io, v5.channel.k8s.io")).unwrap();
        let response = upgrade.response();
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "v5.channel.k8s.io");
        assert_eq!(upgrade.version(), Version::V5);
    }

    #[test]
    fn spdy_takes_the_first_protocol_that_both_know() {
        let asked = headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "SPDY/3.1"),
            ("x-stream-protocol-version", "v9.channel.k8s.io, v4.channel.k8s.io"),
            ("x-stream-protocol-version", "channel.k8s.io"),
        ]);
        let upgrade = Upgrade::remote_command(&asked).unwrap();
        assert_eq!(upgrade.response().headers()[STREAM_PROTOCOL], "v4.channel.k8s.io");
        let refused = Upgrade::port_forward(&asked).unwrap_err();
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!(refused.headers, [(ACCEPTED_PROTOCOLS, HeaderValue::from_static("portforward.k8s.io"))]);
    }

    #[test]
    fn the_older_channel_protocols_are_known() {
        for (asked, version) in [
            ("", Version::V1),
            ("channel.k8s.io", Version::V1),
            ("base64.channel.k8s.io", Version::V1),
            ("v4.base64.channel.k8s.io", Version::V4),
        ] {
            assert_eq!(Upgrade::remote_command(&websocket(asked)).unwrap().version(), version, "{asked}");
        }
        assert!(Upgrade::port_forward(&websocket("v4.channel.k8s.io")).unwrap().has_channels());
        assert!(!Upgrade::port_forward(&websocket("SPDY/3.1+portforward.k8s.io")).unwrap().has_channels());
        assert_eq!(Upgrade::port_forward(&websocket("mqtt")).unwrap_err().status, StatusCode::FORBIDDEN);
    }

    #[test]
    fn what_asks_for_no_upgrade_is_told_how_to() {
        let refused = Upgrade::remote_command(&HeaderMap::new()).unwrap_err();
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.message.contains("SPDY/3.1"), "{}", refused.message);
        let mut old = websocket("");
        old.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        let refused = Upgrade::remote_command(&old).unwrap_err();
        assert_eq!(refused.headers, [(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))]);
    }
}
