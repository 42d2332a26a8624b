//! ISO 8601 texts that become an event's `@timestamp`.

use super::Timestamp;
use super::civil::{DAY_SECS, day_of_date, days_in_month};
use super::zone::Zone;

/// Longest text looked at: a long year, nanoseconds and the longest zone id.
const MAX_TEXT: usize = 100;

/// Years that Java's instants hold.
const MAX_YEAR: i64 = 999_999_999;

/// The moment of a text given as `@timestamp`, or `None` when it is none.
///
/// A date (`2024-01-02`; years beyond four digits carry a sign) is required. After `T` may follow hours and minutes, seconds,
/// and up to nine digits of a fraction after `.`. The zone is `Z`, `+hh:mm`, `+hhmm`, `+hh` or an id; texts without one are in
/// `default_zone`. The basic format, numbers, a space for the `T` and a comma are refused.
#[must_use]
pub fn parse_event_timestamp(text: &[u8], default_zone: &Zone) -> Option<Timestamp> {
    parse_complete(text).or_else(|| parse_lenient(text, *default_zone))
}

/// `YYYY-MM-DDTHH:MM:SS(.f{1,9})?(Z|±hh:mm)`, all parts in range; `None` for everything else.
#[inline]
pub(super) fn parse_complete(text: &[u8]) -> Option<Timestamp> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    if head[10] != b'T' {
        return None;
    }
    let local_secs = date_and_time(head)?;
    let (nanos, zone) = fraction(tail)?;
    let offset_secs = match zone {
        b"Z" => 0,
        [
            sign @ (b'+' | b'-'),
            hour_tens,
            hour_ones,
            b':',
            minute_tens,
            minute_ones,
        ] => {
            let (hours, minutes) = (
                pair(*hour_tens, *hour_ones)?,
                pair(*minute_tens, *minute_ones)?,
            );
            if hours > 18 || minutes > 59 || (hours == 18 && minutes > 0) {
                return None;
            }
            let offset_secs = i64::from(hours * 3600 + minutes * 60);
            if *sign == b'-' {
                -offset_secs
            } else {
                offset_secs
            }
        }
        _ => return None,
    };
    Some(Timestamp {
        secs: local_secs - offset_secs,
        nanos,
    })
}

/// The usual texts of the date filter's `ISO8601`, `YYYY-MM-DDTHH:MM:SS` with or without fraction and offset, and with a space
/// where a fraction of up to three digits follows: seconds of the wall clock since 1970, nanoseconds, and the offset in
/// seconds.
#[inline]
pub(super) fn read_usual(text: &[u8]) -> Option<(i64, u32, Option<i32>)> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let local_secs = date_and_time(head)?;
    let (nanos, zone) = match tail.first() {
        Some(b'.' | b',') => digits_of_fraction(tail)?,
        _ => (0, tail),
    };
    let fraction_len = tail.len() - zone.len();
    let fits = match head[10] {
        b'T' => true,
        b' ' => (2..=4).contains(&fraction_len),
        _ => false,
    };
    let offset_secs = match zone {
        [] => None,
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] | [sign @ (b'+' | b'-'), h0, h1, m0, m1] => {
            let (hours, minutes) = (pair(*h0, *h1)?, pair(*m0, *m1)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset_secs = i32::try_from(hours * 3600 + minutes * 60).ok()?;
            Some(if *sign == b'-' {
                -offset_secs
            } else {
                offset_secs
            })
        }
        _ => return None,
    };
    fits.then_some((local_secs, nanos, offset_secs))
}

/// The date and time of `YYYY-MM-DD?HH:MM:SS` as seconds of the wall clock since 1970.
#[inline]
fn date_and_time(head: &[u8; 19]) -> Option<i64> {
    let [
        y0,
        y1,
        y2,
        y3,
        m0,
        m1,
        m2,
        m3,
        d0,
        d1,
        _,
        t0,
        t1,
        t2,
        t3,
        t4,
        t5,
        t6,
        t7,
    ] = *head;
    let [century, _, year, _, _, month, ..] =
        digit_pairs([y0, y1, y2, y3, m0, m1, m2, m3], *b"0000-00-")?;
    let [hour, _, _, minute, _, _, second, _] =
        digit_pairs([t0, t1, t2, t3, t4, t5, t6, t7], *b"00:00:00")?;
    let day = pair(d0, d1)?;
    let year = i64::from(century) * 100 + i64::from(year);
    let month = u32::from(month);
    let exists = day >= 1
        && (1..=12).contains(&month)
        && (day <= 28 || day <= days_in_month(year, month))
        && hour <= 23
        && minute <= 59
        && second <= 59;
    let second_of_day = u32::from(hour) * 3600 + u32::from(minute) * 60 + u32::from(second);
    exists.then(|| day_of_date(year, month, day) * DAY_SECS + i64::from(second_of_day))
}

/// Compares eight bytes with a form in which `0` stands for any digit, all at once. Where two digits stand next to each other,
/// the byte of the first becomes their value.
#[inline]
fn digit_pairs(text: [u8; 8], form: [u8; 8]) -> Option<[u8; 8]> {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    // Adding this sets the high bit of a digit's place above 9, and of any other place above 0.
    let slack = u64::from_le_bytes(form.map(|byte| if byte == b'0' { 0x76 } else { 0x7f }));
    let digits = u64::from_le_bytes(text) ^ u64::from_le_bytes(form);
    if (digits.wrapping_add(slack) | digits) & HIGH_BITS != 0 {
        return None;
    }
    // No place exceeds 99, so nothing is carried over.
    Some((digits * 10 + (digits >> 8)).to_le_bytes())
}

/// The value of two digits.
#[inline]
fn pair(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// Nanoseconds after a `.` (0 where there is none) and what follows them.
#[inline]
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    if text.first() == Some(&b'.') {
        digits_of_fraction(text)
    } else {
        Some((0, text))
    }
}

/// Nanoseconds of one to nine digits after a text's first byte, and what follows them.
#[inline]
fn digits_of_fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    const SCALE: [u32; 10] = [
        0,
        100_000_000,
        10_000_000,
        1_000_000,
        100_000,
        10_000,
        1000,
        100,
        10,
        1,
    ];
    let digits = text.get(1..)?;
    let mut nanos = 0;
    let mut len = 0;
    while len < 9
        && let Some(digit @ b'0'..=b'9') = digits.get(len)
    {
        nanos = nanos * 10 + u32::from(digit - b'0');
        len += 1;
    }
    (len > 0).then(|| (nanos * SCALE[len], digits.get(len..).unwrap_or_default()))
}

fn parse_lenient(text: &[u8], default_zone: Zone) -> Option<Timestamp> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let (day, rest) = date(text)?;
    let (second_of_day, nanos, rest) = match rest.split_first() {
        Some((b'T' | b't', time)) => time_of_day(time)?,
        _ => (0, 0, rest),
    };
    let zone = if rest.is_empty() {
        default_zone
    } else {
        zone(rest)?
    };
    let local_ms = (day * DAY_SECS + i64::from(second_of_day)).checked_mul(1000)?;
    // Offsets of zones are whole seconds but for ones nobody writes, so the fraction of a second is untouched.
    let utc_ms = zone.local_to_utc_lenient(local_ms)?;
    Some(Timestamp {
        secs: utc_ms.div_euclid(1000),
        nanos,
    })
}

/// The day number of a date at the start of a text, and what follows it.
fn date(text: &[u8]) -> Option<(i64, &[u8])> {
    let (sign, unsigned) = match text.split_first()? {
        (sign @ (b'+' | b'-'), rest) => (Some(*sign), rest),
        _ => (None, text),
    };
    let digits = unsigned
        .iter()
        .take(10)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    // A `+` announces more than four digits, and more than four digits need a sign.
    let fits = match sign {
        None => digits == 4,
        Some(b'+') => digits > 4,
        Some(_) => digits >= 4,
    };
    let (year, rest) = unsigned.split_at_checked(digits).filter(|_| fits)?;
    let year = year
        .iter()
        .fold(0, |year, digit| year * 10 + i64::from(digit - b'0'));
    let year = if sign == Some(b'-') { -year } else { year };
    let (b"-", rest) = rest.split_at_checked(1)? else {
        return None;
    };
    let (month, rest) = leading_pair(rest)?;
    let (b"-", rest) = rest.split_at_checked(1)? else {
        return None;
    };
    let (day, rest) = leading_pair(rest)?;
    let exists = year.abs() <= MAX_YEAR && day >= 1 && day <= days_in_month(year, month);
    exists.then(|| (day_of_date(year, month, day), rest))
}

/// Second of the day, nanoseconds, and what follows them.
fn time_of_day(text: &[u8]) -> Option<(u32, u32, &[u8])> {
    let (hour, rest) = leading_pair(text)?;
    let (b":", rest) = rest.split_at_checked(1)? else {
        return None;
    };
    let (minute, rest) = leading_pair(rest)?;
    let (second, nanos, rest) = match rest.split_first() {
        Some((b':', rest)) => {
            let (second, rest) = leading_pair(rest)?;
            let (nanos, rest) = match rest {
                // A point without digits is a fraction of zero.
                [b'.', after @ ..] if !after.first().is_some_and(u8::is_ascii_digit) => (0, after),
                _ => fraction(rest)?,
            };
            (second, nanos, rest)
        }
        _ => (0, 0, rest),
    };
    (hour <= 23 && minute <= 59 && second <= 59).then_some((
        hour * 3600 + minute * 60 + second,
        nanos,
        rest,
    ))
}

fn leading_pair(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<2>()?;
    Some((pair(digits[0], digits[1])?, rest))
}

fn zone(text: &[u8]) -> Option<Zone> {
    let id = std::str::from_utf8(text).ok()?;
    if id == "z" {
        Some(Zone::UTC)
    } else {
        Zone::parse(id).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(text: &str) -> Option<String> {
        parse_event_timestamp(text.as_bytes(), &Zone::UTC).map(|moment| moment.to_string())
    }

    #[test]
    fn accepted() {
        for (text, moment) in [
            ("2024-12-30T07:08:09Z", "2024-12-30T07:08:09.000Z"),
            ("2024-12-30T07:08:09.1Z", "2024-12-30T07:08:09.100Z"),
            (
                "2024-12-30T07:08:09.123456789Z",
                "2024-12-30T07:08:09.123456789Z",
            ),
            ("2024-12-30T07:08:09+02:00", "2024-12-30T05:08:09.000Z"),
            ("2024-12-30T07:08:09.5-0530", "2024-12-30T12:38:09.500Z"),
            ("2024-12-30T07:08:09+02", "2024-12-30T05:08:09.000Z"),
            (
                "2024-12-30T07:08:09Europe/Berlin",
                "2024-12-30T06:08:09.000Z",
            ),
            ("2024-12-30T07:08", "2024-12-30T07:08:00.000Z"),
            ("2024-12-30T07:08Z", "2024-12-30T07:08:00.000Z"),
            ("2024-12-30", "2024-12-30T00:00:00.000Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
            ("+12024-12-30T07:08:09Z", "+12024-12-30T07:08:09.000Z"),
            ("-0001-12-30T07:08:09Z", "-0001-12-30T07:08:09.000Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(utc(text).as_deref(), Some(moment), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "2024",
            "2024-12",
            "20241230T070809Z",
            "2024-12-30 07:08:09",
            "2024-12-30T07:08:09,123Z",
            "2024-12-30T07",
            "2024-12-30T",
            "2024-12-30T07:08:09.1234567890Z",
            "1700000000",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01",
            "2024-01-00",
            "2024-04-31",
            "2024-12-30T24:00:00Z",
            "2024-12-30T07:60:00Z",
            "2024-12-30T07:08:60Z",
            "2024-12-30T07:08:09+2",
            "2024-12-30T07:08:09+19:00x",
            "2024-12-30T07:08:09 Z",
            " 2024-12-30",
            "12024-12-30",
            "+2024-12-30",
            "2024-1-2",
            "2024-12-30T07:08:09Nowhere/City",
            "2024-12-30T7:08:09Z",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
    }

    #[test]
    fn missing_zone_is_the_default_zone() {
        let berlin = Zone::parse("Europe/Berlin").expect("known");
        let read = |text: &str| {
            parse_event_timestamp(text.as_bytes(), &berlin).map(|moment| moment.to_string())
        };
        assert_eq!(
            read("2024-07-01T12:00:00.25").as_deref(),
            Some("2024-07-01T10:00:00.250Z")
        );
        assert_eq!(
            read("2024-03-31T02:30:00").as_deref(),
            Some("2024-03-31T01:30:00.000Z")
        );
        assert_eq!(
            read("2024-10-27T02:30:00").as_deref(),
            Some("2024-10-27T00:30:00.000Z")
        );
    }

    proptest! {
        #![proptest_config(crate::time::property_config())]

        #[test]
        fn text_round_trips(secs in -62_167_219_200_i64..253_402_300_800, nanos in 0..1_000_000_000_u32, cut in 0..4_u32) {
            let unit = 1000_u32.pow(cut.min(3));
            let moment = Timestamp { secs, nanos: nanos / unit * unit };
            let text = moment.to_string();
            prop_assert_eq!(parse_complete(text.as_bytes()), Some(moment));
            prop_assert_eq!(parse_lenient(text.as_bytes(), Zone::UTC), Some(moment));
        }

        #[test]
        fn far_years_round_trip(secs in -9_000_000_000_000_000_i64..9_000_000_000_000_000) {
            let moment = Timestamp { secs, nanos: 0 };
            prop_assert_eq!(parse_event_timestamp(moment.to_string().as_bytes(), &Zone::UTC), Some(moment));
        }

        #[test]
        fn quick_and_lenient_agree(text in "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,10})?(Z|[+-][012][0-9]:[0-6][0-9])") {
            let quick = parse_complete(text.as_bytes());
            let lenient = parse_lenient(text.as_bytes(), Zone::UTC);
            prop_assert!(quick.is_none() || quick == lenient, "{:?} {:?}", quick, lenient);
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_event_timestamp(&bytes, &Zone::UTC);
        }
    }
}
