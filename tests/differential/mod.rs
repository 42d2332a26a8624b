//! What the differential tests share: random numbers, and how long they go on.
//!
//! `LOGMILL_SEED` says which random inputs are tried (default 1), `LOGMILL_FUZZ_SECONDS` for how long; without it a
//! test tries a fixed number of them, the same on every machine.

use std::env;
use std::time::{Duration, Instant};

/// xorshift: the same numbers on every machine.
pub struct Random(u64);

impl Random {
    /// Numbers that depend on the seed alone.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next 48 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            0
        } else {
            (self.next() % bound as u64) as usize
        }
    }

    /// True once in `of` times.
    pub fn once_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    /// One of them.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// A number from the environment.
pub fn from_env(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The seed of this run.
pub fn seed() -> u64 {
    from_env("LOGMILL_SEED").unwrap_or(1)
}

/// Rounds that are to be done: a fixed number, or as many as the time that was asked for allows.
pub struct Rounds {
    left: u64,
    until: Option<Instant>,
}

impl Rounds {
    /// `usual` rounds, unless `LOGMILL_FUZZ_SECONDS` is set.
    pub fn new(usual: u64) -> Self {
        let until = from_env("LOGMILL_FUZZ_SECONDS")
            .map(|seconds| Instant::now() + Duration::from_secs(seconds));
        Self { left: usual, until }
    }

    /// Whether there is another one to do.
    pub fn another(&mut self) -> bool {
        if let Some(until) = self.until {
            return Instant::now() < until;
        }
        let any = self.left > 0;
        self.left = self.left.saturating_sub(1);
        any
    }
}
