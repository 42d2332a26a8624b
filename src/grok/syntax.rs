//! Reads regular expressions in Ruby's (Onigmo's) syntax into a tree.
//!
//! Where Ruby and other dialects differ, Ruby's reading is taken: `^` and `$` are line anchors, `\w \d \s` are
//! ASCII while `\b` and `[[:alpha:]]` know Unicode, `(?m)` lets the dot match a newline, and plain groups do not
//! capture as soon as one group has a name.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::classes::{self, Charset};
use super::escapes::{Escape, fold};
use super::ir::{Assert, Ir, any_char};

/// Groups may nest this deep; deeper patterns are refused.
pub(super) const MAX_DEPTH: u32 = 250;
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

/// The error of what stands at this offset.
pub(super) fn error_at(offset: usize, message: impl Into<String>) -> RegexError {
    RegexError {
        message: message.into(),
        offset,
    }
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

/// The options at some place of a pattern.
#[derive(Clone, Copy)]
pub(super) struct Flags {
    pub(super) ignore_case: bool,
    dot_newline: bool,
    extended: bool,
    pub(super) charset: Charset,
}

/// The state of reading.
pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    pub(super) pos: usize,
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

impl<'t> Parser<'t> {
    fn error(&self, message: impl Into<String>) -> RegexError {
        error_at(self.pos, message)
    }

    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
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
                    if let Some(inner) = self.inline_flags(flags) {
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
    fn inline_flags(&mut self, flags: Flags) -> Option<Flags> {
        let begin = self.pos;
        if self.eat("(?")
            && let Ok(changed) = self.flag_letters(flags)
            && self.eat(")")
        {
            return Some(changed);
        }
        self.pos = begin;
        None
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
            Self::look_behind(begin, false, body)?
        } else if self.eat("<!") {
            let body = self.body(begin, flags)?;
            Self::look_behind(begin, true, body)?
        } else if self.eat("<") {
            self.named_group(begin, '>', flags)?
        } else if self.eat("'") {
            self.named_group(begin, '\'', flags)?
        } else if self.eat("(") {
            self.conditional(begin, flags)?
        } else if self.eat("~") {
            return Err(error_at(
                begin,
                "the absent operator (?~…) is not supported",
            ));
        } else {
            let inner = self.flag_letters(flags)?;
            if !self.eat(":") {
                return Err(self.error("expected `:` or `)` after the group options"));
            }
            self.body(begin, inner)?
        };
        Ok(Some(node))
    }

    pub(super) fn group_count(&self) -> u32 {
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
        Err(error_at(begin, "comment (?#…) has no close parenthesis"))
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
        Err(error_at(
            begin,
            "this parenthesis is never closed: write \\( for the character",
        ))
    }

    /// A look-behind is one of fixed width per alternative, as in Ruby.
    fn look_behind(begin: usize, negative: bool, body: Ir) -> Result<Ir, RegexError> {
        let alternatives = match body {
            Ir::Alt(items) => items,
            other => vec![other],
        };
        if alternatives.iter().any(|item| item.width().is_none()) {
            return Err(error_at(
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

    pub(super) fn name(&mut self, begin: usize, close: char) -> Result<String, RegexError> {
        let rest = self.rest();
        let end = rest
            .find(close)
            .filter(|end| *end > 0 && !rest[..*end].contains(')'));
        let Some(end) = end else {
            return Err(error_at(
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
            return Err(error_at(
                begin,
                "the condition of (?(…)…) has no close parenthesis",
            ));
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
            return Err(error_at(begin, "a condition has at most two branches"));
        }
        self.close(begin)?;
        Ok(Ir::Cond {
            group,
            yes: Box::new(yes),
            no: Box::new(no),
        })
    }

    /// Notes a reference to a group. What is returned is its place in the list of references.
    pub(super) fn reference(&mut self, offset: usize, written: &str) -> Result<u32, RegexError> {
        let target = if let Ok(number) = written.parse::<i64>() {
            let number = if number < 0 {
                i64::from(self.group_count()) + 1 + number
            } else {
                number
            };
            match u32::try_from(number) {
                Ok(number) if number > 0 => Target::Number(number),
                _ => return Err(error_at(offset, format!("there is no group {written}"))),
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
                return Err(error_at(
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
            resolved.push(Self::resolve(reference, any_named, &names)?);
        }
        Ok(Parsed {
            ir: renumber(ir, &numbers, &resolved),
            names,
        })
    }

    fn resolve(
        reference: &RefName,
        any_named: bool,
        names: &[Option<String>],
    ) -> Result<Vec<u32>, RegexError> {
        match &reference.target {
            Target::Number(_) if any_named => Err(error_at(
                reference.offset,
                "with named groups, refer to them by name: \\k<name>",
            )),
            Target::Number(number) if *number as usize <= names.len() => Ok(vec![*number]),
            Target::Number(number) => Err(error_at(
                reference.offset,
                format!("there is no group {number}"),
            )),
            Target::Name(name) => {
                let same = |other: &Option<String>| other.as_ref() == Some(name);
                let groups: Vec<u32> = (1..)
                    .zip(names)
                    .filter(|(_, other)| same(other))
                    .map(|(index, _)| index)
                    .collect();
                if groups.is_empty() {
                    return Err(error_at(
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
