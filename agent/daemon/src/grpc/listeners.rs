//! Where a pod's processes listen: what its ports are, for who may reach no others. See decision 22.

use std::path::Path;
use std::sync::Arc;

use barepod_api::refusal;
use barepod_api::v1;
use barepod_core::PodView;
use barepod_linux::listeners::listeners;
use barepod_model::Reason;
use tonic::{Code, Status};

use crate::hands::Host;

/// # Errors
/// The kernel does not say.
pub(super) async fn find(host: &Arc<Host>, view: &PodView) -> Result<v1::ListenersResponse, Status> {
    let pod = view.uid.clone();
    let found = host.blocking(move |host| listeners(Path::new("/proc"), &host.groups.processes(&pod))).await;
    let found = found.map_err(|error| {
        let message =
            format!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
        refusal(Code::Internal, Reason::Degraded.as_str(), message)
    })?;
    let listener = |address: &std::net::SocketAddr| v1::Listener {
        address: address.ip().to_string(),
        port: address.port().into(),
    };
    let mut listeners: Vec<_> = found.iter().map(listener).collect();
    listeners.sort_by(|one, other| (one.port, &one.address).cmp(&(other.port, &other.address)));
    Ok(v1::ListenersResponse { listeners })
}
