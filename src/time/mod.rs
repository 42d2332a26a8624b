//! Moments in time: the event timestamp, its text, and the date formats that configs name.
//!
//! Everything here is arithmetic on bytes; the one place that asks the clock is [`Timestamp::now`].

pub mod civil;
mod iso;
mod java;
mod joda;
mod numeric;
mod zone;

pub use iso::parse_event_timestamp;
pub use java::JavaTimeFormatter;
pub use joda::{Granularity, Iso8601Parser, JodaError, JodaFormatter, JodaParser};
pub use numeric::{
    tai64n, unix_from_number, unix_from_text, unix_ms_from_number, unix_ms_from_text,
};
pub use zone::{UnknownZone, Zone};

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use civil::{DAY_SECS, date_of_day};

/// Nanoseconds in a second.
const SECOND_NANOS: u32 = 1_000_000_000;

/// Longest ISO text: a sign, a year of 12 digits, and nanoseconds.
const ISO_TEXT_MAX: usize = 40;

/// A moment in UTC: whole seconds since 1970-01-01T00:00:00Z and the nanoseconds after them.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Default)]
pub struct Timestamp {
    /// Seconds since the epoch; negative before it.
    pub secs: i64,
    /// Nanoseconds after `secs`, below 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// The wall clock's moment. Costs a clock call: once per block, never per event.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place of this room that asks the clock"
    )]
    pub fn now() -> Self {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Self {
                secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanos: since.subsec_nanos(),
            },
            Err(before) => {
                let before = before.duration();
                let secs = -i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Self { secs, nanos: 0 },
                    nanos => Self {
                        secs: secs - 1,
                        nanos: SECOND_NANOS - nanos,
                    },
                }
            }
        }
    }

    /// The moment that lies `millis` milliseconds after the epoch.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        // The remainder is below 1000.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let nanos = millis.rem_euclid(1000) as u32 * 1_000_000;
        Self {
            secs: millis.div_euclid(1000),
            nanos,
        }
    }

    /// Milliseconds since the epoch, cut towards the past; saturates at the ends of `i64`.
    #[must_use]
    pub fn to_millis(self) -> i64 {
        self.secs
            .saturating_mul(1000)
            .saturating_add(i64::from(self.nanos / 1_000_000))
    }

    /// The same moment with everything below milliseconds cut off.
    #[must_use]
    pub fn truncated_to_millis(self) -> Self {
        Self {
            secs: self.secs,
            nanos: self.nanos / 1_000_000 * 1_000_000,
        }
    }

    /// Days since 1970-01-01 of the UTC day that holds this moment; negative before it.
    #[must_use]
    pub fn day_number(self) -> i64 {
        self.secs.div_euclid(DAY_SECS)
    }

    /// Second of the UTC day, 0–86,399.
    #[must_use]
    pub fn second_of_day(self) -> u32 {
        // The remainder is below 86,400.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let second = self.secs.rem_euclid(DAY_SECS) as u32;
        second
    }

    /// Appends the event text of the moment: ISO 8601 in UTC, with 3, 6 or 9 fraction digits as needed, such as
    /// `2024-12-30T07:08:09.123Z`. Years beyond 9999 carry a `+`, years before 0 a `-`.
    pub fn write_iso8601(&self, out: &mut Vec<u8>) {
        self.write_iso8601_cached(out, &mut DayCache::default());
    }

    /// [`Timestamp::write_iso8601`] for many moments of few days: the date is only worked out when the day differs
    /// from the one before.
    pub fn write_iso8601_cached(&self, out: &mut Vec<u8>, days: &mut DayCache) {
        let mut text = [0; ISO_TEXT_MAX];
        let len = self.iso_text(&mut text, days);
        // A copy of fixed length is cheaper than one of the exact length.
        let end = out.len() + len;
        out.extend_from_slice(&text);
        out.truncate(end);
    }

    fn iso_text(self, text: &mut [u8; ISO_TEXT_MAX], days: &mut DayCache) -> usize {
        let date_len = days.copy_date(self.day_number(), text);
        let second = self.second_of_day();
        let nanos = self.nanos % SECOND_NANOS;
        let mut tail = *b"00:00:00.000000000Z";
        tail[0..2].copy_from_slice(&two_digits(second / 3600));
        tail[3..5].copy_from_slice(&two_digits(second / 60 % 60));
        tail[6..8].copy_from_slice(&two_digits(second % 60));
        let (millis, below) = (nanos / 1_000_000, nanos % 1_000_000);
        tail[9..12].copy_from_slice(&three_digits(millis));
        let mut tail_len = 13;
        if below == 0 {
            tail[12] = b'Z';
        } else {
            let (micros, rest) = (below / 1000, below % 1000);
            tail[12..15].copy_from_slice(&three_digits(micros));
            if rest == 0 {
                tail[15] = b'Z';
                tail_len = 16;
            } else {
                tail[15..18].copy_from_slice(&three_digits(rest));
                tail_len = 19;
            }
        }
        // One copy of fixed length: the bytes past `tail_len` are scratch that the caller never reads.
        text[date_len..date_len + 19].copy_from_slice(&tail);
        date_len + tail_len
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; ISO_TEXT_MAX];
        let len = self.iso_text(&mut text, &mut DayCache::default());
        f.pad(std::str::from_utf8(&text[..len]).unwrap_or_default())
    }
}

/// The date part of the last timestamp written (`2024-12-30T`), kept by whoever writes many of them.
#[derive(Clone, Debug)]
pub struct DayCache {
    day: i64,
    len: usize,
    text: [u8; DATE_TEXT_MAX],
}

/// A sign, a year of 12 digits, `-MM-DDT`.
const DATE_TEXT_MAX: usize = 20;

impl Default for DayCache {
    fn default() -> Self {
        // No timestamp has this day: seconds divided by a day stay far from it.
        Self {
            day: i64::MIN,
            len: 0,
            text: [0; DATE_TEXT_MAX],
        }
    }
}

impl DayCache {
    #[inline]
    fn copy_date(&mut self, day: i64, text: &mut [u8; ISO_TEXT_MAX]) -> usize {
        if day != self.day {
            self.fill(day);
        }
        text[..DATE_TEXT_MAX].copy_from_slice(&self.text);
        self.len.min(DATE_TEXT_MAX)
    }

    fn fill(&mut self, day: i64) {
        let date = date_of_day(day);
        let year_len = match u32::try_from(date.year) {
            Ok(year) if year <= 9999 => {
                self.text[0..2].copy_from_slice(&two_digits(year / 100));
                self.text[2..4].copy_from_slice(&two_digits(year % 100));
                4
            }
            _ => self.fill_long_year(date.year),
        };
        let rest = &mut self.text[year_len..year_len + 7];
        rest.copy_from_slice(b"-00-00T");
        rest[1..3].copy_from_slice(&two_digits(date.month));
        rest[4..6].copy_from_slice(&two_digits(date.day));
        self.day = day;
        self.len = year_len + 7;
    }

    #[cold]
    fn fill_long_year(&mut self, year: i64) -> usize {
        let mut digits = [b'0'; 12];
        let mut left = year.unsigned_abs();
        for digit in digits.iter_mut().rev() {
            // The remainder is a single digit.
            #[allow(clippy::cast_possible_truncation)]
            let value = (left % 10) as u8;
            *digit = b'0' + value;
            left /= 10;
        }
        let first = digits
            .iter()
            .position(|digit| *digit != b'0')
            .unwrap_or(11)
            .min(8);
        let kept = &digits[first..];
        self.text[0] = if year < 0 { b'-' } else { b'+' };
        self.text[1..=kept.len()].copy_from_slice(kept);
        kept.len() + 1
    }
}

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut n = 0;
    while n < 100 {
        // Both digits are below 10.
        #[allow(clippy::cast_possible_truncation)]
        let (tens, ones) = ((n / 10) as u8, (n % 10) as u8);
        pairs[n] = [b'0' + tens, b'0' + ones];
        n += 1;
    }
    pairs
};

/// The last two decimal digits of a number.
#[inline]
pub(crate) fn two_digits(number: u32) -> [u8; 2] {
    PAIRS[(number % 100) as usize]
}

/// The last three decimal digits of a number.
#[inline]
fn three_digits(number: u32) -> [u8; 3] {
    let [tens, ones] = two_digits(number);
    // A single digit.
    #[allow(clippy::cast_possible_truncation)]
    let hundreds = (number / 100 % 10) as u8;
    [b'0' + hundreds, tens, ones]
}

/// Property tests of this room try the same cases each time, and write no files.
#[cfg(test)]
fn property_config() -> proptest::test_runner::Config {
    // `LOGMILL_FUZZ_SECONDS` asks for longer runs: about so many cases are done in a second.
    const CASES_PER_SECOND: u32 = 20_000;
    let seconds: Option<u32> = std::env::var("LOGMILL_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let usual = proptest::test_runner::Config::default();
    proptest::test_runner::Config {
        cases: seconds.map_or(usual.cases, |seconds| {
            seconds.saturating_mul(CASES_PER_SECOND)
        }),
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(7),
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(secs: i64, nanos: u32) -> String {
        Timestamp { secs, nanos }.to_string()
    }

    #[test]
    fn fraction_digits_as_needed() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(1_735_542_489, 123_000_000), "2024-12-30T07:08:09.123Z");
        assert_eq!(
            text(1_735_542_489, 123_456_000),
            "2024-12-30T07:08:09.123456Z"
        );
        assert_eq!(
            text(1_735_542_489, 123_456_789),
            "2024-12-30T07:08:09.123456789Z"
        );
        assert_eq!(text(1_735_542_489, 1), "2024-12-30T07:08:09.000000001Z");
        assert_eq!(text(-1, 999_000_000), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn unusual_years() {
        assert_eq!(text(253_402_300_800, 0), "+10000-01-01T00:00:00.000Z");
        assert_eq!(text(253_402_300_799, 0), "9999-12-31T23:59:59.000Z");
        assert_eq!(text(-62_167_219_200, 0), "0000-01-01T00:00:00.000Z");
        assert_eq!(text(-62_167_219_201, 0), "-0001-12-31T23:59:59.000Z");
        assert_eq!(text(i64::MAX, 0), "+292277026596-12-04T15:30:07.000Z");
        assert_eq!(
            text(i64::MIN, 999_999_999),
            "-292277022657-01-27T08:29:52.999999999Z"
        );
    }

    #[test]
    fn cached_text_equals_plain_text() {
        let mut days = DayCache::default();
        for step in 0..5000_i64 {
            let moment = Timestamp::from_millis(step * step * 977_123 - 40_000_000_000_000);
            let (mut plain, mut cached) = (Vec::new(), Vec::new());
            moment.write_iso8601(&mut plain);
            moment.write_iso8601_cached(&mut cached, &mut days);
            assert_eq!(plain, cached);
        }
    }

    #[test]
    fn millis_round_trip() {
        for millis in [0, -1, 1, -1000, 1_700_000_000_123, -62_167_219_200_001] {
            assert_eq!(Timestamp::from_millis(millis).to_millis(), millis);
        }
        assert_eq!(
            Timestamp::from_millis(-1),
            Timestamp {
                secs: -1,
                nanos: 999_000_000
            }
        );
        assert_eq!(
            Timestamp {
                secs: i64::MAX,
                nanos: 0
            }
            .to_millis(),
            i64::MAX
        );
    }

    #[test]
    fn now_is_after_this_was_written() {
        assert!(
            Timestamp::now()
                > Timestamp {
                    secs: 1_700_000_000,
                    nanos: 0
                }
        );
    }
}
