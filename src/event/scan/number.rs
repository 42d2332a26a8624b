//! Numbers, words and escapes of JSON: the tokens that more than one way of reading knows.

use super::{Limits, Problem, RawKind};

/// The number that begins at `pos` with a sign or a digit: its kind, and where it ends.
///
/// # Errors
/// What is wrong with it; the offending byte is the one at `pos`.
#[inline(always)]
pub(super) fn number(
    text: &[u8],
    pos: usize,
    limits: &Limits,
) -> Result<(RawKind, usize), Problem> {
    let whole = pos + usize::from(at(text, pos) == b'-');
    let mut to = match at(text, whole) {
        b'0' if at(text, whole + 1).is_ascii_digit() => return Err(Problem::BadNumber),
        b'0' => whole + 1,
        b'1'..=b'9' => digits(text, whole + 1),
        _ => return Err(bad_number(text, whole)),
    };
    let mut kind = RawKind::Int;
    if at(text, to) == b'.' {
        kind = RawKind::Float;
        let fraction = to + 1;
        to = digits(text, fraction);
        if to == fraction {
            return Err(Problem::BadNumber);
        }
    }
    if matches!(at(text, to), b'e' | b'E') {
        kind = RawKind::Float;
        let exponent = to + 1 + usize::from(matches!(at(text, to + 1), b'+' | b'-'));
        to = digits(text, exponent);
        if to == exponent {
            return Err(Problem::BadNumber);
        }
    }
    if to - pos > limits.max_number_len as usize {
        return Err(Problem::NumberTooLong);
    }
    Ok((kind, to))
}

/// `null`, `true` or `false` at `pos`: its kind, and where it ends.
#[inline(always)]
pub(super) fn word(text: &[u8], pos: usize) -> Option<(RawKind, usize)> {
    let rest = text.get(pos..).unwrap_or_default();
    match rest.first_chunk::<4>() {
        Some(b"null") => Some((RawKind::Null, pos + 4)),
        Some(b"true") => Some((RawKind::True, pos + 4)),
        Some(b"fals") if rest.get(4) == Some(&b'e') => Some((RawKind::False, pos + 5)),
        _ => None,
    }
}

/// Checks the escape whose backslash is at `pos`; where the text goes on behind it.
///
/// # Errors
/// What is wrong, and where.
#[inline]
pub(super) fn escape(text: &[u8], pos: usize) -> Result<usize, (usize, Problem)> {
    match at(text, pos + 1) {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(pos + 2),
        b'u' => match code_unit(text, pos)? {
            0xD800..=0xDBFF => {
                let low = pos + 6;
                let paired = at(text, low) == b'\\'
                    && at(text, low + 1) == b'u'
                    && matches!(code_unit(text, low)?, 0xDC00..=0xDFFF);
                if paired {
                    Ok(low + 6)
                } else {
                    Err((pos, Problem::LoneSurrogate))
                }
            }
            0xDC00..=0xDFFF => Err((pos, Problem::LoneSurrogate)),
            _ => Ok(pos + 6),
        },
        _ => Err((pos, Problem::BadEscape)),
    }
}

/// The UTF-16 unit of the `\uXXXX` at `pos`.
#[inline]
fn code_unit(text: &[u8], pos: usize) -> Result<u16, (usize, Problem)> {
    let digits = text.get(pos + 2..).and_then(<[u8]>::first_chunk::<4>);
    digits
        .and_then(|digits| hex_unit(*digits))
        .ok_or((pos, Problem::BadEscape))
}

/// The unit that four hexadecimal digits spell.
#[inline]
pub(crate) fn hex_unit(digits: [u8; 4]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |unit, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        Some(unit << 4 | u16::from(value))
    })
}

/// The byte at `pos`, or NUL, which the grammar allows nowhere, past the end.
#[inline(always)]
fn at(text: &[u8], pos: usize) -> u8 {
    text.get(pos).copied().unwrap_or(0)
}

/// The end of the digits that begin at `pos`, of which there may be none.
#[inline(always)]
fn digits(text: &[u8], mut pos: usize) -> usize {
    while let Some(eight) = text.get(pos..).and_then(<[u8]>::first_chunk::<8>) {
        let others = not_digits(u64::from_le_bytes(*eight));
        if others != 0 {
            return pos + others.trailing_zeros() as usize / 8;
        }
        pos += 8;
    }
    while at(text, pos).is_ascii_digit() {
        pos += 1;
    }
    pos
}

/// Non-zero bits in the bytes of `word` that are no digits. Exact up to the first such byte, which is all that is asked:
/// only a byte of 0xFA or more carries into its neighbour above.
#[inline(always)]
const fn not_digits(word: u64) -> u64 {
    let value = word ^ 0x3030_3030_3030_3030;
    (value | value.wrapping_add(0x0606_0606_0606_0606)) & 0xF0F0_F0F0_F0F0_F0F0
}

#[cold]
fn bad_number(text: &[u8], whole: usize) -> Problem {
    let infinite = text
        .get(whole..)
        .is_some_and(|rest| rest.starts_with(b"Infinity"));
    if infinite {
        Problem::NotFinite
    } else {
        Problem::BadNumber
    }
}
