//! Writing dates in Joda-Time's pattern notation, in UTC and English, as `%{+FORMAT}` does.

use super::JodaError;
use super::names::ENGLISH;
use super::pattern::{Token, tokens};
use crate::time::civil::{date_of_day, day_of_year, iso_week, weekday};
use crate::time::{Timestamp, two_digits};

/// Digits of a fraction that are worked out; further ones are not written.
const MAX_FRACTION_DIGITS: usize = 15;

/// The shortest time after which a formatter's text changes.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Granularity {
    /// The text is the same all day (or longer).
    Day,
    /// The text changes with the hour.
    Hour,
    /// The text changes with the minute.
    Minute,
    /// The text changes with the second.
    Second,
    /// The text changes within a second.
    Sub,
}

/// Writes moments by one pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JodaFormatter {
    tokens: Vec<Token>,
    granularity: Granularity,
}

impl JodaFormatter {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When the pattern is empty, too long, or has a letter without a meaning.
    pub fn compile(pattern: &str) -> Result<Self, JodaError> {
        let tokens = tokens(pattern)?;
        let granularity = tokens
            .iter()
            .map(granularity)
            .max()
            .unwrap_or(Granularity::Day);
        Ok(Self {
            tokens,
            granularity,
        })
    }

    /// The pattern's finest unit.
    #[must_use]
    pub fn granularity(&self) -> Granularity {
        self.granularity
    }

    /// Appends the text of a moment.
    pub fn write(&self, moment: Timestamp, out: &mut Vec<u8>) {
        for token in &self.tokens {
            match token {
                Token::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Token::Letter { letter, count } => write_letter(*letter, *count, moment, out),
            }
        }
    }
}

fn granularity(token: &Token) -> Granularity {
    match token {
        Token::Letter {
            letter: b'a' | b'H' | b'h' | b'K' | b'k',
            ..
        } => Granularity::Hour,
        Token::Letter { letter: b'm', .. } => Granularity::Minute,
        Token::Letter { letter: b's', .. } => Granularity::Second,
        Token::Letter { letter: b'S', .. } => Granularity::Sub,
        _ => Granularity::Day,
    }
}

fn write_letter(letter: u8, count: usize, moment: Timestamp, out: &mut Vec<u8>) {
    let second = moment.second_of_day();
    let hour = second / 3600;
    match letter {
        b'H' => write_padded(i64::from(hour), count, out),
        b'k' => write_padded(i64::from(if hour == 0 { 24 } else { hour }), count, out),
        b'K' => write_padded(i64::from(hour % 12), count, out),
        b'h' => write_padded(i64::from(twelve_hour(hour)), count, out),
        b'a' => out.extend_from_slice(halfday(hour).as_bytes()),
        b'm' => write_padded(i64::from(second / 60 % 60), count, out),
        b's' => write_padded(i64::from(second % 60), count, out),
        b'S' => write_fraction(moment.nanos / 1_000_000, count, out),
        b'z' if count >= 4 => out.extend_from_slice(b"Coordinated Universal Time"),
        b'z' => out.extend_from_slice(b"UTC"),
        b'Z' => out.extend_from_slice(match count {
            1 => b"+0000",
            2 => b"+00:00",
            _ => b"UTC",
        }),
        _ => write_date_letter(letter, count, moment.day_number(), out),
    }
}

fn write_date_letter(letter: u8, count: usize, day: i64, out: &mut Vec<u8>) {
    let date = date_of_day(day);
    let year_of_era = if date.year <= 0 {
        1 - date.year
    } else {
        date.year
    };
    let two_or_more = |year: i64| if count == 2 { year.abs() % 100 } else { year };
    match letter {
        b'y' => write_padded(two_or_more(date.year), count, out),
        b'Y' => write_padded(
            if count == 2 {
                date.year.abs() % 100
            } else {
                year_of_era
            },
            count,
            out,
        ),
        b'x' => write_padded(two_or_more(iso_week(day).0), count, out),
        b'C' => write_padded(date.year.abs() / 100, count, out),
        b'w' => write_padded(i64::from(iso_week(day).1), count, out),
        b'M' if count >= 3 => out.extend_from_slice(month_name(date.month, count >= 4).as_bytes()),
        b'M' => write_padded(i64::from(date.month), count, out),
        b'd' => write_padded(i64::from(date.day), count, out),
        b'D' => write_padded(i64::from(day_of_year(day)), count, out),
        b'e' => write_padded(i64::from(weekday(day)), count, out),
        b'E' => out.extend_from_slice(weekday_name(weekday(day), count >= 4).as_bytes()),
        b'G' => out.extend_from_slice(if date.year <= 0 { b"BC" } else { b"AD" }),
        _ => {}
    }
}

/// 1–12 of an hour of the day.
pub(in crate::time) fn twelve_hour(hour: u32) -> u32 {
    (hour + 11) % 12 + 1
}

/// `AM` or `PM`.
pub(in crate::time) fn halfday(hour: u32) -> &'static str {
    if hour < 12 { "AM" } else { "PM" }
}

/// English name of a month (1–12), whole or its first three letters.
pub(in crate::time) fn month_name(month: u32, long: bool) -> &'static str {
    english(&ENGLISH.months, month, long)
}

/// English name of a weekday (1 = Monday), whole or its first three letters.
pub(in crate::time) fn weekday_name(weekday: u32, long: bool) -> &'static str {
    english(&ENGLISH.weekdays, weekday, long)
}

fn english(rows: &[&[&'static str]], number: u32, long: bool) -> &'static str {
    let row = (number as usize)
        .checked_sub(1)
        .and_then(|row| rows.get(row));
    let name = row
        .and_then(|spellings| spellings.first())
        .copied()
        .unwrap_or_default();
    if long {
        name
    } else {
        name.get(..3).unwrap_or(name)
    }
}

/// Appends a number with zeros before it up to `width` digits; a sign does not count.
pub(in crate::time) fn write_padded(value: i64, width: usize, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut left = value.unsigned_abs();
    let mut digits = [0_u8; 20];
    let mut first = digits.len();
    while left > 0 || first == digits.len() {
        first = first.saturating_sub(1);
        // The remainder is a single digit.
        #[allow(clippy::cast_possible_truncation)]
        if let Some(digit) = digits.get_mut(first) {
            *digit = b'0' + (left % 10) as u8;
        }
        left /= 10;
    }
    let digits = digits.get(first..).unwrap_or_default();
    out.extend(std::iter::repeat_n(
        b'0',
        width.saturating_sub(digits.len()),
    ));
    out.extend_from_slice(digits);
}

fn write_fraction(millis: u32, count: usize, out: &mut Vec<u8>) {
    let [tens, ones] = two_digits(millis);
    let [_, hundreds] = two_digits(millis / 100);
    let width = if millis == 0 {
        count
    } else {
        count.min(MAX_FRACTION_DIGITS)
    };
    out.extend(
        [hundreds, tens, ones]
            .into_iter()
            .chain(std::iter::repeat(b'0'))
            .take(width),
    );
}
