//! Bounded stores: blocks, bodies, and the bytes that outputs may hold.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::lock;
use crate::plugin::{Block, Body};

/// Emptied bodies kept for reuse while nothing is on its way, per output.
const SPARE_BODIES: usize = 4;
/// Larger ones are not kept.
const SPARE_BYTES: usize = 8 << 20;

/// A fixed number of blocks. Who takes one when none is left waits.
pub struct BlockPool {
    state: Mutex<Blocks>,
    returned: Condvar,
}

struct Blocks {
    free: Vec<Block>,
    unmade: usize,
    total: usize,
}

impl BlockPool {
    /// A pool of `total` blocks, made when first needed.
    #[must_use]
    pub fn new(total: usize) -> Self {
        BlockPool {
            state: Mutex::new(Blocks {
                free: Vec::new(),
                unmade: total,
                total,
            }),
            returned: Condvar::new(),
        }
    }

    /// Takes a block; waits at most so long.
    pub fn take(&self, patience: Duration) -> Option<Block> {
        let mut state = lock(&self.state);
        loop {
            if let Some(block) = state.free.pop() {
                return Some(block);
            }
            if state.unmade > 0 {
                state.unmade -= 1;
                return Some(Block::default());
            }
            let (next, timeout) = self
                .returned
                .wait_timeout(state, patience)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            state = next;
            if timeout.timed_out() && state.free.is_empty() && state.unmade == 0 {
                return None;
            }
        }
    }

    /// Gives a block back, emptied. An oversized buffer (one huge record) is not kept.
    pub fn put(&self, mut block: Block, keep: usize) {
        block.clear();
        if block.buf.capacity() > keep * 2 {
            block.buf = Vec::new();
        }
        lock(&self.state).free.push(block);
        self.returned.notify_one();
    }

    /// Blocks in use, and in all (gauges).
    #[must_use]
    pub fn in_use(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.total - state.unmade - state.free.len(), state.total)
    }
}

/// The bytes that an output may hold unanswered, and its spare bodies.
pub struct Budget {
    state: Mutex<BudgetState>,
    released: Condvar,
    max: usize,
}

#[derive(Default)]
struct BudgetState {
    used: usize,
    bodies: usize,
    closed: bool,
    spare: Vec<Body>,
}

impl BudgetState {
    /// Keeps an emptied body: memory that is used already costs no page faults. A few are always kept, more only while
    /// they stay within the budget together with what is used; when a burst is over, only a few are left.
    fn keep(&mut self, mut body: Body, max: usize) {
        body.clear();
        if self.used == 0 {
            self.spare.truncate(SPARE_BODIES);
        }
        let kept: usize = self.spare.iter().map(|body| body.bytes.capacity()).sum();
        let size = body.bytes.capacity();
        let few = self.spare.len() < SPARE_BODIES && kept + size <= max;
        let room = self.used > 0 && self.used + kept + size <= max;
        if size <= SPARE_BYTES && (few || room) {
            self.spare.push(body);
        }
    }
}

impl Budget {
    /// A budget of `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Budget {
            state: Mutex::default(),
            released: Condvar::new(),
            max,
        }
    }

    /// An empty body.
    pub fn body(&self) -> Body {
        lock(&self.state).spare.pop().unwrap_or_default()
    }

    /// Waits until the bytes fit; false when the pipeline gives up first. A body larger than the whole budget passes
    /// alone.
    #[must_use]
    pub fn acquire(&self, bytes: usize) -> bool {
        let mut state = lock(&self.state);
        while state.used > 0 && state.used + bytes > self.max {
            if state.closed {
                return false;
            }
            state = self
                .released
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.used += bytes;
        state.bodies += 1;
        true
    }

    /// Nobody waits any more.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.released.notify_all();
    }

    /// Returns the bytes and keeps the body for reuse.
    pub fn release(&self, bytes: usize, body: Body) {
        let mut state = lock(&self.state);
        state.used = state.used.saturating_sub(bytes);
        state.bodies = state.bodies.saturating_sub(1);
        state.keep(body, self.max);
        drop(state);
        self.released.notify_all();
    }

    /// Keeps a body that was never sent.
    pub fn keep(&self, body: Body) {
        lock(&self.state).keep(body, self.max);
    }

    /// Bytes and bodies that wait for answers (gauges).
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.used, state.bodies)
    }

    /// The bound on bytes.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(capacity: usize) -> Body {
        Body {
            bytes: Vec::with_capacity(capacity),
            items: Vec::new(),
        }
    }

    fn spare(budget: &Budget) -> usize {
        lock(&budget.state).spare.len()
    }

    #[test]
    fn more_than_a_few_spare_bodies_stay_within_the_budget() {
        const MIB: usize = 1 << 20;
        let budget = Budget::new(20 * MIB);
        for _ in 0..20 {
            assert!(budget.acquire(MIB));
        }
        for returned in 1..20 {
            budget.release(MIB, body(2 * MIB));
            let used = budget.held().0;
            assert_eq!(used, (20 - returned) * MIB);
            let few = spare(&budget) <= SPARE_BODIES;
            assert!(few || used + spare(&budget) * 2 * MIB <= 20 * MIB);
        }
        assert!(spare(&budget) >= 5, "{}", spare(&budget));
        budget.release(MIB, body(2 * MIB));
        assert_eq!(spare(&budget), SPARE_BODIES, "the burst is over");
        budget.keep(body(SPARE_BYTES + 1));
        assert_eq!(spare(&budget), SPARE_BODIES);
        assert_eq!(budget.body().bytes.capacity(), 2 * MIB);
        budget.keep(body(SPARE_BYTES + 1));
        assert_eq!(spare(&budget), SPARE_BODIES - 1, "too large to be kept");
    }
}
