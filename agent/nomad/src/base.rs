//! What the client asks of a plugin of any type. It asks a plugin that it starts for that alone, twice, before the one that it
//! keeps: nothing may be done here that a second plugin could not do at the same time, and nothing may fail because the daemon
//! is away.

use std::sync::{Arc, Mutex, PoisonError};

use barepod_goplugin::Handshake;
use tonic::{Request, Response, Status};

use crate::settings::Settings;
use crate::wire::base::base_plugin_server::BasePlugin;
use crate::wire::base::{
    ConfigSchemaRequest, ConfigSchemaResponse, PluginInfoRequest, PluginInfoResponse, PluginType, SetConfigRequest,
    SetConfigResponse,
};

/// As Nomad's clients do it (`plugins/base/plugin.go`).
pub const HANDSHAKE: Handshake = Handshake {
    cookie_key: "NOMAD_PLUGIN_MAGIC_COOKIE",
    cookie_value: "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255",
    protocol: 2,
};

/// What jobs call the driver.
pub(crate) const NAME: &str = "barepod";
/// The version of the services of a driver.
const API_VERSION: &str = "v0.1.0";

/// What the agent's configuration has said last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configured(Arc<Mutex<Settings>>);

impl Configured {
    pub(crate) fn settings(&self) -> Settings {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[tonic::async_trait]
impl BasePlugin for Configured {
    async fn plugin_info(&self, _: Request<PluginInfoRequest>) -> Result<Response<PluginInfoResponse>, Status> {
        Ok(Response::new(PluginInfoResponse {
            r#type: PluginType::Driver.into(),
            plugin_api_versions: vec![API_VERSION.to_owned()],
            plugin_version: env!("CARGO_PKG_VERSION").to_owned(),
            name: NAME.to_owned(),
        }))
    }

    async fn config_schema(&self, _: Request<ConfigSchemaRequest>) -> Result<Response<ConfigSchemaResponse>, Status> {
        Ok(Response::new(ConfigSchemaResponse { spec: Some(Settings::schema()) }))
    }

    async fn set_config(&self, request: Request<SetConfigRequest>) -> Result<Response<SetConfigResponse>, Status> {
        let settings = Settings::decode(&request.into_inner().msgpack_config)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(Response::new(SetConfigResponse {}))
    }
}
