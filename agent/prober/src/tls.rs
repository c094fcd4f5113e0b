//! TLS without checking who answers: a probe asks whether a service works, and most have certificates of their own making.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Which HTTP may be spoken inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// HTTP/2, else HTTP/1.1: probes, as kubelet's.
    Both,
    /// HTTP/1.1: hooks, as kubelet's.
    Http1,
}

/// What became of a handshake.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The other side speaks plain HTTP.
    #[error("http: server gave HTTP response to HTTPS client")]
    PlainHttp,
    /// Anything else.
    #[error("{0}")]
    Handshake(io::Error),
}

static BOTH: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| config(&[b"h2", b"http/1.1"]));
static HTTP1: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| config(&[]));

/// Shakes hands over a connection to `host`.
pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    offer: Offer,
) -> Result<TlsStream<Overheard<S>>, TlsError> {
    let config = match offer {
        Offer::Both => &BOTH,
        Offer::Http1 => &HTTP1,
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| TlsError::Handshake(io::Error::other(error)))?;
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name, Overheard::new(stream)).into_fallible();
    connecting.await.map_err(
        |(error, stream)| {
            if stream.begins_like_http() { TlsError::PlainHttp } else { TlsError::Handshake(error) }
        },
    )
}

fn config(protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let schemes = Anybody { provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    #[expect(clippy::expect_used, reason = "ring serves both versions of TLS that there are")]
    let builder = builder.expect("ring serves TLS 1.2 and 1.3");
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(schemes)).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // Each probe is a connection of its own; sessions kept would only be memory.
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Believes everybody.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // Without a certificate that is believed, a signature with its key proves nothing; and old certificates that kubelet
    // would take do not get past the checks there are.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A stream whose first bytes are kept, to see who speaks.
#[derive(Debug)]
pub(crate) struct Overheard<S> {
    stream: S,
    first: Vec<u8>,
}

/// How plain HTTP begins.
const HTTP: &[u8] = b"HTTP/";

impl<S> Overheard<S> {
    fn new(stream: S) -> Self {
        Self { stream, first: Vec::new() }
    }

    fn begins_like_http(&self) -> bool {
        self.first == HTTP
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Overheard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let missing = HTTP.len().saturating_sub(self.first.len());
        self.first.extend(buf.filled()[before..].iter().take(missing));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
