//! Reads regular expressions in Ruby's (Onigmo's) syntax into a tree.
//!
//! Where Ruby and other dialects differ, Ruby's reading is taken: `^` and `$` are line anchors, `\w \d \s` are
//! ASCII while `\b` and `[[:alpha:]]` know Unicode, `(?m)` lets the dot match a newline, and plain groups do not
//! capture as soon as one group has a name.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::classes::{self, Charset};
use super::ir::{Assert, Ir, any_char};

/// Groups may nest this deep; deeper patterns are refused.
const MAX_DEPTH: u32 = 250;
/// So many quantifiers may follow one another (`a{2}+?`).
const MAX_STACKED: u32 = 3;
/// A bound of `{n,m}` may be at most this.
const MAX_REPEAT: u32 = 100_000;

/// Why a pattern was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at offset {offset} of the pattern)")]
pub struct RegexError {
    /// What is wrong, in a sentence.
    pub message: String,
    /// Byte offset in the pattern.
    pub offset: usize,
}

/// Options that hold from the beginning of a pattern; `(?imx)` inside may change them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SyntaxOptions {
    pub(crate) dot_newline: bool,
    pub(crate) ignore_case: bool,
}

/// A pattern that was read.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) ir: Ir,
    /// The name of each capturing group, group 1 first.
    pub(crate) names: Vec<Option<String>>,
}

/// Reads a pattern.
pub(crate) fn parse(pattern: &str, options: SyntaxOptions) -> Result<Parsed, RegexError> {
    let mut parser = Parser {
        text: pattern,
        pos: 0,
        groups: Vec::new(),
        refs: Vec::new(),
        depth: 0,
    };
    let flags = Flags {
        ignore_case: options.ignore_case,
        dot_newline: options.dot_newline,
        extended: false,
        charset: Charset::Default,
    };
    let ir = parser.alternatives(flags)?;
    if parser.pos < pattern.len() {
        return Err(parser.error("unmatched close parenthesis: write \\) for the character"));
    }
    parser.finish(ir)
}

#[derive(Clone, Copy)]
struct Flags {
    ignore_case: bool,
    dot_newline: bool,
    extended: bool,
    charset: Charset,
}

struct Parser<'t> {
    text: &'t str,
    pos: usize,
    /// Names of all groups as written, unnamed ones included.
    groups: Vec<Option<String>>,
    /// Where back-references were written, for errors that are only known at the end.
    refs: Vec<RefName>,
    depth: u32,
}

/// A reference to a group, before it is known which groups capture.
struct RefName {
    offset: usize,
    target: Target,
}

enum Target {
    Number(u32),
    Name(String),
}

/// What an escape stands for.
enum Escape {
    Char(char),
    Set(ClassUnicode),
    Node(Ir),
}

impl<'t> Parser<'t> {
    fn error(&self, message: impl Into<String>) -> RegexError {
        self.error_at(self.pos, message)
    }

    fn error_at(&self, offset: usize, message: impl Into<String>) -> RegexError {
        RegexError {
            message: message.into(),
            offset,
        }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.pos += text.len();
        }
        found
    }

    /// Everything up to the `)` that ends the group, or to the end of the pattern.
    fn alternatives(&mut self, flags: Flags) -> Result<Ir, RegexError> {
        self.branches(flags).map(alternation)
    }

    /// The same, each alternative by itself.
    fn branches(&mut self, flags: Flags) -> Result<Vec<Ir>, RegexError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("groups nest deeper than {MAX_DEPTH}")));
        }
        let (mut alts, mut items) = (Vec::new(), Vec::new());
        loop {
            self.skip_extended(flags);
            match self.peek() {
                None | Some(')') => break,
                Some('|') => {
                    self.pos += 1;
                    alts.push(concat(std::mem::take(&mut items)));
                }
                Some('(') => {
                    if let Some(inner) = self.inline_flags(flags)? {
                        // Ruby reads `a(?i)b|c` as `a(?i:b|c)`.
                        items.push(self.alternatives(inner)?);
                        break;
                    }
                    if let Some(group) = self.group(flags)? {
                        let item = self.quantified(group, flags)?;
                        items.push(item);
                    }
                }
                Some(_) => {
                    let atom = self.atom(flags)?;
                    let item = self.quantified(atom, flags)?;
                    items.push(item);
                }
            }
        }
        self.depth -= 1;
        alts.push(concat(items));
        Ok(alts)
    }

    fn skip_extended(&mut self, flags: Flags) {
        if !flags.extended {
            return;
        }
        while let Some(c) = self.peek() {
            if c == '#' {
                let line = self.rest().find('\n').unwrap_or(self.rest().len());
                self.pos += line;
            } else if c.is_ascii_whitespace() || c == '\x0b' {
                self.pos += 1;
            } else {
                break;
            }
        }
    }

    /// `(?imx-imx)` without a colon: the flags for the rest of the group.
    fn inline_flags(&mut self, flags: Flags) -> Result<Option<Flags>, RegexError> {
        let begin = self.pos;
        if !self.eat("(?") {
            return Ok(None);
        }
        let changed = self.flag_letters(flags);
        if let (Ok(changed), true) = (&changed, self.eat(")")) {
            return Ok(Some(*changed));
        }
        self.pos = begin;
        Ok(None)
    }

    fn flag_letters(&mut self, mut flags: Flags) -> Result<Flags, RegexError> {
        let (mut on, begin) = (true, self.pos);
        while let Some(c) = self.peek() {
            match c {
                '-' if on => on = false,
                'i' => flags.ignore_case = on,
                'm' => flags.dot_newline = on,
                'x' => flags.extended = on,
                'a' if on => flags.charset = Charset::Ascii,
                'd' if on => flags.charset = Charset::Default,
                'u' if on => flags.charset = Charset::Unicode,
                ':' | ')' if self.pos > begin => return Ok(flags),
                _ => break,
            }
            self.pos += c.len_utf8();
        }
        Err(self.error("unknown group option: Ruby knows (?imx-imx) and (?imx-imx:…)"))
    }

    /// A group in parentheses; `None` for a comment.
    fn group(&mut self, flags: Flags) -> Result<Option<Ir>, RegexError> {
        let begin = self.pos;
        self.pos += 1;
        if !self.eat("?") {
            self.groups.push(None);
            let index = self.group_count();
            let body = self.body(begin, flags)?;
            return Ok(Some(Ir::Group(index, Box::new(body))));
        }
        let look = |behind, negative, body| Ir::Look {
            behind,
            negative,
            body: Box::new(body),
        };
        let node = if self.eat("#") {
            return self.comment(begin);
        } else if self.eat(":") {
            self.body(begin, flags)?
        } else if self.eat(">") {
            Ir::Atomic(Box::new(self.body(begin, flags)?))
        } else if self.eat("=") {
            look(false, false, self.body(begin, flags)?)
        } else if self.eat("!") {
            look(false, true, self.body(begin, flags)?)
        } else if self.eat("<=") {
            let body = self.body(begin, flags)?;
            self.look_behind(begin, false, body)?
        } else if self.eat("<!") {
            let body = self.body(begin, flags)?;
            self.look_behind(begin, true, body)?
        } else if self.eat("<") {
            self.named_group(begin, '>', flags)?
        } else if self.eat("'") {
            self.named_group(begin, '\'', flags)?
        } else if self.eat("(") {
            self.conditional(begin, flags)?
        } else if self.eat("~") {
            return Err(self.error_at(begin, "the absent operator (?~…) is not supported"));
        } else {
            let inner = self.flag_letters(flags)?;
            if !self.eat(":") {
                return Err(self.error("expected `:` or `)` after the group options"));
            }
            self.body(begin, inner)?
        };
        Ok(Some(node))
    }

    fn group_count(&self) -> u32 {
        u32::try_from(self.groups.len()).unwrap_or(u32::MAX)
    }

    fn comment(&mut self, begin: usize) -> Result<Option<Ir>, RegexError> {
        while let Some(c) = self.next() {
            match c {
                '\\' => {
                    self.next();
                }
                ')' => return Ok(None),
                _ => {}
            }
        }
        Err(self.error_at(begin, "comment (?#…) has no close parenthesis"))
    }

    /// The inside of a group, and its closing parenthesis.
    fn body(&mut self, begin: usize, flags: Flags) -> Result<Ir, RegexError> {
        let body = self.alternatives(flags)?;
        self.close(begin)?;
        Ok(body)
    }

    fn close(&mut self, begin: usize) -> Result<(), RegexError> {
        if self.eat(")") {
            return Ok(());
        }
        Err(self.error_at(
            begin,
            "this parenthesis is never closed: write \\( for the character",
        ))
    }

    /// A look-behind is one of fixed width per alternative, as in Ruby.
    fn look_behind(&self, begin: usize, negative: bool, body: Ir) -> Result<Ir, RegexError> {
        let alternatives = match body {
            Ir::Alt(items) => items,
            other => vec![other],
        };
        if alternatives.iter().any(|item| item.width().is_none()) {
            return Err(self.error_at(
                begin,
                "each alternative of a look-behind must match a fixed number of characters",
            ));
        }
        let look = |body| Ir::Look {
            behind: true,
            negative,
            body: Box::new(body),
        };
        if alternatives.iter().all(|item| item.width() == Some(1)) {
            return Ok(look(alternation(alternatives)));
        }
        let looks: Vec<Ir> = alternatives.into_iter().map(look).collect();
        Ok(if negative {
            concat(looks)
        } else {
            alternation(looks)
        })
    }

    fn named_group(&mut self, begin: usize, close: char, flags: Flags) -> Result<Ir, RegexError> {
        let name = self.name(begin, close)?;
        self.groups.push(Some(name));
        let index = self.group_count();
        let body = self.body(begin, flags)?;
        Ok(Ir::Group(index, Box::new(body)))
    }

    fn name(&mut self, begin: usize, close: char) -> Result<String, RegexError> {
        let rest = self.rest();
        let end = rest
            .find(close)
            .filter(|end| *end > 0 && !rest[..*end].contains(')'));
        let Some(end) = end else {
            return Err(self.error_at(
                begin,
                format!("the group's name has no closing `{close}`, or is empty"),
            ));
        };
        self.pos += end + close.len_utf8();
        Ok(rest[..end].to_owned())
    }

    /// `(?(1)yes|no)` or `(?(<name>)yes|no)`.
    fn conditional(&mut self, begin: usize, flags: Flags) -> Result<Ir, RegexError> {
        let rest = self.rest();
        let Some(end) = rest.find(')') else {
            return Err(self.error_at(begin, "the condition of (?(…)…) has no close parenthesis"));
        };
        let written = &rest[..end];
        let quoted = |open, close| {
            written
                .strip_prefix(open)
                .and_then(|name: &str| name.strip_suffix(close))
        };
        let name = quoted('<', '>')
            .or_else(|| quoted('\'', '\''))
            .unwrap_or(written);
        self.pos += end + 1;
        let group = self.reference(begin, name)?;
        let mut branches = self.branches(flags)?.into_iter();
        let (yes, no) = (
            branches.next().unwrap_or(Ir::Empty),
            branches.next().unwrap_or(Ir::Empty),
        );
        if branches.next().is_some() {
            return Err(self.error_at(begin, "a condition has at most two branches"));
        }
        self.close(begin)?;
        Ok(Ir::Cond {
            group,
            yes: Box::new(yes),
            no: Box::new(no),
        })
    }

    /// Notes a reference to a group. What is returned is its place in the list of references.
    fn reference(&mut self, offset: usize, written: &str) -> Result<u32, RegexError> {
        let target = if let Ok(number) = written.parse::<i64>() {
            let number = if number < 0 {
                i64::from(self.group_count()) + 1 + number
            } else {
                number
            };
            match u32::try_from(number) {
                Ok(number) if number > 0 => Target::Number(number),
                _ => return Err(self.error_at(offset, format!("there is no group {written}"))),
            }
        } else {
            Target::Name(written.to_owned())
        };
        self.refs.push(RefName { offset, target });
        Ok(u32::try_from(self.refs.len() - 1).unwrap_or(u32::MAX))
    }

    /// One character, set, escape or anchor.
    fn atom(&mut self, flags: Flags) -> Result<Ir, RegexError> {
        let begin = self.pos;
        let Some(c) = self.next() else {
            return Ok(Ir::Empty);
        };
        Ok(match c {
            '.' => Ir::Set(if flags.dot_newline {
                any_char()
            } else {
                classes::not_newline()
            }),
            '^' => Ir::Assert(Assert::LineStart),
            '$' => Ir::Assert(Assert::LineEnd),
            '[' => Ir::Set(self.set(begin, flags, 0)?),
            '*' | '+' | '?' => {
                return Err(self.error_at(
                    begin,
                    format!("nothing to repeat before `{c}`: write \\{c} for the character"),
                ));
            }
            '\\' => match self.escape(flags, false)? {
                Escape::Char(c) => char_node(c, flags),
                Escape::Set(class) => Ir::Set(class),
                Escape::Node(node) => node,
            },
            _ => char_node(c, flags),
        })
    }

    /// Applies all quantifiers that follow.
    fn quantified(&mut self, atom: Ir, flags: Flags) -> Result<Ir, RegexError> {
        let mut node = atom;
        let mut stacked = 0;
        loop {
            self.skip_extended(flags);
            let Some((min, max, is_interval)) = self.quantifier()? else {
                return Ok(node);
            };
            stacked += 1;
            if stacked > MAX_STACKED {
                return Err(self.error(format!("more than {MAX_STACKED} quantifiers in a row")));
            }
            let fixed = is_interval && Some(min) == max;
            let lazy = !fixed && self.eat("?");
            let possessive = !lazy && !is_interval && self.eat("+");
            node = repeat(node, min, max, lazy);
            if possessive {
                node = Ir::Atomic(Box::new(node));
            }
        }
    }

    /// `*`, `+`, `?` or `{n,m}`; the last of the three is whether it was written in braces.
    #[allow(clippy::type_complexity)]
    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>, bool)>, RegexError> {
        Ok(match self.peek() {
            Some('*') => {
                self.pos += 1;
                Some((0, None, false))
            }
            Some('+') => {
                self.pos += 1;
                Some((1, None, false))
            }
            Some('?') => {
                self.pos += 1;
                Some((0, Some(1), false))
            }
            Some('{') => self.interval()?.map(|(min, max)| (min, max, true)),
            _ => None,
        })
    }

    /// `{n}`, `{n,}`, `{,m}`, `{n,m}`; anything else in braces is literal text and not touched.
    fn interval(&mut self) -> Result<Option<(u32, Option<u32>)>, RegexError> {
        let Some(end) = self.rest().find('}') else {
            return Ok(None);
        };
        let inside = &self.rest()[1..end];
        let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !digits(low) || !digits(high) || (low.is_empty() && high.is_empty()) {
            return Ok(None);
        }
        let bound = |part: &str| part.parse::<u32>().ok().filter(|n| *n <= MAX_REPEAT);
        let too_big = || self.error(format!("repeat count over {MAX_REPEAT}"));
        let min = if low.is_empty() {
            0
        } else {
            bound(low).ok_or_else(too_big)?
        };
        let max = if high.is_empty() {
            None
        } else {
            Some(bound(high).ok_or_else(too_big)?)
        };
        if max.is_some_and(|max| max < min) {
            return Err(self.error(format!(
                "the lower bound of {{{inside}}} is above the upper one"
            )));
        }
        self.pos += end + 1;
        Ok(Some((min, max)))
    }

    /// What follows a backslash.
    #[allow(clippy::too_many_lines)] // one flat table of letters
    fn escape(&mut self, flags: Flags, in_set: bool) -> Result<Escape, RegexError> {
        let begin = self.pos - 1;
        let Some(c) = self.next() else {
            return Err(self.error_at(
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
                Err(self.error_at(begin, "\\M-x is not supported: write \\xHH"))
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
            'g' if self.rest().starts_with(['<', '\'']) => Err(self.error_at(
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
            self.error_at(
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
            .ok_or_else(|| self.error_at(begin, "expected one character's hex number in braces"))?;
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
        let c = value
            .ok_or_else(|| self.error_at(begin, "\\u needs four hex digits of a character"))?;
        self.pos += 4;
        Ok(c)
    }

    fn control(&mut self, begin: usize) -> Result<char, RegexError> {
        match self.next() {
            Some('?') => Ok('\x7f'),
            Some(c) if c.is_ascii() => Ok(char::from(u8::try_from(c).unwrap_or(0) & 0x1f)),
            _ => Err(self.error_at(begin, "\\c needs an ASCII character")),
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
            return Err(self.error_at(begin, "expected a property in braces, as in \\p{Alpha}"));
        };
        let written = &rest[1..end];
        let (name, inverted) = written
            .strip_prefix('^')
            .map_or((written, false), |name| (name, true));
        let mut class = classes::property(name)
            .ok_or_else(|| self.error_at(begin, format!("unknown character property `{name}`")))?;
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
    fn set(&mut self, begin: usize, flags: Flags, depth: u32) -> Result<ClassUnicode, RegexError> {
        if depth > MAX_DEPTH {
            return Err(self.error_at(begin, format!("sets nest deeper than {MAX_DEPTH}")));
        }
        let negated = self.eat("^");
        let mut whole: Option<ClassUnicode> = None;
        let mut part = ClassUnicode::empty();
        let mut first = true;
        loop {
            let at = self.pos;
            let Some(c) = self.next() else {
                return Err(self.error_at(
                    begin,
                    "this set is never closed: write \\[ for the character",
                ));
            };
            match c {
                ']' if !first => break,
                ']' if !self.rest().contains(']') => {
                    return Err(self.error_at(begin, "empty set: write \\[\\] for the characters"));
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
            return Err(self.error_at(at, format!("the range {low}-{high} runs backwards")));
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
            Escape::Node(_) => Err(self.error_at(at, "this escape has no meaning inside a set")),
        }
    }

    /// Decides which groups capture, and resolves references to them.
    fn finish(self, ir: Ir) -> Result<Parsed, RegexError> {
        let any_named = self.groups.iter().any(Option::is_some);
        let mut numbers = vec![0; self.groups.len() + 1];
        let mut names = Vec::new();
        for (index, name) in self.groups.iter().enumerate() {
            if name.is_some() || !any_named {
                names.push(name.clone());
                numbers[index + 1] = u32::try_from(names.len()).unwrap_or(u32::MAX);
            }
        }
        let mut resolved = Vec::with_capacity(self.refs.len());
        for reference in &self.refs {
            resolved.push(self.resolve(reference, any_named, &names)?);
        }
        Ok(Parsed {
            ir: renumber(ir, &numbers, &resolved),
            names,
        })
    }

    fn resolve(
        &self,
        reference: &RefName,
        any_named: bool,
        names: &[Option<String>],
    ) -> Result<Vec<u32>, RegexError> {
        match &reference.target {
            Target::Number(_) if any_named => Err(self.error_at(
                reference.offset,
                "with named groups, refer to them by name: \\k<name>",
            )),
            Target::Number(number) if *number as usize <= names.len() => Ok(vec![*number]),
            Target::Number(number) => {
                Err(self.error_at(reference.offset, format!("there is no group {number}")))
            }
            Target::Name(name) => {
                let same = |other: &Option<String>| other.as_ref() == Some(name);
                let groups: Vec<u32> = (1..)
                    .zip(names)
                    .filter(|(_, other)| same(other))
                    .map(|(index, _)| index)
                    .collect();
                if groups.is_empty() {
                    return Err(self.error_at(
                        reference.offset,
                        format!("there is no group named `{name}`"),
                    ));
                }
                Ok(groups)
            }
        }
    }
}

fn renumber(ir: Ir, numbers: &[u32], refs: &[Vec<u32>]) -> Ir {
    let boxed = |body: Box<Ir>| Box::new(renumber(*body, numbers, refs));
    let all = |items: Vec<Ir>| {
        items
            .into_iter()
            .map(|item| renumber(item, numbers, refs))
            .collect()
    };
    match ir {
        Ir::Group(index, body) => match numbers.get(index as usize) {
            Some(0) | None => renumber(*body, numbers, refs),
            Some(number) => Ir::Group(*number, boxed(body)),
        },
        Ir::Concat(items) => concat(all(items)),
        Ir::Alt(items) => alternation(all(items)),
        Ir::Repeat {
            body,
            min,
            max,
            lazy,
        } => repeat(renumber(*body, numbers, refs), min, max, lazy),
        Ir::Atomic(body) => Ir::Atomic(boxed(body)),
        Ir::Look {
            behind,
            negative,
            body,
        } => Ir::Look {
            behind,
            negative,
            body: boxed(body),
        },
        Ir::Backref { groups, fold } => Ir::Backref {
            groups: groups
                .iter()
                .filter_map(|place| refs.get(*place as usize))
                .flatten()
                .copied()
                .collect(),
            fold,
        },
        Ir::Cond { group, yes, no } => Ir::Cond {
            group: refs
                .get(group as usize)
                .and_then(|groups| groups.last())
                .copied()
                .unwrap_or(0),
            yes: boxed(yes),
            no: boxed(no),
        },
        leaf => leaf,
    }
}

fn char_node(c: char, flags: Flags) -> Ir {
    if !flags.ignore_case {
        return Ir::Char(c);
    }
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    fold(&mut class);
    match class.ranges() {
        [only] if only.start() == only.end() => Ir::Char(c),
        _ => Ir::Set(class),
    }
}

fn fold(class: &mut ClassUnicode) {
    // Fails only where the Unicode tables are compiled out; then case stays as written.
    let _ = class.try_case_fold_simple();
}

fn intersect(whole: &mut Option<ClassUnicode>, part: ClassUnicode) {
    match whole {
        Some(whole) => whole.intersect(&part),
        None => *whole = Some(part),
    }
}

fn concat(items: Vec<Ir>) -> Ir {
    let mut flat = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Ir::Empty => {}
            Ir::Concat(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    match flat.len() {
        0 => Ir::Empty,
        1 => flat.remove(0),
        _ => Ir::Concat(flat),
    }
}

/// Alternatives side by side; neighbours that are one character each become one set.
fn alternation(items: Vec<Ir>) -> Ir {
    let mut flat: Vec<Ir> = Vec::with_capacity(items.len());
    for item in items {
        let inner = if let Ir::Alt(inner) = item {
            inner
        } else {
            vec![item]
        };
        for item in inner {
            let merged = flat
                .last()
                .and_then(super::ir::one_char)
                .zip(super::ir::one_char(&item));
            if let (Some((mut left, right)), Some(last)) = (merged, flat.last_mut()) {
                left.union(&right);
                *last = Ir::Set(left);
            } else {
                flat.push(item);
            }
        }
    }
    if flat.len() == 1 {
        flat.remove(0)
    } else {
        Ir::Alt(flat)
    }
}

/// A repetition; repeated repetitions of the same single characters are one.
fn repeat(body: Ir, min: u32, max: Option<u32>, lazy: bool) -> Ir {
    if (min, max) == (1, Some(1)) {
        return body;
    }
    if let Ir::Repeat {
        body: inner,
        min: low,
        max: high,
        lazy: inner_lazy,
    } = &body
    {
        let simple = |min, max: Option<u32>| min <= 1 && max.is_none_or(|max| max == 1);
        if !lazy
            && !inner_lazy
            && simple(min, max)
            && simple(*low, *high)
            && super::ir::one_char(inner).is_some()
        {
            let max = if max.is_none() || high.is_none() {
                None
            } else {
                Some(1)
            };
            return Ir::Repeat {
                body: inner.clone(),
                min: min * low,
                max,
                lazy,
            };
        }
    }
    Ir::Repeat {
        body: Box::new(body),
        min,
        max,
        lazy,
    }
}
