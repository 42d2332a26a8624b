//! Text as bytes: JSON escapes read and written, invalid UTF-8 made visible, and validated bytes as `&str`.

use crate::event::scan::{find_stop, hex_unit};

/// The text of bytes that were validated as UTF-8 before: a value of a record that
/// [`walk_object`](crate::event::scan::walk_object) accepted, or text made from such values.
///
/// The caller promises that; a debug build checks it.
#[must_use]
#[inline]
pub fn as_str(bytes: &[u8]) -> &str {
    debug_assert!(
        std::str::from_utf8(bytes).is_ok(),
        "bytes that were taken for text are not UTF-8"
    );
    // SAFETY: bytes get into a batch as text by two doors only, both of which validate: the JSON pass refuses a record
    // that is not UTF-8, and lines of other codecs pass `push_invalid_utf8_escaped`. Spans made from them are cut at
    // ASCII bytes or at character boundaries.
    unsafe { std::str::from_utf8_unchecked(bytes) }
}

/// Whether `text` holds a byte that JSON cannot have in a string as it is: quote, backslash, or below 0x20.
#[must_use]
#[inline]
pub fn needs_escape(text: &[u8]) -> bool {
    find_stop(text) < text.len()
}

/// Appends `text` as the body of a JSON string, without the quotes.
///
/// As few bytes as possible are escaped: quote and backslash, `\b \f \n \r \t`, and the other control characters below
/// 0x20 as `\u00XX` with upper-case digits, as Jackson does. All else is copied.
#[inline]
pub fn escape_into(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(find_stop(rest));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = special.split_first() else {
            return;
        };
        push_escape(byte, out);
        rest = behind;
    }
}

fn push_escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        0x08 => b'b',
        0x0C => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        b'"' | b'\\' => byte,
        _ => {
            out.extend_from_slice(b"\\u00");
            push_hex(byte, out);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends the two upper-case hexadecimal digits of `byte`.
fn push_hex(byte: u8, out: &mut Vec<u8>) {
    let digit = |value: u8| {
        if value < 10 {
            b'0' + value
        } else {
            b'A' + value - 10
        }
    };
    out.extend_from_slice(&[digit(byte >> 4), digit(byte & 0xF)]);
}

/// Appends the text that `raw`, the validated body of a JSON string, stands for.
///
/// Of a body that was not validated, what is no escape is kept as it is, and half a surrogate pair becomes U+FFFD.
pub fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (text, behind) = read_escape(escape);
        match text {
            Some(text) => out.extend_from_slice(text.encode_utf8(&mut [0; 4]).as_bytes()),
            None => out.push(b'\\'),
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
}

/// What the escape that `text` begins with stands for, and what follows it; `None` if the backslash begins no escape.
fn read_escape(text: &[u8]) -> (Option<char>, &[u8]) {
    let behind = text.get(2..).unwrap_or_default();
    let plain = match text.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{C}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
        Some(b'u') => match read_unit(text) {
            Some(unit) => return read_surrogates(unit, text.get(6..).unwrap_or_default()),
            None => return (None, text.get(1..).unwrap_or_default()),
        },
        _ => return (None, text.get(1..).unwrap_or_default()),
    };
    (Some(plain), behind)
}

/// The character that `unit` begins, for which the escape in front of `behind` may be needed too.
fn read_surrogates(unit: u16, behind: &[u8]) -> (Option<char>, &[u8]) {
    if let Some(plain) = char::from_u32(u32::from(unit)) {
        return (Some(plain), behind);
    }
    let pair = read_unit(behind).map(|low| char::decode_utf16([unit, low]).next());
    match pair {
        Some(Some(Ok(character))) => (Some(character), behind.get(6..).unwrap_or_default()),
        _ => (Some(char::REPLACEMENT_CHARACTER), behind),
    }
}

/// The UTF-16 unit of the `\uXXXX` that `text` begins with.
fn read_unit(text: &[u8]) -> Option<u16> {
    hex_unit(*text.strip_prefix(b"\\u")?.first_chunk()?)
}

/// Appends `raw` with each byte that is not part of valid UTF-8 replaced by the text `\xNN` (upper-case digits), as the
/// original does with text in a wrong charset. What is appended is always UTF-8.
pub fn push_invalid_utf8_escaped(raw: &[u8], out: &mut Vec<u8>) {
    if simdutf8::basic::from_utf8(raw).is_ok() {
        out.extend_from_slice(raw);
        return;
    }
    for chunk in raw.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for &byte in chunk.invalid() {
            out.extend_from_slice(b"\\x");
            push_hex(byte, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(text: &str) -> String {
        let mut out = b"kept ".to_vec();
        escape_into(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap().split_off(5)
    }

    fn unescaped(raw: &str) -> String {
        let mut out = Vec::new();
        unescape(raw.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn shown(raw: &[u8]) -> String {
        let mut out = Vec::new();
        push_invalid_utf8_escaped(raw, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_what_json_demands_is_escaped() {
        assert_eq!(escaped("a\"b\\c/d"), "a\\\"b\\\\c/d");
        assert_eq!(escaped("\u{8}\u{C}\n\r\t"), "\\b\\f\\n\\r\\t");
        assert_eq!(
            escaped("\0\u{1B}\u{1F}\u{7F}"),
            "\\u0000\\u001B\\u001F\u{7F}"
        );
        assert_eq!(escaped("é 😀 \u{2028} <&>"), "é 😀 \u{2028} <&>");
        assert!(needs_escape(b"long enough for vectors \x1F"));
        assert!(!needs_escape("long enough for vectors é".as_bytes()));
    }

    #[test]
    fn every_escape_is_read() {
        assert_eq!(unescaped(r#"\"\\\/\b\f\n\r\t"#), "\"\\/\u{8}\u{C}\n\r\t");
        assert_eq!(unescaped(r"x\u0041\u00e9\u20AC\ud83d\uDE00y"), "xAé€😀y");
        assert_eq!(unescaped("plain é"), "plain é");
    }

    #[test]
    fn what_is_no_escape_is_kept() {
        assert_eq!(unescaped(r"a\xb\"), r"a\xb\");
        assert_eq!(unescaped(r"\u12"), r"\u12");
        assert_eq!(unescaped(r"\ud83d!\ude00"), "\u{FFFD}!\u{FFFD}");
        assert_eq!(unescaped(r"\ud83d\u0041"), "\u{FFFD}A");
    }

    #[test]
    fn invalid_bytes_are_shown() {
        assert_eq!(shown(b"caf\xE9!"), "caf\\xE9!");
        assert_eq!(shown(b"\xC3\xA9\xC3"), "é\\xC3");
        assert_eq!(
            shown(b"\xED\xA0\x80\xF0\x9F\x98"),
            "\\xED\\xA0\\x80\\xF0\\x9F\\x98"
        );
        assert_eq!(shown("nothing wrong: é".as_bytes()), "nothing wrong: é");
        assert_eq!(as_str(b"text"), "text");
    }

    proptest! {
        #[test]
        fn escaping_comes_back(text in "[\\x00-\\x30\\\\a-f\u{80}-\u{10FFFF}]{0,60}") {
            let written = escaped(&text);
            prop_assert_eq!(needs_escape(text.as_bytes()), written != text);
            prop_assert!(!written.bytes().any(|byte| byte < 0x20));
            prop_assert_eq!(unescaped(&written), text);
        }

        #[test]
        fn any_bytes_become_text(raw in proptest::collection::vec(any::<u8>(), 0..80)) {
            let text = shown(&raw);
            prop_assert_eq!(text == String::from_utf8_lossy(&raw), std::str::from_utf8(&raw).is_ok());
        }
    }
}
