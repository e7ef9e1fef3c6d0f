//! How much memory something takes at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Once;

static TELL_BRIEFLY: Once = Once::new();

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator; each thread counts its own.
struct Counting;

fn count(bytes: isize) {
    // A thread that ends has no counters any more.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
}

// SAFETY: every call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: see above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: see above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: see above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new place are there at the same time.
        count(size.cast_signed());
        count(-layout.size().cast_signed());
        // SAFETY: see above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[allow(clippy::print_stderr, reason = "a panic hook has nothing else")]
fn briefly(panic: &std::panic::PanicHookInfo<'_>) {
    eprintln!("{panic}");
}

/// What `work` returns, and the most bytes that it had allocated at a time, on this thread.
///
/// A panic is told without a backtrace from then on: with `RUST_BACKTRACE` set, a backtrace of a panic that is caught takes
/// more memory than what is measured.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    TELL_BRIEFLY.call_once(|| std::panic::set_hook(Box::new(briefly)));
    let before = NOW.get();
    PEAK.set(before);
    let result = work();
    (result, (PEAK.get() - before).max(0).cast_unsigned())
}

#[test]
fn what_is_allocated_is_counted() {
    let (_, bytes) = peak(|| drop(vec![1_u8; 1 << 20]));
    assert!((1 << 20..2 << 20).contains(&bytes), "{bytes}");
    let (held, _) = peak(|| vec![1_u8; 1 << 20]);
    let (_, bytes) = peak(|| drop(held));
    assert_eq!(bytes, 0);
}
