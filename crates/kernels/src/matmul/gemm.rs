//! The order of panels in a product, and the share of each thread.
//!
//! Both operands are copied into panels in the order in which the innermost loop reads them. That loop keeps a tile of the
//! result in registers (Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008). Panels of the left
//! operand are made once and shared; each thread makes those of the right operand for the columns it computes.

use rayon::prelude::*;

use super::matrix::Out;
use super::operand::Operand;
use super::scratch::{self, Word};

/// Inner elements of the left panels in memory at once; a multiple of what kernels take at once.
const DEPTH: usize = 2048;
/// Most panels that a thread takes at once: their sources lie side by side, and all fit the second cache.
const PANELS: usize = 8;
/// Least number of times that each thread takes panels.
const ROUNDS: usize = 3;

/// Arithmetic for tiles of the result.
pub(super) trait Kernel: Copy + Send + Sync {
    type Left: Word;
    type Right: Word;
    /// Inner elements of a right panel, which stays in a cache while it is multiplied with the whole left operand.
    const DEPTH: usize;
    /// Inner elements of a word, for one line of each operand or for all lines of a panel.
    const INNER: usize;
    /// Returns rows and columns of a tile.
    fn tile(self) -> (usize, usize);
    /// Returns the words of a panel of each operand with so many inner elements, a multiple of [`Kernel::INNER`].
    fn words(self, depth: usize) -> (usize, usize);
    /// Copies as many lines as a tile has, from `first` on, with inner elements from `inner` on.
    fn pack_left(self, operand: Operand<'_>, first: usize, inner: usize, panel: &mut [Self::Left]);
    /// Copies lines from `first` on into panels of so many words. Neighbors in memory should be read together.
    fn pack_right(
        self,
        operand: Operand<'_>,
        first: usize,
        inner: usize,
        words: usize,
        panels: &mut [Self::Right],
    );
    /// Multiplies left panels with a right one. Left panels begin `stride` words apart; only the words that fit the right panel
    /// count.
    fn multiply(self, left: &[Self::Left], stride: usize, right: &[Self::Right], columns: Columns<'_, '_>);
}

/// Neighboring columns of the result.
pub(super) struct Columns<'a, 'b> {
    pub(super) rows: &'a mut [&'b mut [f32]],
    pub(super) first: usize,
    pub(super) count: usize,
    pub(super) scale: f32,
    pub(super) add: bool,
}

impl Columns<'_, '_> {
    /// Stores sums of a row, or adds them.
    #[inline(always)]
    pub(super) fn store(&mut self, row: usize, sums: &[f32]) {
        let Some(row) = self.rows.get_mut(row) else {
            return;
        };
        let out = &mut row[self.first..self.first + self.count];
        if self.add {
            for (out, sum) in out.iter_mut().zip(sums) {
                *out += sum * self.scale;
            }
        } else {
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum * self.scale;
            }
        }
    }
}

/// Columns of the result that one thread computes.
struct Job<'a> {
    first: usize,
    rows: Vec<&'a mut [f32]>,
}

fn jobs(out: &mut [f32], stride: usize, columns: usize, width: usize) -> Vec<Job<'_>> {
    let rows = out.len().div_ceil(stride);
    let mut jobs: Vec<Job<'_>> = (0..columns)
        .step_by(width)
        .map(|first| Job {
            first,
            rows: Vec::with_capacity(rows),
        })
        .collect();
    for row in out.chunks_mut(stride) {
        for (job, part) in jobs.iter_mut().zip(row[..columns].chunks_mut(width)) {
            job.rows.push(part);
        }
    }
    jobs
}

/// Writes or adds `scale` times the product of all lines.
pub(super) fn run<K: Kernel>(
    kernel: K,
    out: Out<'_>,
    (left, right): (Operand<'_>, Operand<'_>),
    scale: f32,
    threads: usize,
) {
    let (rows, columns, inner) = (left.lines(), right.lines(), left.inner());
    if rows == 0 || columns == 0 {
        return;
    }
    let Out { data, stride, add } = out;
    let data = &mut data[..(rows - 1) * stride + columns];
    if inner == 0 {
        if !add {
            data.chunks_mut(stride).for_each(|row| row[..columns].fill(0.0));
        }
        return;
    }
    let (tile_rows, tile_columns) = kernel.tile();
    let panels = columns.div_ceil(tile_columns);
    // Equally many jobs for each thread, and several of them, because threads begin late.
    let rounds = panels.div_ceil(threads * PANELS).max(ROUNDS);
    let at_once = panels.div_ceil(threads * rounds);
    let mut jobs = jobs(data, stride, columns, at_once * tile_columns);
    for from in (0..inner).step_by(DEPTH) {
        let depth = DEPTH.min(inner - from);
        let words = kernel.words(depth.next_multiple_of(K::INNER)).0;
        scratch::with(rows.div_ceil(tile_rows) * words, |panels: &mut [K::Left]| {
            let pack = |(index, panel): (usize, &mut [K::Left])| {
                kernel.pack_left(left, index * tile_rows, from, panel);
            };
            let block = Block {
                kernel,
                right,
                inner: (from, depth),
                words,
                scale,
                add: add || from > 0,
            };
            if threads == 1 {
                panels.chunks_exact_mut(words).enumerate().for_each(pack);
                jobs.iter_mut().for_each(|job| block.compute(panels, job));
            } else {
                panels.par_chunks_exact_mut(words).enumerate().for_each(pack);
                let panels = &*panels;
                jobs.par_iter_mut().for_each(|job| block.compute(panels, job));
            }
        });
    }
}

/// Some inner elements of a product.
struct Block<'a, K> {
    kernel: K,
    right: Operand<'a>,
    /// First inner element, and their number.
    inner: (usize, usize),
    /// Words of a left panel.
    words: usize,
    scale: f32,
    add: bool,
}

impl<K: Kernel> Block<'_, K> {
    fn compute(&self, left: &[K::Left], job: &mut Job<'_>) {
        let Some(columns) = job.rows.first().map(|row| row.len()) else {
            return;
        };
        let width = self.kernel.tile().1;
        let count = columns.div_ceil(width);
        let words = |depth: usize| self.kernel.words(depth.next_multiple_of(K::INNER)).1;
        let most = count * words(K::DEPTH.min(self.inner.1));
        scratch::with(most, |panels: &mut [K::Right]| {
            for at in (0..self.inner.1).step_by(K::DEPTH) {
                let words = words(K::DEPTH.min(self.inner.1 - at));
                let panels = &mut panels[..count * words];
                self.kernel
                    .pack_right(self.right, job.first, self.inner.0 + at, words, panels);
                for (index, panel) in panels.chunks_exact(words).enumerate() {
                    let first = index * width;
                    let columns = Columns {
                        rows: &mut job.rows,
                        first,
                        count: width.min(columns - first),
                        scale: self.scale,
                        add: self.add || at > 0,
                    };
                    let left = &left[self.kernel.words(at).0..];
                    self.kernel.multiply(left, self.words, panel, columns);
                }
            }
        });
    }
}
