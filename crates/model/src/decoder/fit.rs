//! Fitting an adapter to a decoder, to be used beside its weights. The decoder is not changed.

use std::collections::BTreeSet;

use super::{Decoder, names};
use crate::adapter::Adapter;
use crate::error::Result;
use crate::lora::{Delta, Deltas, Lora};

impl Decoder {
    /// Makes an adapter ready for [`Decoder::forward_with_adapters`].
    ///
    /// # Errors
    /// When it changes a module that this model does not have, or has with another size, or one that can only be merged:
    /// the embeddings.
    pub fn prepare_lora(&self, adapter: &Adapter) -> Result<Lora> {
        let mut fitting = Fitting {
            decoder: self,
            adapter,
            left: adapter.modules().collect(),
        };
        let layers = (0..self.layers.len()).map(|index| fitting.layer(index));
        let layers = layers.collect::<Result<_>>()?;
        let head = fitting.head()?;
        match fitting.left.first() {
            Some(module) if module.ends_with(names::EMBEDDINGS) => {
                Err(adapter.error(format!("`{module}` can only be changed by merging the adapter")))
            }
            Some(module) => Err(adapter.stranger(module)),
            None => Ok(Lora {
                name: adapter.name().to_owned(),
                layers,
                head,
            }),
        }
    }
}

struct Fitting<'a> {
    decoder: &'a Decoder,
    adapter: &'a Adapter,
    /// Modules of the adapter that found no place yet.
    left: BTreeSet<&'a str>,
}

impl Fitting<'_> {
    fn layer(&mut self, index: usize) -> Result<Deltas> {
        let spec = self.decoder.spec();
        let modules = names::modules(spec, index);
        Ok(Deltas {
            qkv: self.map(&modules.qkv, spec.hidden_size)?,
            output: self.map(&modules.output, spec.num_heads * spec.head_dim)?,
            gate_up: self.map(&modules.gate_up, spec.hidden_size)?,
            down: self.map(&modules.down, spec.intermediate_size)?,
        })
    }

    fn map(&mut self, modules: &[(String, usize)], inputs: usize) -> Result<Vec<Delta>> {
        let prefix = &self.decoder.prefix;
        let full = modules
            .iter()
            .map(|(name, outputs)| (format!("{prefix}{name}"), *outputs));
        self.deltas(full, inputs)
    }

    /// Tied output embeddings are no module of their own.
    fn head(&mut self) -> Result<Vec<Delta>> {
        let (Some(head), [beside, alone]) = (&self.decoder.head, names::heads(&self.decoder.prefix)) else {
            return Ok(Vec::new());
        };
        let name = if self.left.contains(beside.as_str()) {
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
            if let Some(factors) = self.adapter.scaled(&module, outputs, inputs)? {
                deltas.push(Delta::new(first, factors.rank, factors.a, &factors.b));
                self.left.remove(module.as_str());
            }
            first += outputs;
        }
        Ok(deltas)
    }
}
