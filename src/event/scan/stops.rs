//! Finds the bytes that can end a run of plain string bytes (quote, backslash, control character), 64 bytes at a time.

/// Bytes that one step looks at.
const STEP: usize = 64;

/// Which instructions classify the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    /// Made only by [`Level::best`], after the processor was asked.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What every processor of the architecture has.
    Base,
}

impl Level {
    /// The widest that this processor has.
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self::Avx2;
        }
        Self::Base
    }
}

/// What was found in 64 bytes: bit `i` speaks of byte `i`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Found {
    /// Quote, backslash or below 0x20.
    stops: u64,
    /// 0x80 or above.
    high: u64,
}

/// One bit per byte of a record, set where a run of plain string bytes ends.
///
/// After [`mark`](Marks::mark) of a record of `len` bytes the bits from `len` to at least `len + 64` are set, so that a
/// search always ends.
#[derive(Debug)]
pub(crate) struct Marks {
    level: Level,
    bits: Vec<u8>,
}

impl Marks {
    pub(crate) fn new() -> Self {
        Self {
            level: Level::best(),
            bits: Vec::new(),
        }
    }

    /// The same with the instructions that every processor has.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self {
            level: Level::Base,
            bits: Vec::new(),
        }
    }

    /// Marks `buf[start..end]` and tells whether all of it is ASCII. The caller has checked the range.
    #[inline]
    pub(crate) fn mark(&mut self, buf: &[u8], start: usize, end: usize) -> bool {
        let needed = (end - start) / STEP * 8 + 16;
        if self.bits.len() < needed {
            self.bits.resize(needed, 0);
        }
        match self.level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Level::Avx2` exists only where the processor was found to have AVX2.
            Level::Avx2 => unsafe { mark_avx2(buf, start, end, &mut self.bits[..needed]) },
            Level::Base => mark_with(buf, start, end, &mut self.bits[..needed], classify),
        }
    }

    /// What the last [`mark`](Marks::mark) wrote.
    #[inline]
    pub(crate) fn marked(&self) -> Marked<'_> {
        Marked(&self.bits)
    }
}

/// The marks of one record.
#[derive(Clone, Copy)]
pub(crate) struct Marked<'a>(&'a [u8]);

impl Marked<'_> {
    /// The marks from `from` on, that of `from` lowest: those of 57 bytes at least.
    #[inline(always)]
    pub(super) fn from(self, from: usize) -> u64 {
        let word = self.0.get(from >> 3..).and_then(<[u8]>::first_chunk::<8>);
        // Past the last mark no search may go on.
        word.map_or(u64::MAX, |word| u64::from_le_bytes(*word)) >> (from & 7)
    }

    /// The first stop at or after `from`, or the record's length when there is none.
    #[inline(always)]
    pub(crate) fn next(self, mut from: usize) -> usize {
        loop {
            let marks = self.from(from);
            if marks != 0 {
                return from + marks.trailing_zeros() as usize;
            }
            from = (from & !7) + STEP;
        }
    }
}

/// Classifies all steps of the range; the last one may be partial.
#[inline(always)]
fn mark_with(
    buf: &[u8],
    start: usize,
    end: usize,
    bits: &mut [u8],
    classify: impl Fn(&[u8; STEP]) -> Found,
) -> bool {
    let (steps, rest) = buf[start..end].as_chunks::<STEP>();
    let (words, _) = bits.as_chunks_mut::<8>();
    let mut high = 0;
    for (step, word) in steps.iter().zip(words.iter_mut()) {
        let found = classify(step);
        high |= found.high;
        *word = found.stops.to_le_bytes();
    }
    let past = !0_u64 << rest.len();
    // A whole step is read where the buffer goes on, which it does for all but its last record.
    let found = match buf[end - rest.len()..].first_chunk::<STEP>() {
        _ if rest.is_empty() => Found { stops: 0, high: 0 },
        Some(step) => classify(step),
        None => {
            let mut step = [b' '; STEP];
            step[..rest.len()].copy_from_slice(rest);
            classify(&step)
        }
    };
    high |= found.high & !past;
    if let [.., last, beyond] = words {
        *last = (found.stops | past).to_le_bytes();
        *beyond = [0xFF; 8];
    }
    high == 0
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn mark_avx2(buf: &[u8], start: usize, end: usize, bits: &mut [u8]) -> bool {
    mark_with(buf, start, end, bits, |step| classify_avx2(step))
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
#[allow(clippy::cast_ptr_alignment, reason = "the load takes any address")]
fn classify_avx2(step: &[u8; STEP]) -> Found {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8,
        _mm256_or_si256, _mm256_set1_epi8,
    };
    let half = |at: usize| {
        // SAFETY: `at` is 0 or 32, so 32 bytes from there lie inside the 64 of `step`; the load needs no alignment.
        let bytes = unsafe { _mm256_loadu_si256(step.as_ptr().add(at).cast::<__m256i>()) };
        let control = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1F)), bytes);
        let quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"'.cast_signed()));
        let backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\'.cast_signed()));
        let stops = _mm256_or_si256(control, _mm256_or_si256(quote, backslash));
        let mask = |bytes| u64::from(_mm256_movemask_epi8(bytes).cast_unsigned());
        (mask(stops), mask(bytes))
    };
    let (low, high) = (half(0), half(32));
    Found {
        stops: low.0 | high.0 << 32,
        high: low.1 | high.1 << 32,
    }
}

/// What is asked of 32 bytes at once. Bit `i` of an answer speaks of byte `i`.
pub(super) trait Half {
    /// The stops, and the bytes of 0x80 or above.
    ///
    /// # Safety
    /// 32 bytes can be read from there, with the instructions of the type.
    unsafe fn classify(at: *const u8) -> (u32, u32);

    /// The bytes that are the same in both.
    ///
    /// # Safety
    /// 32 bytes can be read from both, with the instructions of the type.
    unsafe fn equal(a: *const u8, b: *const u8) -> u32;
}

/// With the instructions that every processor has.
pub(super) struct BaseHalf;

/// With AVX2.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx2Half;

#[cfg(target_arch = "x86_64")]
#[allow(clippy::cast_ptr_alignment, reason = "the loads take any address")]
impl Half for Avx2Half {
    #[inline(always)]
    unsafe fn classify(at: *const u8) -> (u32, u32) {
        use std::arch::x86_64::{
            __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8,
            _mm256_or_si256, _mm256_set1_epi8,
        };
        // SAFETY: as the trait says; the load needs no alignment.
        unsafe {
            let bytes = _mm256_loadu_si256(at.cast::<__m256i>());
            let control = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1F)), bytes);
            let quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"'.cast_signed()));
            let backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\'.cast_signed()));
            let stops = _mm256_or_si256(control, _mm256_or_si256(quote, backslash));
            (
                _mm256_movemask_epi8(stops).cast_unsigned(),
                _mm256_movemask_epi8(bytes).cast_unsigned(),
            )
        }
    }

    #[inline(always)]
    unsafe fn equal(a: *const u8, b: *const u8) -> u32 {
        use std::arch::x86_64::{
            __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
        };
        // SAFETY: as the trait says; the loads need no alignment.
        unsafe {
            let a = _mm256_loadu_si256(a.cast::<__m256i>());
            let b = _mm256_loadu_si256(b.cast::<__m256i>());
            _mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)).cast_unsigned()
        }
    }
}

impl Half for BaseHalf {
    #[inline(always)]
    unsafe fn classify(at: *const u8) -> (u32, u32) {
        // SAFETY: as the trait says; bytes have no alignment.
        let half = unsafe { &*at.cast::<[u8; STEP / 2]>() };
        #[cfg(target_arch = "x86_64")]
        {
            let (parts, _) = half.as_chunks::<16>();
            let mut found = (0, 0);
            for (at, part) in parts.iter().enumerate() {
                let (stops, high) = classify_sse2(part);
                found.0 |= u32::from(stops) << (at * 16);
                found.1 |= u32::from(high) << (at * 16);
            }
            found
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let mut step = [b' '; STEP];
            step[..STEP / 2].copy_from_slice(half);
            let found = classify_words(&step);
            (found.stops as u32, found.high as u32)
        }
    }

    #[inline(always)]
    unsafe fn equal(a: *const u8, b: *const u8) -> u32 {
        let mut same = 0;
        #[cfg(target_arch = "x86_64")]
        for at in [0, 16] {
            use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8};
            #[allow(clippy::cast_ptr_alignment, reason = "the loads take any address")]
            // SAFETY: SSE2 belongs to every x86-64 processor; 16 bytes from 0 and from 16 are 32.
            let mask = unsafe {
                let a = _mm_loadu_si128(a.add(at).cast::<__m128i>());
                let b = _mm_loadu_si128(b.add(at).cast::<__m128i>());
                _mm_movemask_epi8(_mm_cmpeq_epi8(a, b)).cast_unsigned()
            };
            same |= mask << at;
        }
        #[cfg(not(target_arch = "x86_64"))]
        for at in 0..STEP / 2 {
            // SAFETY: as the trait says.
            same |= u32::from(unsafe { *a.add(at) == *b.add(at) }) << at;
        }
        same
    }
}

/// SSE2 belongs to every x86-64 processor.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn classify(step: &[u8; STEP]) -> Found {
    let (parts, _) = step.as_chunks::<16>();
    let mut found = Found { stops: 0, high: 0 };
    for (at, part) in parts.iter().enumerate() {
        let (stops, high) = classify_sse2(part);
        found.stops |= u64::from(stops) << (at * 16);
        found.high |= u64::from(high) << (at * 16);
    }
    found
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(clippy::cast_ptr_alignment, reason = "the load takes any address")]
fn classify_sse2(part: &[u8; 16]) -> (u16, u16) {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8,
    };
    // SAFETY: SSE2 belongs to every x86-64 processor; the load reads the 16 bytes of `part` and needs no alignment.
    let (stops, high) = unsafe {
        let bytes = _mm_loadu_si128(part.as_ptr().cast::<__m128i>());
        let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
        let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"'.cast_signed()));
        let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
        let stops = _mm_or_si128(control, _mm_or_si128(quote, backslash));
        (_mm_movemask_epi8(stops), _mm_movemask_epi8(bytes))
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mask of 16 bytes has 16 bits"
    )]
    (stops as u16, high as u16)
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn classify(step: &[u8; STEP]) -> Found {
    classify_words(step)
}

/// The same with plain 64-bit arithmetic, for any processor.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
fn classify_words(step: &[u8; STEP]) -> Found {
    let mut found = Found { stops: 0, high: 0 };
    let (words, _) = step.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        found.stops |= gather(stop_bytes(word)) << (at * 8);
        found.high |= gather(word & TOPS) << (at * 8);
    }
    found
}

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// The top bit of each byte of `word` that is a quote, a backslash or below 0x20. Exact for every byte: sums of seven
/// bits never carry into the next byte.
#[inline(always)]
const fn stop_bytes(word: u64) -> u64 {
    let low = word & !TOPS;
    let not_control = low + ONES * (0x80 - 0x20);
    let not_quote = (low ^ (ONES * b'"' as u64)) + !TOPS;
    let not_backslash = (low ^ (ONES * b'\\' as u64)) + !TOPS;
    !(not_control & not_quote & not_backslash) & !word & TOPS
}

/// Packs the eight top bits into one byte, the lowest first.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
const fn gather(tops: u64) -> u64 {
    (tops >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// The index of the first quote, backslash or byte below 0x20 of `text`, or its length: what JSON cannot hold in a
/// string as it is.
#[must_use]
#[inline]
pub fn find_stop(text: &[u8]) -> usize {
    let mut at = 0;
    #[cfg(target_arch = "x86_64")]
    while let Some(part) = text.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        let (stops, _) = classify_sse2(part);
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += 16;
    }
    while let Some(part) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let stops = stop_bytes(u64::from_le_bytes(*part));
        if stops != 0 {
            return at + stops.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .position(|&byte| is_stop(byte))
        .unwrap_or(rest.len())
}

/// Whether a run of plain string bytes ends at `byte`.
#[inline]
pub(super) const fn is_stop(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slow(step: &[u8]) -> Found {
        let mut found = Found { stops: 0, high: 0 };
        for (at, &byte) in step.iter().enumerate() {
            found.stops |= u64::from(is_stop(byte)) << at;
            found.high |= u64::from(byte >= 0x80) << at;
        }
        found
    }

    #[test]
    fn every_classifier_knows_every_byte_beside_every_other() {
        for a in 0..=255_u8 {
            for b in [
                0, 0x1F, 0x20, 0x21, b'"', 0x23, b'\\', 0x5D, 0x7F, 0x80, 0xA2, 0xDC, 0xFF,
            ] {
                let mut step = [b; STEP];
                for at in (0..STEP).step_by(3) {
                    step[at] = a;
                }
                let expected = slow(&step);
                assert_eq!(classify(&step), expected, "{a} {b}");
                assert_eq!(classify_words(&step), expected, "{a} {b}");
                #[cfg(target_arch = "x86_64")]
                if Level::best() == Level::Avx2 {
                    // SAFETY: the processor has AVX2.
                    assert_eq!(unsafe { classify_avx2(&step) }, expected, "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn marks_end_where_the_record_ends() {
        let buf: Vec<u8> = (0..300_usize)
            .map(|at| if at % 37 == 0 { b'"' } else { b'a' })
            .collect();
        for mut marks in [Marks::new(), Marks::plain()] {
            for start in [0, 1, 5, 100] {
                for end in start..=buf.len() {
                    assert!(marks.mark(&buf, start, end));
                    for from in 0..=end - start {
                        let expected = (start + from..end)
                            .find(|&at| buf[at] == b'"')
                            .unwrap_or(end)
                            - start;
                        assert_eq!(marks.marked().next(from), expected, "{start} {end} {from}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn ascii_is_told_of_the_record_alone(mut buf in proptest::collection::vec(0_u8..128, 1..200), at: usize, start: usize, end: usize) {
            let at = at % buf.len();
            buf[at] = 0xC3;
            let start = start % buf.len();
            let end = start + end % (buf.len() - start + 1);
            let expected = !(start..end).contains(&at);
            prop_assert_eq!(Marks::new().mark(&buf, start, end), expected);
            prop_assert_eq!(Marks::plain().mark(&buf, start, end), expected);
        }

        #[test]
        fn the_first_stop_is_found(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let plain: Vec<u8> = text.iter().map(|&byte| if is_stop(byte) { b'x' } else { byte }).collect();
            prop_assert_eq!(find_stop(&plain), plain.len());
            prop_assert_eq!(find_stop(&text), text.iter().position(|&byte| is_stop(byte)).unwrap_or(text.len()));
        }
    }
}
