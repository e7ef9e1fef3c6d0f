//! Products of activations with panels of weights: the order of tiles and panels, and the place of results.

use super::activations::{Activations, tiles};
use super::panels::{Panels, ROWS, Step};

/// A layout of weights that activations can be multiplied with.
pub(crate) trait Multiply: Step {
    /// Element of rearranged activations.
    type X: Send + Sync;

    /// Rearranges tokens that follow each other, `columns` each.
    fn arrange(x: &[f32], columns: usize) -> Activations<Self::X>;

    /// Computes a product.
    fn multiply(product: Product<'_, Self>);
}

/// `out[token][row] = x[token] · row` for the rows of some panels.
///
/// The caller chooses the place of results: `token_stride` lies between tokens and `panel_stride` between panels. The rows of a
/// panel are neighbors.
pub(crate) struct Product<'a, W: Multiply> {
    pub(crate) panels: &'a Panels<W>,
    /// The first panel, and their number.
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) x: &'a Activations<W::X>,
    pub(crate) out: &'a mut [f32],
    pub(crate) token_stride: usize,
    pub(crate) panel_stride: usize,
}

/// Arithmetic for tiles of a product.
pub(crate) trait TileKernel<W: Multiply>: Copy {
    /// Multiplies `T` tokens with `P` panels, as many steps of each as `x` has. Later steps may be prefetched.
    fn tile<const P: usize, const T: usize>(self, panels: [&[W]; P], x: &[W::X]) -> [[[f32; ROWS]; T]; P];
}

/// Panels that a single token is multiplied with at a time. It is done with one panel before the next weights have come from
/// memory, so several streams are read at once.
pub(crate) const STREAMS: usize = 4;

impl<W: Multiply> Product<'_, W> {
    /// Multiplies all tiles with all panels. A panel stays near the core until all tiles are done with it.
    #[inline(always)]
    pub(crate) fn drive<K: TileKernel<W>>(mut self, kernel: K) {
        let mut done = 0;
        if self.x.tokens == 1 {
            while self.count - done >= STREAMS {
                let mut panels: [&[W]; STREAMS] = [&[]; STREAMS];
                for (index, panel) in panels.iter_mut().enumerate() {
                    *panel = self.panels.panel(self.first + done + index);
                }
                let tiles = kernel.tile::<STREAMS, 1>(panels, &self.x.data);
                for (index, tile) in tiles.iter().enumerate() {
                    self.store(0, done + index, tile);
                }
                done += STREAMS;
            }
        }
        for index in done..self.count {
            self.panel(kernel, index);
        }
    }

    #[inline(always)]
    fn panel<K: TileKernel<W>>(&mut self, kernel: K, index: usize) {
        let panel = [self.panels.panel(self.first + index)];
        let width = self.x.data.len() / self.x.tokens;
        let mut token = 0;
        for size in tiles(self.x.tokens, self.x.sizes) {
            let x = &self.x.data[token * width..][..size * width];
            macro_rules! tile {
                ($size:literal) => {
                    self.store(token, index, &kernel.tile::<1, $size>(panel, x)[0])
                };
            }
            match size {
                12 => tile!(12),
                8 => tile!(8),
                6 => tile!(6),
                4 => tile!(4),
                2 => tile!(2),
                _ => tile!(1),
            }
            token += size;
        }
    }

    /// Stores the product of a panel and the tile that begins with `token`.
    #[inline(always)]
    pub(super) fn store(&mut self, token: usize, index: usize, tile: &[[f32; ROWS]]) {
        let rows = (self.panels.rows() - (self.first + index) * ROWS).min(ROWS);
        let at = token * self.token_stride + index * self.panel_stride;
        for (token, values) in tile.iter().enumerate() {
            let out = &mut self.out[at + token * self.token_stride..];
            match out.first_chunk_mut::<ROWS>() {
                Some(out) if rows == ROWS => *out = *values,
                _ => out[..rows].copy_from_slice(&values[..rows]),
            }
        }
    }
}
