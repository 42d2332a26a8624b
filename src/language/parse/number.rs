//! Turns the text of a number literal into its value: octal after a leading zero, whole numbers of any size.

use crate::language::ast::Number;

/// Most digits a number may have; more is a mistake, and converting long ones costs quadratic time.
const MAX_DIGITS: usize = 1000;

/// Why a text that looks like a number is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberError {
    /// `08`: the leading zero asks for octal digits.
    NotOctal,
    /// More than a thousand digits.
    TooLong,
}

/// Converts `-?[0-9]+(\.[0-9]*)?`.
pub(super) fn number(text: &str) -> Result<Number, NumberError> {
    if text.len() > MAX_DIGITS {
        return Err(NumberError::TooLong);
    }
    let source = text.to_owned();
    if text.contains('.') {
        return Ok(Number::Float {
            value: text.parse().unwrap_or(f64::NAN),
            text: source,
        });
    }
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or(("", text), |digits| ("-", digits));
    let radix = if digits.len() > 1 && digits.starts_with('0') {
        8
    } else {
        10
    };
    if radix == 8 && digits.contains(['8', '9']) {
        return Err(NumberError::NotOctal);
    }
    if let Ok(value) = i128::from_str_radix(&format!("{sign}{digits}"), radix) {
        return Ok(Number::Int {
            value,
            text: source,
        });
    }
    Ok(Number::BigInt {
        digits: format!("{sign}{}", to_decimal(digits, radix)),
        text: source,
    })
}

/// The digits in base ten without leading zeros.
fn to_decimal(digits: &str, radix: u32) -> String {
    if radix == 10 {
        return digits.to_owned();
    }
    // Least significant decimal digit first.
    let mut decimal = vec![0_u32];
    for digit in digits.chars().filter_map(|c| c.to_digit(radix)) {
        let mut carry = digit;
        for place in &mut decimal {
            let sum = *place * radix + carry;
            *place = sum % 10;
            carry = sum / 10;
        }
        if carry > 0 {
            decimal.push(carry);
        }
    }
    decimal
        .iter()
        .rev()
        .filter_map(|&place| char::from_digit(place, 10))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(text: &str) -> i128 {
        match number(text) {
            Ok(Number::Int { value, .. }) => value,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn big(text: &str) -> String {
        match number(text) {
            Ok(Number::BigInt { digits, .. }) => digits,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_leading_zero_means_octal() {
        assert_eq!(int("0640"), 416);
        assert_eq!(int("-010"), -8);
        assert_eq!((int("0"), int("00"), int("-0"), int("10")), (0, 0, 0, 10));
        assert_eq!(number("08"), Err(NumberError::NotOctal));
        assert_eq!(number("-09"), Err(NumberError::NotOctal));
    }

    #[test]
    fn floats_keep_their_text() {
        assert_eq!(
            number("5."),
            Ok(Number::Float {
                value: 5.0,
                text: "5.".into()
            })
        );
        assert_eq!(
            number("-08.50"),
            Ok(Number::Float {
                value: -8.5,
                text: "-08.50".into()
            })
        );
    }

    #[test]
    fn whole_numbers_of_any_size() {
        let max = i128::MAX.to_string();
        assert_eq!(int(&max), i128::MAX);
        assert_eq!(big(&format!("-{max}0")), format!("-{max}0"));
        assert_eq!(
            big(&format!("01{}", "0".repeat(43))),
            (1_u32..=43).fold("1".to_owned(), |n, _| times_eight(&n))
        );
        assert_eq!(number(&"9".repeat(1001)), Err(NumberError::TooLong));
    }

    fn times_eight(decimal: &str) -> String {
        let mut carry = 0;
        let mut digits: Vec<u32> = Vec::new();
        for digit in decimal.chars().rev() {
            let product = digit.to_digit(10).unwrap() * 8 + carry;
            digits.push(product % 10);
            carry = product / 10;
        }
        if carry > 0 {
            digits.push(carry);
        }
        digits.iter().rev().map(ToString::to_string).collect()
    }
}
