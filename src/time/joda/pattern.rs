//! Date patterns in Joda-Time's notation, split into letters and literal text.

use super::JodaError;

/// Longest pattern accepted, in bytes.
pub(super) const MAX_PATTERN: usize = 1024;

/// A piece of a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// A pattern letter and how often it stands there.
    Letter { letter: u8, count: usize },
    /// Text that stands for itself.
    Literal(String),
}

impl Token {
    /// Whether digits are read or written for it, so that a year before it cannot take more digits than it has letters.
    pub(super) fn is_numeric(&self) -> bool {
        match self {
            Self::Letter {
                letter: b'M',
                count,
            } => *count <= 2,
            Self::Letter { letter, .. } => b"cCxyYdhHmsSeDFwWkK".contains(letter),
            Self::Literal(_) => false,
        }
    }
}

/// Splits a pattern. An unclosed quote runs to the end, as in the original.
///
/// # Errors
/// When the pattern is empty, too long, or has a letter without a meaning.
pub(super) fn tokens(pattern: &str) -> Result<Vec<Token>, JodaError> {
    if pattern.is_empty() {
        return Err(JodaError::Empty);
    }
    if pattern.len() > MAX_PATTERN {
        return Err(JodaError::TooLong { limit: MAX_PATTERN });
    }
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.bytes().next() {
        if first.is_ascii_alphabetic() {
            let count = rest.bytes().take_while(|byte| *byte == first).count();
            if !b"GCxyYMdahHkKmsSeEDwzZ".contains(&first) {
                return Err(JodaError::UnknownLetter {
                    letter: char::from(first),
                    pattern: pattern.to_owned(),
                });
            }
            tokens.push(Token::Letter {
                letter: first,
                count,
            });
            rest = &rest[count..];
        } else {
            let (literal, len) = literal(rest);
            tokens.push(Token::Literal(literal));
            rest = &rest[len..];
        }
    }
    Ok(tokens)
}

/// The literal text at the start of a pattern, without its quotes, and the bytes that it takes.
fn literal(pattern: &str) -> (String, usize) {
    let mut text = String::new();
    let mut quoted = false;
    let mut chars = pattern.char_indices().peekable();
    while let Some((at, letter)) = chars.next() {
        if letter == '\'' {
            if chars.next_if(|(_, next)| *next == '\'').is_some() {
                text.push('\'');
            } else {
                quoted = !quoted;
            }
        } else if !quoted && letter.is_ascii_alphabetic() {
            return (text, at);
        } else {
            text.push(letter);
        }
    }
    (text, pattern.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(letter: u8, count: usize) -> Token {
        Token::Letter { letter, count }
    }

    fn text(text: &str) -> Token {
        Token::Literal(text.to_owned())
    }

    #[test]
    fn letters_and_literals() {
        let split = tokens("yyyy-MM'T''x'''HH").expect("legal");
        assert_eq!(
            split,
            [
                letter(b'y', 4),
                text("-"),
                letter(b'M', 2),
                text("T'x'"),
                letter(b'H', 2)
            ]
        );
        assert_eq!(tokens("'ab").expect("legal"), [text("ab")]);
        assert_eq!(tokens("''").expect("legal"), [text("'")]);
        assert_eq!(tokens("dé").expect("legal"), [letter(b'd', 1), text("é")]);
    }

    #[test]
    fn refused() {
        assert_eq!(tokens(""), Err(JodaError::Empty));
        assert!(matches!(
            tokens("QQQ"),
            Err(JodaError::UnknownLetter { letter: 'Q', .. })
        ));
        assert!(matches!(
            tokens("yyyyT"),
            Err(JodaError::UnknownLetter { letter: 'T', .. })
        ));
        assert!(matches!(
            tokens(&"y".repeat(2000)),
            Err(JodaError::TooLong { .. })
        ));
    }
}
