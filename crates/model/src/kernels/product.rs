//! Products of activations with panels of weights: which tile meets which panel, and where the results go.

use super::activations::{Activations, tiles};
use super::panels::{Panels, ROWS, Step};

/// A precision that products can be computed in.
pub(crate) trait Operand: Step {
    /// What activations are made of beside it.
    type X: Send + Sync;
    /// Rearranges tokens that lie one after the other, `columns` each.
    fn arrange(x: &[f32], columns: usize) -> Activations<Self::X>;
    /// Carries a product out.
    fn product(product: Product<'_, Self>);
}

/// `out[token][row] = x[token] · row` for the rows of some panels.
///
/// Where results go is up to the caller: `token_stride` lies between tokens, `panel_stride` between panels, and the rows of
/// a panel are neighbours.
pub(crate) struct Product<'a, W: Operand> {
    pub(crate) panels: &'a Panels<W>,
    /// The first panel, and how many.
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) x: &'a Activations<W::X>,
    pub(crate) out: &'a mut [f32],
    pub(crate) token_stride: usize,
    pub(crate) panel_stride: usize,
}

/// One tile of `T` tokens with `P` panels: as many steps of each as `x` has; what follows them may be fetched ahead.
pub(crate) trait Kernel<W: Operand>: Copy {
    fn tile<const P: usize, const T: usize>(self, panels: [&[W]; P], x: &[W::X]) -> [[[f32; ROWS]; T]; P];
}

/// Panels that one token meets at a time: alone it is done with a panel before the next weights have come from memory, so
/// several streams are read at once.
pub(crate) const STREAMS: usize = 4;

impl<W: Operand> Product<'_, W> {
    /// All tiles with all panels, a panel staying near the core until all tiles have met it.
    #[inline(always)]
    pub(crate) fn drive<K: Kernel<W>>(mut self, kernel: K) {
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
    fn panel<K: Kernel<W>>(&mut self, kernel: K, index: usize) {
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

    /// Stores what the tile that begins with `token` gave with a panel.
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
