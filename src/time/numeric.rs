//! The numeric formats of the date filter: `UNIX`, `UNIX_MS` and `TAI64N`.

use super::Timestamp;

/// The largest second that `UNIX` accepts: the end of signed 32-bit time.
const UNIX_MAX_SECS: i64 = i32::MAX as i64;

/// Digits beyond which a decimal cannot be a moment that is representable in milliseconds.
const MAX_DECIMAL_TEXT: usize = 400;

/// `UNIX` given as text: whole seconds, or seconds with a decimal point (digits past milliseconds are cut).
///
/// `None` for blanks, other characters, and seconds past 2³¹−1.
#[must_use]
pub fn unix_from_text(text: &[u8]) -> Option<Timestamp> {
    if text.contains(&b'.') {
        return unix_from_number(text);
    }
    unix_from_millis(whole_number(text)?.checked_mul(1000)?)
}

/// `UNIX` given as a JSON number: its text may also carry an exponent.
#[must_use]
pub fn unix_from_number(text: &[u8]) -> Option<Timestamp> {
    let (millis, _) = scaled_decimal(text, 3)?;
    unix_from_millis(millis)
}

fn unix_from_millis(millis: i64) -> Option<Timestamp> {
    (millis / 1000 <= UNIX_MAX_SECS && millis <= UNIX_MAX_SECS * 1000)
        .then(|| Timestamp::from_millis(millis))
}

/// `UNIX_MS` given as text: whole milliseconds since the epoch. `None` for blanks, fractions and other characters.
#[must_use]
pub fn unix_ms_from_text(text: &[u8]) -> Option<Timestamp> {
    whole_number(text).map(Timestamp::from_millis)
}

/// `UNIX_MS` given as a JSON number. `None` when it has a fraction.
#[must_use]
pub fn unix_ms_from_number(text: &[u8]) -> Option<Timestamp> {
    let (millis, exact) = scaled_decimal(text, 0)?;
    exact.then(|| Timestamp::from_millis(millis))
}

/// `TAI64N`: `@` (optional), 16 hexadecimal digits of seconds from 2⁶² and 8 of nanoseconds. Ten seconds are taken off, the
/// distance of TAI and UTC in 1970; the result is cut to milliseconds.
#[must_use]
pub fn tai64n(text: &[u8]) -> Option<Timestamp> {
    const TAI_AHEAD_SECS: i64 = 10;
    let digits = text.strip_prefix(b"@").unwrap_or(text);
    let (secs, nanos) = digits.split_at_checked(16)?;
    if nanos.len() != 8 {
        return None;
    }
    let secs = i64::try_from(hexadecimal(secs)?.checked_sub(1 << 62)?).ok()? - TAI_AHEAD_SECS;
    let nanos = u32::try_from(hexadecimal(nanos)?)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    // Milliseconds have to stay in range as well.
    secs.checked_mul(1000)?;
    Some(Timestamp { secs, nanos }.truncated_to_millis())
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        value.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

/// An optional sign and at least one digit, within 64 bits.
fn whole_number(text: &[u8]) -> Option<i64> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, digit| {
        let digit = i64::from(decimal_digit(*digit)?);
        let value = value.checked_mul(10)?;
        if negative {
            value.checked_sub(digit)
        } else {
            value.checked_add(digit)
        }
    })
}

/// A decimal with optional fraction and exponent times 10^`scale`, cut towards zero, and whether nothing was cut.
fn scaled_decimal(text: &[u8], scale: i64) -> Option<(i64, bool)> {
    if text.len() > MAX_DECIMAL_TEXT {
        return None;
    }
    let (negative, unsigned) = split_sign(text);
    let mantissa_len = unsigned
        .iter()
        .position(|byte| matches!(byte, b'e' | b'E'))
        .unwrap_or(unsigned.len());
    let (mantissa, exponent) = unsigned.split_at_checked(mantissa_len)?;
    let exponent = match exponent.get(1..) {
        Some(digits) => whole_number(digits)?.clamp(-100_000, 100_000),
        None => 0,
    };
    let point = mantissa
        .iter()
        .position(|byte| *byte == b'.')
        .unwrap_or(mantissa.len());
    let digit_count = mantissa.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digit_count == 0 || digit_count + usize::from(point < mantissa.len()) != mantissa.len() {
        return None;
    }
    // Digits left of the cut are kept; where digits run out before it, zeros follow.
    let kept = i64::try_from(point).ok()? + exponent + scale;
    let mut value = 0_i64;
    let mut exact = true;
    for (place, digit) in (0_i64..).zip(mantissa.iter().filter_map(|byte| decimal_digit(*byte))) {
        if place < kept {
            value = value.checked_mul(10)?.checked_add(i64::from(digit))?;
        } else {
            exact &= digit == 0;
        }
    }
    if value != 0 {
        for _ in i64::try_from(digit_count).ok()?..kept {
            value = value.checked_mul(10)?;
        }
    }
    Some((if negative { -value } else { value }, exact))
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    }
}

fn decimal_digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(moment: Option<Timestamp>) -> Option<i64> {
        moment.map(Timestamp::to_millis)
    }

    #[test]
    fn unix_text() {
        assert_eq!(
            millis(unix_from_text(b"1700000000")),
            Some(1_700_000_000_000)
        );
        assert_eq!(
            millis(unix_from_text(b"1700000000.123456")),
            Some(1_700_000_000_123)
        );
        assert_eq!(
            millis(unix_from_text(b"1700000000.5")),
            Some(1_700_000_000_500)
        );
        assert_eq!(millis(unix_from_text(b"-5")), Some(-5000));
        assert_eq!(millis(unix_from_text(b"-0.5")), Some(-500));
        assert_eq!(millis(unix_from_text(b"+5")), Some(5000));
        assert_eq!(
            millis(unix_from_text(b"1.7000000005E9")),
            Some(1_700_000_000_500)
        );
        assert_eq!(
            millis(unix_from_text(b"2147483647")),
            Some(2_147_483_647_000)
        );
        for refused in [
            "2147483648",
            "3000000000",
            "",
            "-",
            ".",
            "1..2",
            " 1700000000",
            "1700000000 ",
            "abc",
            "1e9",
            "1.5e",
            "0x10",
            "99999999999999999999",
        ] {
            assert_eq!(unix_from_text(refused.as_bytes()), None, "{refused}");
        }
    }

    #[test]
    fn unix_numbers() {
        assert_eq!(
            millis(unix_from_number(b"1700000000")),
            Some(1_700_000_000_000)
        );
        assert_eq!(
            millis(unix_from_number(b"1776699045.123456")),
            Some(1_776_699_045_123)
        );
        assert_eq!(millis(unix_from_number(b"17e8")), Some(1_700_000_000_000));
        assert_eq!(millis(unix_from_number(b"1.7E+9")), Some(1_700_000_000_000));
        assert_eq!(
            millis(unix_from_number(b"1700000000000000e-6")),
            Some(1_700_000_000_000)
        );
        assert_eq!(millis(unix_from_number(b"0e99999999")), Some(0));
        assert_eq!(millis(unix_from_number(b"1e-99999999")), Some(0));
        assert_eq!(unix_from_number(b"1e400"), None);
        assert_eq!(unix_from_number(b"1e10"), None);
    }

    #[test]
    fn unix_milliseconds() {
        assert_eq!(
            millis(unix_ms_from_text(b"1700000000123")),
            Some(1_700_000_000_123)
        );
        assert_eq!(millis(unix_ms_from_text(b"-1")), Some(-1));
        assert_eq!(unix_ms_from_text(b"1700000000123.5"), None);
        assert_eq!(unix_ms_from_text(b" 1"), None);
        assert_eq!(
            millis(unix_ms_from_number(b"1.7E12")),
            Some(1_700_000_000_000)
        );
        assert_eq!(unix_ms_from_number(b"1.5"), None);
    }

    #[test]
    fn tai() {
        assert_eq!(
            tai64n(b"@4000000050d506482dbdf024")
                .map(|moment| moment.to_string())
                .as_deref(),
            Some("2012-12-22T01:00:46.767Z")
        );
        assert_eq!(
            tai64n(b"@4000000050d506482dbdf024"),
            tai64n(b"4000000050d506482dbdf024")
        );
        for refused in [
            "",
            "@",
            "@4000000050d506482dbdf02",
            "@4000000050d506482dbdf0244",
            "@4000000050d50648ffffffff",
            "@0000000050d506482dbdf024",
        ] {
            assert_eq!(tai64n(refused.as_bytes()), None, "{refused}");
        }
    }
}
