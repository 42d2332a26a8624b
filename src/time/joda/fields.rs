//! Calendar fields read from a text, and how they make a wall-clock time: largest first, each set on top of the ones before,
//! then all once more, so that contradictions resolve as in Joda-Time.

use crate::time::civil::{
    DAY_SECS, date_of_day, day_of_date, days_in_month, days_in_year, first_week_monday, is_leap,
    iso_week, weekday, weeks_in_week_year,
};
use crate::time::zone::Zone;

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const HALFDAY_MS: i64 = 43_200_000;
const DAY_MS: i64 = DAY_SECS * 1000;

/// The years whose milliseconds fit 64 bits.
const MIN_YEAR: i64 = -292_275_054;
pub(super) const MAX_YEAR: i64 = 292_278_993;

/// Year of a text that has a month or a day but no year.
pub(super) const DEFAULT_YEAR: i32 = 2000;

/// Fields that one text can give.
pub(super) const MAX_FIELDS: usize = 24;

/// A calendar field. The order of the variants is the order in which fields are set.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Field {
    Era,
    Century,
    Year,
    YearOfEra,
    WeekYear,
    Month,
    Week,
    DayOfYear,
    Day,
    Weekday,
    Halfday,
    Hour,
    ClockHour,
    HalfdayHour,
    HalfdayClockHour,
    Minute,
    MillisOfHour,
    Second,
    MillisOfMinute,
    Millis,
}

impl Field {
    /// Fields of equal rank are set in the order of the text.
    fn rank(self) -> u8 {
        match self {
            Self::Year | Self::YearOfEra | Self::WeekYear => Self::Year as u8,
            Self::Hour | Self::ClockHour => Self::Hour as u8,
            Self::HalfdayHour | Self::HalfdayClockHour => Self::HalfdayHour as u8,
            other => other as u8,
        }
    }

    /// Whether a text whose largest field is this one gets the default year.
    fn asks_for_year(self) -> bool {
        (Self::Month..=Self::Weekday).contains(&self)
    }
}

/// A wall-clock time: days since 1970-01-01 and milliseconds of the day.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct WallClock {
    pub(super) day: i64,
    pub(super) ms: i64,
}

impl WallClock {
    const EPOCH: Self = Self { day: 0, ms: 0 };

    /// Wall-clock milliseconds since 1970-01-01T00:00 of the same clock.
    pub(super) fn millis(self) -> i64 {
        self.day * DAY_MS + self.ms
    }

    pub(super) fn from_millis(millis: i64) -> Self {
        Self {
            day: millis.div_euclid(DAY_MS),
            ms: millis.rem_euclid(DAY_MS),
        }
    }

    fn set(&mut self, field: Field, value: i64) -> Option<()> {
        let ranged = |low: i64, high: i64| (low..=high).contains(&value).then_some(value);
        match field {
            Field::Era | Field::Century | Field::Year | Field::YearOfEra | Field::WeekYear => {
                self.set_year_field(field, value)?;
            }
            Field::Month | Field::Week | Field::DayOfYear | Field::Day | Field::Weekday => {
                self.set_day_field(field, value)?;
            }
            Field::Halfday => self.ms = self.ms % HALFDAY_MS + ranged(0, 1)? * HALFDAY_MS,
            Field::Hour => self.ms = self.ms % HOUR_MS + ranged(0, 23)? * HOUR_MS,
            Field::ClockHour => self.ms = self.ms % HOUR_MS + ranged(1, 24)? % 24 * HOUR_MS,
            Field::HalfdayHour => self.set_within(HALFDAY_MS, HOUR_MS, ranged(0, 11)?),
            Field::HalfdayClockHour => self.set_within(HALFDAY_MS, HOUR_MS, ranged(1, 12)? % 12),
            Field::Minute => self.set_within(HOUR_MS, MINUTE_MS, ranged(0, 59)?),
            Field::Second => self.set_within(MINUTE_MS, SECOND_MS, ranged(0, 59)?),
            Field::MillisOfHour => self.set_within(HOUR_MS, 1, ranged(0, HOUR_MS - 1)?),
            Field::MillisOfMinute => self.set_within(MINUTE_MS, 1, ranged(0, MINUTE_MS - 1)?),
            Field::Millis => self.set_within(SECOND_MS, 1, ranged(0, SECOND_MS - 1)?),
        }
        Some(())
    }

    /// Replaces the part of the time of day that counts `unit`s within `range`, leaving what is smaller than the unit.
    fn set_within(&mut self, range: i64, unit: i64, value: i64) {
        self.ms = self.ms - self.ms % range + value * unit + self.ms % unit;
    }

    fn set_year_field(&mut self, field: Field, value: i64) -> Option<()> {
        let year = date_of_day(self.day).year;
        match field {
            Field::Era => {
                let is_common = year > 0;
                if is_common != (value == 1) {
                    self.set_year(-year);
                }
            }
            Field::Century => {
                if value < 0 {
                    return None;
                }
                let year_of_century = year.abs() % 100;
                let year_of_era = value * 100 + year_of_century;
                self.set_year(in_years(if year < 0 { -year_of_era } else { year_of_era })?);
            }
            Field::YearOfEra => {
                if value < 1 {
                    return None;
                }
                self.set_year(in_years(if year <= 0 { 1 - value } else { value })?);
            }
            Field::WeekYear => self.set_week_year(in_years(value)?),
            _ => self.set_year(in_years(value)?),
        }
        Some(())
    }

    fn set_day_field(&mut self, field: Field, value: i64) -> Option<()> {
        let date = date_of_day(self.day);
        match field {
            Field::Month => {
                let month = u32::try_from(value)
                    .ok()
                    .filter(|month| (1..=12).contains(month))?;
                let day = date.day.min(days_in_month(date.year, month));
                self.day = day_of_date(date.year, month, day);
            }
            Field::Week => {
                let (week_year, week) = iso_week(self.day);
                if !(1..=i64::from(weeks_in_week_year(week_year))).contains(&value) {
                    return None;
                }
                self.day += (value - i64::from(week)) * 7;
            }
            Field::DayOfYear => {
                if !(1..=i64::from(days_in_year(date.year))).contains(&value) {
                    return None;
                }
                self.day = day_of_date(date.year, 1, 1) + value - 1;
            }
            Field::Day => {
                if !(1..=i64::from(days_in_month(date.year, date.month))).contains(&value) {
                    return None;
                }
                self.day += value - i64::from(date.day);
            }
            _ => {
                if !(1..=7).contains(&value) {
                    return None;
                }
                self.day += value - i64::from(weekday(self.day));
            }
        }
        Some(())
    }

    /// Moves to the same day of another year: the calendar day, but February 29 becomes 28 where there is none.
    pub(super) fn set_year(&mut self, year: i64) {
        let date = date_of_day(self.day);
        let day = if date.month == 2 && date.day == 29 && !is_leap(year) {
            28
        } else {
            date.day
        };
        self.day = day_of_date(year, date.month, day);
    }

    /// Moves to the same week and weekday of another week-year.
    fn set_week_year(&mut self, to: i64) {
        let (from, week) = iso_week(self.day);
        if from == to {
            return;
        }
        let week = week
            .min(weeks_in_week_year(to))
            .min(weeks_in_week_year(from));
        self.day =
            first_week_monday(to) + i64::from(week - 1) * 7 + i64::from(weekday(self.day) - 1);
    }

    /// Cuts off everything smaller than a field.
    fn round_down(&mut self, field: Field) {
        let date = date_of_day(self.day);
        match field {
            Field::Era => self.day = day_of_date(if date.year > 0 { 1 } else { MIN_YEAR }, 1, 1),
            Field::Century => self.day = day_of_date(date.year.div_euclid(100) * 100, 1, 1),
            Field::Year | Field::YearOfEra => self.day = day_of_date(date.year, 1, 1),
            Field::WeekYear => self.day = first_week_monday(iso_week(self.day).0),
            Field::Month => self.day -= i64::from(date.day - 1),
            Field::Week => self.day -= i64::from(weekday(self.day) - 1),
            Field::DayOfYear
            | Field::Day
            | Field::Weekday
            | Field::MillisOfHour
            | Field::MillisOfMinute
            | Field::Millis => {}
            Field::Halfday => self.ms -= self.ms % HALFDAY_MS,
            Field::Hour | Field::ClockHour | Field::HalfdayHour | Field::HalfdayClockHour => {
                self.ms -= self.ms % HOUR_MS;
            }
            Field::Minute => self.ms -= self.ms % MINUTE_MS,
            Field::Second => self.ms -= self.ms % SECOND_MS,
        }
        if field <= Field::Weekday {
            self.ms = 0;
        }
    }
}

/// The year, if its milliseconds fit 64 bits.
pub(super) fn in_years(year: i64) -> Option<i64> {
    (MIN_YEAR..=MAX_YEAR).contains(&year).then_some(year)
}

/// What has been read from a text so far.
#[derive(Copy, Clone, Debug)]
pub(super) struct Bucket {
    fields: [(Field, i32); MAX_FIELDS],
    count: usize,
    /// Offset in the text, milliseconds east of UTC.
    pub(super) offset_ms: Option<i32>,
    /// Zone named in the text.
    pub(super) zone: Option<Zone>,
}

impl Bucket {
    pub(super) fn new() -> Self {
        Self {
            fields: [(Field::Era, 0); MAX_FIELDS],
            count: 0,
            offset_ms: None,
            zone: None,
        }
    }

    /// Notes a field. More than [`MAX_FIELDS`] fail.
    #[inline]
    pub(super) fn save(&mut self, field: Field, value: i32) -> Option<()> {
        *self.fields.get_mut(self.count)? = (field, value);
        self.count += 1;
        Some(())
    }

    /// The wall-clock time that the fields make; `None` when a value does not exist (February 30, hour 24).
    pub(super) fn wall_clock(&mut self) -> Option<WallClock> {
        self.sort();
        if self.count > 0 && self.fields[0].0.asks_for_year() {
            self.save(Field::Year, DEFAULT_YEAR)?;
            self.sort();
        }
        let fields = self.fields.get(..self.count)?;
        let mut clock = WallClock::EPOCH;
        for (field, value) in fields {
            clock.set(*field, i64::from(*value))?;
            clock.round_down(*field);
        }
        for (field, value) in fields {
            clock.set(*field, i64::from(*value))?;
        }
        if let Some((field, _)) = fields.last() {
            clock.round_down(*field);
        }
        let year = date_of_day(clock.day).year;
        in_years(year)?;
        Some(clock)
    }

    /// Stable, and quick for the few fields of a date, which mostly stand in order.
    fn sort(&mut self) {
        let count = self.count.min(MAX_FIELDS);
        for end in 1..count {
            let mut at = end;
            while at > 0 && self.fields[at - 1].0.rank() > self.fields[at].0.rank() {
                self.fields.swap(at - 1, at);
                at -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(fields: &[(Field, i32)]) -> Bucket {
        let mut bucket = Bucket::new();
        for (field, value) in fields {
            bucket.save(*field, *value).expect("fits");
        }
        bucket
    }

    #[test]
    fn contradicting_weekday_moves_the_day() {
        let clock = bucket(&[
            (Field::Year, 2024),
            (Field::Month, 1),
            (Field::Day, 2),
            (Field::Weekday, 3),
        ])
        .wall_clock();
        assert_eq!(
            clock,
            Some(WallClock {
                day: day_of_date(2024, 1, 3),
                ms: 0
            })
        );
    }

    #[test]
    fn too_many_fields_fail() {
        let mut bucket = Bucket::new();
        let saved = (0..=MAX_FIELDS)
            .filter(|_| bucket.save(Field::Day, 1).is_some())
            .count();
        assert_eq!(saved, MAX_FIELDS);
    }
}
