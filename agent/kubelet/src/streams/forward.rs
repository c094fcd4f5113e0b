//! Port-forward: a client's connections, tied to those ports of the host on which the pod listens. See decision 22.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use barepod_api::v1;
use barepod_streams::port_forward::{self, Forward, Forwards};
use barepod_streams::{Code, End, Incoming, Next, Outgoing, Timing, Upgrade};
use bytes::BytesMut;
use hyper::StatusCode;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Declined, declined};
use crate::Daemon;
use crate::query::Query;

/// Ports of one request: each takes two channels, which are numbered by a byte.
const MOST_PORTS: usize = 127;
/// Read at once of a service.
const CHUNK: usize = 32 << 10;
/// How long the daemon may take to say where a pod listens, and the kernel to connect.
const LIMIT: Duration = Duration::from_secs(10);

/// The ports that a request of channels names, in kubelet's words if it does not.
pub(crate) fn ports(query: &Query) -> Result<Vec<u16>, Declined> {
    let bad = |message: String| declined(StatusCode::BAD_REQUEST, message);
    let mut ports = Vec::new();
    for value in query.all("port") {
        if value.is_empty() {
            return Err(bad(r#"query parameter "port" cannot be empty"#.to_owned()));
        }
        for port in value.split(',') {
            ports.push(port_forward::port(port).map_err(bad)?);
        }
    }
    match ports.len() {
        0 => Err(bad(r#"query parameter "port" is required"#.to_owned())),
        1..=MOST_PORTS => Ok(ports),
        many => Err(bad(format!("{many} ports are too many for one connection; {MOST_PORTS} are not"))),
    }
}

/// Until the client has gone, or all that it named has ended.
pub(super) async fn serve(io: TokioIo<Upgraded>, upgrade: Upgrade, ports: Vec<u16>, daemon: Daemon, pod: v1::Pod) {
    let timing = Timing::default();
    let (link, drive) = upgrade.link(io, &port_forward::channels(&ports), timing);
    let forwards =
        if upgrade.has_channels() { Forwards::named(link, &ports, timing) } else { Forwards::opened(link, timing) };
    let (end, ()) = tokio::join!(drive, all(forwards, &daemon, &pod));
    if let End::Violation(_) | End::Idle | End::Broken(_) = &end {
        tracing::debug!(pod = pod.name, ?end, "a client's connection has ended");
    }
}

async fn all(mut forwards: Forwards, daemon: &Daemon, pod: &v1::Pod) {
    let mut under_way = JoinSet::new();
    while let Some(forward) = forwards.next().await {
        under_way.spawn(one(forward, daemon.clone(), pod.clone()));
        // Those that have ended are not kept.
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

async fn one(forward: Forward, daemon: Daemon, pod: v1::Pod) {
    let port = forward.port;
    let connected = tokio::select! {
        connected = connect(daemon, &pod, port) => connected,
        () = forward.data.outgoing.gone() => {
            forward.finish().await.ok();
            return;
        }
    };
    match connected {
        Ok(service) => pass(forward, service).await,
        Err(why) => {
            let message = format!("error forwarding port {port} to pod {}, uid {}: {why}", pod.name, pod.uid);
            tracing::debug!("{message}");
            forward.fail(message).await.ok();
        }
    }
}

/// Connects to where the pod listens on this port, and nowhere else.
async fn connect(mut daemon: Daemon, pod: &v1::Pod, port: u16) -> Result<TcpStream, String> {
    let request = v1::ListenersRequest { namespace: pod.namespace.clone(), name: pod.name.clone() };
    let asked = timeout(LIMIT, daemon.listeners(request)).await;
    let listeners = match asked {
        Ok(Ok(answer)) => answer.into_inner().listeners,
        Ok(Err(status)) => return Err(status.message().to_owned()),
        Err(_) => return Err("barepodd does not answer".to_owned()),
    };
    let addresses = addresses(&listeners, port);
    if addresses.is_empty() {
        return Err(elsewhere(&listeners, port));
    }
    let mut why = String::new();
    for address in addresses {
        match timeout(LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).ok();
                return Ok(stream);
            }
            Ok(Err(error)) => why = format!("cannot connect to {address}: {error}"),
            Err(_) => why = format!("cannot connect to {address}: it does not answer"),
        }
    }
    Err(why)
}

/// Where to reach those who listen on a port, the loopback first.
fn addresses(listeners: &[v1::Listener], port: u16) -> Vec<SocketAddr> {
    let on_port = listeners.iter().filter(|listener| listener.port == u32::from(port));
    let mut addresses: Vec<_> = on_port.filter_map(|listener| listener.address.parse().ok()).map(reached).collect();
    addresses.sort_by_key(|address| (!address.is_loopback(), *address));
    addresses.dedup();
    addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
}

fn reached(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

fn elsewhere(listeners: &[v1::Listener], port: u16) -> String {
    let mut ports: Vec<_> = listeners.iter().map(|listener| listener.port).collect();
    ports.dedup();
    match ports.as_slice() {
        [] => format!("no process of the pod listens on TCP port {port}, or on any other"),
        ports => {
            let ports = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("no process of the pod listens on TCP port {port}; they listen on {ports}")
        }
    }
}

/// In both directions, each until its end; where neither can end alone, until the service has ended its own. A client that has heard
/// the service out gives the stream of data up, and then waits for the end of the other one: it comes in any case.
async fn pass(mut forward: Forward, service: TcpStream) {
    let (from, to) = service.into_split();
    let data = &mut forward.data;
    let passed = async {
        let (up, down) = (up(&mut data.incoming, to), down(from, &data.outgoing));
        let both = async {
            match forward.half_closes {
                true => tokio::try_join!(up, down).map(drop),
                false => tokio::select! {
                    ended = up => ended,
                    ended = down => ended,
                },
            }
        };
        tokio::select! {
            ended = both => ended,
            () = data.outgoing.gone() => Err(Lost),
        }
    };
    // What was given up on one side is given up on the other.
    if passed.await.is_err() {
        data.outgoing.reset(Code::Cancel).await.ok();
    }
    // The client waits for it.
    forward.finish().await.ok();
}

/// What was to be passed on cannot be.
struct Lost;

async fn up(from: &mut Incoming, mut to: OwnedWriteHalf) -> Result<(), Lost> {
    loop {
        match from.next().await {
            Next::Data(data) => to.write_all(&data).await.map_err(|_| Lost)?,
            Next::End => return to.shutdown().await.map_err(|_| Lost),
            Next::Lost => return Err(Lost),
        }
    }
}

async fn down(mut from: OwnedReadHalf, to: &Outgoing) -> Result<(), Lost> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        match from.read_buf(&mut buffer).await {
            Ok(0) => return to.end().await.map_err(|_| Lost),
            Ok(_) => to.write(buffer.split().freeze()).await.map_err(|_| Lost)?,
            Err(_) => return Err(Lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str, port: u32) -> v1::Listener {
        v1::Listener { address: address.to_owned(), port }
    }

    #[test]
    fn a_pod_is_reached_where_it_listens_and_by_the_loopback_if_it_may() {
        let listeners = [
            listener("10.0.0.7", 5432),
            listener("0.0.0.0", 5432),
            listener("::", 5432),
            listener("127.0.0.1", 5432),
            listener("192.168.1.1", 80),
        ];
        let of = |port| addresses(&listeners, port).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of(5432), ["127.0.0.1:5432", "[::1]:5432", "10.0.0.7:5432"]);
        assert_eq!(of(80), ["192.168.1.1:80"]);
        assert!(of(22).is_empty());
        assert!(elsewhere(&listeners, 22).ends_with("they listen on 5432, 80"));
    }

    #[test]
    fn ports_of_channels_are_read_as_kubelet_reads_them() {
        let of = |query: &str| ports(&Query::of(Some(query)));
        assert_eq!(of("port=80&port=443,5432").unwrap(), [80, 443, 5432]);
        for wrong in ["", "port=", "port=0", "port=65536", "port=http", "port=1,"] {
            assert_eq!(of(wrong).unwrap_err().status(), StatusCode::BAD_REQUEST, "{wrong}");
        }
        let many = (1..200).map(|port| format!("port={port}")).collect::<Vec<_>>().join("&");
        assert!(of(&many).is_err());
    }
}
