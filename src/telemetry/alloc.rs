//! Counts allocations: what a program asks of the system's allocator, told as a metric.
//!
//! The count is spread over cells of their own cache lines, one for each thread as long as there are enough, so that
//! counting costs a few nanoseconds and threads do not wait for each other.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Cells; more threads than that share them.
const CELLS: usize = 64;
/// The cell of a thread that has none yet.
const NO_CELL: usize = usize::MAX;

/// One count, alone in its cache lines.
#[repr(align(128))]
struct Count(AtomicU64);

static COUNTS: [Count; CELLS] = [const { Count(AtomicU64::new(0)) }; CELLS];
static NEXT_CELL: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Without a destructor it can be used while a thread begins and ends; const, so that it never allocates.
    static CELL: Cell<usize> = const { Cell::new(NO_CELL) };
}

/// The system's allocator with a count of its calls; a program makes it its own with `#[global_allocator]`.
#[derive(Debug, Default)]
pub struct CountingAllocator;

/// Allocations and reallocations of this process so far; 0 in a program without [`CountingAllocator`].
#[must_use]
pub fn allocations() -> u64 {
    COUNTS
        .iter()
        .map(|count| count.0.load(Relaxed))
        .fold(0, u64::wrapping_add)
}

fn count() {
    let cell = CELL.with(|cell| {
        if cell.get() == NO_CELL {
            cell.set(NEXT_CELL.fetch_add(1, Relaxed) % CELLS);
        }
        cell.get()
    });
    COUNTS[cell].0.fetch_add(1, Relaxed);
}

// SAFETY: every call is handed on to the system's allocator with the arguments it came with, and its result is
// handed back as it is; counting neither allocates nor panics, since the index is below the number of cells.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_in_every_thread() {
        // Other tests do not use this allocator: the program's own is another one here.
        let before = allocations();
        let threads: Vec<_> = (0..100)
            .map(|_| std::thread::spawn(|| (0..1000).for_each(|_| count())))
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(allocations() - before, 100_000);
    }
}
