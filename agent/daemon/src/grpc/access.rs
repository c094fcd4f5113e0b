//! Who may use the socket: root, the daemon's own user, and members of the configured group. Asked of the kernel by the
//! connection's peer credentials, besides the socket's file mode.

use std::ffi::CString;
use std::sync::{Arc, PoisonError, RwLock};

use barepod_api::v1::Binder;
use barepod_api::{ActsFor, refusal};
use barepod_model::Reason;
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};
use tonic::service::Interceptor;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Code, Request, Status};

/// Who may. All clones have the same rule.
#[derive(Debug, Clone)]
pub(crate) struct Access(Arc<RwLock<Rule>>);

#[derive(Debug, Clone, Copy)]
struct Rule {
    group: Option<Gid>,
    /// The user that the bridge runs as.
    bridge: Option<Uid>,
}

/// What the configuration names does not exist.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unknown {
    #[error(
        "socketGroup: there is no group {0:?} on this host; create it with `groupadd --system {0}` or remove the key"
    )]
    Group(String),
    #[error("bridgeUser: there is no user {0:?} on this host; create it with `useradd --system {0}` or remove the key")]
    Bridge(String),
}

impl Access {
    /// # Errors
    /// The group or the user does not exist.
    pub(crate) fn new(group: Option<&str>, bridge: Option<&str>) -> Result<Self, Unknown> {
        let group = group.map(|name| match Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid),
            Ok(None) | Err(_) => Err(Unknown::Group(name.to_owned())),
        });
        let bridge = bridge.map(|name| match User::from_name(name) {
            Ok(Some(user)) => Ok(user.uid),
            Ok(None) | Err(_) => Err(Unknown::Bridge(name.to_owned())),
        });
        Ok(Self::from(Rule { group: group.transpose()?, bridge: bridge.transpose()? }))
    }

    /// Has the other one's rule from now on.
    pub(crate) fn follow(&self, other: &Access) {
        let rule = other.rule();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rule;
    }

    fn rule(&self) -> Rule {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request is the bridge's, who alone may speak for a cluster.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(super) fn bridge<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let uid = Uid::from_raw(peer_uid(request));
        if uid.is_root() || uid == geteuid() || self.is_bridge(request) {
            return Ok(());
        }
        let message = format!("user {uid} may not speak for a cluster: only root and bridgeUser of barepod.yaml may");
        Err(refusal(Code::PermissionDenied, Reason::Forbidden.as_str(), message))
    }

    /// Whether a request is root's, who alone may end what is everybody's.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(super) fn root<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let uid = Uid::from_raw(peer_uid(request));
        if uid.is_root() || uid == geteuid() {
            return Ok(());
        }
        let message = format!("user {uid} may not say that the host goes down: only root may");
        Err(refusal(Code::PermissionDenied, Reason::Forbidden.as_str(), message))
    }

    /// Whether a request is of one who may speak for this binder: of the bridge for a cluster, of root for a Nomad client,
    /// which is root itself.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(super) fn binder<T>(&self, request: &Request<T>, binder: Binder) -> Result<(), Status> {
        let uid = Uid::from_raw(peer_uid(request));
        match binder {
            Binder::Cluster => self.bridge(request),
            Binder::Nomad if uid.is_root() || uid == geteuid() => Ok(()),
            Binder::Nomad => {
                let message = format!("user {uid} may not speak for a Nomad client: run the Nomad agent as root");
                Err(refusal(Code::PermissionDenied, Reason::Forbidden.as_str(), message))
            }
        }
    }

    /// Whether a request comes from the user that the bridge runs as.
    pub(super) fn is_bridge<T>(&self, request: &Request<T>) -> bool {
        self.rule().bridge == Some(Uid::from_raw(peer_uid(request)))
    }

    /// Owner group of the socket.
    pub(crate) fn group(&self) -> Option<Gid> {
        self.rule().group
    }

    fn allows(&self, uid: Uid, gid: Gid) -> bool {
        let Rule { group, bridge } = self.rule();
        uid.is_root()
            || uid == geteuid()
            || bridge == Some(uid)
            || group.is_some_and(|group| gid == group || is_member(uid, group))
    }
}

impl From<Rule> for Access {
    fn from(rule: Rule) -> Self {
        Self(Arc::new(RwLock::new(rule)))
    }
}

fn is_member(uid: Uid, group: Gid) -> bool {
    let Ok(Some(user)) = User::from_uid(uid) else { return false };
    let Ok(name) = CString::new(user.name) else { return false };
    getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&group))
}

impl Interceptor for Access {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let peer = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
        let allowed = peer.is_some_and(|peer| self.allows(Uid::from_raw(peer.uid()), Gid::from_raw(peer.gid())));
        if allowed {
            return Ok(request);
        }
        let who = peer.map_or_else(|| "an unknown user".to_owned(), |peer| format!("user {}", peer.uid()));
        let message = format!("{who} may not use barepodd; run as root, or as a member of socketGroup");
        Err(refusal(Code::PermissionDenied, Reason::Forbidden.as_str(), message))
    }
}

fn peer_uid<T>(request: &Request<T>) -> u32 {
    let peer = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
    peer.map_or(u32::MAX, |peer| peer.uid())
}

/// Whose connection a request comes by; for the policy. Without a known peer it is nobody's.
pub(super) fn peer<T>(request: &Request<T>) -> barepod_policy::User {
    let peer = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred);
    peer.map_or(barepod_policy::User { uid: u32::MAX, groups: Vec::new() }, |peer| {
        barepod_reader::user_of(peer.uid(), Some(peer.gid()))
    })
}

/// For whom a request is made, if not for the user whose connection it comes by. What it says of that only takes rights away.
pub(super) fn acts_for<T>(request: &Request<T>) -> Option<ActsFor> {
    ActsFor::of(request.metadata().get("user-agent")?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_refused_and_root_is_not() {
        let access = Access::new(None, None).unwrap();
        assert!(access.allows(Uid::from_raw(0), Gid::from_raw(0)));
        assert!(!access.allows(Uid::from_raw(65_533), Gid::from_raw(65_533)));
    }

    #[test]
    fn members_of_the_group_are_allowed() {
        let access = Access::new(None, None).unwrap();
        access.follow(&Access::from(Rule { group: Some(Gid::from_raw(65_532)), bridge: None }));
        assert!(access.allows(Uid::from_raw(65_533), Gid::from_raw(65_532)));
        assert!(!access.allows(Uid::from_raw(65_533), Gid::from_raw(65_533)));
    }

    #[test]
    fn a_missing_group_is_named() {
        let error = Access::new(Some("no-such-group-here"), None).unwrap_err();
        assert!(error.to_string().contains("no-such-group-here"));
    }
}
