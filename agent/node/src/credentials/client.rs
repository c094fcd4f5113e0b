//! The node's client certificate: gained once, then kept.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use barepod_credentials::{
    Certificate, Identity, Kubeconfig, KubeconfigError, NodeName, Store, StoreError, Usage, User,
};
use jiff::Timestamp;
use kube::Client;

use super::connection::{ConnectionError, Exchange, connect};
use super::life::Life;
use super::request::{NotIssued, Wanted, ask};
use super::{Files, LOOK};
use crate::call::Pauses;

/// Who has a token and an API server that is away tries so often at least.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Of certificates that live for minutes only, not one is asked for right after the other.
const LEAST: Duration = Duration::from_secs(5);

/// What to do about credentials that are worth nothing any more.
const REMEDY: &str = "`kubeadm token create --print-join-command` in the cluster prints a token; then `barepod kube join --force ...` \
                      on this host. Pods run on";

/// Why there is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is nothing to begin with.
    #[error(
        "there is neither {} nor {}: this host has not joined a cluster; `barepod kube join` does that",
        .kubeconfig.display(), .bootstrap.display()
    )]
    NotJoined {
        /// The one.
        kubeconfig: PathBuf,
        /// The other.
        bootstrap: PathBuf,
    },
    /// A kubeconfig cannot be used.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// It leads nowhere.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The certificates cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kubeconfig cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The kubeconfig is of another node.
    #[error("the node is to be {wanted}, but {} has the certificate of {found}: leave --node-name out, or join anew", .path.display())]
    OtherNode {
        /// The kubeconfig.
        path: PathBuf,
        /// As was said.
        wanted: NodeName,
        /// As it is there.
        found: NodeName,
    },
}

/// A client with the credentials that are there, or with new ones.
pub(super) async fn gain(files: &Files, node: &NodeName) -> Result<Client, AccessError> {
    let mut pauses = Pauses::up_to(LONGEST_PAUSE);
    loop {
        if files.kubeconfig.exists() {
            return existing(files, node).await;
        }
        if !files.bootstrap_kubeconfig.exists() {
            let (kubeconfig, bootstrap) = (files.kubeconfig.clone(), files.bootstrap_kubeconfig.clone());
            return Err(AccessError::NotJoined { kubeconfig, bootstrap });
        }
        match by_bootstrap(files, node).await? {
            Ok(client) => return Ok(client),
            Err(NotIssued::Unauthorized) => {
                tracing::error!("the API server does not know the bootstrap token any more: {REMEDY}");
            }
            Err(error) => tracing::warn!("there is no client certificate yet: {error}; trying again"),
        }
        tokio::time::sleep(pauses.pause()).await;
    }
}

async fn existing(files: &Files, node: &NodeName) -> Result<Client, AccessError> {
    let store = Store::new(files.certificates.clone());
    let own = own_identity(files, &store)?;
    let given = given(files);
    let certificate = own.as_ref().map(Identity::certificate).or(given.as_ref());
    if let Some(found) = certificate.and_then(Certificate::node).filter(|found| found != node) {
        return Err(AccessError::OtherNode { path: files.kubeconfig.clone(), wanted: node.clone(), found });
    }
    Ok(connect(&files.kubeconfig, own.as_ref()).await?)
}

/// The certificate that the node keeps itself, if its kubeconfig refers to that.
fn own_identity(files: &Files, store: &Store) -> Result<Option<Identity>, StoreError> {
    match Kubeconfig::read(&files.kubeconfig) {
        Ok(Some(Kubeconfig { user: User::File(path), .. })) if path == store.path(Usage::Client) => {
            store.identity(Usage::Client)
        }
        // A kubeconfig of another kind is somebody else's to keep.
        Ok(_) | Err(_) => Ok(None),
    }
}

/// The certificate that a kubeconfig has from somebody else.
fn given(files: &Files) -> Option<Certificate> {
    match Kubeconfig::read(&files.kubeconfig).ok()??.user {
        User::Certificate(identity) => Some(identity.certificate().clone()),
        User::File(path) => Certificate::first(&std::fs::read_to_string(path).ok()?).ok(),
        User::Token(_) | User::Nobody => None,
    }
}

/// A certificate by the bootstrap kubeconfig, and a kubeconfig that refers to it.
async fn by_bootstrap(files: &Files, node: &NodeName) -> Result<Result<Client, NotIssued>, AccessError> {
    let store = Store::new(files.certificates.clone());
    let bootstrap = connect(&files.bootstrap_kubeconfig, None).await?;
    let identity = match ask(&bootstrap, &store, &wanted(node), tell_waiting).await {
        Ok(identity) => identity,
        Err(error) => return Ok(Err(error)),
    };
    let Some(found) = Kubeconfig::read(&files.bootstrap_kubeconfig)? else { return Ok(Err(NotIssued::Silent)) };
    let kubeconfig = Kubeconfig { user: User::File(store.path(Usage::Client)), node: Some(node.clone()), ..found };
    let path = &files.kubeconfig;
    kubeconfig.write(path).map_err(|source| AccessError::Write { path: path.clone(), source })?;
    tracing::info!(
        until = %identity.certificate().not_after,
        "the cluster at {} has issued the client certificate of {node}",
        kubeconfig.server
    );
    Ok(Ok(connect(path, Some(&identity)).await?))
}

fn wanted(node: &NodeName) -> Wanted {
    Wanted { usage: Usage::Client, node: node.clone(), names: Vec::new(), addresses: Vec::new() }
}

async fn tell_waiting(request: &barepod_credentials::SigningRequest) {
    tracing::warn!("the client certificate waits for somebody to approve it: {}", request.approval());
}

/// Keeps the client certificate: renews it in time, takes what somebody has put in its place, and says when it is worth nothing
/// any more.
pub(super) struct Keeper {
    files: Files,
    node: NodeName,
    exchange: Exchange,
    store: Store,
    /// The one in use.
    identity: Option<Identity>,
    /// Where it is of use.
    cluster: Option<Kubeconfig>,
    life: Life,
    said: Option<String>,
}

impl Keeper {
    pub(super) fn new(files: Files, node: NodeName, exchange: Exchange) -> Self {
        let store = Store::new(files.certificates.clone());
        let identity = own_identity(&files, &store).ok().flatten();
        let cluster = Kubeconfig::read(&files.kubeconfig).ok().flatten();
        Self { files, node, exchange, store, identity, cluster, life: Life::draw(), said: None }
    }

    pub(super) async fn run(mut self) {
        loop {
            let kubeconfig = changed(&self.files.kubeconfig);
            let pause = self.look().await;
            let mut refused = self.exchange.refused();
            let is_refused = *refused.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // What has been refused all along is no news.
                _ = refused.wait_for(|refused| *refused && !is_refused) => {}
            }
            if self.identity.is_none() && changed(&self.files.kubeconfig) != kubeconfig {
                self.take_given().await;
            }
        }
    }

    /// One look; how long until the next one.
    async fn look(&mut self) -> Duration {
        let now = Timestamp::now();
        let is_refused = self.is_refused();
        if !self.files.kubeconfig.exists() {
            self.begin_anew().await;
            return LOOK;
        }
        let Some(identity) = self.take_own().await else {
            if let Some(certificate) = given(&self.files) {
                self.judge(&certificate, is_refused, now);
            }
            return LOOK;
        };
        let certificate = identity.certificate();
        self.judge(certificate, is_refused, now);
        let due = self.life.due(certificate);
        if now >= due || is_refused {
            self.renew(certificate).await;
            return if self.is_refused() { LOOK } else { LEAST };
        }
        Duration::try_from(due.duration_since(now)).unwrap_or(LOOK).clamp(LEAST, LOOK)
    }

    /// The certificate in the store; if it is another than before, it is used from now on.
    async fn take_own(&mut self) -> Option<Identity> {
        let stored = match own_identity(&self.files, &self.store) {
            Ok(stored) => stored?,
            Err(error) => {
                self.say(format!("{error}"));
                return self.identity.clone();
            }
        };
        if self.identity.as_ref() != Some(&stored) {
            self.put(stored.clone()).await;
        }
        Some(stored)
    }

    async fn take_given(&mut self) {
        match connect(&self.files.kubeconfig, None).await {
            Ok(client) => {
                tracing::info!("{} has changed: its credentials are used from now on", self.files.kubeconfig.display());
                self.exchange.put(client);
            }
            Err(error) => self.say(format!("{error}")),
        }
    }

    async fn put(&mut self, identity: Identity) {
        match connect(&self.files.kubeconfig, Some(&identity)).await {
            Ok(client) => {
                self.exchange.put(client);
                self.identity = Some(identity);
                self.life = Life::draw();
                self.said = None;
            }
            Err(error) => self.say(format!("{error}")),
        }
    }

    /// Says once what is wrong with it.
    fn judge(&mut self, certificate: &Certificate, is_refused: bool, now: Timestamp) {
        self.exchange.ends(certificate.not_after);
        if certificate.is_expired(now) {
            let until = certificate.not_after;
            self.say(format!("the node's client certificate has expired at {until}: {REMEDY}"));
        } else if now < certificate.not_before {
            let from = certificate.not_before;
            self.say(format!("the node's client certificate is valid from {from} only: is this host's clock right?"));
        } else if is_refused {
            let until = certificate.not_after;
            self.say(format!(
                "the API server refuses the node's client certificate, which is valid until {until} by this host's clock: {REMEDY}"
            ));
        } else {
            self.said = None;
        }
    }

    fn say(&mut self, what: String) {
        if self.said.as_ref() != Some(&what) {
            tracing::error!("{what}");
            self.said = Some(what);
        }
    }

    fn is_refused(&self) -> bool {
        *self.exchange.refused().borrow()
    }

    /// The next certificate, by the present one, or by the bootstrap kubeconfig where that is refused.
    async fn renew(&mut self, present: &Certificate) {
        let asked = match self.is_refused() {
            true => Err(NotIssued::Unauthorized),
            false => self.ask_by(present).await,
        };
        match asked {
            Ok(identity) => {
                let until = identity.certificate().not_after;
                self.put(identity).await;
                tracing::info!(%until, "the client certificate is renewed");
            }
            Err(NotIssued::Unauthorized) => self.bootstrap_anew().await,
            Err(error) => tracing::warn!("the client certificate is not renewed: {error}; trying again"),
        }
    }

    /// Waits for approval, as long as the present certificate is good for that.
    async fn ask_by(&mut self, present: &Certificate) -> Result<Identity, NotIssued> {
        let (client, store, wanted) = (self.exchange.client(), self.store.clone(), wanted(&self.node));
        let mut asked = std::pin::pin!(ask(&client, &store, &wanted, tell_waiting));
        loop {
            tokio::select! {
                asked = &mut asked => return asked,
                () = tokio::time::sleep(LOOK) => {}
            }
            self.judge(present, self.is_refused(), Timestamp::now());
            // Somebody may have joined anew meanwhile.
            if self.is_refused() || !self.files.kubeconfig.exists() {
                return Err(NotIssued::Unauthorized);
            }
        }
    }

    /// The kubeconfig is gone: somebody joins anew, or has taken the joining back.
    async fn begin_anew(&mut self) {
        match self.files.bootstrap_kubeconfig.exists() {
            true => self.bootstrap_anew().await,
            false => self.say(format!(
                "{} is gone: this bridge goes on with the credentials that it has, and renews them no more",
                self.files.kubeconfig.display()
            )),
        }
    }

    async fn bootstrap_anew(&mut self) {
        let bootstrap = match Kubeconfig::read(&self.files.bootstrap_kubeconfig) {
            Ok(Some(bootstrap)) => bootstrap,
            Ok(None) => return,
            Err(error) => return self.say(format!("{error}")),
        };
        if self.cluster.as_ref().is_some_and(|cluster| !cluster.is_of_same_cluster(&bootstrap)) {
            let path = self.files.bootstrap_kubeconfig.display();
            return self.say(format!("{path} leads to another cluster: restart barepod-bridge to go there"));
        }
        // A request by the certificate that is refused now may wait for somebody; one by a token need not.
        if let Err(error) = self.store.abandon(Usage::Client) {
            return self.say(format!("{error}"));
        }
        let token = changed(&self.files.bootstrap_kubeconfig);
        let gained = tokio::select! {
            gained = by_bootstrap(&self.files, &self.node) => gained,
            () = is_changed(&self.files.bootstrap_kubeconfig, token) => return,
        };
        match gained {
            Ok(Ok(_)) => {
                self.take_own().await;
            }
            // It has been said what to do.
            Ok(Err(NotIssued::Unauthorized)) => {}
            Ok(Err(error)) => tracing::warn!("the client certificate is not renewed: {error}; trying again"),
            Err(error) => self.say(format!("{error}")),
        }
    }
}

/// When a file was changed; `None` if it is not there.
fn changed(path: &std::path::Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Waits until a file is there that is another than it was.
async fn is_changed(path: &std::path::Path, before: Option<SystemTime>) {
    while changed(path).is_none_or(|now| Some(now) == before) {
        tokio::time::sleep(LOOK).await;
    }
}
