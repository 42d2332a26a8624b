//! Writing dates in java.time's pattern notation, in UTC and American English, as `%{{FORMAT}}` does.
//!
//! Weeks are those of the United States: they begin on Sunday, and the first one holds January 1.

use super::Timestamp;
use super::civil::{Date, date_of_day, day_of_date, day_of_year, weekday};
use super::joda::write::{halfday, month_name, twelve_hour, weekday_name, write_padded};
use super::joda::{Granularity, JodaError};

/// Longest pattern accepted, in bytes.
const MAX_PATTERN: usize = 1024;

/// Digits that java.time writes at most.
const MAX_WIDTH: usize = 19;

/// Days from the modified Julian day 0 to 1970-01-01.
const MODIFIED_JULIAN_SHIFT: i64 = 40_587;

/// Writes moments by one java.time pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JavaTimeFormatter {
    pieces: Vec<Piece>,
    granularity: Granularity,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Piece {
    what: What,
    /// Width up to which spaces go before it.
    pad: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum What {
    Literal(String),
    /// A number with at least so many digits; a `+` before longer ones if `signed`.
    Number {
        letter: u8,
        width: usize,
        signed: bool,
    },
    /// The last two digits of a year.
    TwoDigits {
        letter: u8,
    },
    Name {
        letter: u8,
        style: Style,
    },
    Fraction {
        digits: usize,
    },
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Style {
    Short,
    Full,
    Narrow,
}

impl JavaTimeFormatter {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When a letter has no meaning or stands there too often, or a quote, bracket or reserved character is misplaced.
    pub fn compile(pattern: &str) -> Result<Self, JodaError> {
        if pattern.len() > MAX_PATTERN {
            return Err(JodaError::TooLong { limit: MAX_PATTERN });
        }
        let illegal = |reason: String| JodaError::Illegal {
            pattern: pattern.to_owned(),
            reason,
        };
        let pieces = pieces(pattern).map_err(illegal)?;
        let granularity = pieces
            .iter()
            .map(Piece::granularity)
            .max()
            .unwrap_or(Granularity::Day);
        Ok(Self {
            pieces,
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
        for piece in &self.pieces {
            piece.write(moment, out);
        }
    }
}

fn pieces(pattern: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut open_brackets = 0_usize;
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            'a'..='z' | 'A'..='Z' => {
                let (piece, taken) = letters(rest)?;
                pieces.push(piece);
                taken
            }
            '\'' => {
                let (text, taken) = quoted(rest)?;
                pieces.push(Piece {
                    what: What::Literal(text),
                    pad: 0,
                });
                taken
            }
            // Everything is known of a moment, so optional parts are always written.
            '[' => {
                open_brackets += 1;
                1
            }
            ']' => {
                open_brackets = open_brackets
                    .checked_sub(1)
                    .ok_or("`]` without a `[` before it")?;
                1
            }
            '{' | '}' | '#' => {
                return Err(format!(
                    "`{first}` is reserved: put it between single quotes"
                ));
            }
            other => {
                pieces.push(Piece {
                    what: What::Literal(other.to_string()),
                    pad: 0,
                });
                other.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(pieces)
}

/// The piece of a run of letters, with the padding that a run of `p` before it asks for, and the bytes that it takes.
fn letters(pattern: &str) -> Result<(Piece, usize), String> {
    let (letter, count) = run(pattern).ok_or("a letter is missing")?;
    if letter != b'p' {
        return Ok((
            Piece {
                what: what(letter, count)?,
                pad: 0,
            },
            count,
        ));
    }
    let after = pattern.get(count..).and_then(run);
    let (padded, padded_count) = after.ok_or("`p` must stand before the letter that it pads")?;
    Ok((
        Piece {
            what: what(padded, padded_count)?,
            pad: count,
        },
        count + padded_count,
    ))
}

/// The letter that a pattern begins with, and how often it stands there.
fn run(pattern: &str) -> Option<(u8, usize)> {
    let letter = pattern.bytes().next().filter(u8::is_ascii_alphabetic)?;
    Some((
        letter,
        pattern.bytes().take_while(|byte| *byte == letter).count(),
    ))
}

fn quoted(pattern: &str) -> Result<(String, usize), String> {
    let mut text = String::new();
    let mut chars = pattern.char_indices().skip(1).peekable();
    while let Some((at, letter)) = chars.next() {
        if letter != '\'' {
            text.push(letter);
        } else if chars.next_if(|(_, next)| *next == '\'').is_some() {
            text.push('\'');
        } else {
            // Two quotes alone stand for one.
            let text = if at == 1 { "'".to_owned() } else { text };
            return Ok((text, at + 1));
        }
    }
    Err("a quote is not closed".to_owned())
}

fn what(letter: u8, count: usize) -> Result<What, String> {
    let too_many = || format!("`{}` cannot stand there {count} times", char::from(letter));
    let number = |width: usize| What::Number {
        letter,
        width,
        signed: false,
    };
    let at_most = |most: usize| {
        if count <= most {
            Ok(number(count))
        } else {
            Err(too_many())
        }
    };
    let styled = || match count {
        3 => Ok(What::Name {
            letter,
            style: Style::Short,
        }),
        4 => Ok(What::Name {
            letter,
            style: Style::Full,
        }),
        5 => Ok(What::Name {
            letter,
            style: Style::Narrow,
        }),
        _ => Err(too_many()),
    };
    match letter {
        b'u' | b'y' | b'Y' => match count {
            2 => Ok(What::TwoDigits { letter }),
            1 | 3..=MAX_WIDTH => Ok(What::Number {
                letter,
                width: count,
                signed: count >= 4,
            }),
            _ => Err(too_many()),
        },
        b'M' | b'L' | b'Q' | b'q' | b'e' if count <= 2 => Ok(number(count)),
        b'c' if count == 1 => Ok(number(1)),
        b'E' | b'G' if count <= 3 => Ok(What::Name {
            letter,
            style: Style::Short,
        }),
        b'M' | b'L' | b'Q' | b'q' | b'e' | b'c' | b'E' | b'G' => styled(),
        b'a' if count == 1 => Ok(What::Name {
            letter,
            style: Style::Short,
        }),
        b'B' if matches!(count, 1 | 4 | 5) => Ok(What::Name {
            letter,
            style: Style::Full,
        }),
        b'W' | b'F' => at_most(1),
        b'd' | b'H' | b'h' | b'K' | b'k' | b'm' | b's' | b'w' => at_most(2),
        b'D' => at_most(3),
        b'A' | b'n' | b'N' | b'g' => at_most(MAX_WIDTH),
        b'S' if count <= 9 => Ok(What::Fraction { digits: count }),
        _ => zone(letter, count)
            .map(|text| What::Literal(text.to_owned()))
            .ok_or_else(|| {
                let known = b"aBSzVvZOXx".contains(&letter);
                if known {
                    too_many()
                } else {
                    format!(
                        "`{}` has no meaning: put text between single quotes",
                        char::from(letter)
                    )
                }
            }),
    }
}

/// The text of the zone, which is always UTC.
fn zone(letter: u8, count: usize) -> Option<&'static str> {
    match (letter, count) {
        (b'z', 1..=4) | (b'V', 2) | (b'v', 1 | 4) | (b'X', 1..=5) | (b'Z', 5) => Some("Z"),
        (b'Z', 1..=3) | (b'x', 2 | 4) => Some("+0000"),
        (b'Z', 4) | (b'O', 1 | 4) => Some("GMT"),
        (b'x', 1) => Some("+00"),
        (b'x', 3 | 5) => Some("+00:00"),
        _ => None,
    }
}

impl Piece {
    fn granularity(&self) -> Granularity {
        match &self.what {
            What::Fraction { .. }
            | What::Number {
                letter: b'n' | b'N' | b'A',
                ..
            } => Granularity::Sub,
            What::Number { letter: b's', .. } => Granularity::Second,
            What::Number { letter: b'm', .. } | What::Name { letter: b'B', .. } => {
                Granularity::Minute
            }
            What::Number {
                letter: b'H' | b'h' | b'K' | b'k',
                ..
            }
            | What::Name { letter: b'a', .. } => Granularity::Hour,
            _ => Granularity::Day,
        }
    }

    fn write(&self, moment: Timestamp, out: &mut Vec<u8>) {
        let start = out.len();
        match &self.what {
            What::Literal(text) => out.extend_from_slice(text.as_bytes()),
            What::Number {
                letter,
                width,
                signed,
            } => {
                let value = number(*letter, moment);
                let limit = u32::try_from(*width)
                    .ok()
                    .and_then(|width| 10_i64.checked_pow(width));
                if *signed && limit.is_some_and(|limit| value >= limit) {
                    out.push(b'+');
                }
                write_padded(value, *width, out);
            }
            What::TwoDigits { letter } => write_padded(number(*letter, moment).abs() % 100, 2, out),
            What::Name { letter, style } => write_name(*letter, *style, moment, out),
            What::Fraction { digits } => {
                write_padded(i64::from(moment.nanos), 9, out);
                out.truncate(out.len() - (9 - digits.min(&9)));
            }
        }
        let written = out.len() - start;
        if written < self.pad {
            out.splice(start..start, std::iter::repeat_n(b' ', self.pad - written));
        }
    }
}

fn number(letter: u8, moment: Timestamp) -> i64 {
    let second = i64::from(moment.second_of_day());
    let hour = second / 3600;
    match letter {
        b'H' => hour,
        b'k' => (hour + 23) % 24 + 1,
        b'K' => hour % 12,
        b'h' => i64::from(twelve_hour(moment.second_of_day() / 3600)),
        b'm' => second / 60 % 60,
        b's' => second % 60,
        b'A' => second * 1000 + i64::from(moment.nanos / 1_000_000),
        b'n' => i64::from(moment.nanos),
        b'N' => second * 1_000_000_000 + i64::from(moment.nanos),
        _ => date_number(letter, moment.day_number()),
    }
}

fn date_number(letter: u8, day: i64) -> i64 {
    let date = date_of_day(day);
    match letter {
        b'u' => date.year,
        b'y' => year_of_era(date.year),
        b'Y' => american_week(day).0,
        b'w' => american_week(day).1,
        b'W' => {
            (i64::from(date.day) - 1 + days_since_sunday(day_of_date(date.year, date.month, 1))) / 7
                + 1
        }
        b'M' | b'L' => i64::from(date.month),
        b'Q' | b'q' => i64::from(quarter(date)),
        b'd' => i64::from(date.day),
        b'D' => i64::from(day_of_year(day)),
        b'F' => i64::from(date.day - 1) / 7 + 1,
        b'g' => day + MODIFIED_JULIAN_SHIFT,
        // `e` and `c`.
        _ => days_since_sunday(day) + 1,
    }
}

fn year_of_era(year: i64) -> i64 {
    if year <= 0 { 1 - year } else { year }
}

fn quarter(date: Date) -> u32 {
    (date.month - 1) / 3 + 1
}

fn days_since_sunday(day: i64) -> i64 {
    i64::from(weekday(day) % 7)
}

/// Week-year and week, where weeks begin on Sunday and the first holds January 1.
fn american_week(day: i64) -> (i64, i64) {
    let sunday = day - days_since_sunday(day);
    let week_year = date_of_day(sunday + 6).year;
    let new_year = day_of_date(week_year, 1, 1);
    let first_sunday = new_year - days_since_sunday(new_year);
    (week_year, (sunday - first_sunday) / 7 + 1)
}

fn write_name(letter: u8, style: Style, moment: Timestamp, out: &mut Vec<u8>) {
    let day = moment.day_number();
    let date = date_of_day(day);
    let second = moment.second_of_day();
    let long = style == Style::Full;
    let name = match letter {
        b'M' | b'L' => month_name(date.month, long),
        b'a' => halfday(second / 3600),
        b'B' => day_period(second),
        b'G' => match (date.year > 0, long) {
            (true, true) => "Anno Domini",
            (true, false) => "AD",
            (false, true) => "Before Christ",
            (false, false) => "BC",
        },
        b'Q' | b'q' => return write_quarter(quarter(date), style, out),
        _ => weekday_name(weekday(day), long),
    };
    let name = if style == Style::Narrow {
        name.get(..1).unwrap_or(name)
    } else {
        name
    };
    out.extend_from_slice(name.as_bytes());
}

fn write_quarter(quarter: u32, style: Style, out: &mut Vec<u8>) {
    const FULL: [&str; 4] = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];
    match style {
        Style::Full => out.extend_from_slice(FULL[(quarter as usize - 1) % 4].as_bytes()),
        Style::Short => {
            out.push(b'Q');
            write_padded(i64::from(quarter), 1, out);
        }
        Style::Narrow => write_padded(i64::from(quarter), 1, out),
    }
}

/// How English speaks of a time of day.
fn day_period(second: u32) -> &'static str {
    let minute = second / 60;
    match (minute / 60, minute % 60) {
        (0, 0) => "midnight",
        (12, 0) => "noon",
        (6..=11, _) => "in the morning",
        (12..=17, _) => "in the afternoon",
        (18..=20, _) => "in the evening",
        _ => "at night",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(pattern: &str, moment: Timestamp) -> String {
        let mut out = Vec::new();
        JavaTimeFormatter::compile(pattern)
            .expect("legal")
            .write(moment, &mut out);
        String::from_utf8(out).expect("text")
    }

    /// 2024-12-30T07:08:09.123456789Z, a Monday.
    const MOMENT: Timestamp = Timestamp {
        secs: 1_735_542_489,
        nanos: 123_456_789,
    };

    #[test]
    fn patterns() {
        for (pattern, expected) in [
            ("yyyy-MM-dd'T'HH", "2024-12-30T07"),
            ("YYYY.ww", "2025.01"),
            ("uuuu-MM-dd", "2024-12-30"),
            ("xxx", "+00:00"),
            ("SSSSSSSSS", "123456789"),
            ("SSS", "123"),
            ("DDD", "365"),
            ("EEE EEEE EEEEE e c", "Mon Monday M 2 2"),
            ("MMM MMMM MMMMM L", "Dec December D 12"),
            ("QQQ QQQQ Q", "Q4 4th quarter 4"),
            ("yy uu YY", "24 24 25"),
            ("h:mm a", "7:08 AM"),
            ("k K H", "7 7 7"),
            ("pppH", "  7"),
            ("''yyyy'x''y'", "'2024x'y"),
            ("[yyyy[-MM]]", "2024-12"),
            ("X XXX Z ZZZZ O", "Z Z +0000 GMT GMT"),
            ("W F", "5 5"),
            ("", ""),
        ] {
            assert_eq!(text(pattern, MOMENT), expected, "{pattern}");
        }
        assert_eq!(
            text(
                "yyyy uuuu y u",
                Timestamp {
                    secs: 253_402_300_800,
                    nanos: 0
                }
            ),
            "+10000 +10000 10000 10000"
        );
        assert_eq!(
            text(
                "yyyy uuuu G",
                Timestamp {
                    secs: -62_167_219_201,
                    nanos: 0
                }
            ),
            "0002 -0001 BC"
        );
    }

    #[test]
    fn refused() {
        for pattern in [
            "b",
            "R",
            "'open",
            "]",
            "{",
            "}",
            "#",
            "p",
            "p-",
            "ddd",
            "MMMMMM",
            "cc",
            "aa",
            "SSSSSSSSSS",
            "VVV",
            "xxxxxx",
            "zzzzz",
        ] {
            assert!(
                matches!(
                    JavaTimeFormatter::compile(pattern),
                    Err(JodaError::Illegal { .. })
                ),
                "{pattern}"
            );
        }
    }

    #[test]
    fn granularity_is_the_finest_unit() {
        let finest = |pattern: &str| {
            JavaTimeFormatter::compile(pattern)
                .expect("legal")
                .granularity()
        };
        assert_eq!(finest("yyyy.MM.dd"), Granularity::Day);
        assert_eq!(finest("yyyy.MM.dd.HH"), Granularity::Hour);
        assert_eq!(finest("mm:HH"), Granularity::Minute);
        assert_eq!(finest("ss"), Granularity::Second);
        assert_eq!(finest("n"), Granularity::Sub);
    }

    proptest! {
        #![proptest_config(crate::time::property_config())]

        #[test]
        fn any_pattern_any_moment(pattern in "\\PC{0,12}|[a-zA-Z'\\[\\]p-]{0,12}", secs: i64, nanos in 0..1_000_000_000_u32) {
            if let Ok(formatter) = JavaTimeFormatter::compile(&pattern) {
                formatter.write(Timestamp { secs, nanos }, &mut Vec::new());
            }
        }
    }
}
