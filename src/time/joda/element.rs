//! The pieces that a date text is matched against, in order and without going back.

use std::sync::LazyLock;

use super::fields::{Bucket, Field};
use super::names::{Names, longest_name, starts_with_ignoring_case};
use super::system_date;
use crate::time::Timestamp;
use crate::time::zone::{Zone, parse_offset};

/// Digits from which on a number may leave 32 bits.
const SAFE_DIGITS: usize = 9;

/// A piece of a date text.
#[derive(Clone, Debug)]
pub(super) enum Element {
    /// Up to `max` digits; a sign before them only if `signed`.
    Number {
        field: Field,
        max: usize,
        signed: bool,
    },
    /// A year of two digits, put into the hundred years around the current one; other lengths count as they stand where
    /// no number follows (`lenient`).
    TwoDigitYear { field: Field, lenient: bool },
    /// The name of a month, weekday, half of the day, or era; the dot of an abbreviation belongs to it if `dotted`.
    Name { field: Field, dotted: bool },
    /// Text that stands for itself, whatever its case.
    Literal(String),
    /// Up to `max` digits of a fraction of a unit of `unit_ms` milliseconds, cut to milliseconds.
    Fraction {
        field: Field,
        unit_ms: i64,
        max: usize,
    },
    /// `Z` or an offset.
    Offset,
    /// An abbreviated zone name such as `PST`.
    ZoneName,
    /// A zone id such as `Europe/Paris`.
    ZoneId,
    /// The alternative that reads most; nothing at all, if `optional`.
    Choice {
        alternatives: Vec<Vec<Element>>,
        optional: bool,
    },
}

/// What matching needs beside the text.
#[derive(Copy, Clone)]
pub(super) struct Reading<'a> {
    pub(super) names: &'a Names,
    /// About the current time: it decides what a two-digit year means.
    pub(super) now: Timestamp,
}

/// Matches elements from a place of the text on; gives the place after them.
pub(super) fn read_all(
    elements: &[Element],
    text: &[u8],
    from: usize,
    bucket: &mut Bucket,
    with: Reading,
) -> Option<usize> {
    elements
        .iter()
        .try_fold(from, |at, element| element.read(text, at, bucket, with))
}

impl Element {
    /// The field that the element saves, if it saves one.
    pub(super) fn field(&self) -> Option<Field> {
        match self {
            Self::Number { field, .. }
            | Self::TwoDigitYear { field, .. }
            | Self::Name { field, .. }
            | Self::Fraction { field, .. } => Some(*field),
            _ => None,
        }
    }

    /// Fields that the element saves at most.
    pub(super) fn field_count(&self) -> usize {
        match self {
            Self::Number { .. }
            | Self::TwoDigitYear { .. }
            | Self::Name { .. }
            | Self::Fraction { .. } => 1,
            Self::Literal(_) | Self::Offset | Self::ZoneName | Self::ZoneId => 0,
            Self::Choice { alternatives, .. } => alternatives
                .iter()
                .map(|elements| elements.iter().map(Self::field_count).sum())
                .max()
                .unwrap_or(0),
        }
    }

    #[inline]
    fn read(&self, text: &[u8], at: usize, bucket: &mut Bucket, with: Reading) -> Option<usize> {
        let rest = text.get(at..)?;
        match self {
            Self::Number { field, max, signed } => {
                let (value, len) = number(rest, *max, *signed)?;
                bucket.save(*field, value)?;
                Some(at + len)
            }
            Self::Literal(literal) => {
                if rest.starts_with(literal.as_bytes()) {
                    return Some(at + literal.len());
                }
                starts_with_ignoring_case(rest, literal).map(|len| at + len)
            }
            Self::Name { field, dotted } => {
                let (value, len) = name(rest, *field, *dotted, with.names)?;
                bucket.save(*field, value)?;
                Some(at + len)
            }
            Self::Fraction {
                field,
                unit_ms,
                max,
            } => {
                let (value, len) = fraction(rest, *unit_ms, *max)?;
                bucket.save(*field, value)?;
                Some(at + len)
            }
            Self::Offset => {
                let (offset_ms, len) = offset(rest)?;
                bucket.offset_ms = Some(offset_ms);
                Some(at + len)
            }
            Self::TwoDigitYear { field, lenient } => {
                let (value, len) = two_digit_year(rest, *lenient, system_date(with.now).0)?;
                bucket.save(*field, value)?;
                Some(at + len)
            }
            Self::ZoneName => {
                let (zone, len) = zone_name(rest)?;
                bucket.zone = Some(zone);
                Some(at + len)
            }
            Self::ZoneId => {
                let (zone, len) = Zone::by_longest_prefix(rest)?;
                bucket.zone = Some(zone);
                Some(at + len)
            }
            Self::Choice {
                alternatives,
                optional,
            } => longest(alternatives, *optional, text, at, bucket, with),
        }
    }
}

/// Tries all alternatives and keeps the one that reads most; of equals the first.
fn longest(
    alternatives: &[Vec<Element>],
    optional: bool,
    text: &[u8],
    from: usize,
    bucket: &mut Bucket,
    with: Reading,
) -> Option<usize> {
    let mut best: Option<(usize, Bucket)> = None;
    for elements in alternatives {
        let mut attempt = *bucket;
        if let Some(at) = read_all(elements, text, from, &mut attempt, with)
            && best.as_ref().is_none_or(|(longest, _)| at > *longest)
        {
            best = Some((at, attempt));
            if at == text.len() {
                break;
            }
        }
    }
    match best {
        Some((at, read)) => {
            *bucket = read;
            Some(at)
        }
        None => optional.then_some(from),
    }
}

/// Up to `max` digits, and before them a sign where allowed, which does not count.
#[inline]
pub(super) fn number(text: &[u8], max: usize, signed: bool) -> Option<(i32, usize)> {
    let (negative, sign_len) = match text.first()? {
        b'-' if signed => (true, 1),
        b'+' if signed => (false, 1),
        _ => (false, 0),
    };
    // A sign alone takes the place of a digit when only one is wanted.
    let digits = if sign_len == 1 && max <= 1 {
        return None;
    } else {
        text.get(sign_len..)?
    };
    let mut value = 0_i32;
    let mut len = 0;
    while len < max
        && let Some(digit @ b'0'..=b'9') = digits.get(len)
    {
        let digit = i32::from(digit - b'0');
        value = if len < SAFE_DIGITS {
            value * 10 + digit
        } else {
            value.checked_mul(10)?.checked_add(digit)?
        };
        len += 1;
    }
    (len > 0).then_some((if negative { -value } else { value }, sign_len + len))
}

/// Two digits become the year from 80 years back to 19 years ahead that ends with them.
fn two_digit_year(text: &[u8], lenient: bool, current_year: i64) -> Option<(i32, usize)> {
    let signed = lenient && matches!(text.first(), Some(b'+' | b'-'));
    let max = if lenient { usize::MAX } else { 2 };
    let (value, len) = number(text, max, lenient)?;
    if signed || len != 2 {
        return lenient.then_some((value, len));
    }
    let earliest = current_year - 80;
    let year = earliest + (i64::from(value) - earliest).rem_euclid(100);
    Some((i32::try_from(year).ok()?, len))
}

#[inline]
fn name(text: &[u8], field: Field, dotted: bool, names: &Names) -> Option<(i32, usize)> {
    let (rows, first): (&[&[&str]], usize) = match field {
        Field::Month => (&names.months, 1),
        Field::Weekday => (&names.weekdays, 1),
        Field::Halfday => (&names.halfdays, 0),
        Field::Era => (&names.eras, 0),
        _ => return None,
    };
    let (row, len) = longest_name(text, rows, dotted)?;
    Some((i32::try_from(row + first).ok()?, len))
}

/// 1–12 of an English month of exactly three letters, which is what nearly all logs have.
#[inline]
pub(super) fn english_month(text: &[u8], dotted: bool) -> Option<u32> {
    const NAMES: [u32; 12] = [
        letters(*b"jan"),
        letters(*b"feb"),
        letters(*b"mar"),
        letters(*b"apr"),
        letters(*b"may"),
        letters(*b"jun"),
        letters(*b"jul"),
        letters(*b"aug"),
        letters(*b"sep"),
        letters(*b"oct"),
        letters(*b"nov"),
        letters(*b"dec"),
    ];
    let name = three_letters(text, dotted)?;
    (1..)
        .zip(NAMES)
        .find(|(_, known)| *known == name)
        .map(|(month, _)| month)
}

/// 1 = Monday, of an English weekday of exactly three letters.
#[inline]
pub(super) fn english_weekday(text: &[u8], dotted: bool) -> Option<u32> {
    const NAMES: [u32; 7] = [
        letters(*b"mon"),
        letters(*b"tue"),
        letters(*b"wed"),
        letters(*b"thu"),
        letters(*b"fri"),
        letters(*b"sat"),
        letters(*b"sun"),
    ];
    let name = three_letters(text, dotted)?;
    (1..)
        .zip(NAMES)
        .find(|(_, known)| *known == name)
        .map(|(weekday, _)| weekday)
}

/// Three letters as one number, whatever their case.
const fn letters([a, b, c]: [u8; 3]) -> u32 {
    u32::from_le_bytes([a | 0x20, b | 0x20, c | 0x20, 0])
}

/// The first three letters of a text as one number, unless a longer name may go on after them.
#[inline]
fn three_letters(text: &[u8], dotted: bool) -> Option<u32> {
    let goes_on = text
        .get(3)
        .is_some_and(|next| next.is_ascii_alphabetic() || (dotted && *next == b'.'));
    let first = *text.first_chunk::<3>()?;
    (!goes_on && first.is_ascii()).then(|| letters(first))
}

#[inline]
pub(super) fn fraction(text: &[u8], unit_ms: i64, max: usize) -> Option<(i32, usize)> {
    // Digits whose place is worth less than a tenth of a millisecond cannot change the result, but are read.
    let mut worth = unit_ms * 10;
    let mut value = 0_i64;
    let mut len = 0;
    while len < max
        && let Some(digit @ b'0'..=b'9') = text.get(len)
    {
        worth /= 10;
        value += i64::from(digit - b'0') * worth;
        len += 1;
    }
    (len > 0).then_some((i32::try_from(value / 10).ok()?, len))
}

#[inline]
pub(super) fn offset(text: &[u8]) -> Option<(i32, usize)> {
    match text.first()? {
        b'Z' | b'z' => Some((0, 1)),
        _ => parse_offset(text),
    }
}

/// The zone of an abbreviation at the start of a text, and the bytes read.
pub(super) fn zone_name(text: &[u8]) -> Option<(Zone, usize)> {
    static NAMED: LazyLock<Vec<(&str, Zone)>> = LazyLock::new(named_zones);
    let (name, zone) = NAMED
        .iter()
        .find(|(name, _)| text.starts_with(name.as_bytes()))?;
    Some((*zone, name.len()))
}

/// Zone abbreviations; none is the beginning of a later one. The American ones name the place, so that its rules decide
/// whether summer time holds; the others stand for the offset that they say.
fn named_zones() -> Vec<(&'static str, Zone)> {
    const PLACES: [(&str, &str); 11] = [
        ("UTC", "UTC"),
        ("GMT", "UTC"),
        ("UT", "UTC"),
        ("EST", "America/New_York"),
        ("EDT", "America/New_York"),
        ("CST", "America/Chicago"),
        ("CDT", "America/Chicago"),
        ("MST", "America/Denver"),
        ("MDT", "America/Denver"),
        ("PST", "America/Los_Angeles"),
        ("PDT", "America/Los_Angeles"),
    ];
    const OFFSET_MINUTES: [(&str, i32); 22] = [
        ("CET", 60),
        ("CEST", 120),
        ("WET", 0),
        ("WEST", 60),
        ("EET", 120),
        ("EEST", 180),
        ("MEZ", 60),
        ("MESZ", 120),
        ("BST", 60),
        ("MSK", 180),
        ("SAST", 120),
        ("JST", 540),
        ("KST", 540),
        ("AEST", 600),
        ("AEDT", 660),
        ("NZST", 720),
        ("NZDT", 780),
        ("AST", -240),
        ("ADT", -180),
        ("AKST", -540),
        ("AKDT", -480),
        ("HST", -600),
    ];
    let places = PLACES
        .iter()
        .map(|(name, id)| (*name, Zone::by_id(id).unwrap_or(Zone::UTC)));
    let offsets = OFFSET_MINUTES
        .iter()
        .map(|(name, minutes)| (*name, Zone::fixed_millis(minutes * 60_000)));
    places.chain(offsets).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(b"05x", 2, false), Some((5, 2)));
        assert_eq!(number(b"123", 2, false), Some((12, 2)));
        assert_eq!(number(b"-12", 9, true), Some((-12, 3)));
        assert_eq!(number(b"+12", 2, true), Some((12, 3)));
        assert_eq!(number(b"-12", 9, false), None);
        assert_eq!(number(b"-", 9, true), None);
        assert_eq!(number(b"", 2, false), None);
        assert_eq!(number(b"99999999999", 11, false), None);
    }

    #[test]
    fn two_digit_years() {
        let year = |text: &str, lenient| {
            two_digit_year(text.as_bytes(), lenient, 2026).map(|(year, _)| year)
        };
        assert_eq!(year("24", true), Some(2024));
        assert_eq!(year("45", true), Some(2045));
        assert_eq!(year("46", true), Some(1946));
        assert_eq!(year("99", true), Some(1999));
        assert_eq!(year("2024", true), Some(2024));
        assert_eq!(year("2024", false), Some(2020));
        assert_eq!(year("+24", true), Some(24));
        assert_eq!(year("4", false), None);
    }

    #[test]
    fn fractions() {
        assert_eq!(fraction(b"1", 1000, 3), Some((100, 1)));
        assert_eq!(fraction(b"123456789", 1000, 9), Some((123, 9)));
        assert_eq!(fraction(b"5", 60_000, 9), Some((30_000, 1)));
        assert_eq!(fraction(b"x", 1000, 9), None);
    }

    #[test]
    fn zone_abbreviations() {
        assert_eq!(
            zone_name(b"CEST 2024").map(|(zone, len)| (zone.offset_millis_at(0), len)),
            Some((7_200_000, 4))
        );
        assert_eq!(
            zone_name(b"PST").map(|(zone, len)| (zone.offset_millis_at(0), len)),
            Some((-28_800_000, 3))
        );
        assert_eq!(
            zone_name(b"UTC").map(|(zone, len)| (zone.offset_millis_at(0), len)),
            Some((0, 3))
        );
        assert!(zone_name(b"XYZ").is_none());
    }
}
