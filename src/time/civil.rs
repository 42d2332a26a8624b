//! Calendar arithmetic in the proleptic Gregorian calendar: days since 1970-01-01 to and from dates, weeks and weekdays.
//!
//! The year count is astronomical (year 0 exists, negative years go before it), as in ISO 8601.

/// Seconds in a day.
pub const DAY_SECS: i64 = 86_400;

/// Days in a cycle of 400 years.
const ERA_DAYS: i64 = 146_097;

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_SHIFT: i64 = 719_468;

/// A date: astronomical year, month 1–12, day of month 1–31.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Date {
    /// Astronomical year.
    pub year: i64,
    /// Month, 1–12.
    pub month: u32,
    /// Day of month, 1–31.
    pub day: u32,
}

/// The date of a day number (days since 1970-01-01). Exact for all days that fit a timestamp.
#[must_use]
pub fn date_of_day(day_number: i64) -> Date {
    let shifted = day_number + EPOCH_SHIFT;
    let era = shifted.div_euclid(ERA_DAYS);
    // The remainder fits 18 bits, so 32-bit arithmetic (cheaper divisions) serves from here on.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let day_of_era = shifted.rem_euclid(ERA_DAYS) as u32;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = i64::from(year_of_era) + era * 400 + i64::from(month <= 2);
    Date { year, month, day }
}

/// The day number (days since 1970-01-01) of a date. Month and day are taken as they are: check them first.
#[must_use]
#[inline]
pub fn day_of_date(year: i64, month: u32, day: u32) -> i64 {
    // A year that begins in March has its leap day at the end.
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day;
    let year = year - i64::from(month <= 2);
    if let Ok(year @ 0..=9999) = u32::try_from(year) {
        // 32-bit divisions are cheaper, and these are the years that occur.
        i64::from(year * 365 + year / 4 - year / 100 + year / 400 + day_of_year) - 1 - EPOCH_SHIFT
    } else {
        let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
        era * ERA_DAYS + year * 365 + year / 4 - year / 100 + i64::from(day_of_year)
            - 1
            - EPOCH_SHIFT
    }
}

/// Whether a year has 366 days.
#[must_use]
pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days in a month (1–12) of a year; 0 for a month that does not exist.
#[must_use]
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap(year)),
        1..=12 => 31,
        _ => 0,
    }
}

/// Days in a year.
#[must_use]
pub fn days_in_year(year: i64) -> u32 {
    365 + u32::from(is_leap(year))
}

/// Day of week of a day number, 1 = Monday to 7 = Sunday.
#[must_use]
pub fn weekday(day_number: i64) -> u32 {
    // 1970-01-01 was a Thursday. The remainder is 0–6.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let from_monday = (day_number + 3).rem_euclid(7) as u32;
    from_monday + 1
}

/// Day of year, 1–366, of a day number.
#[must_use]
pub fn day_of_year(day_number: i64) -> u32 {
    let date = date_of_day(day_number);
    // A difference within one year.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let from_first = (day_number - day_of_date(date.year, 1, 1)) as u32;
    from_first + 1
}

/// The day number of the Monday of week 1 of an ISO week-year.
#[must_use]
pub fn first_week_monday(week_year: i64) -> i64 {
    let fourth = day_of_date(week_year, 1, 4);
    fourth - i64::from(weekday(fourth) - 1)
}

/// ISO week-year and week (1–53) of a day number.
#[must_use]
pub fn iso_week(day_number: i64) -> (i64, u32) {
    let thursday = day_number - i64::from(weekday(day_number)) + 4;
    let week_year = date_of_day(thursday).year;
    // At most 53 weeks lie between a year's first Monday and a day of that week-year.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let week = ((day_number - first_week_monday(week_year)) / 7) as u32;
    (week_year, week + 1)
}

/// Weeks in an ISO week-year: 52 or 53.
#[must_use]
pub fn weeks_in_week_year(week_year: i64) -> u32 {
    let days = first_week_monday(week_year + 1) - first_week_monday(week_year);
    if days > 52 * 7 { 53 } else { 52 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_are_inverse() {
        for day in (-1_000_000..1_000_000).step_by(13).chain(-800..800) {
            let date = date_of_day(day);
            assert_eq!(day_of_date(date.year, date.month, date.day), day);
            assert!(date.day <= days_in_month(date.year, date.month));
        }
        assert_eq!(
            date_of_day(0),
            Date {
                year: 1970,
                month: 1,
                day: 1
            }
        );
        assert_eq!(
            date_of_day(-1),
            Date {
                year: 1969,
                month: 12,
                day: 31
            }
        );
        assert_eq!(
            date_of_day(19_782),
            Date {
                year: 2024,
                month: 2,
                day: 29
            }
        );
    }

    #[test]
    fn extremes_do_not_overflow() {
        for secs in [i64::MIN, i64::MAX] {
            let day = secs.div_euclid(DAY_SECS);
            let date = date_of_day(day);
            assert_eq!(day_of_date(date.year, date.month, date.day), day);
            assert!(iso_week(day).1 <= 53);
            assert!(day_of_year(day) <= 366);
        }
    }

    #[test]
    fn weeks() {
        let tuesday = day_of_date(2024, 1, 30);
        assert_eq!(weekday(tuesday), 2);
        assert_eq!(iso_week(tuesday), (2024, 5));
        assert_eq!(iso_week(day_of_date(2024, 12, 30)), (2025, 1));
        assert_eq!(iso_week(day_of_date(2021, 1, 3)), (2020, 53));
        assert_eq!(weeks_in_week_year(2020), 53);
        assert_eq!(weeks_in_week_year(2024), 52);
        assert_eq!(day_of_year(day_of_date(2024, 12, 31)), 366);
    }
}
