//! Follows the JSON grammar through one record, without recursion, and hands out what stands at the top level.

use super::number::{escape, number, word};
use super::stops::Marked;
use super::{JsonError, Limits, Problem, RawField, RawKind, Scanner, Stretch};

/// Validates the one JSON text in `buf[start..end]`, which must be an object, and appends its fields to `out` in their
/// order, doubled keys included.
///
/// Blanks around the text are allowed. `buf` is shorter than 4 GiB.
///
/// # Errors
/// The first thing found wrong; `out` is then as it was before. Invalid UTF-8 is found before anything else.
pub fn walk_object(
    scanner: &mut Scanner,
    buf: &[u8],
    start: u32,
    end: u32,
    limits: &Limits,
    out: &mut Vec<RawField>,
) -> Result<(), JsonError> {
    let (mut walk, first) = Walk::begin(scanner, buf, start, end, limits)?;
    let before = out.len();
    let result = walk.object(first, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Validates the one JSON text in `buf[start..end]`, which must be an array, and appends its elements to `out`: kind and
/// place, for strings the place between the quotes.
///
/// # Errors
/// As [`walk_object`].
pub fn walk_array(
    scanner: &mut Scanner,
    buf: &[u8],
    start: u32,
    end: u32,
    limits: &Limits,
    out: &mut Vec<(RawKind, Stretch)>,
) -> Result<(), JsonError> {
    let (mut walk, first) = Walk::begin(scanner, buf, start, end, limits)?;
    let before = out.len();
    let result = walk.array(first, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Validates the one JSON text in `buf[start..end]`, whatever value it is.
///
/// # Errors
/// As [`walk_object`].
pub fn validate_value(
    scanner: &mut Scanner,
    buf: &[u8],
    start: u32,
    end: u32,
    limits: &Limits,
) -> Result<RawKind, JsonError> {
    let (mut walk, first) = Walk::begin(scanner, buf, start, end, limits)?;
    let value = walk.value(first)?;
    walk.finish(value.next)?;
    Ok(value.kind)
}

/// The kind of value that `buf[start..end]` begins, from its first byte alone and without validating anything: numbers
/// are told as [`RawKind::Int`], strings as [`RawKind::Str`]. `None` for blanks and for what begins no value.
#[must_use]
pub fn leading_kind(buf: &[u8], start: u32, end: u32) -> Option<RawKind> {
    let text = buf.get(start as usize..end as usize)?;
    match text.iter().find(|byte| !is_blank(**byte))? {
        b'{' => Some(RawKind::Object),
        b'[' => Some(RawKind::Array),
        b'"' => Some(RawKind::Str),
        b'-' | b'0'..=b'9' => Some(RawKind::Int),
        b'n' => Some(RawKind::Null),
        b't' => Some(RawKind::True),
        b'f' => Some(RawKind::False),
        _ => None,
    }
}

#[inline(always)]
pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// What follows keys and values in the usual spellings, as little-endian numbers.
const COLON: u32 = b':' as u32;
const COLON_SPACE: u32 = COLON | (b' ' as u32) << 8;
const COLON_QUOTE: u32 = COLON | (b'"' as u32) << 8;
const COLON_SPACE_QUOTE: u32 = COLON_SPACE | (b'"' as u32) << 16;
const COMMA_QUOTE: u32 = b',' as u32 | (b'"' as u32) << 8;
const COMMA_SPACE_QUOTE: u32 = b',' as u32 | (b' ' as u32) << 8 | (b'"' as u32) << 16;

/// One value: where its text is within the record, and where the walk goes on.
struct Value {
    kind: RawKind,
    from: usize,
    to: usize,
    next: usize,
}

/// The walk through one record; positions are relative to the record's start.
struct Walk<'a> {
    text: &'a [u8],
    base: u32,
    marks: Marked<'a>,
    /// The closing brackets awaited, innermost last.
    open: &'a mut Vec<u8>,
    limits: &'a Limits,
}

impl<'a> Walk<'a> {
    /// Marks the record, checks its UTF-8, and finds its first byte that is not blank.
    #[inline(always)]
    fn begin(
        scanner: &'a mut Scanner,
        buf: &'a [u8],
        start: u32,
        end: u32,
        limits: &'a Limits,
    ) -> Result<(Self, usize), JsonError> {
        let Some(text) = buf.get(start as usize..end as usize) else {
            return Err(JsonError {
                at: start,
                what: Problem::Empty,
            });
        };
        if !scanner.marks.mark(buf, start as usize, end as usize) {
            check_utf8(text, start)?;
        }
        scanner.open.clear();
        let walk = Self {
            text,
            base: start,
            marks: scanner.marks.marked(),
            open: &mut scanner.open,
            limits,
        };
        let first = walk.skip_blanks(0);
        if first == text.len() {
            return Err(JsonError {
                at: start,
                what: Problem::Empty,
            });
        }
        Ok((walk, first))
    }

    #[inline(always)]
    fn object(&mut self, first: usize, out: &mut Vec<RawField>) -> Result<(), JsonError> {
        if self.at(first) != b'{' || self.limits.max_depth == 0 {
            return Err(self.wrong_container(first, Problem::NotAnObject));
        }
        self.open.push(b'}');
        let mut pos = self.skip_blanks(first + 1);
        if self.at(pos) == b'}' {
            return self.finish(pos + 1);
        }
        if self.at(pos) != b'"' {
            return Err(self.unexpected(pos));
        }
        loop {
            let (key, value) = self.field(pos)?;
            out.push(RawField {
                key: self.stretch(&key),
                value: self.stretch(&value),
                kind: value.kind,
                key_escaped: key.kind == RawKind::EscStr,
            });
            pos = match self.ahead(value.next) {
                ahead if ahead & 0x00FF_FFFF == COMMA_SPACE_QUOTE => value.next + 2,
                ahead if ahead & 0x0000_FFFF == COMMA_QUOTE => value.next + 1,
                _ => {
                    pos = self.skip_blanks(value.next);
                    match self.at(pos) {
                        b',' => self.key_behind(pos)?,
                        b'}' => return self.finish(pos + 1),
                        _ => return Err(self.unexpected(pos)),
                    }
                }
            }
        }
    }

    fn array(&mut self, first: usize, out: &mut Vec<(RawKind, Stretch)>) -> Result<(), JsonError> {
        if self.at(first) != b'[' || self.limits.max_depth == 0 {
            return Err(self.wrong_container(first, Problem::NotAnArray));
        }
        self.open.push(b']');
        let mut pos = self.skip_blanks(first + 1);
        if self.at(pos) == b']' {
            return self.finish(pos + 1);
        }
        loop {
            let value = self.value(pos)?;
            out.push((value.kind, self.stretch(&value)));
            pos = self.skip_blanks(value.next);
            match self.at(pos) {
                b',' => pos = self.skip_blanks(pos + 1),
                b']' => return self.finish(pos + 1),
                _ => return Err(self.unexpected(pos)),
            }
        }
    }

    /// The key whose opening quote is at `pos`, and its value.
    #[inline(always)]
    fn field(&mut self, pos: usize) -> Result<(Value, Value), JsonError> {
        // Where key and value both are short plain strings, one word of marks holds all four quotes. Taking them from
        // it saves waiting for a second look at the marks, whose place depends on what the first one found.
        let from = pos + 1;
        let marks = self.marks.from(from);
        let to = from + marks.trailing_zeros() as usize;
        if marks == 0 || self.at(to) != b'"' {
            let key = self.string(pos)?;
            let value = self.value(self.behind_key(key.next)?)?;
            return Ok((key, value));
        }
        let key = Value {
            kind: RawKind::Str,
            from,
            to,
            next: to + 1,
        };
        let open = match self.ahead(to + 1) {
            ahead if ahead & 0x00FF_FFFF == COLON_SPACE_QUOTE => to + 3,
            ahead if ahead & 0x0000_FFFF == COLON_QUOTE => to + 2,
            _ => {
                let value = self.value(self.behind_key(to + 1)?)?;
                return Ok((key, value));
            }
        };
        // No stop lies between the quote at `to` and that at `open`: these two are the lowest marks.
        let marks = without_lowest(without_lowest(marks));
        let end = from + marks.trailing_zeros() as usize;
        let value = if marks != 0 && self.at(end) == b'"' {
            Value {
                kind: RawKind::Str,
                from: open + 1,
                to: end,
                next: end + 1,
            }
        } else {
            self.string(open)?
        };
        Ok((key, value))
    }

    #[inline(always)]
    fn value(&mut self, pos: usize) -> Result<Value, JsonError> {
        match self.at(pos) {
            b'"' => self.string(pos),
            b'-' | b'0'..=b'9' => self.number(pos),
            b'{' => self.nested(pos, RawKind::Object),
            b'[' => self.nested(pos, RawKind::Array),
            _ => self.word(pos),
        }
    }

    /// The string whose opening quote is at `pos`.
    #[inline(always)]
    fn string(&self, pos: usize) -> Result<Value, JsonError> {
        let from = pos + 1;
        let to = self.marks.next(from);
        if self.at(to) == b'"' {
            return Ok(Value {
                kind: RawKind::Str,
                from,
                to,
                next: to + 1,
            });
        }
        self.string_from(from, to)
    }

    /// The rest of a string that has something other than its closing quote at `stop`.
    #[cold]
    #[inline(never)]
    fn string_from(&self, from: usize, mut stop: usize) -> Result<Value, JsonError> {
        loop {
            match self.text.get(stop) {
                Some(b'"') => {
                    return Ok(Value {
                        kind: RawKind::EscStr,
                        from,
                        to: stop,
                        next: stop + 1,
                    });
                }
                Some(b'\\') => {
                    let next = escape(self.text, stop).map_err(|(at, what)| self.fail(at, what))?;
                    stop = self.marks.next(next);
                }
                Some(_) => return Err(self.fail(stop, Problem::ControlCharacter)),
                None => return Err(self.fail(from - 1, Problem::UnterminatedString)),
            }
        }
    }

    #[inline(always)]
    fn number(&self, pos: usize) -> Result<Value, JsonError> {
        match number(self.text, pos, self.limits) {
            Ok((kind, to)) => Ok(Value {
                kind,
                from: pos,
                to,
                next: to,
            }),
            Err(what) => Err(self.fail(pos, what)),
        }
    }

    #[inline(always)]
    fn word(&self, pos: usize) -> Result<Value, JsonError> {
        match word(self.text, pos) {
            Some((kind, to)) => Ok(Value {
                kind,
                from: pos,
                to,
                next: to,
            }),
            None => Err(self.no_value(pos)),
        }
    }

    /// The object or array that begins at `from`, with all that it holds.
    #[inline(never)]
    fn nested(&mut self, from: usize, kind: RawKind) -> Result<Value, JsonError> {
        let outer = self.open.len();
        let mut pos = from;
        loop {
            // Here a value begins at `pos`.
            pos = match self.at(pos) {
                bracket @ (b'{' | b'[') => {
                    if self.open.len() >= self.limits.max_depth as usize {
                        return Err(self.fail(pos, Problem::TooDeep));
                    }
                    // `{` and `}`, `[` and `]` are two apart in ASCII.
                    let close = bracket + 2;
                    self.open.push(close);
                    let inner = self.skip_blanks(pos + 1);
                    if self.at(inner) != close {
                        pos = if bracket == b'{' {
                            self.member(pos)?
                        } else {
                            inner
                        };
                        continue;
                    }
                    inner
                }
                b'"' => self.string(pos)?.next,
                b'-' | b'0'..=b'9' => self.number(pos)?.next,
                _ => self.word(pos)?.next,
            };
            // Here a value has ended, or an empty container is about to.
            loop {
                pos = self.skip_blanks(pos);
                let Some(&close) = self.open.last() else {
                    return Err(self.unexpected(pos));
                };
                match self.at(pos) {
                    b',' => {
                        pos = if close == b'}' {
                            self.member(pos)?
                        } else {
                            self.skip_blanks(pos + 1)
                        };
                        break;
                    }
                    byte if byte == close => {
                        self.open.pop();
                        pos += 1;
                        if self.open.len() == outer {
                            return Ok(Value {
                                kind,
                                from,
                                to: pos,
                                next: pos,
                            });
                        }
                    }
                    _ => return Err(self.unexpected(pos)),
                }
            }
        }
    }

    /// Where the value of the member begins that follows the comma or bracket at `pos`.
    #[inline(always)]
    fn member(&self, pos: usize) -> Result<usize, JsonError> {
        let key = self.string(self.key_behind(pos)?)?;
        self.behind_key(key.next)
    }

    /// Where the value begins whose key has its closing quote just before `pos`.
    #[inline(always)]
    fn behind_key(&self, pos: usize) -> Result<usize, JsonError> {
        // Writers put one space behind the colon or none; both are known by one look.
        let ahead = self.ahead(pos);
        if ahead & 0x0000_FFFF == COLON_SPACE && ahead & 0x00FF_0000 > 0x0020_0000 {
            return Ok(pos + 2);
        }
        if ahead & 0x0000_00FF == COLON && ahead & 0x0000_FF00 > 0x0000_2000 {
            return Ok(pos + 1);
        }
        let colon = self.skip_blanks(pos);
        if self.at(colon) != b':' {
            return Err(self.unexpected(colon));
        }
        Ok(self.skip_blanks(colon + 1))
    }

    /// Where the key behind the comma or bracket at `pos` begins.
    fn key_behind(&self, pos: usize) -> Result<usize, JsonError> {
        let key = self.skip_blanks(pos + 1);
        if self.at(key) == b'"' {
            Ok(key)
        } else {
            Err(self.unexpected(key))
        }
    }

    /// The four bytes from `pos` on, the first one lowest; zeros when there are fewer.
    #[inline(always)]
    fn ahead(&self, pos: usize) -> u32 {
        self.text
            .get(pos..)
            .and_then(<[u8]>::first_chunk::<4>)
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// The byte at `pos`, or NUL, which the grammar allows nowhere, past the end.
    #[inline(always)]
    fn at(&self, pos: usize) -> u8 {
        self.text.get(pos).copied().unwrap_or(0)
    }

    /// The first position from `pos` on that holds no blank; the record's length if there is none.
    #[inline(always)]
    fn skip_blanks(&self, pos: usize) -> usize {
        // Writers put no blank or one space; anything else takes the loop.
        if self.at(pos) > b' ' {
            return pos;
        }
        if self.at(pos + 1) > b' ' && self.at(pos) == b' ' {
            return pos + 1;
        }
        self.skip_many_blanks(pos)
    }

    #[cold]
    #[inline(never)]
    fn skip_many_blanks(&self, mut pos: usize) -> usize {
        while is_blank(self.at(pos)) {
            pos += 1;
        }
        pos
    }

    /// Nothing but blanks may follow the record's value.
    #[inline(always)]
    fn finish(&self, pos: usize) -> Result<(), JsonError> {
        let pos = self.skip_blanks(pos);
        if pos == self.text.len() {
            Ok(())
        } else {
            Err(self.fail(pos, Problem::TrailingData))
        }
    }

    #[inline(always)]
    fn stretch(&self, value: &Value) -> Stretch {
        (self.offset(value.from), self.offset(value.to))
    }

    /// A position in the record as an offset in the buffer, which is shorter than 4 GiB.
    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "positions are at most the record's length, given as u32"
    )]
    const fn offset(&self, pos: usize) -> u32 {
        self.base + pos as u32
    }

    #[cold]
    fn fail(&self, pos: usize, what: Problem) -> JsonError {
        JsonError {
            at: self.offset(pos.min(self.text.len())),
            what,
        }
    }

    #[cold]
    fn unexpected(&self, pos: usize) -> JsonError {
        let ended = pos >= self.text.len();
        self.fail(
            pos,
            if ended {
                Problem::UnexpectedEnd
            } else {
                Problem::UnexpectedByte
            },
        )
    }

    #[cold]
    fn wrong_container(&self, pos: usize, otherwise: Problem) -> JsonError {
        match self.at(pos) {
            b'{' | b'[' if self.limits.max_depth == 0 => self.fail(pos, Problem::TooDeep),
            b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b'n' | b't' | b'f' => {
                self.fail(pos, otherwise)
            }
            _ => self.no_value(pos),
        }
    }

    /// Why what begins at `pos` is no value.
    #[cold]
    fn no_value(&self, pos: usize) -> JsonError {
        let rest = self.text.get(pos..).unwrap_or_default();
        if rest.starts_with(b"NaN") || rest.starts_with(b"Infinity") {
            return self.fail(pos, Problem::NotFinite);
        }
        match rest.first() {
            Some(b'+' | b'.') => self.fail(pos, Problem::BadNumber),
            _ => self.unexpected(pos),
        }
    }
}

/// `bits` less its lowest one; zero stays zero.
#[inline(always)]
const fn without_lowest(bits: u64) -> u64 {
    bits & bits.wrapping_sub(1)
}

#[inline(never)]
fn check_utf8(text: &[u8], base: u32) -> Result<(), JsonError> {
    if simdutf8::basic::from_utf8(text).is_ok() {
        return Ok(());
    }
    let valid =
        simdutf8::compat::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the record's length was given as u32"
    )]
    Err(JsonError {
        at: base + valid as u32,
        what: Problem::InvalidUtf8,
    })
}
