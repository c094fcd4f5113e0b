//! Small servers for one test each, on ports of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use barepod_prober_wire::{Header, HttpGet};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// A server that answers each connection with the next of these texts, and closes it. After the last it begins again.
pub(crate) struct Script {
    pub(crate) address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Script {
    pub(crate) async fn plain(answers: &[&str]) -> Self {
        Self::start(answers, |stream| async move { Some(stream) }).await
    }

    pub(crate) async fn tls(answers: &[&str]) -> Self {
        let acceptor = TlsAcceptor::from(tls(&[]));
        Self::start(answers, move |stream| {
            let acceptor = acceptor.clone();
            async move { acceptor.accept(stream).await.ok() }
        })
        .await
    }

    /// Speaks plain HTTP only: to TLS it says that this was no request, to a request that all is well.
    pub(crate) async fn plain_hello() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut first = [0];
                stream.peek(&mut first).await.unwrap();
                let status = if first == [b'G'] { "200 OK" } else { "400 Bad Request" };
                if first == [b'G'] {
                    heard.send(head(&mut stream).await).ok();
                }
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.ok();
                // To the end, so that no reset overtakes the answer.
                stream.shutdown().await.ok();
                stream.read_to_end(&mut Vec::new()).await.ok();
            }
        });
        Self { address, requests }
    }

    async fn start<S, F>(answers: &[&str], accept: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
        F: Future<Output = Option<S>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, requests) = mpsc::unbounded_channel();
        let answers: Vec<String> = answers
            .iter()
            .map(|text| text.replace('\n', "\r\n").replace("PORT", &address.port().to_string()))
            .collect();
        tokio::spawn(async move {
            for answer in answers.iter().cycle() {
                let (stream, _) = listener.accept().await.unwrap();
                let Some(mut stream) = accept(stream).await else { continue };
                heard.send(head(&mut stream).await).ok();
                // The asker may have gone.
                stream.write_all(answer.as_bytes()).await.ok();
                stream.shutdown().await.ok();
            }
        });
        Self { address, requests }
    }

    /// The request's head that came next, without its carriage returns.
    pub(crate) async fn request(&mut self) -> String {
        self.requests.recv().await.unwrap()
    }

    /// How many requests came that nobody has looked at.
    pub(crate) fn unseen(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn get(&self, path: &str) -> HttpGet {
        get(self.address, path)
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> HttpGet {
    HttpGet {
        tls: false,
        host: address.ip().to_string(),
        port: address.port().into(),
        path: path.to_owned(),
        headers: Vec::new(),
    }
}

pub(crate) fn with_tls(mut get: HttpGet) -> HttpGet {
    get.tls = true;
    get
}

pub(crate) fn with_header(mut get: HttpGet, name: &str, value: &str) -> HttpGet {
    get.headers.push(Header { name: name.to_owned(), value: value.to_owned() });
    get
}

/// A server's side of TLS, with a certificate that nobody has reason to believe.
pub(crate) fn tls(protocols: &[&[u8]]) -> Arc<ServerConfig> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["somebody.else".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// A port on which nothing listens.
pub(crate) async fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A server that takes connections and says nothing.
pub(crate) async fn mute() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    address
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).replace('\r', "")
}
