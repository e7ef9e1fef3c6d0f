//! The RPCs: each answer is a function of the request and the loaded catalogue.
//!
//! Knows no transport and keeps no state.

use std::sync::Arc;
use std::time::Instant;

use preset_catalog::Catalog;
use preset_registry_api::not_found;
use preset_registry_api::v1::preset_registry_server::PresetRegistry;
use preset_registry_api::v1::{
    GetPresetRequest, GetPresetResponse, ListPresetsRequest, ListPresetsResponse, Preset,
};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::metrics::Requests;
use crate::paging::{BadPage, List};

/// No name is longer; comparing with every known name takes time in proportion.
const MAX_NAME_BYTES: usize = 256;

/// Answers from one catalogue.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    catalog: Arc<Catalog>,
    requests: Requests,
}

impl Service {
    pub(crate) const fn new(catalog: Arc<Catalog>, requests: Requests) -> Self {
        Self { catalog, requests }
    }

    /// Answers, and notes how that went.
    fn answer<T>(
        &self,
        method: &'static str,
        answer: impl FnOnce(&Self) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let started = Instant::now();
        let result = answer(self);
        let code = result.as_ref().err().map_or(Code::Ok, Status::code);
        self.requests.answered(method, code, started.elapsed());
        match &result {
            Ok(_) => tracing::debug!(method, "answered"),
            Err(status) => tracing::info!(method, ?code, message = status.message(), "refused"),
        }
        result.map(Response::new)
    }

    fn list(&self, request: &ListPresetsRequest) -> Result<ListPresetsResponse, Status> {
        check_length("name_contains", &request.name_contains)?;
        let list = List::new(&self.catalog, &request.name_contains);
        let (page, next_page_token) = list
            .page(request.page_size, &request.page_token)
            .map_err(|problem| bad_page(&problem))?;
        Ok(ListPresetsResponse {
            presets: page.into_iter().map(Preset::from).collect(),
            next_page_token,
            catalog_version: self.catalog.version().to_owned(),
        })
    }

    fn get(&self, name: &str) -> Result<GetPresetResponse, Status> {
        check_length("name", name)?;
        if name.is_empty() {
            return Err(invalid("name", "must not be empty"));
        }
        let preset = self
            .catalog
            .find(name)
            .ok_or_else(|| not_found(name, &self.catalog.near(name)))?;
        Ok(GetPresetResponse {
            preset: Some(preset.into()),
            catalog_version: self.catalog.version().to_owned(),
        })
    }
}

#[tonic::async_trait]
impl PresetRegistry for Service {
    async fn list_presets(
        &self,
        request: Request<ListPresetsRequest>,
    ) -> Result<Response<ListPresetsResponse>, Status> {
        self.answer("ListPresets", |service| service.list(request.get_ref()))
    }

    async fn get_preset(
        &self,
        request: Request<GetPresetRequest>,
    ) -> Result<Response<GetPresetResponse>, Status> {
        self.answer("GetPreset", |service| service.get(&request.get_ref().name))
    }
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

fn invalid(field: &'static str, problem: &str) -> Status {
    let details = ErrorDetails::with_bad_request_violation(field, problem);
    Status::with_error_details(Code::InvalidArgument, format!("{field} {problem}"), details)
}
