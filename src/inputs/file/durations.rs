//! Durations as the file input's options spell them: a number in the option's own unit, or text with a unit.

use std::time::Duration;

use crate::plugin::{Build, FromSetting, Setting};

/// No duration is longer: a hundred years.
const LONGEST_SECONDS: f64 = 3_155_760_000.0;

/// A duration; a bare number counts seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds(pub Duration);

/// A duration; a bare number counts days.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Days(pub Duration);

impl FromSetting for Seconds {
    const KIND: &'static str = "duration (seconds, or text such as `1 hour`)";
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        let text = String::from_setting(setting, build)?;
        parse(&text, 1.0).map(Seconds)
    }
}

impl FromSetting for Days {
    const KIND: &'static str = "duration (days, or text such as `2 weeks`)";
    fn from_setting(setting: &Setting, build: &mut Build<'_>) -> Result<Self, String> {
        let text = String::from_setting(setting, build)?;
        parse(&text, 86_400.0).map(Days)
    }
}

/// Reads `1.5 hours`, `30min`, `2d`, or a bare number of `unit_seconds`.
fn parse(text: &str, unit_seconds: f64) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let (number, unit) = text.split_at(digits);
    let wrong = || {
        format!(
            "must be a number or a text such as `1 hour`, `2d`, `30 min` or `500 ms`, not `{text}`"
        )
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = match unit.trim_start() {
        "" => unit_seconds,
        unit => seconds_of(unit).ok_or_else(wrong)?,
    };
    let seconds = number * unit;
    if seconds > LONGEST_SECONDS {
        return Err(format!("must be at most a hundred years, not `{text}`"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// Source: the unit words of the original's "string duration" options.
fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "us" | "usec" | "usecs" => 0.000_001,
        "ms" | "msec" | "msecs" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "week" | "weeks" => 604_800.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_unit_of_the_option_and_text_its_own() {
        let ms = Duration::from_millis;
        for (text, unit, expected) in [
            ("15", 1.0, ms(15_000)),
            ("0.5", 1.0, ms(500)),
            ("14", 86_400.0, ms(14 * 86_400_000)),
            ("1 hour", 86_400.0, ms(3_600_000)),
            ("2d", 1.0, ms(172_800_000)),
            ("30 min", 1.0, ms(1_800_000)),
            ("500 ms", 1.0, ms(500)),
            ("2 weeks", 1.0, ms(1_209_600_000)),
            ("250 usec", 1.0, Duration::from_micros(250)),
        ] {
            assert_eq!(parse(text, unit), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "soon",
            "-1",
            "1 fortnight",
            "1.2.3",
            "hour",
            "9999999 weeks",
        ] {
            assert!(parse(text, 1.0).is_err(), "{text}");
        }
    }
}
