//! The share of each thread in a product.

use rayon::prelude::*;

use super::activations::Activations;
use super::panels::{Panels, ROWS};
use super::product::{Multiply, Product, STREAMS};

/// Tokens that a thread needs at least for sharing tokens to pay off; with fewer, threads share the rows.
const TOKENS_PER_THREAD: usize = 16;
/// Tokens that are multiplied with all rows at a time, so that they stay in the cache near the core.
const TOKEN_BLOCK: usize = 128;
/// Bytes of weights in one task when threads share rows: enough that taking a task costs little beside it.
const TASK_BYTES: usize = 64 << 10;

/// Multiplies tokens that follow each other with all rows.
pub(super) fn apply<W: Multiply>(panels: &Panels<W>, x: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (panels.columns(), panels.rows());
    let tokens = x.len() / inputs;
    let mut out = vec![0.0; tokens * outputs];
    let threads = rayon::current_num_threads();
    if tokens >= threads * TOKENS_PER_THREAD {
        let blocks = threads * tokens.div_ceil(threads * TOKEN_BLOCK);
        let share = tokens.div_ceil(blocks);
        let shares = x
            .par_chunks(share * inputs)
            .zip(out.par_chunks_mut(share * outputs));
        shares.for_each(|(x, out)| {
            let x = W::arrange(x, inputs);
            part(panels, 0..outputs.div_ceil(ROWS), &x, out, (outputs, ROWS));
        });
    } else if tokens > 0 {
        by_rows(panels, &W::arrange(x, inputs), &mut out);
    }
    out
}

/// Multiplies few tokens: threads share the rows.
fn by_rows<W: Multiply>(panels: &Panels<W>, x: &Activations<W::X>, out: &mut [f32]) {
    let (tokens, outputs) = (x.tokens, panels.rows());
    let count = outputs.div_ceil(ROWS);
    let task = (TASK_BYTES * count / panels.bytes().max(1))
        .max(1)
        .next_multiple_of(STREAMS);
    let run = |(index, out): (usize, &mut [f32])| {
        let first = index * task;
        let panel_stride = ROWS * tokens;
        let range = first..count.min(first + task);
        part(panels, range, x, out, (ROWS, panel_stride));
    };
    if tokens == 1 {
        out.par_chunks_mut(task * ROWS).enumerate().for_each(run);
        return;
    }
    let mut by_panel = vec![0.0; count * ROWS * tokens];
    by_panel
        .par_chunks_mut(task * ROWS * tokens)
        .enumerate()
        .for_each(run);
    for (panel, values) in by_panel.chunks_exact(ROWS * tokens).enumerate() {
        for (token, values) in values.as_chunks::<ROWS>().0.iter().enumerate() {
            let own = &mut out[token * outputs..][..outputs][panel * ROWS..];
            let rows = own.len().min(ROWS);
            own[..rows].copy_from_slice(&values[..rows]);
        }
    }
}

fn part<W: Multiply>(
    panels: &Panels<W>,
    range: std::ops::Range<usize>,
    x: &Activations<W::X>,
    out: &mut [f32],
    (token_stride, panel_stride): (usize, usize),
) {
    W::multiply(Product {
        panels,
        first: range.start,
        count: range.len(),
        x,
        out,
        token_stride,
        panel_stride,
    });
}
