//! Pseudo-random numbers: the same seed, the same numbers.

use std::fmt::Write as _;

/// `SplitMix64`: fast, and good enough for invented logs.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of the product is uniform but for one part in 2^64 / bound.
        ((u128::from(self.any()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to below `high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A fraction from 0 to below 1, with three decimals.
    pub fn thousandths(&mut self) -> f64 {
        self.below(1000) as f64 / 1000.0
    }

    /// One of the items.
    pub fn pick<'a, T, const N: usize>(&mut self, items: &'a [T; N]) -> &'a T {
        const { assert!(N > 0) };
        &items[self.below(N as u64) as usize]
    }

    /// Appends `digits` hexadecimal digits.
    pub fn hex(&mut self, digits: usize, out: &mut String) {
        let mut left = digits;
        while left > 0 {
            let now = left.min(16);
            let bits = self.any() >> (64 - 4 * now);
            // Writing to a string cannot fail.
            let _ = write!(out, "{bits:0now$x}");
            left -= now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_the_seed_and_stay_below_the_bound() {
        let (mut one, mut other) = (Rng::new(7), Rng::new(7));
        for bound in [1, 2, 3, 1000, u64::MAX] {
            let number = one.below(bound);
            assert_eq!(number, other.below(bound));
            assert!(number < bound);
        }
        assert_eq!(one.below(0), 0);
        let mut text = String::new();
        one.hex(37, &mut text);
        assert_eq!(text.len(), 37);
        assert!(text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
