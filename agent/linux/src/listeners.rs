//! Who listens where: the TCP sockets of some processes that wait for connections.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process};
use procfs::{ProcError, ProcResult};

/// The table of sockets cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read which TCP sockets there are")]
pub struct ListenersError(#[source] ProcError);

/// Where these processes listen, in the network that we are in ourselves: a socket of another network is none that could be
/// reached from here. `proc` is procfs. A process that has gone meanwhile listens nowhere.
///
/// # Errors
/// The table of sockets cannot be read.
pub fn listeners(proc: &Path, pids: &[u32]) -> Result<BTreeSet<SocketAddr>, ListenersError> {
    let waiting = waiting(proc).map_err(ListenersError)?;
    let mut found = BTreeSet::new();
    for pid in pids {
        let Ok(descriptors) = Process::new_with_root(proc.join(pid.to_string())).and_then(|process| process.fd())
        else {
            continue;
        };
        found.extend(descriptors.flatten().filter_map(|descriptor| match descriptor.target {
            FDTarget::Socket(inode) => waiting.get(&inode).copied(),
            _ => None,
        }));
    }
    Ok(found)
}

/// All sockets that wait for connections, by their number.
fn waiting(proc: &Path) -> ProcResult<HashMap<u64, SocketAddr>> {
    let own = Process::new_with_root(proc.join("self"))?;
    // A kernel without IPv6 has no such table.
    let tables = own.tcp()?.into_iter().chain(own.tcp6().unwrap_or_default());
    Ok(tables
        .filter(|socket| socket.state == TcpState::Listen)
        .map(|socket| (socket.inode, socket.local_address))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_a_process_listens_on_is_known_and_what_others_do_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connected = std::net::TcpStream::connect(address).unwrap();
        let found = |pid| listeners(Path::new("/proc"), &[pid]).unwrap();
        let own = found(std::process::id());
        assert!(own.contains(&address), "{own:?}");
        assert!(!own.contains(&connected.local_addr().unwrap()), "a connection is no listener");
        assert!(!found(1).contains(&address));
        drop(listener);
        assert!(!found(std::process::id()).contains(&address));
    }

    #[test]
    fn a_process_that_has_gone_listens_nowhere() {
        assert!(listeners(Path::new("/proc"), &[u32::MAX >> 1]).unwrap().is_empty());
    }
}
