//! Preparation of an adapter for use beside the weights of a decoder, which does not change.

use std::collections::BTreeSet;

use super::{Decoder, names};
use crate::adapter::Adapter;
use crate::error::Result;
use crate::lora::{Delta, Deltas, Lora};

impl Decoder {
    /// Prepares an adapter for [`Decoder::forward_with_adapters`].
    ///
    /// # Errors
    /// When it changes a module that this model lacks or has with another size, or the embeddings, which can only be merged.
    pub fn prepare_lora(&self, adapter: &Adapter) -> Result<Lora> {
        let mut preparation = Preparation {
            decoder: self,
            adapter,
            remaining: adapter.modules().collect(),
        };
        let layers = (0..self.layers.len()).map(|index| preparation.layer(index));
        let layers = layers.collect::<Result<_>>()?;
        let lm_head = preparation.lm_head()?;
        match preparation.remaining.first() {
            Some(module) if module.ends_with(names::EMBEDDINGS) => {
                Err(adapter.error(format!("`{module}` can only be changed by merging the adapter")))
            }
            Some(module) => Err(adapter.unknown_module(module)),
            None => Ok(Lora {
                name: adapter.name().to_owned(),
                layers,
                lm_head,
            }),
        }
    }
}

struct Preparation<'a> {
    decoder: &'a Decoder,
    adapter: &'a Adapter,
    /// Modules of the adapter without a place so far.
    remaining: BTreeSet<&'a str>,
}

impl Preparation<'_> {
    fn layer(&mut self, index: usize) -> Result<Deltas> {
        let spec = self.decoder.spec();
        let modules = names::modules(spec, index);
        Ok(Deltas {
            qkv_proj: self.map(&modules.qkv_proj, spec.hidden_size)?,
            o_proj: self.map(&modules.o_proj, spec.num_heads * spec.head_dim)?,
            gate_up_proj: self.map(&modules.gate_up_proj, spec.hidden_size)?,
            down_proj: self.map(&modules.down_proj, spec.intermediate_size)?,
        })
    }

    fn map(&mut self, modules: &[(String, usize)], inputs: usize) -> Result<Vec<Delta>> {
        let prefix = &self.decoder.prefix;
        let full = modules
            .iter()
            .map(|(name, outputs)| (format!("{prefix}{name}"), *outputs));
        self.deltas(full, inputs)
    }

    /// Prepares the output projection; a tied one is not a module of its own.
    fn lm_head(&mut self) -> Result<Vec<Delta>> {
        let (Some(head), [beside, alone]) = (&self.decoder.lm_head, names::lm_heads(&self.decoder.prefix))
        else {
            return Ok(Vec::new());
        };
        let name = if self.remaining.contains(beside.as_str()) {
            beside
        } else {
            alone
        };
        self.deltas([(name, head.outputs())], self.decoder.spec().hidden_size)
    }

    fn deltas(
        &mut self,
        modules: impl IntoIterator<Item = (String, usize)>,
        inputs: usize,
    ) -> Result<Vec<Delta>> {
        let mut first = 0;
        let mut deltas = Vec::new();
        for (module, outputs) in modules {
            if let Some(matrices) = self.adapter.scaled(&module, outputs, inputs)? {
                deltas.push(Delta::new(
                    first,
                    matrices.rank,
                    matrices.lora_a,
                    &matrices.lora_b,
                ));
                self.remaining.remove(module.as_str());
            }
            first += outputs;
        }
        Ok(deltas)
    }
}
