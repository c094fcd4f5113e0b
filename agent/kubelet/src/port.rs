//! What becomes of one request: who asks, whether they may, and who answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use barepod_api::StreamClient;
use barepod_credentials::Identity;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use tokio::sync::watch;

use crate::answer::{Answer, text};
use crate::authentication::{Authentication, NoAuthority};
use crate::authorization::{Authorization, Denied};
use crate::connection::Peer;
use crate::dealings::Dealings;
use crate::measure::Rates;
use crate::measure::own::Requests;
use crate::measure::summary::Whose;
use crate::query::Query;
use crate::route::{NoRoute, Place, Route, decoded, find};
use crate::{Daemon, Settings, handlers, measure, streams, token};

/// What the node knows of its own standing in the cluster.
pub(crate) struct Known {
    pub(crate) dealings: Dealings,
    pub(crate) serving: watch::Receiver<Option<Identity>>,
}

/// The port's insides.
pub(crate) struct Port {
    pub(crate) settings: Settings,
    daemon: Daemon,
    authentication: Authentication,
    authorization: Authorization,
    pub(crate) known: Known,
    pub(crate) requests: Requests,
    rates: Mutex<(Rates<Whose>, u64)>,
}

impl Port {
    pub(crate) fn new(
        settings: &Settings,
        daemon: Daemon,
        client: kube::Client,
        known: Known,
    ) -> Result<Self, NoAuthority> {
        let authentication = Authentication::new(settings.client_authority.borrow().as_deref(), client.clone())?;
        let authorization = Authorization::new(settings.node.to_string(), client);
        let (settings, requests, rates) = (settings.clone(), Requests::default(), Mutex::default());
        Ok(Self { settings, daemon, authentication, authorization, known, requests, rates })
    }

    /// Whose certificates clients may show.
    pub(crate) fn hints(&self) -> Vec<rustls::DistinguishedName> {
        self.authentication.hints()
    }

    /// Others sign clients' certificates from now on.
    pub(crate) fn put_authority(&self, authority: Option<&str>) -> Result<(), NoAuthority> {
        self.authentication.put(authority)
    }

    /// The daemon's socket.
    pub(crate) fn daemon(&self) -> Daemon {
        self.daemon.clone()
    }

    /// The daemon's socket, for one stream.
    pub(crate) fn daemon_for_stream(&self) -> StreamClient {
        barepod_api::reach_for_stream(&self.settings.socket)
    }

    /// CPU times as they were measured before, with the number of the last measurement.
    pub(crate) fn rates(&self) -> MutexGuard<'_, (Rates<Whose>, u64)> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is said of paths and methods to those who may not.
    pub(crate) async fn answer(self: Arc<Self>, mut request: Request<Incoming>, peer: Peer) -> Answer {
        let token = token::take(request.headers_mut());
        let Some(user) = self.authentication.user(&peer.certificates, token.as_deref()).await else {
            return text(StatusCode::UNAUTHORIZED, "Unauthorized");
        };
        let Some(path) = decoded(request.uri().path()) else {
            return text(StatusCode::BAD_REQUEST, "the path is no text\n");
        };
        match self.authorization.may(&user, request.method(), &path).await {
            Ok(()) => {}
            Err(denied @ Denied::Forbidden { .. }) => return text(StatusCode::FORBIDDEN, denied.to_string()),
            Err(denied @ Denied::Unknown { .. }) => {
                return text(StatusCode::INTERNAL_SERVER_ERROR, denied.to_string());
            }
        }
        if !peer.visit.let_in() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "there are too many connections to this port\n");
        }
        let found = find(request.method(), &path);
        self.requests.count(request.method(), found.as_ref().ok().map(|route| route.place));
        match found {
            Ok(route) => self.carry_out(route, request, peer).await,
            Err(NoRoute::Unknown) => text(StatusCode::NOT_FOUND, "404: Page Not Found"),
            Err(NoRoute::Method) => text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed"),
        }
    }

    async fn carry_out(self: Arc<Self>, route: Route, request: Request<Incoming>, peer: Peer) -> Answer {
        let Route { place, target, .. } = route;
        let query = Query::of(request.uri().query());
        match place {
            Place::Health => handlers::health::show(&self, &target, &query).await,
            Place::Pods => handlers::pods::all(&self).await,
            Place::RunningPods => handlers::pods::running(&self).await,
            Place::ContainerLogs => handlers::logs::stream(&self, &target, &query).await,
            Place::Stats => measure::summary::show(&self, &query).await,
            Place::Metrics => measure::page(measure::own::page(&self).await),
            Place::Cadvisor => measure::page(measure::cadvisor::page(&self).await),
            Place::Resource => measure::page(measure::resource::page(&self).await),
            Place::Probes => measure::page(measure::probes::page(&self).await),
            Place::Slis => measure::page(Ok(measure::own::slis(&self).await)),
            Place::Configz => handlers::about::config(&self.settings),
            Place::Statusz => handlers::about::status(request.headers()),
            Place::Flagz => handlers::about::flags(&self.settings, request.headers()),
            Place::Checkpoint => handlers::pods::checkpoint(&self, &target).await,
            Place::NodeLogs | Place::Profiles | Place::DebugFlags => handlers::about::disabled(place),
            Place::Exec => streams::exec(&self, request, target, query, peer.visit).await,
            Place::Attach => streams::attach(&self, request, target, query, peer.visit).await,
            Place::PortForward => streams::port_forward(&self, request, target, query, peer.visit).await,
            Place::Run => streams::run(&self, target, query).await,
        }
    }
}
