//! Lists the members of objects and arrays whose text is known to be valid JSON, skipping what they hold.
//!
//! A text that is not valid gives some list, without panic and without end-less loop.

use super::stops::find_stop;
use super::walk::is_blank;
use super::{RawField, RawKind, Stretch};

/// Appends the fields of the object in `buf[start..end]` to `out`; `out` stays as it is when that is no object.
pub fn fields_of_valid(buf: &[u8], start: u32, end: u32, out: &mut Vec<RawField>) {
    let Some(mut reader) = Reader::inside(buf, start, end, b'{') else {
        return;
    };
    while let Some(key) = reader
        .next_token()
        .filter(|key| matches!(key.kind, RawKind::Str | RawKind::EscStr))
    {
        let Some(value) = reader.next_token() else {
            return;
        };
        out.push(RawField {
            key: key.stretch,
            value: value.stretch,
            kind: value.kind,
            key_escaped: key.kind == RawKind::EscStr,
        });
    }
}

/// Appends the elements of the array in `buf[start..end]` to `out`; `out` stays as it is when that is no array.
pub fn elements_of_valid(buf: &[u8], start: u32, end: u32, out: &mut Vec<(RawKind, Stretch)>) {
    let Some(mut reader) = Reader::inside(buf, start, end, b'[') else {
        return;
    };
    while let Some(element) = reader.next_token() {
        out.push((element.kind, element.stretch));
    }
}

/// A key or a value.
struct Token {
    kind: RawKind,
    stretch: Stretch,
}

/// Reads valid JSON from value to value; commas and colons count as blanks.
struct Reader<'a> {
    text: &'a [u8],
    base: u32,
    pos: usize,
}

impl<'a> Reader<'a> {
    /// Stands behind the opening bracket of the container in the range.
    fn inside(buf: &'a [u8], start: u32, end: u32, bracket: u8) -> Option<Self> {
        let text = buf.get(start as usize..end as usize)?;
        let first = text.iter().position(|byte| !is_blank(*byte))?;
        (text[first] == bracket).then_some(Self {
            text,
            base: start,
            pos: first + 1,
        })
    }

    /// The next key or value, `None` at the closing bracket.
    #[inline]
    fn next_token(&mut self) -> Option<Token> {
        let (from, first) = loop {
            match *self.text.get(self.pos)? {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => self.pos += 1,
                b'}' | b']' => return None,
                byte => break (self.pos, byte),
            }
        };
        let kind = match first {
            b'"' => {
                let (close, escaped) = string_end(self.text, from + 1);
                self.pos = close + 1;
                let kind = if escaped {
                    RawKind::EscStr
                } else {
                    RawKind::Str
                };
                return Some(Token {
                    kind,
                    stretch: self.stretch(from + 1, close),
                });
            }
            b'{' | b'[' => {
                self.pos = container_end(self.text, from);
                if first == b'{' {
                    RawKind::Object
                } else {
                    RawKind::Array
                }
            }
            _ => {
                self.pos = from + scalar_len(&self.text[from..]);
                scalar_kind(&self.text[from..self.pos])
            }
        };
        Some(Token {
            kind,
            stretch: self.stretch(from, self.pos),
        })
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "positions are at most the text's length, given as u32"
    )]
    fn stretch(&self, from: usize, to: usize) -> Stretch {
        (
            self.base + from as u32,
            self.base + to.min(self.text.len()) as u32,
        )
    }
}

/// Where the string whose first byte is at `pos` has its closing quote, and whether it holds an escape.
#[inline]
pub(super) fn string_end(text: &[u8], mut pos: usize) -> (usize, bool) {
    let mut escaped = false;
    loop {
        pos += find_stop(text.get(pos..).unwrap_or_default());
        match text.get(pos) {
            Some(b'"') => return (pos, escaped),
            Some(b'\\') => {
                escaped = true;
                pos += 2;
            }
            Some(_) => pos += 1,
            None => return (text.len(), escaped),
        }
    }
}

/// The position behind the container that opens at `pos`.
fn container_end(text: &[u8], mut pos: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(&byte) = text.get(pos) {
        pos += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return pos;
                }
            }
            b'"' => pos = string_end(text, pos).0 + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the number or word that `text` begins with: at least 1.
fn scalar_len(text: &[u8]) -> usize {
    let ends = |byte: &u8| is_blank(*byte) || matches!(byte, b',' | b':' | b'}' | b']');
    text.iter().position(ends).unwrap_or(text.len()).max(1)
}

fn scalar_kind(text: &[u8]) -> RawKind {
    match text.first() {
        Some(b'n') => RawKind::Null,
        Some(b't') => RawKind::True,
        Some(b'f') => RawKind::False,
        _ if text.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => RawKind::Float,
        _ => RawKind::Int,
    }
}
