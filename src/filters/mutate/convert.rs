//! Types of values: what `convert` makes of text and numbers.

use super::{Failed, Type};
use crate::event::{Batch, EventId, Kind, Path, Value};

/// Most digits that an exponent may stand for in an integer.
const MAX_DIGITS: usize = 1000;

/// Converts a field; missing and null ones and objects stay as they are, arrays are converted element by element.
pub(super) fn convert_field(
    batch: &mut Batch,
    id: EventId,
    path: &Path,
    to: Type,
    buf: &mut Vec<u8>,
) -> Result<(), Failed> {
    let value = batch.get(id, path);
    if value.is_nil() || value.is_object() {
        return Ok(());
    }
    if !value.is_array() {
        let converted = convert(batch, value, to, buf)?;
        return if converted == value {
            Ok(())
        } else {
            Ok(batch.set(id, path, converted)?)
        };
    }
    let before = batch.get_expanded(id, path);
    let list = batch.new_list();
    for at in 0..batch.node_len(before) {
        let element = batch.node_value(before, at);
        let converted = if element.is_nil() {
            element
        } else {
            convert(batch, element, to, buf)?
        };
        batch.list_push(list, converted);
    }
    Ok(batch.set(id, path, list)?)
}

fn convert(batch: &mut Batch, value: Value, to: Type, buf: &mut Vec<u8>) -> Result<Value, Failed> {
    buf.clear();
    match to {
        Type::Integer => integer(batch, value, b',', buf),
        Type::IntegerEu => integer(batch, value, b'.', buf),
        Type::Float => float(batch, value, b',', buf),
        Type::FloatEu => float(batch, value, b'.', buf),
        Type::Boolean => Ok(boolean(batch, value, buf)),
        Type::String => Ok(string(batch, value, buf)),
    }
}

fn integer(
    batch: &mut Batch,
    value: Value,
    grouping: u8,
    buf: &mut Vec<u8>,
) -> Result<Value, Failed> {
    match value.kind() {
        Kind::Int => return Ok(value),
        Kind::True => return Ok(batch.push_int(1)),
        Kind::False => return Ok(batch.push_int(0)),
        Kind::Time => {
            return batch
                .time(value)
                .map(|at| batch.push_int(at.secs))
                .ok_or(Failed);
        }
        Kind::Float => buf.extend_from_slice(batch.bytes(value)),
        Kind::Str => clean(batch.bytes(value), grouping, buf),
        _ => return Err(Failed),
    }
    let digits = Number::parse(buf)
        .and_then(|number| number.truncated())
        .ok_or(Failed)?;
    Ok(batch.push_number(Kind::Int, digits.as_bytes()))
}

#[allow(clippy::cast_precision_loss, reason = "a double is what is asked for")]
fn float(
    batch: &mut Batch,
    value: Value,
    grouping: u8,
    buf: &mut Vec<u8>,
) -> Result<Value, Failed> {
    match value.kind() {
        Kind::Float => return Ok(value),
        Kind::True => return Ok(batch.push_float(1.0)),
        Kind::False => return Ok(batch.push_float(0.0)),
        Kind::Time => {
            let at = batch.time(value).ok_or(Failed)?;
            return Ok(batch.push_float(at.secs as f64 + f64::from(at.nanos) / 1e9));
        }
        Kind::Int => buf.extend_from_slice(batch.bytes(value)),
        Kind::Str => clean(batch.bytes(value), grouping, buf),
        _ => return Err(Failed),
    }
    let number = Number::parse(buf)
        .and_then(|number| number.to_f64())
        .ok_or(Failed)?;
    Ok(batch.push_float(number))
}

/// Text without blanks at its ends and without the sign between thousands, in lower case, with a decimal point.
fn clean(text: &[u8], grouping: u8, out: &mut Vec<u8>) {
    for &byte in super::text::stripped(text) {
        match byte {
            _ if byte == grouping => {}
            b',' => out.push(b'.'),
            _ => out.push(byte.to_ascii_lowercase()),
        }
    }
}

/// The parts of a number's text.
#[derive(Debug, PartialEq)]
struct Number<'a> {
    negative: bool,
    hex: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i32,
}

impl<'a> Number<'a> {
    /// Reads `[+-]digits[.digits][e[+-]digits]` or `[+-]0xdigits`, as Ruby's strict conversions do. One underscore may
    /// stand between two digits.
    fn parse(text: &'a [u8]) -> Option<Number<'a>> {
        let (negative, rest) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        if let Some(digits) = rest.strip_prefix(b"0x") {
            let (whole, rest) = digits_of(digits, u8::is_ascii_hexdigit);
            let legal = !whole.is_empty() && rest.is_empty();
            return legal.then_some(Number {
                negative,
                hex: true,
                whole,
                fraction: b"",
                exponent: 0,
            });
        }
        let (whole, rest) = digits_of(rest, u8::is_ascii_digit);
        let (fraction, rest) = match rest.strip_prefix(b".") {
            Some(rest) => digits_of(rest, u8::is_ascii_digit),
            None => (&b""[..], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest.split_first() {
            None => 0,
            Some((b'e' | b'E', digits)) => std::str::from_utf8(digits).ok()?.parse().ok()?,
            Some(_) => return None,
        };
        Some(Number {
            negative,
            hex: false,
            whole,
            fraction,
            exponent,
        })
    }

    /// The decimal text without the fraction; none when it would be too long.
    fn truncated(&self) -> Option<String> {
        let mut digits = if self.hex {
            self.hex_value()?.to_string()
        } else {
            let all = self
                .whole
                .iter()
                .chain(self.fraction)
                .filter(|byte| **byte != b'_');
            let whole = self.whole.iter().filter(|byte| **byte != b'_').count();
            let point = i64::try_from(whole).ok()? + i64::from(self.exponent);
            let Ok(point) = usize::try_from(point) else {
                return Some("0".to_owned());
            };
            if point > MAX_DIGITS.max(whole) {
                return None;
            }
            let zeros = std::iter::repeat_n(&b'0', point);
            all.chain(zeros)
                .take(point)
                .map(|byte| char::from(*byte))
                .collect()
        };
        let zeros = digits.len() - digits.trim_start_matches('0').len();
        digits.drain(..zeros);
        if digits.is_empty() {
            digits.push('0');
        } else if self.negative {
            digits.insert(0, '-');
        }
        Some(digits)
    }

    fn hex_value(&self) -> Option<u128> {
        let text: String = self
            .whole
            .iter()
            .filter(|byte| **byte != b'_')
            .map(|byte| char::from(*byte))
            .collect();
        u128::from_str_radix(&text, 16).ok()
    }

    #[allow(clippy::cast_precision_loss, reason = "a double is what is asked for")]
    fn to_f64(&self) -> Option<f64> {
        let magnitude = if self.hex {
            self.hex_value()? as f64
        } else {
            let mut text = String::with_capacity(self.whole.len() + self.fraction.len() + 8);
            text.extend(self.whole.iter().map(|byte| char::from(*byte)));
            text.push('.');
            text.extend(self.fraction.iter().map(|byte| char::from(*byte)));
            text.retain(|char| char != '_');
            text.push('e');
            text.push_str(&self.exponent.to_string());
            text.parse().ok()?
        };
        Some(if self.negative { -magnitude } else { magnitude })
    }
}

/// The digits at the start, single underscores between them included, and the rest.
fn digits_of(text: &[u8], is_digit: fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let mut end = 0;
    while let Some(byte) = text.get(end) {
        let between = *byte == b'_'
            && end > 0
            && text[end - 1] != b'_'
            && text.get(end + 1).is_some_and(is_digit);
        if !is_digit(byte) && !between {
            break;
        }
        end += 1;
    }
    text.split_at(end)
}

/// The integer in a plain decimal text such as `-12.7` or `1e3`, cut towards zero.
pub(crate) fn decimal_integer(text: &[u8]) -> Option<String> {
    plain_decimal(text)?.truncated()
}

/// A plain decimal text as a JSON number with a fraction; all its digits are kept.
pub(crate) fn decimal_float(text: &[u8]) -> Option<String> {
    let number = plain_decimal(text)?;
    let whole = std::str::from_utf8(number.whole)
        .ok()?
        .trim_start_matches('0');
    let fraction = std::str::from_utf8(number.fraction).ok()?;
    let or_zero = |digits: &str| {
        if digits.is_empty() {
            "0".to_owned()
        } else {
            digits.to_owned()
        }
    };
    let sign = if number.negative { "-" } else { "" };
    let mut json = format!("{sign}{}.{}", or_zero(whole), or_zero(fraction));
    if number.exponent != 0 {
        json.push('e');
        json.push_str(&number.exponent.to_string());
    }
    Some(json)
}

fn plain_decimal(text: &[u8]) -> Option<Number<'_>> {
    let plain =
        |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    text.iter()
        .all(plain)
        .then(|| Number::parse(text))
        .flatten()
}

fn boolean(batch: &mut Batch, value: Value, buf: &mut Vec<u8>) -> Value {
    match value.kind() {
        Kind::Str | Kind::Int => buf.extend_from_slice(batch.bytes(value)),
        Kind::Float => ruby_float(batch.bytes(value), buf),
        _ => return value,
    }
    let is = |word: &&str| buf.eq_ignore_ascii_case(word.as_bytes());
    if ["true", "t", "yes", "y", "1", "1.0"].iter().any(is) {
        Value::TRUE
    } else if ["", "false", "f", "no", "n", "0", "0.0"].iter().any(is) {
        Value::FALSE
    } else {
        value
    }
}

fn string(batch: &mut Batch, value: Value, buf: &mut Vec<u8>) -> Value {
    match value.kind() {
        // The digits are already there: only what they mean changes.
        Kind::Int => Value {
            kind: Kind::Str,
            ..value
        },
        Kind::Float | Kind::True | Kind::False | Kind::Time => {
            ruby_text(batch, value, buf);
            batch.push(buf)
        }
        _ => value,
    }
}

/// Appends the text of a single value as Ruby's `to_s` prints it; null is empty.
pub(super) fn ruby_text(batch: &mut Batch, value: Value, out: &mut Vec<u8>) {
    if value.kind() == Kind::Float {
        ruby_float(batch.bytes(value), out);
    } else {
        batch.render(value, out);
    }
}

/// Appends a floating-point number as Ruby prints it: the shortest digits that read back as the same number, plain for
/// 1e-4 ≤ |x| < 1e16, else with an exponent of two digits at least.
fn ruby_float(text: &[u8], out: &mut Vec<u8>) {
    let Some(number) = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
    else {
        out.extend_from_slice(text);
        return;
    };
    let magnitude = number.abs();
    if !number.is_finite() {
        out.extend_from_slice(if number > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        });
    } else if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        out.extend_from_slice(format!("{number:?}").as_bytes());
    } else {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        out.extend_from_slice(mantissa.as_bytes());
        if !mantissa.contains('.') {
            out.extend_from_slice(b".0");
        }
        let (sign, digits) = exponent
            .strip_prefix('-')
            .map_or(('+', exponent), |digits| ('-', digits));
        out.extend_from_slice(format!("e{sign}{digits:0>2}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truncated(text: &str) -> Option<String> {
        Number::parse(text.as_bytes()).and_then(|number| number.truncated())
    }

    #[test]
    fn integers_are_read_strictly() {
        let good = [
            ("12.7", "12"),
            ("-12.7", "-12"),
            ("+5", "5"),
            ("0x1f", "31"),
            ("-0x10", "-16"),
            ("1e3", "1000"),
            ("1.25e1", "12"),
            ("125e-2", "1"),
            ("1e-9", "0"),
            ("010", "10"),
            ("-0", "0"),
            (".5", "0"),
            ("5.", "5"),
            ("1_000", "1000"),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            ("0e999999999", ""),
        ];
        for (text, number) in good {
            assert_eq!(
                truncated(text).as_deref(),
                (!number.is_empty()).then_some(number),
                "{text}"
            );
        }
        for text in [
            "", "abc", "12a", "1e", "e3", ".", "-", "0x", "0xg", "1__0", "_1", "1_", "1 2",
            "1e9999", "--1", "1.2.3",
        ] {
            assert_eq!(truncated(text), None, "{text}");
        }
    }

    #[test]
    fn decimals_keep_their_digits() {
        let float = |text: &str| decimal_float(text.as_bytes());
        assert_eq!(float("007").as_deref(), Some("7.0"));
        assert_eq!(float("-.50").as_deref(), Some("-0.50"));
        assert_eq!(float("+1E+3").as_deref(), Some("1.0e3"));
        assert_eq!(
            float("0.12345678901234567890123").as_deref(),
            Some("0.12345678901234567890123")
        );
        assert_eq!(
            (float("0x10"), float(" 1"), float("1_0"), float("")),
            (None, None, None, None)
        );
        assert_eq!(decimal_integer(b"-12.9").as_deref(), Some("-12"));
        assert_eq!(decimal_integer(b"0x10"), None);
    }

    #[test]
    fn floats_print_as_ruby_does() {
        let cases = [
            ("2.0", "2.0"),
            ("1e2", "100.0"),
            ("12345678.9", "12345678.9"),
            ("1e15", "1000000000000000.0"),
            ("1e16", "1.0e+16"),
            ("1.5e-5", "1.5e-05"),
            ("0.0001", "0.0001"),
            ("-1.25e100", "-1.25e+100"),
            ("0.0", "0.0"),
            ("-0.0", "-0.0"),
        ];
        for (text, printed) in cases {
            let mut out = Vec::new();
            ruby_float(text.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), printed);
        }
    }
}
