//! The least that a tonic server can do for `GetPreset`: answer every name with the same preset. What is slower than
//! this is the registry's own doing.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use futures::stream::Empty;
use preset_catalog::Catalog;
use preset_registry_api::v1;
use preset_registry_api::v1::preset_registry_server::{PresetRegistry, PresetRegistryServer};
use tonic::{Request, Response, Status};

/// The preset that both servers are asked for.
pub(crate) const NAME: &str = "phi-4";

struct Bare {
    answer: v1::GetPresetResponse,
}

/// Serves until the process is killed.
pub(crate) async fn serve(address: SocketAddr) -> Result<()> {
    let catalog = Catalog::embedded().map_err(|error| error.clone())?;
    let preset = catalog.find(NAME).context("the preset is gone")?;
    let answer = v1::GetPresetResponse {
        preset: Some(preset.into()),
        catalog_version: catalog.version().to_owned(),
        origin: v1::PresetOrigin::BuiltIn.into(),
    };
    let service = PresetRegistryServer::new(Bare { answer });
    Ok(tonic::transport::Server::builder()
        .add_service(service)
        .serve(address)
        .await?)
}

#[tonic::async_trait]
impl PresetRegistry for Bare {
    type WatchPresetsStream = Empty<Result<v1::WatchPresetsResponse, Status>>;

    async fn get_preset(
        &self,
        _request: Request<v1::GetPresetRequest>,
    ) -> Result<Response<v1::GetPresetResponse>, Status> {
        Ok(Response::new(self.answer.clone()))
    }

    async fn list_presets(
        &self,
        _request: Request<v1::ListPresetsRequest>,
    ) -> Result<Response<v1::ListPresetsResponse>, Status> {
        Err(not_here())
    }

    async fn plan_resources(
        &self,
        _request: Request<v1::PlanResourcesRequest>,
    ) -> Result<Response<v1::PlanResourcesResponse>, Status> {
        Err(not_here())
    }

    async fn watch_presets(
        &self,
        _request: Request<v1::WatchPresetsRequest>,
    ) -> Result<Response<Self::WatchPresetsStream>, Status> {
        Err(not_here())
    }

    async fn get_catalog_status(
        &self,
        _request: Request<v1::GetCatalogStatusRequest>,
    ) -> Result<Response<v1::GetCatalogStatusResponse>, Status> {
        Err(not_here())
    }
}

fn not_here() -> Status {
    Status::unimplemented("a bare server answers GetPreset only")
}
