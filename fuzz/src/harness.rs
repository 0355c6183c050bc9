//! What the fuzzer and the tests of crates share: what a target is, and what its decoder may take.
//!
//! A target is an entry in the `TARGETS` of a crate's `tests/fuzz/targets.rs`, and a folder of inputs in `fuzz/corpus`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// A decoder to feed.
pub struct Target {
    /// What it is called: the name of its folder in the corpus.
    pub name: &'static str,
    /// What its inputs are made of.
    pub words: &'static [&'static str],
    /// Decodes and checks what came of it. Panics if that is wrong.
    pub run: fn(&[u8]),
}

/// What a decoder may allocate for one input, all in all: a bound of its memory and, as no clock is asked, of its time.
const ALLOWED: usize = 256 << 20;

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: all is the system allocator's work; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller promised what the system allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

fn count(bytes: usize) {
    // A thread that ends may free and allocate after its counter is gone.
    let _ = ALLOCATED.try_with(|all| all.set(all.get().saturating_add(bytes)));
}

impl Target {
    /// Feeds the decoder with an input. Panics if it is not borne.
    pub fn feed(&self, input: &[u8]) {
        let before = ALLOCATED.get();
        (self.run)(input);
        let taken = ALLOCATED.get().wrapping_sub(before);
        assert!(taken <= ALLOWED, "{}: {taken} bytes were allocated", self.name);
    }
}
