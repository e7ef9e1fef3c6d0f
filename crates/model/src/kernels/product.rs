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

/// One tile of `T` tokens with one panel.
pub(crate) trait Kernel<W: Operand>: Copy {
    fn tile<const T: usize>(self, panel: &[W], x: &[W::X]) -> [[f32; ROWS]; T];
}

impl<W: Operand> Product<'_, W> {
    /// All tiles with all panels, a panel staying near the core until all tiles have met it.
    #[inline(always)]
    pub(crate) fn drive<K: Kernel<W>>(mut self, kernel: K) {
        let x = self.x.data.as_slice();
        let width = x.len() / self.x.tokens;
        let panels = self.panels;
        for (index, panel) in panels.from(self.first).take(self.count).enumerate() {
            let rows = (panels.rows() - (self.first + index) * ROWS).min(ROWS);
            let mut token = 0;
            for size in tiles(self.x.tokens, self.x.sizes) {
                let x = &x[token * width..][..size * width];
                let at = token * self.token_stride + index * self.panel_stride;
                macro_rules! store {
                    ($size:literal) => {
                        self.store(at, rows, &kernel.tile::<$size>(panel, x))
                    };
                }
                match size {
                    12 => store!(12),
                    8 => store!(8),
                    6 => store!(6),
                    4 => store!(4),
                    2 => store!(2),
                    _ => store!(1),
                }
                token += size;
            }
        }
    }

    #[inline(always)]
    fn store(&mut self, at: usize, rows: usize, tile: &[[f32; ROWS]]) {
        for (token, values) in tile.iter().enumerate() {
            let out = &mut self.out[at + token * self.token_stride..];
            match out.first_chunk_mut::<ROWS>() {
                Some(out) if rows == ROWS => *out = *values,
                _ => out[..rows].copy_from_slice(&values[..rows]),
            }
        }
    }
}
