//! The inner parts of Ruby's syntax: what a backslash begins, and sets in brackets.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::classes;
use super::ir::{Assert, Ir};
use super::syntax::{Flags, MAX_DEPTH, Parser, RegexError, error_at};

/// What an escape stands for.
pub(super) enum Escape {
    Char(char),
    Set(ClassUnicode),
    Node(Ir),
}

impl Parser<'_> {
    /// What follows a backslash.
    #[allow(clippy::too_many_lines)] // one flat table of letters
    pub(super) fn escape(&mut self, flags: Flags, in_set: bool) -> Result<Escape, RegexError> {
        let begin = self.pos - 1;
        let Some(c) = self.next() else {
            return Err(error_at(
                begin,
                "a lone backslash ends the pattern: write \\\\ for the character",
            ));
        };
        let node = |ir| Ok(Escape::Node(ir));
        match c {
            'w' | 'd' | 's' | 'h' => Ok(Escape::Set(classes::shorthand(c, flags.charset))),
            'W' | 'D' | 'S' | 'H' => {
                let mut class = classes::shorthand(c.to_ascii_lowercase(), flags.charset);
                class.negate();
                Ok(Escape::Set(class))
            }
            'p' | 'P' => self.property(begin, c == 'P', flags).map(Escape::Set),
            't' => Ok(Escape::Char('\t')),
            'n' => Ok(Escape::Char('\n')),
            'r' => Ok(Escape::Char('\r')),
            'f' => Ok(Escape::Char('\x0c')),
            'v' => Ok(Escape::Char('\x0b')),
            'a' => Ok(Escape::Char('\x07')),
            'e' => Ok(Escape::Char('\x1b')),
            'x' => self.hex(begin).map(Escape::Char),
            'u' => self.unicode(begin).map(Escape::Char),
            'c' => self.control(begin).map(Escape::Char),
            'C' if self.eat("-") => self.control(begin).map(Escape::Char),
            'M' if self.rest().starts_with('-') => {
                Err(error_at(begin, "\\M-x is not supported: write \\xHH"))
            }
            '0' => Ok(Escape::Char(self.octal(0, 2))),
            'b' if in_set => Ok(Escape::Char('\x08')),
            _ if in_set => match c.to_digit(8) {
                Some(digit) => Ok(Escape::Char(self.octal(digit, 2))),
                None => Ok(Escape::Char(c)),
            },
            'b' => node(Ir::Assert(Assert::Word)),
            'B' => node(Ir::Assert(Assert::NotWord)),
            'A' => node(Ir::Assert(Assert::TextStart)),
            'z' => node(Ir::Assert(Assert::TextEnd)),
            'Z' => node(Ir::Assert(Assert::TextEndNewline)),
            'G' => node(Ir::Assert(Assert::SearchStart)),
            'K' => node(Ir::Keep),
            'R' => node(classes::line_break()),
            'X' => node(classes::grapheme()),
            'k' if self.eat("<") => self.backref(begin, '>', flags),
            'k' if self.eat("'") => self.backref(begin, '\'', flags),
            'g' if self.rest().starts_with(['<', '\'']) => Err(error_at(
                begin,
                "subexpression calls (\\g<…>) are not supported: repeat the group's text",
            )),
            '1'..='9' => self.numbered(begin, flags),
            _ => Ok(Escape::Char(c)),
        }
    }

    fn octal(&mut self, first: u32, more: usize) -> char {
        let mut value = first;
        for _ in 0..more {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else {
                break;
            };
            value = value * 8 + digit;
            self.pos += 1;
        }
        char::from_u32(value & 0xff).unwrap_or('\0')
    }

    /// `\xHH` and `\x{H…}`. Bytes from 0x80 on must be written as a whole UTF-8 sequence.
    fn hex(&mut self, begin: usize) -> Result<char, RegexError> {
        if self.eat("{") {
            return self.braced_hex(begin);
        }
        let first = self.hex_byte();
        let wanted = match first {
            0..=0x7f => return Ok(char::from(first)),
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        };
        let mut bytes = vec![first];
        while bytes.len() < wanted && self.eat("\\x") {
            bytes.push(self.hex_byte());
        }
        let text = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.chars().next());
        text.ok_or_else(|| {
            error_at(
                begin,
                "these \\x bytes are not valid UTF-8: write \\uHHHH for a character",
            )
        })
    }

    fn hex_byte(&mut self) -> u8 {
        let mut value = 0;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                break;
            };
            value = value * 16 + digit;
            self.pos += 1;
        }
        u8::try_from(value).unwrap_or(0)
    }

    fn braced_hex(&mut self, begin: usize) -> Result<char, RegexError> {
        let rest = self.rest();
        let end = rest.find('}').unwrap_or(0);
        let value = u32::from_str_radix(rest[..end].trim(), 16)
            .ok()
            .and_then(char::from_u32);
        let c = value
            .ok_or_else(|| error_at(begin, "expected one character's hex number in braces"))?;
        self.pos += end + 1;
        Ok(c)
    }

    fn unicode(&mut self, begin: usize) -> Result<char, RegexError> {
        if self.eat("{") {
            return self.braced_hex(begin);
        }
        let digits = self
            .rest()
            .get(..4)
            .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let value = digits
            .and_then(|text| u32::from_str_radix(text, 16).ok())
            .and_then(char::from_u32);
        let c = value.ok_or_else(|| error_at(begin, "\\u needs four hex digits of a character"))?;
        self.pos += 4;
        Ok(c)
    }

    fn control(&mut self, begin: usize) -> Result<char, RegexError> {
        match self.next() {
            Some('?') => Ok('\x7f'),
            Some(c) if c.is_ascii() => Ok(char::from(u8::try_from(c).unwrap_or(0) & 0x1f)),
            _ => Err(error_at(begin, "\\c needs an ASCII character")),
        }
    }

    fn property(
        &mut self,
        begin: usize,
        negated: bool,
        flags: Flags,
    ) -> Result<ClassUnicode, RegexError> {
        let rest = self.rest();
        let end = if rest.starts_with('{') {
            rest.find('}')
        } else {
            None
        };
        let Some(end) = end else {
            return Err(error_at(
                begin,
                "expected a property in braces, as in \\p{Alpha}",
            ));
        };
        let written = &rest[1..end];
        let (name, inverted) = written
            .strip_prefix('^')
            .map_or((written, false), |name| (name, true));
        let mut class = classes::property(name)
            .ok_or_else(|| error_at(begin, format!("unknown character property `{name}`")))?;
        if flags.ignore_case {
            fold(&mut class);
        }
        if negated != inverted {
            class.negate();
        }
        self.pos += end + 1;
        Ok(class)
    }

    fn backref(&mut self, begin: usize, close: char, flags: Flags) -> Result<Escape, RegexError> {
        let name = self.name(begin, close)?;
        let place = self.reference(begin, &name)?;
        Ok(Escape::Node(Ir::Backref {
            groups: vec![place],
            fold: flags.ignore_case,
        }))
    }

    /// `\1` is a back-reference; `\10` and above only if there are so many groups so far, else octal.
    fn numbered(&mut self, begin: usize, flags: Flags) -> Result<Escape, RegexError> {
        let digits = self.text[begin + 1..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        let written = self.text[begin + 1..begin + 1 + digits].to_owned();
        let number = written.parse::<u32>().unwrap_or(u32::MAX);
        if number <= 9 || number <= self.group_count() {
            self.pos = begin + 1 + digits;
            let place = self.reference(begin, &written)?;
            return Ok(Escape::Node(Ir::Backref {
                groups: vec![place],
                fold: flags.ignore_case,
            }));
        }
        let first = self.text[begin + 1..].chars().next().unwrap_or('0');
        Ok(Escape::Char(match first.to_digit(8) {
            Some(digit) => self.octal(digit, 2),
            None => first,
        }))
    }

    /// A set in brackets, after its opening one.
    pub(super) fn set(
        &mut self,
        begin: usize,
        flags: Flags,
        depth: u32,
    ) -> Result<ClassUnicode, RegexError> {
        if depth > MAX_DEPTH {
            return Err(error_at(
                begin,
                format!("sets nest deeper than {MAX_DEPTH}"),
            ));
        }
        let negated = self.eat("^");
        let mut whole: Option<ClassUnicode> = None;
        let mut part = ClassUnicode::empty();
        let mut first = true;
        loop {
            let at = self.pos;
            let Some(c) = self.next() else {
                return Err(error_at(
                    begin,
                    "this set is never closed: write \\[ for the character",
                ));
            };
            match c {
                ']' if !first => break,
                ']' if !self.rest().contains(']') => {
                    return Err(error_at(
                        begin,
                        "empty set: write \\[\\] for the characters",
                    ));
                }
                '[' => part.union(&self.nested_set(at, flags, depth)?),
                '&' if self.eat("&") => {
                    intersect(
                        &mut whole,
                        std::mem::replace(&mut part, ClassUnicode::empty()),
                    );
                }
                _ => self.set_item(c, at, flags, &mut part)?,
            }
            first = false;
        }
        if whole.is_some() {
            intersect(&mut whole, part);
            part = whole.unwrap_or_else(ClassUnicode::empty);
        }
        if flags.ignore_case {
            fold(&mut part);
        }
        if negated {
            part.negate();
        }
        Ok(part)
    }

    /// `[:name:]` or a set within a set, after its opening bracket.
    fn nested_set(
        &mut self,
        at: usize,
        flags: Flags,
        depth: u32,
    ) -> Result<ClassUnicode, RegexError> {
        if let Some(end) = self
            .rest()
            .strip_prefix(':')
            .and_then(|rest| rest.find(":]"))
        {
            let written = &self.rest()[1..=end];
            let (name, inverted) = written
                .strip_prefix('^')
                .map_or((written, false), |name| (name, true));
            if let Some(mut class) = classes::posix(name, flags.charset) {
                if inverted {
                    class.negate();
                }
                self.pos += end + 3;
                return Ok(class);
            }
        }
        self.set(at, flags, depth + 1)
    }

    /// A character, a range or an escape inside a set.
    fn set_item(
        &mut self,
        c: char,
        at: usize,
        flags: Flags,
        part: &mut ClassUnicode,
    ) -> Result<(), RegexError> {
        let low = match self.set_char(c, flags)? {
            Ok(low) => low,
            Err(class) => {
                part.union(&class);
                return Ok(());
            }
        };
        let mut high = low;
        let after = self
            .rest()
            .strip_prefix('-')
            .and_then(|rest| rest.chars().next());
        if let Some(end) = after.filter(|end| !matches!(end, ']' | '[')) {
            let before_dash = self.pos;
            self.pos += 1 + end.len_utf8();
            match self.set_char(end, flags)? {
                Ok(end) => high = end,
                // `[a-\d]`: the dash stands for itself.
                Err(_) => self.pos = before_dash,
            }
        }
        if high < low {
            return Err(error_at(
                at,
                format!("the range {low}-{high} runs backwards"),
            ));
        }
        part.push(ClassUnicodeRange::new(low, high));
        Ok(())
    }

    fn set_char(
        &mut self,
        c: char,
        flags: Flags,
    ) -> Result<Result<char, ClassUnicode>, RegexError> {
        if c != '\\' {
            return Ok(Ok(c));
        }
        let at = self.pos;
        match self.escape(flags, true)? {
            Escape::Char(c) => Ok(Ok(c)),
            Escape::Set(class) => Ok(Err(class)),
            Escape::Node(_) => Err(error_at(at, "this escape has no meaning inside a set")),
        }
    }
}

/// Adds the other case of every letter.
pub(super) fn fold(class: &mut ClassUnicode) {
    // Fails only where the Unicode tables are compiled out; then case stays as written.
    let _ = class.try_case_fold_simple();
}

fn intersect(whole: &mut Option<ClassUnicode>, part: ClassUnicode) {
    match whole {
        Some(whole) => whole.intersect(&part),
        None => *whole = Some(part),
    }
}
