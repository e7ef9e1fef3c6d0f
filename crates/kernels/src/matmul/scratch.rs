//! Buffers for panels, kept from one product to the next.

use std::cell::Cell;
use std::thread::LocalKey;

/// Element of a panel.
pub(super) trait Word: Copy + Send + Sync + 'static {
    const ZERO: Self;
    /// Buffers that this thread does not use at the moment.
    fn buffers() -> &'static LocalKey<Cell<Vec<Vec<Self>>>>;
}

/// Calls `f` with so many words of unknown content.
pub(super) fn with<W: Word, T>(count: usize, f: impl FnOnce(&mut [W]) -> T) -> T {
    // A thread that waits for others may run another product meanwhile: buffers are taken out, not borrowed.
    let mut buffers = W::buffers().take();
    let mut buffer = buffers.pop().unwrap_or_default();
    W::buffers().set(buffers);
    if buffer.len() < count {
        buffer.resize(count, W::ZERO);
    }
    let result = f(&mut buffer[..count]);
    let mut buffers = W::buffers().take();
    buffers.push(buffer);
    W::buffers().set(buffers);
    result
}

macro_rules! word {
    ($word:ty, $zero:expr) => {
        impl Word for $word {
            const ZERO: Self = $zero;

            fn buffers() -> &'static LocalKey<Cell<Vec<Vec<Self>>>> {
                thread_local! {
                    static BUFFERS: Cell<Vec<Vec<$word>>> = const { Cell::new(Vec::new()) };
                }
                &BUFFERS
            }
        }
    };
}

word!(f32, 0.0);
word!(amx::Rows, amx::Rows::ZERO);
word!(amx::Pairs, amx::Pairs::ZERO);
