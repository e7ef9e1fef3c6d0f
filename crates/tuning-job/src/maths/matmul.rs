//! Products of matrices that lie row by row in slices.
//!
//! Blocks of both factors are copied into panels in the order in which the innermost loop reads them; that loop keeps a tile of
//! the result in registers (Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008). Sums run along the
//! inner dimension in one order, however many threads share the rows.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Inner elements of a block: a tile's panels stay in the first cache.
const INNER: usize = 256;
/// Columns of a block: its panels stay in the second cache.
const COLUMNS: usize = 1024;
/// Columns that are copied into panels at once.
const PACKED: usize = 16;
/// Rows a thread takes at once.
const ROWS: usize = 96;
/// Below so many multiplications a product stays on one thread.
const PARALLEL_WORK: usize = 1 << 18;

/// A matrix in a slice; rows may lie further apart than they are long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
    transposed: bool,
}

impl<'a> Mat<'a> {
    /// Rows one after the other.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows that begin `stride` elements apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let needed = if rows == 0 {
            0
        } else {
            (rows - 1) * stride + columns
        };
        Self {
            data: &data[..needed],
            rows,
            columns,
            stride,
            transposed: false,
        }
    }

    /// The same elements, rows as columns.
    pub(crate) fn t(self) -> Self {
        Self {
            transposed: !self.transposed,
            ..self
        }
    }

    fn shape(self) -> (usize, usize) {
        if self.transposed {
            (self.columns, self.rows)
        } else {
            (self.rows, self.columns)
        }
    }

    /// Copies `width` rows from `first` on into a panel, `depth` inner elements from `inner` on: all rows' values of one inner
    /// element, then those of the next; zeros where there are no rows.
    fn pack_rows(
        self,
        first: usize,
        (inner, depth): (usize, usize),
        width: usize,
        factor: f32,
        panel: &mut [f32],
    ) {
        let own = width.min(self.shape().0 - first);
        if self.transposed {
            let rows = panel.chunks_exact_mut(width).take(depth).enumerate();
            for (i, out) in rows {
                let from = &self.data[(inner + i) * self.stride + first..][..own];
                out.iter_mut()
                    .zip(from)
                    .for_each(|(out, value)| *out = value * factor);
                out[own..].fill(0.0);
            }
            return;
        }
        if own < width {
            panel.fill(0.0);
        }
        // Some columns at a time, so that what is written to stays in the first cache.
        for (index, out) in panel
            .chunks_mut(PACKED * width)
            .enumerate()
            .take(depth.div_ceil(PACKED))
        {
            let columns = PACKED.min(depth - index * PACKED);
            for row in 0..own {
                let from = &self.data[(first + row) * self.stride + inner + index * PACKED..][..columns];
                let to = out[row..].iter_mut().step_by(width);
                to.zip(from).for_each(|(out, value)| *out = value * factor);
            }
        }
    }
}

/// Where a product goes.
#[derive(Debug)]
pub(crate) struct Out<'a> {
    pub(crate) data: &'a mut [f32],
    /// Elements between the beginnings of rows.
    pub(crate) stride: usize,
    /// Whether the product is added to what is there.
    pub(crate) add: bool,
}

impl<'a> Out<'a> {
    /// Replaces what is there; rows one after the other.
    pub(crate) fn set(data: &'a mut [f32], columns: usize) -> Self {
        Self {
            data,
            stride: columns,
            add: false,
        }
    }

    /// Adds to what is there; rows one after the other.
    pub(crate) fn add(data: &'a mut [f32], columns: usize) -> Self {
        Self {
            data,
            stride: columns,
            add: true,
        }
    }
}

/// `factor · a · b` on all threads.
pub(crate) fn product(out: Out<'_>, a: Mat<'_>, b: Mat<'_>, factor: f32) {
    let ((rows, inner), (_, columns)) = (a.shape(), b.shape());
    let threads = if rows * columns * inner < PARALLEL_WORK {
        1
    } else {
        rayon::current_num_threads()
    };
    run(out, a, b, factor, threads);
}

/// `factor · a · b` on this thread.
pub(crate) fn product_here(out: Out<'_>, a: Mat<'_>, b: Mat<'_>, factor: f32) {
    run(out, a, b, factor, 1);
}

fn run(out: Out<'_>, a: Mat<'_>, b: Mat<'_>, factor: f32, threads: usize) {
    let ((rows, inner), (_, columns)) = (a.shape(), b.shape());
    if rows == 0 || columns == 0 {
        return;
    }
    let Out { data, stride, add } = out;
    let data = &mut data[..(rows - 1) * stride + columns];
    if inner == 0 && !add {
        return data.chunks_mut(stride).for_each(|row| row[..columns].fill(0.0));
    }
    let tile = Arch::new().dispatch(TileOf { columns });
    // As many jobs as threads where rows are few, and whole tiles.
    let job_rows = rows
        .div_ceil(threads)
        .next_multiple_of(tile.rows)
        .min(ROWS.next_multiple_of(tile.rows));
    let mut panels = vec![0.0; INNER.min(inner) * COLUMNS.min(columns).next_multiple_of(tile.columns)];
    for from in (0..inner).step_by(INNER) {
        let depth = INNER.min(inner - from);
        for first in (0..columns).step_by(COLUMNS) {
            let own = COLUMNS.min(columns - first);
            let panels = &mut panels[..depth * own.next_multiple_of(tile.columns)];
            let pack = |(panel, out): (usize, &mut [f32])| {
                b.t().pack_rows(
                    first + panel * tile.columns,
                    (from, depth),
                    tile.columns,
                    factor,
                    out,
                );
            };
            if threads == 1 {
                panels.chunks_mut(depth * tile.columns).enumerate().for_each(pack);
            } else {
                panels
                    .par_chunks_mut(depth * tile.columns)
                    .enumerate()
                    .for_each(pack);
            }
            let panels = &*panels;
            let job = |(index, out): (usize, &mut [f32])| {
                let block = Block {
                    a,
                    first_row: index * job_rows,
                    rows: job_rows.min(rows - index * job_rows),
                    inner: (from, depth),
                    panels,
                    columns: own,
                    tile,
                    out: &mut out[first..],
                    stride,
                    add: add || from > 0,
                };
                Arch::new().dispatch(block);
            };
            if threads == 1 {
                data.chunks_mut(job_rows * stride).enumerate().for_each(job);
            } else {
                data.par_chunks_mut(job_rows * stride).enumerate().for_each(job);
            }
        }
    }
}

/// Rows and columns of what is in registers at once.
#[derive(Clone, Copy, Debug)]
struct Tile {
    rows: usize,
    columns: usize,
}

/// Finds the tile that fits the registers, and few columns.
struct TileOf {
    columns: usize,
}

impl WithSimd for TileOf {
    type Output = Tile;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Tile {
        let vectors = if self.columns <= S::F32_LANES { 1 } else { 2 };
        Tile {
            rows: if S::F32_LANES >= 16 { 12 } else { 4 },
            columns: vectors * S::F32_LANES,
        }
    }
}

/// Some rows of the result, and what they are made of.
struct Block<'a> {
    a: Mat<'a>,
    first_row: usize,
    rows: usize,
    /// First inner element, and how many.
    inner: (usize, usize),
    /// Of the right factor.
    panels: &'a [f32],
    columns: usize,
    tile: Tile,
    /// From the first column on.
    out: &'a mut [f32],
    stride: usize,
    add: bool,
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.tile.rows, self.tile.columns == S::F32_LANES) {
            (12, true) => self.tiles::<S, 12, 1>(simd),
            (12, false) => self.tiles::<S, 12, 2>(simd),
            (_, true) => self.tiles::<S, 4, 1>(simd),
            (_, false) => self.tiles::<S, 4, 2>(simd),
        }
    }
}

impl Block<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const V: usize>(self, simd: S) {
        let depth = self.inner.1;
        let mut left = vec![0.0; self.rows.next_multiple_of(R) * depth];
        for (index, panel) in left.chunks_exact_mut(R * depth).enumerate() {
            self.a
                .pack_rows(self.first_row + index * R, self.inner, R, 1.0, panel);
        }
        let width = V * S::F32_LANES;
        for (column, right) in self.panels.chunks_exact(width * depth).enumerate() {
            let first = column * width;
            let own = width.min(self.columns - first);
            for (row, left) in left.chunks_exact(R * depth).enumerate() {
                let sums = tile::<S, R, V>(simd, left, right);
                for (i, sums) in sums.iter().enumerate().take(self.rows - (row * R).min(self.rows)) {
                    let out = &mut self.out[(row * R + i) * self.stride + first..][..own];
                    write(simd, sums, out, self.add);
                }
            }
        }
    }
}

/// A tile of the result: `left` holds `R` values for each inner element, `right` `V` vectors.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(simd: S, left: &[f32], right: &[f32]) -> [[S::f32s; V]; R] {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    let (left, _) = left.as_chunks::<R>();
    let (vectors, _) = S::as_simd_f32s(right);
    let (vectors, _) = vectors.as_chunks::<V>();
    for (left, right) in left.iter().zip(vectors) {
        for r in 0..R {
            let value = simd.splat_f32s(left[r]);
            for v in 0..V {
                sums[r][v] = simd.mul_add_e_f32s(value, right[v], sums[r][v]);
            }
        }
    }
    sums
}

#[inline(always)]
fn write<S: Simd, const V: usize>(simd: S, sums: &[S::f32s; V], out: &mut [f32], add: bool) {
    let (vectors, _) = S::as_mut_simd_f32s(out);
    let whole = vectors.len();
    for (out, sum) in vectors.iter_mut().zip(sums) {
        *out = if add { simd.add_f32s(*out, *sum) } else { *sum };
    }
    if whole < V {
        let rest = &mut out[whole * S::F32_LANES..];
        let mut values = [0.0_f32; 64];
        if let Some(first) = S::as_mut_simd_f32s(&mut values).0.first_mut() {
            *first = sums[whole];
        }
        for (out, value) in rest.iter_mut().zip(values) {
            *out = if add { *out + value } else { value };
        }
    }
}

#[cfg(test)]
mod tests;
