//! The RPC `PlanResources`: from a request to a query of `preset_catalog::fit`.

use instance_types::{Catalog, Cloud, InstanceType, did_you_mean};
use preset_catalog::estimate::{DEFAULT_CONTEXT_TOKENS, EngineOptions};
use preset_catalog::fit::{FitOptions, FitReport, compare_instance_types};
use preset_catalog::{EngineImage, Preset};
use preset_registry_api::v1;
use tonic::Status;

use crate::invalid::invalid;

/// Most instance types of a request. A cloud has fewer.
const MAX_INSTANCE_TYPES: usize = 1000;

/// A query for the resources of any preset.
#[derive(Debug)]
pub(crate) struct ResourceQuery<'a> {
    instance_types: Vec<&'a InstanceType>,
    context_tokens: u32,
    options: FitOptions,
}

impl<'a> ResourceQuery<'a> {
    /// Parses a request.
    pub(crate) fn parse(
        request: &v1::PlanResourcesRequest,
        known: &'a Catalog,
        engine: EngineImage,
    ) -> Result<Self, Status> {
        let cloud: Cloud = request
            .cloud
            .parse()
            .map_err(|error: instance_types::ParseError| invalid("cloud", &format!("is refused: {error}")))?;
        let purpose = preset_registry_api::purpose(request.purpose)
            .map_err(|_| invalid("purpose", "must be one that this server knows"))?;
        let context_tokens = match request.context_tokens {
            0 => DEFAULT_CONTEXT_TOKENS,
            tokens => tokens,
        };
        Ok(Self {
            instance_types: instance_types(known, cloud, &request.instance_types)?,
            context_tokens,
            options: FitOptions {
                purpose,
                max_nodes: Some(request.max_nodes).filter(|nodes| *nodes > 0),
                engine,
                settings: EngineOptions::DEFAULT,
            },
        })
    }

    /// Compares instance types for a preset.
    pub(crate) fn plan(&self, preset: &Preset) -> FitReport {
        compare_instance_types(preset, &self.instance_types, self.context_tokens, &self.options)
    }
}

fn instance_types<'a>(
    known: &'a Catalog,
    cloud: Cloud,
    names: &[String],
) -> Result<Vec<&'a InstanceType>, Status> {
    if names.len() > MAX_INSTANCE_TYPES {
        let problem = format!("must not be more than {MAX_INSTANCE_TYPES}");
        return Err(invalid("instance_types", &problem));
    }
    if names.is_empty() {
        return Ok(known.of(cloud).collect());
    }
    let mut found: Vec<&InstanceType> = Vec::new();
    for name in names {
        let instance_type = known
            .lookup(cloud, name)
            .ok_or_else(|| unknown_type(cloud, name, &known.near(cloud, name)))?;
        if !found.iter().any(|other| other.name == instance_type.name) {
            found.push(instance_type);
        }
    }
    Ok(found)
}

fn unknown_type(cloud: Cloud, name: &str, near: &[&str]) -> Status {
    let mut shown: String = name.chars().take(80).collect();
    shown.retain(|c| !c.is_control());
    let hint = did_you_mean::hint(near);
    invalid(
        "instance_types",
        &format!("holds `{shown}`, which must be an instance type of {cloud}{hint}"),
    )
}

#[cfg(test)]
mod tests {
    use preset_catalog::{HybridCache, ModelShape};
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = u32> {
        prop_oneof![Just(0), Just(1), Just(u32::MAX), any::<u32>()]
    }

    fn bytes() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()]
    }

    prop_compose! {
        fn shape()(
            weights_bytes in bytes(),
            kv_bytes_per_token in bytes(),
            state_bytes in bytes(),
            max_context_tokens in number(),
            [layers, attention_heads, kv_heads] in [prop::option::of(number()), prop::option::of(number()), prop::option::of(number())],
            [full_layers, window_layers, window_tokens] in [number(), number(), number()],
            hybrid in any::<bool>(),
        ) -> ModelShape {
            ModelShape {
                weights_bytes,
                kv_bytes_per_token,
                max_context_tokens,
                layers,
                attention_heads,
                kv_heads,
                hybrid_cache: hybrid.then_some(HybridCache { full_layers, window_layers, window_tokens, state_bytes }),
                ..preset_catalog::Catalog::embedded().unwrap().find("phi-4").unwrap().shape.clone()
            }
        }
    }

    proptest! {
        #[test]
        fn no_numbers_of_a_request_break_the_planner(
            shape in shape(),
            context_tokens in number(),
            max_nodes in number(),
            cpu in any::<bool>(),
            purpose in 0..3,
        ) {
            let mut preset = preset_catalog::Catalog::embedded().unwrap().find("phi-4").unwrap().clone();
            preset.shape = shape;
            preset.inference.as_mut().unwrap().cpu = cpu;
            let request = v1::PlanResourcesRequest {
                cloud: "azure".to_owned(),
                context_tokens,
                max_nodes,
                purpose,
                ..v1::PlanResourcesRequest::default()
            };
            let types = instance_types::Catalog::embedded().unwrap();
            let plan = ResourceQuery::parse(&request, types, EngineImage::default()).unwrap().plan(&preset);
            prop_assert_eq!(plan.candidates.len(), types.of(Cloud::Azure).count());
        }
    }
}
