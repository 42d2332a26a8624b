//! Field references: `name`, `[a][b]` and the escape styles for names that contain brackets.

use std::fmt;

/// How brackets may be escaped inside the names of a field reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum EscapeStyle {
    /// No escapes: names cannot contain brackets.
    #[default]
    None,
    /// `%5B` stands for `[`: a percent sign and two upper-case hexadecimal digits for each byte of UTF-8.
    Percent,
    /// `&#91;` stands for `[`: the decimal code point, at least two digits.
    Ampersand,
}

/// A parsed field reference: the names from the top of the event down.
///
/// A name is never split further: the reference `a.b` is the one key `a.b`. Numeric names are kept as text; whether
/// one is an index or a key depends on the container found in the event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath {
    /// At least one segment; only the empty reference has an empty one.
    pub segments: Vec<String>,
}

/// Why a text is not a field reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPathError {
    /// The text that was refused.
    pub text: String,
    /// Byte offset in `text` of the place that makes it illegal.
    pub at: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

impl fmt::Display for FieldPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a field reference: {}",
            self.text, self.reason
        )
    }
}

impl std::error::Error for FieldPathError {}

impl FieldPath {
    /// Parses a reference in any of its forms: `name`, `[a][b]`, or with embedded references as in `[[a][b]][c]`,
    /// which is `[a][b][c]`.
    ///
    /// # Errors
    /// When brackets are unbalanced or empty, or text stands beside a bracketed name (`a[b]`, `[a]b`).
    pub fn parse(text: &str, style: EscapeStyle) -> Result<FieldPath, FieldPathError> {
        let illegal = |at, reason| FieldPathError {
            text: text.to_owned(),
            at,
            reason,
        };
        let mut segments = Vec::new();
        let mut depth = 0_usize;
        let mut name_start = 0;
        let mut previous = 0_u8;
        for (i, byte) in text.bytes().enumerate() {
            match byte {
                b'[' if name_start != i => return Err(illegal(i, "`[` in the middle of a name")),
                b'[' => {
                    depth += 1;
                    name_start = i + 1;
                }
                b']' if depth == 0 => return Err(illegal(i, "`]` without a `[` before it")),
                b']' if name_start == i && previous != b']' => {
                    return Err(illegal(i, "no name between the brackets"));
                }
                b']' => {
                    if name_start < i {
                        segments.push(unescape(text.get(name_start..i).unwrap_or_default(), style));
                    }
                    depth -= 1;
                    name_start = i + 1;
                }
                _ if previous == b']' => return Err(illegal(i, "text after `]`")),
                _ => {}
            }
            previous = byte;
        }
        if depth > 0 {
            return Err(illegal(text.len(), "a `[` is not closed"));
        }
        if segments.is_empty() {
            segments.push(unescape(text, style));
        }
        Ok(FieldPath { segments })
    }

    /// A reference to a top-level field, whatever characters its name has.
    #[must_use]
    pub fn top_level(name: &str) -> FieldPath {
        FieldPath {
            segments: vec![name.to_owned()],
        }
    }

    /// Whether the reference leads into the event's metadata tree.
    #[must_use]
    pub fn is_metadata(&self) -> bool {
        self.segments
            .first()
            .is_some_and(|first| first == "@metadata")
    }
}

/// Prints the bracketed form, `[a][b]`.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments
            .iter()
            .try_for_each(|segment| write!(f, "[{segment}]"))
    }
}

fn unescape(name: &str, style: EscapeStyle) -> String {
    match style {
        EscapeStyle::None => name.to_owned(),
        EscapeStyle::Percent => unescape_percent(name),
        EscapeStyle::Ampersand => unescape_ampersand(name),
    }
}

/// Decodes `%HH` with upper-case digits. A stray `%` stays, and bytes that do not form UTF-8 become U+FFFD.
fn unescape_percent(name: &str) -> String {
    let upper_hex = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if let (b'%', [high, low, after @ ..]) = (first, tail)
            && let (Some(high), Some(low)) = (upper_hex(*high), upper_hex(*low))
        {
            bytes.push(high << 4 | low);
            rest = after;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Decodes `&#NN;` with at least two decimal digits. Anything else, and numbers that are no code point, stay.
fn unescape_ampersand(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find("&#") {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let digits = escape
            .bytes()
            .skip(2)
            .take_while(u8::is_ascii_digit)
            .count();
        let number = escape.get(2..2 + digits).unwrap_or_default();
        let closed = escape.as_bytes().get(2 + digits) == Some(&b';');
        match number.parse().ok().and_then(char::from_u32) {
            Some(decoded) if digits >= 2 && closed => {
                out.push(decoded);
                rest = escape.get(3 + digits..).unwrap_or_default();
            }
            _ => {
                out.push_str("&#");
                rest = escape.get(2..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(text: &str) -> Vec<String> {
        FieldPath::parse(text, EscapeStyle::None).unwrap().segments
    }

    #[test]
    fn every_legal_form() {
        assert_eq!(segments("name"), ["name"]);
        assert_eq!(segments("a.b"), ["a.b"]);
        assert_eq!(segments("[a]"), ["a"]);
        assert_eq!(segments("[a][b]"), ["a", "b"]);
        assert_eq!(segments("[a][-1]"), ["a", "-1"]);
        assert_eq!(segments("[[a][b]][c]"), ["a", "b", "c"]);
        assert_eq!(segments("[[a]]"), ["a"]);
        assert_eq!(segments("[@metadata][x]"), ["@metadata", "x"]);
        assert_eq!(segments(""), [""]);
        assert_eq!(segments("[ü b]"), ["ü b"]);
        assert_eq!(segments("%{a"), ["%{a"]);
    }

    #[test]
    fn illegal_forms_say_where() {
        for (text, at) in [
            ("a[b]", 1),
            ("[a]b", 3),
            ("[a]x[b]", 3),
            ("[]", 1),
            ("[a", 2),
            ("a]", 1),
            ("[a]]", 3),
            ("[[a]", 4),
            ("[[]]", 2),
            ("[a][]", 4),
            ("[a[b]]", 2),
            ("[[a]b]", 4),
            ("]", 0),
            ("[", 1),
        ] {
            let error = FieldPath::parse(text, EscapeStyle::None).unwrap_err();
            assert_eq!((error.text.as_str(), error.at), (text, at), "{error}");
        }
    }

    #[test]
    fn percent_escapes() {
        let path = |text| {
            FieldPath::parse(text, EscapeStyle::Percent)
                .unwrap()
                .segments
        };
        assert_eq!(path("[a%5Bb%5D][c]"), ["a[b]", "c"]);
        assert_eq!(path("caf%C3%A9"), ["café"]);
        assert_eq!(path("100%"), ["100%"]);
        assert_eq!(path("%5b%5"), ["%5b%5"]);
        assert_eq!(path("%%5B"), ["%["]);
        assert_eq!(path("ü%zz"), ["ü%zz"]);
    }

    #[test]
    fn ampersand_escapes() {
        let path = |text| {
            FieldPath::parse(text, EscapeStyle::Ampersand)
                .unwrap()
                .segments
        };
        assert_eq!(path("[a&#91;b&#93;]"), ["a[b]"]);
        assert_eq!(path("&#8364;"), ["€"]);
        assert_eq!(path("&#9;&#91&#;&#xx;&"), ["&#9;&#91&#;&#xx;&"]);
        assert_eq!(path("&#99999999999;"), ["&#99999999999;"]);
    }

    #[test]
    fn prints_brackets() {
        assert_eq!(
            FieldPath::parse("[a][b]", EscapeStyle::None)
                .unwrap()
                .to_string(),
            "[a][b]"
        );
        assert_eq!(FieldPath::top_level("a").to_string(), "[a]");
    }
}
