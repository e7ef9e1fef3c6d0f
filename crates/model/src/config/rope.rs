//! Rotary position embeddings: frequencies for each way of scaling the context.
//!
//! The formulas are those of transformers' `modeling_rope_utils`: default, linear, dynamic NTK within the trained length, llama3,
//! yarn and longrope.

use std::f64::consts::TAU;

use super::fields::Fields;
use crate::error::Result;

/// Rope of one kind of layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Elements of a head that are rotated; others stay the same.
    pub rotary_dim: usize,
    /// Radians per position, for each pair of elements.
    pub inv_freq: Vec<f32>,
    /// Frequencies of sequences longer than a number of positions.
    pub long_inv_freq: Option<(usize, Vec<f32>)>,
    /// Factor on sines and cosines.
    pub attention_factor: f32,
}

impl Rope {
    /// Returns the frequencies of a sequence of at most `positions`.
    #[must_use]
    pub fn inv_freq_for(&self, positions: usize) -> &[f32] {
        match &self.long_inv_freq {
            Some((above, long)) if positions > *above => long,
            _ => &self.inv_freq,
        }
    }
}

/// Values outside the scaling object that scaling rules use.
#[derive(Clone, Copy, Debug)]
pub(super) struct RopeDefaults {
    pub(super) head_dim: usize,
    pub(super) rope_theta: f64,
    pub(super) partial_rotary_factor: f64,
    pub(super) max_position_embeddings: usize,
    /// `original_max_position_embeddings` outside the scaling object.
    pub(super) original: Option<usize>,
}

pub(super) fn rope(defaults: RopeDefaults, scaling: Option<Fields<'_>>) -> Result<Rope> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a head"
    )]
    let rotary_dim = ((defaults.head_dim as f64 * defaults.partial_rotary_factor) as usize) & !1;
    let plain = |base: f64| -> Vec<f64> {
        let pairs = (0..rotary_dim / 2).map(|pair| base.powf(-((2 * pair) as f64) / rotary_dim as f64));
        pairs.collect()
    };
    let default = plain(defaults.rope_theta);
    let unscaled = |inv_freq: &[f64]| Rope {
        rotary_dim,
        inv_freq: narrow(inv_freq),
        long_inv_freq: None,
        attention_factor: 1.0,
    };
    let Some(fields) = scaling else {
        return Ok(unscaled(&default));
    };
    let kind = match fields.text("rope_type")? {
        Some(kind) => kind,
        None => fields.text("type")?.unwrap_or("default"),
    };
    let factor = || -> Result<f64> {
        fields
            .positive("factor")?
            .ok_or_else(|| fields.error("factor", "is missing"))
    };
    match kind {
        // Dynamic scaling differs from the default only beyond the trained length, which is the limit here.
        "default" | "dynamic" => Ok(unscaled(&default)),
        "linear" => {
            let factor = factor()?;
            Ok(unscaled(&default.iter().map(|f| f / factor).collect::<Vec<_>>()))
        }
        "llama3" => Ok(unscaled(&llama3(
            &default,
            factor()?,
            original(&fields, defaults)?,
            &fields,
        )?)),
        "yarn" => {
            let original = original(&fields, defaults)?;
            let factor = match fields.positive("factor")? {
                Some(factor) => factor,
                None => defaults.max_position_embeddings as f64 / original as f64,
            };
            Ok(Rope {
                attention_factor: yarn_attention_factor(factor, &fields)? as f32,
                ..unscaled(&yarn(
                    &default,
                    defaults.rope_theta,
                    rotary_dim,
                    factor,
                    original,
                    &fields,
                )?)
            })
        }
        "longrope" | "su" => longrope(&default, rotary_dim, defaults, &fields),
        other => Err(fields.error("rope_type", format!("must be a known rope type, got `{other}`"))),
    }
}

fn original(fields: &Fields<'_>, defaults: RopeDefaults) -> Result<usize> {
    let own = fields.size("original_max_position_embeddings", 1 << 24)?;
    Ok(own
        .or(defaults.original)
        .unwrap_or(defaults.max_position_embeddings))
}

fn llama3(default: &[f64], factor: f64, original: usize, fields: &Fields<'_>) -> Result<Vec<f64>> {
    let low = fields.positive("low_freq_factor")?.unwrap_or(1.0);
    let high = fields.positive("high_freq_factor")?.unwrap_or(4.0);
    if high <= low {
        return Err(fields.error("high_freq_factor", "must be above low_freq_factor"));
    }
    let original = original as f64;
    let scaled = |frequency: &f64| {
        let wavelength = TAU / frequency;
        if wavelength < original / high {
            *frequency
        } else if wavelength > original / low {
            frequency / factor
        } else {
            let smooth = (original / wavelength - low) / (high - low);
            (1.0 - smooth) * frequency / factor + smooth * frequency
        }
    };
    Ok(default.iter().map(scaled).collect())
}

fn yarn(
    default: &[f64],
    base: f64,
    rotary_dim: usize,
    factor: f64,
    original: usize,
    fields: &Fields<'_>,
) -> Result<Vec<f64>> {
    let beta_fast = fields.positive("beta_fast")?.unwrap_or(32.0);
    let beta_slow = fields.positive("beta_slow")?.unwrap_or(1.0);
    let dims = rotary_dim as f64;
    let correction = |rotations: f64| dims * (original as f64 / (rotations * TAU)).ln() / (2.0 * base.ln());
    let (mut low, mut high) = (correction(beta_fast), correction(beta_slow));
    if fields.flag("truncate", true)? {
        (low, high) = (low.floor(), high.ceil());
    }
    low = low.max(0.0);
    high = high.min(dims - 1.0);
    if (high - low).abs() < f64::EPSILON {
        high += 0.001;
    }
    let blended = |(pair, frequency): (usize, &f64)| {
        let ramp = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
        frequency / factor * ramp + frequency * (1.0 - ramp)
    };
    Ok(default.iter().enumerate().map(blended).collect())
}

fn yarn_attention_factor(factor: f64, fields: &Fields<'_>) -> Result<f64> {
    if let Some(given) = fields.positive("attention_factor")? {
        return Ok(given);
    }
    let scale = |m: f64| {
        if factor <= 1.0 {
            1.0
        } else {
            0.1 * m * factor.ln() + 1.0
        }
    };
    let (mscale, all) = (fields.number("mscale")?, fields.number("mscale_all_dim")?);
    Ok(match (mscale, all) {
        (Some(mscale), Some(all)) if mscale != 0.0 && all != 0.0 => scale(mscale) / scale(all),
        _ => scale(1.0),
    })
}

fn longrope(default: &[f64], rotary_dim: usize, defaults: RopeDefaults, fields: &Fields<'_>) -> Result<Rope> {
    let original = original(fields, defaults)?;
    let stretched = |name: &str| -> Result<Vec<f32>> {
        let factors = fields.numbers(name, rotary_dim / 2)?;
        let divided = default
            .iter()
            .zip(&factors)
            .map(|(frequency, factor)| frequency / factor);
        Ok(narrow(&divided.collect::<Vec<_>>()))
    };
    let ratio = defaults.max_position_embeddings as f64 / original as f64;
    let factor = fields
        .positive("factor")?
        .filter(|_| defaults.original.is_none())
        .unwrap_or(ratio);
    let attention_factor = match fields.positive("attention_factor")? {
        Some(given) => given,
        None if factor <= 1.0 || original < 2 => 1.0,
        None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
    };
    Ok(Rope {
        rotary_dim,
        inv_freq: stretched("short_factor")?,
        long_inv_freq: Some((original, stretched("long_factor")?)),
        attention_factor: attention_factor as f32,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "torch computes angles in f32")]
fn narrow(frequencies: &[f64]) -> Vec<f32> {
    frequencies.iter().map(|frequency| *frequency as f32).collect()
}
