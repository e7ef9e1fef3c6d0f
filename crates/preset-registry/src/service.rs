//! The RPCs: from a request to a response or a status. Knows no transport.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use preset_catalog::{Catalog, EngineImage, FileReport, Preset, Runtime};
use preset_registry_api::v1::plan_resources_request::Model;
use preset_registry_api::v1::preset_registry_server::PresetRegistry;
use preset_registry_api::{not_found, v1};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::call::Calls;
use crate::callers::Caller;
use crate::catalog_store::CatalogStore;
use crate::deadline;
use crate::hub::Hub;
use crate::invalid::invalid;
use crate::paging::{BadPage, Filter, List};
use crate::resource_query::ResourceQuery;
use crate::watch::{Subscriber, Watchers};

/// Most bytes of a name, since comparing with every known name takes time in proportion.
const MAX_NAME_BYTES: usize = 256;

/// Longest time of a stream. The client continues with the next one, perhaps at another replica.
const MAX_STREAM_AGE: Duration = Duration::from_secs(60 * 60);

/// Answers from the catalog, and from a hub if there is one.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) catalogs: Arc<CatalogStore>,
    /// The built-in instance types and those of the administrator.
    pub(crate) instance_types: Arc<instance_types::Catalog>,
    pub(crate) hub: Option<Hub>,
    pub(crate) calls: Calls,
    pub(crate) watchers: Watchers,
    /// Image of the GPU engine.
    pub(crate) engine: EngineImage,
    /// Canceled when streams must end.
    pub(crate) stop: CancellationToken,
}

impl Service {
    fn list(&self, request: v1::ListPresetsRequest) -> Result<v1::ListPresetsResponse, Status> {
        let now = self.catalogs.current();
        let (size, token) = (request.page_size, request.page_token.clone());
        let list = List::new(&now.catalog, filter(request)?);
        let (page, next_page_token) = list.page(size, &token).map_err(|problem| bad_page(&problem))?;
        Ok(v1::ListPresetsResponse {
            presets: page.into_iter().map(v1::Preset::from).collect(),
            next_page_token,
            catalog_version: now.catalog.version().to_owned(),
        })
    }

    async fn get(&self, name: &str) -> Result<v1::GetPresetResponse, Status> {
        let now = self.catalogs.current();
        let (mut preset, origin) = self.find(&now.catalog, name).await?;
        if let (None, None, Some(hub)) = (&preset.revision, &preset.head, &self.hub) {
            preset.to_mut().head = hub.head(&preset.hub_id).await;
        }
        Ok(v1::GetPresetResponse {
            preset: Some(preset.as_ref().into()),
            catalog_version: now.catalog.version().to_owned(),
            origin: origin.into(),
        })
    }

    /// Finds a preset in the catalog, or else on the hub.
    async fn find<'c>(
        &self,
        catalog: &'c Catalog,
        name: &str,
    ) -> Result<(Cow<'c, Preset>, v1::PresetOrigin), Status> {
        check_length("name", name)?;
        if name.is_empty() {
            return Err(invalid("name", "must not be empty"));
        }
        if let Some(preset) = catalog.find(name) {
            let origin = if catalog.is_users(&preset.name) {
                v1::PresetOrigin::User
            } else {
                v1::PresetOrigin::BuiltIn
            };
            return Ok((Cow::Borrowed(preset), origin));
        }
        let hub = self.hub.as_ref();
        let Some(hub) = hub.filter(|hub| hub.serves_models() && name.contains('/')) else {
            return Err(not_found(name, &catalog.near(name)));
        };
        match hub.preset(name).await {
            Ok(preset) => Ok((Cow::Owned(Arc::unwrap_or_clone(preset)), v1::PresetOrigin::Hub)),
            Err(problem) => Err(problem.status(hub.endpoint(), name, &catalog.near(name))),
        }
    }

    async fn resource_plan(
        &self,
        mut request: v1::PlanResourcesRequest,
    ) -> Result<v1::PlanResourcesResponse, Status> {
        let query = ResourceQuery::parse(&request, &self.instance_types, self.engine)?;
        let now = self.catalogs.current();
        let (preset, origin) = match request.model.take() {
            Some(Model::Name(name)) => self.find(&now.catalog, &name).await?,
            Some(Model::Preset(message)) => (Cow::Owned(given(message)?), v1::PresetOrigin::Unspecified),
            None => return Err(invalid("model", "must name a preset or hold one")),
        };
        Ok(v1::PlanResourcesResponse {
            plan: Some((&query.plan(&preset)).into()),
            catalog_version: now.catalog.version().to_owned(),
            origin: origin.into(),
        })
    }

    fn catalog_status(&self) -> v1::GetCatalogStatusResponse {
        let now = self.catalogs.current();
        let is_users = |preset: &&Preset| now.catalog.is_users(&preset.name);
        v1::GetCatalogStatusResponse {
            catalog_version: now.catalog.version().to_owned(),
            presets: count(now.catalog.len()),
            user_presets: count(now.catalog.iter().filter(is_users).count()),
            user_files: now.files.reports.iter().map(user_file).collect(),
            user_files_error: now.files.error.clone().unwrap_or_default(),
            hub_endpoint: self
                .hub
                .as_ref()
                .filter(|hub| hub.serves_models())
                .map_or_else(String::new, |hub| hub.endpoint().to_owned()),
        }
    }
}

#[tonic::async_trait]
impl PresetRegistry for Service {
    type WatchPresetsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchPresetsResponse, Status>> + Send>>;

    async fn list_presets(
        &self,
        request: Request<v1::ListPresetsRequest>,
    ) -> Result<Response<v1::ListPresetsResponse>, Status> {
        let call = self.calls.begin("ListPresets");
        call.end_with(self.list(request.into_inner())).map(Response::new)
    }

    async fn get_preset(
        &self,
        request: Request<v1::GetPresetRequest>,
    ) -> Result<Response<v1::GetPresetResponse>, Status> {
        let call = self.calls.begin("GetPreset");
        call.end_with(self.get(&request.get_ref().name).await)
            .map(Response::new)
    }

    async fn plan_resources(
        &self,
        request: Request<v1::PlanResourcesRequest>,
    ) -> Result<Response<v1::PlanResourcesResponse>, Status> {
        let call = self.calls.begin("PlanResources");
        call.end_with(self.resource_plan(request.into_inner()).await)
            .map(Response::new)
    }

    async fn watch_presets(
        &self,
        request: Request<v1::WatchPresetsRequest>,
    ) -> Result<Response<Self::WatchPresetsStream>, Status> {
        let call = self.calls.begin("WatchPresets");
        let deadline = deadline::of(request.metadata());
        let caller = request.extensions().get::<Caller>().cloned();
        let known_version = request.into_inner().known_version;
        let permit = check_length("known_version", &known_version).and_then(|()| self.watchers.permit());
        let permit = match permit {
            Ok(permit) => permit,
            Err(status) => return call.end_with(Err(status)),
        };
        let subscriber = Subscriber {
            known_version,
            catalogs: self.catalogs.subscribe(),
            stop: self.stop.clone(),
            deadline,
            ends_at: Instant::now() + MAX_STREAM_AGE,
            caller,
            permit,
            call,
        };
        Ok(Response::new(Box::pin(subscriber.stream())))
    }

    async fn get_catalog_status(
        &self,
        _request: Request<v1::GetCatalogStatusRequest>,
    ) -> Result<Response<v1::GetCatalogStatusResponse>, Status> {
        let call = self.calls.begin("GetCatalogStatus");
        call.end_with(Ok(self.catalog_status())).map(Response::new)
    }
}

/// Converts the preset of a request.
fn given(message: v1::Preset) -> Result<Preset, Status> {
    Preset::try_from(message).map_err(|error| invalid("preset", &format!("must be complete: {error}")))
}

fn filter(request: v1::ListPresetsRequest) -> Result<Filter, Status> {
    check_length("name_contains", &request.name_contains)?;
    check_length("architecture", &request.architecture)?;
    let runtime = match v1::Runtime::try_from(request.runtime) {
        Ok(v1::Runtime::Unspecified) => None,
        Ok(v1::Runtime::Vllm) => Some(Runtime::Vllm),
        Ok(v1::Runtime::Native) => Some(Runtime::Native),
        Err(_) => return Err(invalid("runtime", "must be one that this server knows")),
    };
    Ok(Filter {
        name_contains: request.name_contains,
        architecture: request.architecture,
        runtime,
        cpu_only: request.cpu_only,
        tunable_only: request.tunable_only,
        hide_deprecated: request.hide_deprecated,
        max_weights_bytes: Some(request.max_weights_bytes).filter(|bytes| *bytes > 0),
    })
}

fn user_file(report: &FileReport) -> v1::UserFile {
    let number = |number: Option<u64>| u32::try_from(number.unwrap_or(0)).unwrap_or(u32::MAX);
    v1::UserFile {
        name: report.file.clone(),
        presets: report.presets.clone(),
        problems: report
            .problems
            .iter()
            .map(|problem| v1::FileProblem {
                line: number(problem.position.map(|position| position.line)),
                column: number(problem.position.map(|position| position.column)),
                message: problem.message.clone(),
            })
            .collect(),
    }
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

fn check_length(field: &'static str, text: &str) -> Result<(), Status> {
    if text.len() > MAX_NAME_BYTES {
        return Err(invalid(
            field,
            &format!("must not be longer than {MAX_NAME_BYTES} bytes"),
        ));
    }
    Ok(())
}

fn bad_page(problem: &BadPage) -> Status {
    let field = match problem {
        BadPage::Size => "page_size",
        BadPage::Token => "page_token",
    };
    invalid(field, &problem.to_string())
}
