//! Rotary position embeddings: frequencies under every way of stretching the context.
//!
//! Formulas are those of transformers' `modeling_rope_utils`: default, linear, dynamic NTK at the native length, llama3, yarn
//! and longrope.

use std::f64::consts::TAU;

use super::fields::Fields;
use crate::error::Result;

/// The angles of one kind of layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// How many dimensions of a head are turned; the rest pass through.
    pub dimensions: usize,
    /// Radians a position, one for each pair of dimensions.
    pub frequencies: Vec<f32>,
    /// Other frequencies, for sequences longer than so many positions.
    pub long: Option<(usize, Vec<f32>)>,
    /// Factor on sine and cosine.
    pub magnitude: f32,
}

impl Rope {
    /// Frequencies for a sequence that will have at most `positions`.
    #[must_use]
    pub fn frequencies_for(&self, positions: usize) -> &[f32] {
        match &self.long {
            Some((above, long)) if positions > *above => long,
            _ => &self.frequencies,
        }
    }
}

/// What the scaling rules need to know beside their own fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Native {
    pub(super) head: usize,
    pub(super) base: f64,
    pub(super) partial: f64,
    /// `max_position_embeddings`.
    pub(super) positions: usize,
    /// `original_max_position_embeddings` outside the scaling object.
    pub(super) original: Option<usize>,
}

pub(super) fn rope(native: Native, scaling: Option<Fields<'_>>) -> Result<Rope> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a head"
    )]
    let dimensions = ((native.head as f64 * native.partial) as usize) & !1;
    let plain = |base: f64| -> Vec<f64> {
        let pairs = (0..dimensions / 2).map(|pair| base.powf(-((2 * pair) as f64) / dimensions as f64));
        pairs.collect()
    };
    let default = plain(native.base);
    let unscaled = |frequencies: &[f64]| Rope {
        dimensions,
        frequencies: narrow(frequencies),
        long: None,
        magnitude: 1.0,
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
        // Dynamic scaling differs from the default beyond the native length only, which we do not go beyond.
        "default" | "dynamic" => Ok(unscaled(&default)),
        "linear" => {
            let factor = factor()?;
            Ok(unscaled(&default.iter().map(|f| f / factor).collect::<Vec<_>>()))
        }
        "llama3" => Ok(unscaled(&llama3(
            &default,
            factor()?,
            original(&fields, native)?,
            &fields,
        )?)),
        "yarn" => {
            let original = original(&fields, native)?;
            let factor = match fields.positive("factor")? {
                Some(factor) => factor,
                None => native.positions as f64 / original as f64,
            };
            Ok(Rope {
                magnitude: yarn_magnitude(factor, &fields)? as f32,
                ..unscaled(&yarn(
                    &default,
                    native.base,
                    dimensions,
                    factor,
                    original,
                    &fields,
                )?)
            })
        }
        "longrope" | "su" => longrope(&default, dimensions, native, &fields),
        other => Err(fields.error("rope_type", format!("is `{other}`, which is not supported"))),
    }
}

fn original(fields: &Fields<'_>, native: Native) -> Result<usize> {
    let own = fields.size("original_max_position_embeddings", 1 << 24)?;
    Ok(own.or(native.original).unwrap_or(native.positions))
}

fn llama3(default: &[f64], factor: f64, original: usize, fields: &Fields<'_>) -> Result<Vec<f64>> {
    let low = fields.positive("low_freq_factor")?.unwrap_or(1.0);
    let high = fields.positive("high_freq_factor")?.unwrap_or(4.0);
    if high <= low {
        return Err(fields.error("high_freq_factor", "is not above low_freq_factor"));
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
    dimensions: usize,
    factor: f64,
    original: usize,
    fields: &Fields<'_>,
) -> Result<Vec<f64>> {
    let beta_fast = fields.positive("beta_fast")?.unwrap_or(32.0);
    let beta_slow = fields.positive("beta_slow")?.unwrap_or(1.0);
    let dims = dimensions as f64;
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

fn yarn_magnitude(factor: f64, fields: &Fields<'_>) -> Result<f64> {
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

fn longrope(default: &[f64], dimensions: usize, native: Native, fields: &Fields<'_>) -> Result<Rope> {
    let original = original(fields, native)?;
    let stretched = |name: &str| -> Result<Vec<f32>> {
        let factors = fields.numbers(name, dimensions / 2)?;
        let divided = default
            .iter()
            .zip(&factors)
            .map(|(frequency, factor)| frequency / factor);
        Ok(narrow(&divided.collect::<Vec<_>>()))
    };
    let ratio = native.positions as f64 / original as f64;
    let factor = fields
        .positive("factor")?
        .filter(|_| native.original.is_none())
        .unwrap_or(ratio);
    let magnitude = match fields.positive("attention_factor")? {
        Some(given) => given,
        None if factor <= 1.0 || original < 2 => 1.0,
        None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
    };
    Ok(Rope {
        dimensions,
        frequencies: stretched("short_factor")?,
        long: Some((original, stretched("long_factor")?)),
        magnitude: magnitude as f32,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "angles are computed in f32, as torch does"
)]
fn narrow(frequencies: &[f64]) -> Vec<f32> {
    frequencies.iter().map(|frequency| *frequency as f32).collect()
}
