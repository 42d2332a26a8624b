//! Dates in Joda-Time's pattern notation: reading ([`JodaParser`], [`Iso8601Parser`]) and writing ([`JodaFormatter`]).

mod element;
mod fields;
mod names;
mod pattern;
mod quick;
pub(in crate::time) mod write;

pub use write::{Granularity, JodaFormatter};

use element::{Element, Reading, read_all};
use fields::{Bucket, Field, MAX_FIELDS, WallClock, in_years};
use names::{ENGLISH, LANGUAGES, Names};
use pattern::{Token, tokens};
use quick::QuickPattern;

use super::Timestamp;
use super::civil::date_of_day;
use super::zone::Zone;

/// Digits that a year may have where no other number follows.
const LONG_YEAR_DIGITS: usize = 9;

/// Digits that are read of a fraction at most.
const MAX_FRACTION_DIGITS: usize = 18;

/// Why a date pattern cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JodaError {
    /// Nothing to match.
    #[error("the date pattern is empty")]
    Empty,
    /// Longer than anybody needs.
    #[error("the date pattern is longer than {limit} bytes")]
    TooLong {
        /// Bytes allowed.
        limit: usize,
    },
    /// A letter that stands for nothing.
    #[error(
        "`{letter}` in the date pattern `{pattern}` has no meaning: put text between single quotes"
    )]
    UnknownLetter {
        /// The letter.
        letter: char,
        /// The whole pattern.
        pattern: String,
    },
    /// A letter that does not stand for so many characters, or a misplaced bracket or quote.
    #[error("the date pattern `{pattern}` is not legal: {reason}")]
    Illegal {
        /// The whole pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// More fields than a date has.
    #[error("the date pattern `{pattern}` has more than {limit} fields")]
    TooManyFields {
        /// The whole pattern.
        pattern: String,
        /// Fields allowed.
        limit: usize,
    },
    /// A language without names.
    #[error("no month and day names are known for the locale `{locale}`: use one of {known}")]
    UnknownLocale {
        /// The locale as it was written.
        locale: String,
        /// The languages that are known.
        known: String,
    },
}

/// Reads dates of one pattern, as the date filter does.
///
/// Fields are read greedily from left to right and the whole text must match. Names match in long and short form whatever
/// their case. Wall-clock times that the clocks jumped over fail; of two possible moments the earlier is taken.
#[derive(Clone, Debug)]
pub struct JodaParser {
    elements: Vec<Element>,
    quick: Option<QuickPattern>,
    names: &'static Names,
    english_too: bool,
    guesses_year: bool,
    zone: Option<Zone>,
}

impl JodaParser {
    /// Compiles a pattern.
    ///
    /// `locale` is a BCP 47 tag that says in which language names are read. Without one it is the system's, and where that
    /// is not English, English names are tried as well. `default_zone` is the zone of texts that name none; without one it
    /// is the system's.
    ///
    /// # Errors
    /// When the pattern is illegal, or has names in a language that is not known.
    pub fn compile(
        pattern: &str,
        locale: Option<&str>,
        default_zone: Option<Zone>,
    ) -> Result<Self, JodaError> {
        let elements = elements(&tokens(pattern)?);
        let fields: usize = elements.iter().map(Element::field_count).sum();
        // One more may be needed for the default year.
        if fields >= MAX_FIELDS {
            return Err(JodaError::TooManyFields {
                pattern: pattern.to_owned(),
                limit: MAX_FIELDS - 1,
            });
        }
        let has_names = elements
            .iter()
            .any(|element| matches!(element, Element::Name { .. }));
        let (names, english_too) = match locale {
            Some(locale) => match Names::of_locale(locale) {
                Some(names) => (names, false),
                None if has_names => return Err(unknown_locale(locale)),
                None => (&ENGLISH, false),
            },
            None => system_names(),
        };
        let quick = QuickPattern::of(&elements, names.language == ENGLISH.language);
        let guesses_year = !pattern.contains(['y', 'Y']);
        Ok(Self {
            elements,
            quick,
            names,
            english_too: english_too && has_names,
            guesses_year,
            zone: default_zone,
        })
    }

    /// The moment of a text, to the millisecond, or `None` when the text is no date of this pattern.
    ///
    /// `now_year_hint` is about the current time: it decides what two-digit years mean, and the year of patterns without
    /// one (a December seen in January was last year's, a January seen in December is next year's).
    #[must_use]
    pub fn parse(&self, text: &[u8], now_year_hint: Timestamp) -> Option<Timestamp> {
        self.parse_with(text, self.zone, now_year_hint)
    }

    /// [`JodaParser::parse`] with another default zone, for configs that take the zone from the event.
    #[must_use]
    pub fn parse_in(&self, text: &[u8], zone: Zone, now_year_hint: Timestamp) -> Option<Timestamp> {
        self.parse_with(text, Some(zone), now_year_hint)
    }

    fn parse_with(&self, text: &[u8], zone: Option<Zone>, now: Timestamp) -> Option<Timestamp> {
        if let Some(date) = self.quick.as_ref().and_then(|quick| quick.read(text)) {
            return self.finish(date, zone, now);
        }
        let first = self.parse_in_language(text, self.names, zone, now);
        if first.is_none() && self.english_too {
            return self.parse_in_language(text, &ENGLISH, zone, now);
        }
        first
    }

    fn parse_in_language(
        &self,
        text: &[u8],
        names: &Names,
        zone: Option<Zone>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let date = read_whole(&self.elements, text, Reading { names, now })?;
        self.finish(date, zone, now)
    }

    #[inline]
    fn finish(
        &self,
        date: ReadDate,
        default_zone: Option<Zone>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let parsed = date.moment(default_zone)?;
        let utc_ms = if self.guesses_year {
            in_guessed_year(parsed, default_zone, now)?
        } else {
            parsed.utc_ms
        };
        Some(Timestamp::from_millis(utc_ms))
    }
}

/// A text's wall-clock time, and the offset (milliseconds east of UTC) or zone that it names.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct ReadDate {
    clock: WallClock,
    offset_ms: Option<i32>,
    zone: Option<Zone>,
}

impl ReadDate {
    /// The offset in the text counts before a zone in it, and that before the default.
    #[inline]
    fn moment(self, default_zone: Option<Zone>) -> Option<Parsed> {
        let zone = match (self.offset_ms, self.zone, default_zone) {
            (Some(offset_ms), _, _) => Zone::fixed_millis(offset_ms),
            (None, Some(zone), _) | (None, None, Some(zone)) => zone,
            (None, None, None) => Zone::system(),
        };
        Some(Parsed {
            utc_ms: zone.local_to_utc(self.clock.millis())?,
            zone,
        })
    }
}

/// The general way from a text to a date: all elements must match, and nothing may be left.
fn read_whole(elements: &[Element], text: &[u8], with: Reading) -> Option<ReadDate> {
    let mut bucket = Bucket::new();
    if read_all(elements, text, 0, &mut bucket, with)? != text.len() {
        return None;
    }
    Some(ReadDate {
        clock: bucket.wall_clock()?,
        offset_ms: bucket.offset_ms,
        zone: bucket.zone,
    })
}

/// A moment and the zone in which its text was read.
#[derive(Copy, Clone)]
struct Parsed {
    utc_ms: i64,
    zone: Zone,
}

/// Moves a moment into the year that it most likely belongs to. A year that was read (a week-year) is overwritten too.
fn in_guessed_year(parsed: Parsed, default_zone: Option<Zone>, now: Timestamp) -> Option<i64> {
    let zone = default_zone.unwrap_or(parsed.zone);
    let offset_ms = zone.offset_millis_at(parsed.utc_ms.div_euclid(1000));
    let mut clock = WallClock::from_millis(parsed.utc_ms + i64::from(offset_ms));
    let (current_year, current_month) = system_date(now);
    let year = match (date_of_day(clock.day).month, current_month) {
        (12, 1) => current_year - 1,
        (1, 12) => current_year + 1,
        _ => current_year,
    };
    clock.set_year(in_years(year)?);
    // The offset of the unmoved moment is kept where it also holds in the new year.
    let kept = clock.millis() - i64::from(offset_ms);
    if zone.offset_millis_at(kept.div_euclid(1000)) == offset_ms {
        return Some(kept);
    }
    zone.local_to_utc_lenient(clock.millis())
}

/// Year and month of a moment in the system's zone.
fn system_date(now: Timestamp) -> (i64, u32) {
    let offset_secs = Zone::system().offset_millis_at(now.secs) / 1000;
    let local = Timestamp {
        secs: now.secs.saturating_add(i64::from(offset_secs)),
        nanos: 0,
    };
    let date = date_of_day(local.day_number());
    (date.year, date.month)
}

fn elements(tokens: &[Token]) -> Vec<Element> {
    let followed = tokens
        .iter()
        .zip(tokens.iter().skip(1).map(Some).chain([None]));
    followed
        .map(|(token, next)| match token {
            Token::Literal(text) => Element::Literal(text.clone()),
            Token::Letter { letter, count } => element(*letter, *count, next),
        })
        .collect()
}

fn element(letter: u8, count: usize, next: Option<&Token>) -> Element {
    let number = |field, max: usize| Element::Number {
        field,
        max: max.max(count),
        signed: false,
    };
    let dotted = !matches!(next, Some(Token::Literal(text)) if text.starts_with('.'));
    let name = |field| Element::Name { field, dotted };
    match letter {
        b'G' => name(Field::Era),
        b'C' => Element::Number {
            field: Field::Century,
            max: count,
            signed: true,
        },
        b'x' | b'y' | b'Y' => year(letter, count, next.is_some_and(Token::is_numeric)),
        b'M' if count >= 3 => name(Field::Month),
        b'M' => number(Field::Month, 2),
        b'd' => number(Field::Day, 2),
        b'D' => number(Field::DayOfYear, 3),
        b'w' => number(Field::Week, 2),
        b'e' => number(Field::Weekday, 1),
        b'E' => name(Field::Weekday),
        b'a' => name(Field::Halfday),
        b'H' => number(Field::Hour, 2),
        b'k' => number(Field::ClockHour, 2),
        b'K' => number(Field::HalfdayHour, 2),
        b'h' => number(Field::HalfdayClockHour, 2),
        b'm' => number(Field::Minute, 2),
        b's' => number(Field::Second, 2),
        b'S' => {
            let max = count.min(MAX_FRACTION_DIGITS);
            Element::Fraction {
                field: Field::Millis,
                unit_ms: 1000,
                max,
            }
        }
        b'z' => Element::ZoneName,
        _ if count >= 3 => Element::ZoneId,
        _ => Element::Offset,
    }
}

fn year(letter: u8, count: usize, number_follows: bool) -> Element {
    let field = match (letter, count) {
        (b'x', _) => Field::WeekYear,
        (b'Y', 1 | 3..) => Field::YearOfEra,
        _ => Field::Year,
    };
    if count == 2 {
        return Element::TwoDigitYear {
            field,
            lenient: !number_follows,
        };
    }
    let max = if number_follows {
        count
    } else {
        count.max(LONG_YEAR_DIGITS)
    };
    Element::Number {
        field,
        max,
        signed: field != Field::YearOfEra,
    }
}

fn unknown_locale(locale: &str) -> JodaError {
    let known: Vec<&str> = LANGUAGES.iter().map(|names| names.language).collect();
    JodaError::UnknownLocale {
        locale: locale.to_owned(),
        known: known.join(", "),
    }
}

/// The names of the system's language, and whether English ones are to be tried after them.
fn system_names() -> (&'static Names, bool) {
    let setting = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|variable| std::env::var(variable).ok())
        .find(|setting| !setting.is_empty());
    let names = setting
        .as_deref()
        .and_then(Names::of_locale)
        .unwrap_or(&ENGLISH);
    (names, names.language != ENGLISH.language)
}

/// Reads the date filter's `ISO8601` format.
///
/// Accepted are Joda-Time's ISO texts: a date (`2024-01-02`, `2024-002`, `2024-W01-2`, shortened from the right), a time
/// after `T`, or both, fractions of the last part after `.` or `,`, and an offset; further `yyyy-MM-dd HH:mm:ss` with a
/// fraction after `.` or `,` and with or without an offset. A time alone is of 1970-01-01. Fractions are cut to milliseconds.
#[derive(Clone, Debug)]
pub struct Iso8601Parser {
    iso: Vec<Element>,
    spaced: Vec<Vec<Element>>,
    zone: Option<Zone>,
}

impl Iso8601Parser {
    /// A parser whose texts without an offset are in `default_zone`, or in the system's zone.
    #[must_use]
    pub fn new(default_zone: Option<Zone>) -> Self {
        let spaced = |mark: &str, with_offset: bool| {
            let mut elements = vec![
                Element::Number {
                    field: Field::Year,
                    max: LONG_YEAR_DIGITS,
                    signed: true,
                },
                literal("-"),
                two_digits(Field::Month),
                literal("-"),
                two_digits(Field::Day),
                literal(" "),
                two_digits(Field::Hour),
                literal(":"),
                two_digits(Field::Minute),
                literal(":"),
                two_digits(Field::Second),
                literal(mark),
                Element::Fraction {
                    field: Field::Millis,
                    unit_ms: 1000,
                    max: 3,
                },
            ];
            if with_offset {
                elements.push(Element::Offset);
            }
            elements
        };
        let spaced = vec![
            spaced(".", true),
            spaced(".", false),
            spaced(",", true),
            spaced(",", false),
        ];
        Self {
            iso: iso_elements(),
            spaced,
            zone: default_zone,
        }
    }

    /// The moment of a text, to the millisecond, or `None` when it is no such date.
    #[must_use]
    pub fn parse(&self, text: &[u8]) -> Option<Timestamp> {
        self.parse_with(text, self.zone)
    }

    /// [`Iso8601Parser::parse`] with another default zone.
    #[must_use]
    pub fn parse_in(&self, text: &[u8], zone: Zone) -> Option<Timestamp> {
        self.parse_with(text, Some(zone))
    }

    fn parse_with(&self, text: &[u8], zone: Option<Zone>) -> Option<Timestamp> {
        if let Some((local_secs, nanos, offset_secs)) = super::iso::read_usual(text) {
            let local_ms = local_secs * 1000 + i64::from(nanos / 1_000_000);
            let zone = offset_secs
                .map(|offset_secs| Zone::fixed_millis(offset_secs * 1000))
                .or(zone);
            let utc_ms = zone.unwrap_or_else(Zone::system).local_to_utc(local_ms)?;
            return Some(Timestamp::from_millis(utc_ms));
        }
        let reading = Reading {
            names: &ENGLISH,
            now: Timestamp::default(),
        };
        let parsed = std::iter::once(&self.iso)
            .chain(&self.spaced)
            .find_map(|elements| read_whole(elements, text, reading)?.moment(zone))?;
        Some(Timestamp::from_millis(parsed.utc_ms))
    }
}

fn literal(text: &str) -> Element {
    Element::Literal(text.to_owned())
}

fn two_digits(field: Field) -> Element {
    Element::Number {
        field,
        max: 2,
        signed: false,
    }
}

fn optional(elements: Vec<Element>) -> Element {
    Element::Choice {
        alternatives: vec![elements],
        optional: true,
    }
}

fn iso_elements() -> Vec<Element> {
    let time = || {
        let fraction = |field, unit_ms| {
            vec![
                Element::Choice {
                    alternatives: vec![vec![literal(".")], vec![literal(",")]],
                    optional: false,
                },
                Element::Fraction {
                    field,
                    unit_ms,
                    max: 9,
                },
            ]
        };
        let second = vec![
            literal(":"),
            two_digits(Field::Second),
            optional(fraction(Field::Millis, 1000)),
        ];
        let below_minute = Element::Choice {
            alternatives: vec![second, fraction(Field::MillisOfMinute, 60_000)],
            optional: true,
        };
        let minute = vec![literal(":"), two_digits(Field::Minute), below_minute];
        let below_hour = Element::Choice {
            alternatives: vec![minute, fraction(Field::MillisOfHour, 3_600_000)],
            optional: true,
        };
        vec![two_digits(Field::Hour), below_hour]
    };
    let mut time_alone = vec![literal("T")];
    time_alone.extend(time());
    time_alone.push(optional(vec![Element::Offset]));

    let year = |field| Element::Number {
        field,
        max: LONG_YEAR_DIGITS,
        signed: true,
    };
    let day = optional(vec![literal("-"), two_digits(Field::Day)]);
    let calendar = vec![
        year(Field::Year),
        optional(vec![literal("-"), two_digits(Field::Month), day]),
    ];
    let weekday = optional(vec![
        literal("-"),
        Element::Number {
            field: Field::Weekday,
            max: 1,
            signed: false,
        },
    ]);
    let week = vec![
        year(Field::WeekYear),
        literal("-W"),
        two_digits(Field::Week),
        weekday,
    ];
    let ordinal = vec![
        year(Field::Year),
        literal("-"),
        Element::Number {
            field: Field::DayOfYear,
            max: 3,
            signed: false,
        },
    ];
    let date = Element::Choice {
        alternatives: vec![calendar, week, ordinal],
        optional: false,
    };
    let clock = optional(vec![
        literal("T"),
        optional(time()),
        optional(vec![Element::Offset]),
    ]);
    vec![Element::Choice {
        alternatives: vec![time_alone, vec![date, clock]],
        optional: false,
    }]
}

#[cfg(test)]
mod tests;
