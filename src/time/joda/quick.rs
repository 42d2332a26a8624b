//! The short way through usual date patterns: year, month, day, time of day, weekday and offset, each at most once.
//!
//! It may give up on any text, which then goes the general way; what it accepts, the general way reads the same.

use super::ReadDate;
use super::element::{
    Element, english_month, english_weekday, fraction, number, offset, zone_name,
};
use super::fields::{DEFAULT_YEAR, Field, MAX_YEAR, WallClock};
use crate::time::civil::{day_of_date, days_in_month, weekday};
use crate::time::zone::Zone;

/// What a pattern reads, in order.
#[derive(Clone, Debug)]
pub(super) struct QuickPattern {
    steps: Vec<Step>,
    /// Year of texts without one.
    default_year: i64,
}

#[derive(Copy, Clone, Debug)]
enum Step {
    Byte(u8),
    /// One or two digits.
    Small(Slot),
    Year {
        max: usize,
    },
    Fraction {
        max: usize,
    },
    MonthName {
        dotted: bool,
    },
    WeekdayName {
        dotted: bool,
    },
    Halfday,
    Offset,
    ZoneName,
    ZoneId,
}

/// Where a small number goes.
#[derive(Copy, Clone, Debug)]
enum Slot {
    Month = 0,
    Day = 1,
    Hour = 2,
    HalfdayHour = 3,
    Minute = 4,
    Second = 5,
}

impl QuickPattern {
    /// The short way for these elements, if there is one. Names are read in English only.
    pub(super) fn of(elements: &[Element], english: bool) -> Option<Self> {
        let mut steps = Vec::new();
        let mut seen = Vec::new();
        for element in elements {
            if let Some(field) = element.field() {
                if seen.contains(&field) {
                    return None;
                }
                seen.push(field);
            }
            match element {
                Element::Literal(text) if text.is_ascii() => {
                    steps.extend(text.bytes().map(Step::Byte));
                }
                Element::Number { field, max, .. } => steps.push(number_step(*field, *max)?),
                Element::Name { field, dotted } if english => {
                    steps.push(name_step(*field, *dotted)?);
                }
                Element::Fraction {
                    field: Field::Millis,
                    max,
                    ..
                } => steps.push(Step::Fraction { max: *max }),
                Element::Offset => steps.push(Step::Offset),
                Element::ZoneName => steps.push(Step::ZoneName),
                Element::ZoneId => steps.push(Step::ZoneId),
                _ => return None,
            }
        }
        let has = |field| seen.contains(&field);
        let twice = (has(Field::Year) && has(Field::YearOfEra))
            || (has(Field::Hour) && has(Field::HalfdayClockHour));
        let halved = has(Field::Halfday) == has(Field::HalfdayClockHour);
        // A weekday without a date would choose the date.
        let dated = !has(Field::Weekday) || (has(Field::Day) && has(Field::Month));
        if twice || !halved || !dated {
            return None;
        }
        let default_year = if has(Field::Month) || has(Field::Day) {
            i64::from(DEFAULT_YEAR)
        } else {
            1970
        };
        Some(Self {
            steps,
            default_year,
        })
    }

    /// The date of a text, or `None` when the general way has to decide.
    #[inline]
    pub(super) fn read(&self, text: &[u8]) -> Option<ReadDate> {
        let mut small = [1, 1, 0, 0, 0, 0];
        let (mut year, mut millis) = (self.default_year, 0);
        let (mut halfday, mut named_day, mut offset_ms, mut zone) = (None, None, None, None);
        let mut rest = text;
        for step in &self.steps {
            let len = match step {
                Step::Byte(byte) => {
                    if rest.first() != Some(byte) {
                        return None;
                    }
                    1
                }
                Step::Small(slot) => {
                    let (value, len) = one_or_two_digits(rest)?;
                    small[*slot as usize] = value;
                    len
                }
                Step::Year { max } => {
                    let (value, len) = number(rest, *max, false)?;
                    year = i64::from(value);
                    len
                }
                Step::Fraction { max } => {
                    let (value, len) = fraction(rest, 1000, *max)?;
                    millis = value;
                    len
                }
                Step::MonthName { dotted } => {
                    small[Slot::Month as usize] = english_month(rest, *dotted)?;
                    3
                }
                Step::WeekdayName { dotted } => {
                    named_day = Some(english_weekday(rest, *dotted)?);
                    3
                }
                Step::Halfday => {
                    halfday = Some(halfday_hours(rest)?);
                    2
                }
                Step::Offset => {
                    let (value, len) = offset(rest)?;
                    offset_ms = Some(value);
                    len
                }
                Step::ZoneName => {
                    let (named, len) = zone_name(rest)?;
                    zone = Some(named);
                    len
                }
                Step::ZoneId => {
                    let (named, len) = Zone::by_longest_prefix(rest)?;
                    zone = Some(named);
                    len
                }
            };
            rest = rest.get(len..)?;
        }
        let [month, day, hour, halfday_hour, minute, second] = small;
        let exists = rest.is_empty()
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && halfday_hour <= 12
            && minute < 60
            && second < 60
            && (1..=MAX_YEAR).contains(&year);
        if !exists || (halfday.is_some() && halfday_hour == 0) {
            return None;
        }
        let day_number = day_of_date(year, month, day);
        if named_day.is_some_and(|named| named != weekday(day_number)) {
            return None;
        }
        let hour = halfday.map_or(hour, |hours| halfday_hour % 12 + hours);
        let ms = i64::from((hour * 60 + minute) * 60 + second) * 1000 + i64::from(millis);
        Some(ReadDate {
            clock: WallClock {
                day: day_number,
                ms,
            },
            offset_ms,
            zone,
        })
    }
}

fn number_step(field: Field, max: usize) -> Option<Step> {
    let slot = match field {
        Field::Year | Field::YearOfEra => return Some(Step::Year { max }),
        Field::Month => Slot::Month,
        Field::Day => Slot::Day,
        Field::Hour => Slot::Hour,
        Field::HalfdayClockHour => Slot::HalfdayHour,
        Field::Minute => Slot::Minute,
        Field::Second => Slot::Second,
        _ => return None,
    };
    (max == 2).then_some(Step::Small(slot))
}

fn name_step(field: Field, dotted: bool) -> Option<Step> {
    match field {
        Field::Month => Some(Step::MonthName { dotted }),
        Field::Weekday => Some(Step::WeekdayName { dotted }),
        Field::Halfday => Some(Step::Halfday),
        _ => None,
    }
}

#[inline]
fn one_or_two_digits(text: &[u8]) -> Option<(u32, usize)> {
    let tens = text.first()?.wrapping_sub(b'0');
    if tens > 9 {
        return None;
    }
    match text.get(1).map(|ones| ones.wrapping_sub(b'0')) {
        Some(ones @ 0..=9) => Some((u32::from(tens) * 10 + u32::from(ones), 2)),
        _ => Some((u32::from(tens), 1)),
    }
}

/// Hours that `AM` or `PM` adds.
#[inline]
fn halfday_hours(text: &[u8]) -> Option<u32> {
    match text.first_chunk::<2>()? {
        b"AM" | b"am" => Some(0),
        b"PM" | b"pm" => Some(12),
        _ => None,
    }
}
