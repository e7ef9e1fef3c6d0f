//! Operands of a product, in whatever precision their elements are stored.

/// A matrix whose rows can be read in parts.
pub trait RowSource: Sync {
    /// Writes elements of a row, from `from` on, to `out`.
    fn read(&self, row: usize, from: usize, out: &mut [f32]);
}

/// A matrix as lines: each line of the left operand is multiplied with each of the right one.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    rows: &'a dyn RowSource,
    lines: usize,
    inner: usize,
    /// True if lines are the columns in memory.
    transposed: bool,
}

impl std::fmt::Debug for Operand<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operand")
            .field("lines", &self.lines)
            .field("inner", &self.inner)
            .field("transposed", &self.transposed)
            .finish_non_exhaustive()
    }
}

/// Elements of a line that are read at once.
const PART: usize = 64;

impl<'a> Operand<'a> {
    /// An operand whose lines are the rows in memory.
    #[must_use]
    pub fn of_rows(rows: &'a dyn RowSource, lines: usize, inner: usize) -> Self {
        Self {
            rows,
            lines,
            inner,
            transposed: false,
        }
    }

    /// An operand whose lines are the columns in memory.
    #[must_use]
    pub fn of_columns(rows: &'a dyn RowSource, lines: usize, inner: usize) -> Self {
        Self {
            transposed: true,
            ..Self::of_rows(rows, lines, inner)
        }
    }

    pub(crate) fn lines(&self) -> usize {
        self.lines
    }

    /// Elements of a line.
    pub(crate) fn inner(&self) -> usize {
        self.inner
    }

    pub(super) fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// Copies lines from `first` on into panels of `words`, `width` lines each, with inner elements from `inner` on.
    ///
    /// A panel has the values of all its lines for one inner element, then for the next; zeros stand for missing lines.
    pub(super) fn pack(&self, first: usize, inner: usize, width: usize, words: usize, panels: &mut [f32]) {
        let own = |index: usize| width.min(self.lines - first - index * width);
        if !self.transposed {
            for (index, panel) in panels.chunks_exact_mut(words).enumerate() {
                self.pack_rows(first + index * width, inner, (own(index), width), panel);
            }
            return;
        }
        for i in 0..words / width {
            for (index, panel) in panels.chunks_exact_mut(words).enumerate() {
                let (out, rest) = panel[i * width..(i + 1) * width].split_at_mut(own(index));
                self.rows.read(inner + i, first + index * width, out);
                rest.fill(0.0);
            }
        }
    }

    /// Copies `own` rows into a panel for `width` of them.
    fn pack_rows(&self, first: usize, inner: usize, (own, width): (usize, usize), panel: &mut [f32]) {
        if own < width {
            panel.fill(0.0);
        }
        let mut part = [0.0; PART];
        // Some elements at a time, so that the part of the panel stays in the first cache.
        for (index, out) in panel.chunks_mut(PART * width).enumerate() {
            let part = &mut part[..out.len() / width];
            for line in 0..own {
                self.rows.read(first + line, inner + index * PART, part);
                let to = out[line..].iter_mut().step_by(width);
                to.zip(&*part).for_each(|(out, value)| *out = *value);
            }
        }
    }

    /// Copies a square with its rows as in memory. `first` is a line; zeros stand for elements beyond the operand.
    pub(super) fn square<const N: usize>(&self, first: usize, inner: usize, out: &mut [[f32; N]; N]) {
        let (lines, depth) = (N.min(self.lines - first), N.min(self.inner - inner));
        let ((row, rows), (column, columns)) = if self.transposed {
            ((inner, depth), (first, lines))
        } else {
            ((first, lines), (inner, depth))
        };
        for (index, out) in out.iter_mut().enumerate() {
            let own = if index < rows { columns } else { 0 };
            if own > 0 {
                self.rows.read(row + index, column, &mut out[..own]);
            }
            out[own..].fill(0.0);
        }
    }
}
