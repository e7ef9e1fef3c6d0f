//! Where the elements of a factor come from, whatever they are kept in.

/// A matrix whose rows can be read in parts.
pub(crate) trait Rows: Sync {
    /// Writes elements of a row, from `from` on.
    fn read(&self, row: usize, from: usize, out: &mut [f32]);
}

/// A factor of a product, as lines: each line of the left factor meets each of the right one.
#[derive(Clone, Copy)]
pub(crate) struct Factor<'a> {
    rows: &'a dyn Rows,
    lines: usize,
    inner: usize,
    across: bool,
}

impl std::fmt::Debug for Factor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Factor")
            .field("lines", &self.lines)
            .field("inner", &self.inner)
            .field("across", &self.across)
            .finish_non_exhaustive()
    }
}

/// Elements of a line that are read at once.
const PART: usize = 64;

impl<'a> Factor<'a> {
    /// Lines are the rows in memory.
    pub(crate) fn of_rows(rows: &'a dyn Rows, lines: usize, inner: usize) -> Self {
        Self {
            rows,
            lines,
            inner,
            across: false,
        }
    }

    /// Lines are the columns in memory.
    pub(crate) fn of_columns(rows: &'a dyn Rows, lines: usize, inner: usize) -> Self {
        Self {
            across: true,
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

    /// Whether lines are the columns in memory.
    pub(super) fn is_across(&self) -> bool {
        self.across
    }

    /// Copies lines from `first` on into panels of `words`, `width` lines each, inner elements from `inner` on: all lines' values of one
    /// inner element, then those of the next; zeros where there are no lines.
    pub(super) fn pack(&self, first: usize, inner: usize, width: usize, words: usize, panels: &mut [f32]) {
        let own = |index: usize| width.min(self.lines - first - index * width);
        if !self.across {
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
        // Some elements at a time, so that what is written to stays in the first cache.
        for (index, out) in panel.chunks_mut(PART * width).enumerate() {
            let part = &mut part[..out.len() / width];
            for line in 0..own {
                self.rows.read(first + line, inner + index * PART, part);
                let to = out[line..].iter_mut().step_by(width);
                to.zip(&*part).for_each(|(out, value)| *out = *value);
            }
        }
    }

    /// Copies a square: rows are those in memory. `first` is a line, and what the factor lacks of the square is zero.
    pub(super) fn square<const N: usize>(&self, first: usize, inner: usize, out: &mut [[f32; N]; N]) {
        let (lines, depth) = (N.min(self.lines - first), N.min(self.inner - inner));
        let ((row, rows), (column, columns)) = if self.across {
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
