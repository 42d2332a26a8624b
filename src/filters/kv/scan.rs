//! Finds the pairs in a text, in linear time, where the original's regular expression finds them.
//!
//! A pair is a key, a value separator, a value that may be missing, and a field separator or the end of a line. Keys and
//! bare values are runs up to a separator in which a backslash takes the next character along. A value in quotes or
//! brackets ends at the first closing character that no backslash stands before; if a field separator or the end does not
//! follow there, at the last one with a backslash that is followed so; else the quote is an ordinary character.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::class::CharClass;
use crate::grok::{RegexCache, RubyRegex};

/// How far a run goes.
pub(super) struct Run {
    end: usize,
    /// The last value separator in a key that stands behind a backslash.
    escaped: Option<usize>,
}

/// The two separators.
pub(super) trait Splits {
    /// The run from `at`: up to a field separator and, for keys, a value separator.
    fn run(&mut self, text: &[u8], at: usize, key: bool) -> Run;
    /// The end of the value separator (with blanks around it, in lenient mode) that begins at `at`.
    fn value_split(&mut self, text: &[u8], at: usize) -> Option<usize>;
    /// The end of the field separator that begins at `at`.
    fn field_split(&mut self, text: &[u8], at: usize) -> Option<usize>;
}

/// A search through one text. It remembers places only: the text is handed to each call.
pub(super) struct Scan {
    at: usize,
    brackets: bool,
    closers: [Option<Closer>; QUOTES.len()],
}

const QUOTES: [(u8, u8); 5] = [(b'"', b'"'), (b'\'', b'\''), (b'(', b')'), (b'[', b']'), (b'<', b'>')];

/// What was found when a closing character was last looked for.
#[derive(Clone, Copy)]
struct Closer {
    from: usize,
    /// The first one without a backslash; the end of the text if there is none.
    at: usize,
    /// The end of what follows it, if it closes a value.
    end: Option<usize>,
    /// The last one with a backslash in between that could close a value, and the end of what follows.
    escaped: Option<(usize, usize)>,
}

impl Scan {
    /// Starts at the beginning of a text.
    pub fn new(brackets: bool) -> Scan {
        Scan { at: 0, brackets, closers: [None; QUOTES.len()] }
    }

    /// The next key and value; the value is empty when it is missing.
    pub fn next(&mut self, text: &[u8], splits: &mut impl Splits) -> Option<(Range<usize>, Range<usize>)> {
        while self.at < text.len() {
            let start = self.at;
            let run = splits.run(text, start, true);
            if run.end > start {
                let split = splits.value_split(text, run.end).map(|behind| (run.end, behind));
                let split = split.or_else(|| {
                    let at = run.escaped?;
                    splits.value_split(text, at).map(|behind| (at, behind))
                });
                if let Some((key_end, value_start)) = split {
                    let (value, behind) = self.value(text, value_start, splits);
                    self.at = behind;
                    return Some((start..key_end, value));
                }
            }
            self.at = run.end + char_len(text, run.end);
        }
        None
    }

    /// The value that begins at `at`, and where the next key may begin.
    fn value(&mut self, text: &[u8], at: usize, splits: &mut impl Splits) -> (Range<usize>, usize) {
        let quotes = if self.brackets { &QUOTES[..] } else { &QUOTES[..2] };
        let open = text.get(at).copied();
        if let Some(kind) = quotes.iter().position(|quote| Some(quote.0) == open)
            && let Some(found) = self.quoted(kind, text, at + 1, splits)
        {
            return found;
        }
        let end = splits.run(text, at, false).end;
        (at..end, terminator(text, end, splits).unwrap_or(end))
    }

    fn quoted(&mut self, kind: usize, text: &[u8], from: usize, splits: &mut impl Splits) -> Option<(Range<usize>, usize)> {
        let close = QUOTES.get(kind)?.1;
        let known = self.closers.get_mut(kind)?;
        let closer = match known {
            Some(closer) if (closer.from..=closer.at).contains(&from) => *closer,
            _ => *known.insert(find_closer(text, from, close, splits)),
        };
        if let Some(end) = closer.end {
            return Some((from..closer.at, end));
        }
        let (at, end) = closer.escaped.filter(|(at, _)| *at >= from)?;
        Some((from..at, end))
    }
}

fn find_closer(text: &[u8], from: usize, close: u8, splits: &mut impl Splits) -> Closer {
    let mut at = from;
    let mut escaped = None;
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'\\', close, rest)) {
        at += found;
        if text.get(at) == Some(&close) {
            return Closer { from, at, end: terminator(text, at + 1, splits), escaped };
        }
        at += 1;
        if text.get(at).is_some_and(|byte| *byte != b'\n') {
            if text.get(at) == Some(&close)
                && let Some(end) = terminator(text, at + 1, splits)
            {
                escaped = Some((at, end));
            }
            at += 1;
        }
    }
    Closer { from, at: text.len(), end: None, escaped }
}

/// The end of the field separator at `at`; an end of a line does as well.
fn terminator(text: &[u8], at: usize, splits: &mut impl Splits) -> Option<usize> {
    if at >= text.len() {
        return Some(at);
    }
    splits.field_split(text, at).or_else(|| (text.get(at) == Some(&b'\n')).then_some(at))
}

/// The length in bytes of the character at `at`, 1 at the end.
fn char_len(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(0xC0..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..) => 4,
        _ => 1,
    }
}

const FIELD: u8 = 1;
const VALUE: u8 = 2;
/// A byte of a character beyond ASCII, while a class holds such characters.
const BEYOND: u8 = 4;

/// Separators that are single characters.
#[derive(Debug)]
pub(super) struct Classes {
    table: [u8; 256],
    field: CharClass,
    value: CharClass,
    lenient: bool,
}

impl Classes {
    pub fn new(field: CharClass, value: CharClass, lenient: bool) -> Classes {
        let mut table = [0; 256];
        let beyond = if field.is_ascii() && value.is_ascii() { 0 } else { BEYOND };
        for (byte, flags) in (0_u8..=255).zip(&mut table) {
            *flags = if byte.is_ascii() { flags_of(&field, &value, char::from(byte)) } else { beyond };
        }
        Classes { table, field, value, lenient }
    }

    /// Which separator begins at `at`.
    fn flags(&self, text: &[u8], at: usize) -> u8 {
        let Some(byte) = text.get(at) else { return 0 };
        let flags = self.table[usize::from(*byte)];
        if flags & BEYOND == 0 {
            return flags;
        }
        let char = text.get(at..at + char_len(text, at)).and_then(|char| std::str::from_utf8(char).ok());
        char.and_then(|char| char.chars().next()).map_or(0, |char| flags_of(&self.field, &self.value, char))
    }
}

fn flags_of(field: &CharClass, value: &CharClass, char: char) -> u8 {
    let flag = |class: &CharClass, flag| if class.contains(char) { flag } else { 0 };
    flag(field, FIELD) | flag(value, VALUE)
}

impl Splits for &Classes {
    fn run(&mut self, text: &[u8], at: usize, key: bool) -> Run {
        let stops = if key { FIELD | VALUE } else { FIELD };
        let mut escaped = None;
        let mut end = at;
        while let Some(byte) = text.get(end) {
            let flags = self.table[usize::from(*byte)];
            if *byte == b'\\' && text.get(end + 1).is_some_and(|next| *next != b'\n') {
                end += 1;
                if key && self.flags(text, end) & VALUE != 0 {
                    escaped = Some(end);
                }
                end += char_len(text, end);
            } else if flags & stops != 0 {
                break;
            } else if flags & BEYOND != 0 {
                if self.flags(text, end) & stops != 0 {
                    break;
                }
                end += char_len(text, end);
            } else {
                end += 1;
            }
        }
        Run { end: end.min(text.len()), escaped }
    }

    fn value_split(&mut self, text: &[u8], at: usize) -> Option<usize> {
        let mut end = at;
        if self.lenient {
            end += blanks(text, end);
        }
        if self.flags(text, end) & VALUE == 0 {
            // The separator may itself be a blank.
            return (self.lenient && end > at && self.flags(text, end - 1) & VALUE != 0).then_some(end);
        }
        end += char_len(text, end);
        if self.lenient {
            end += blanks(text, end);
        }
        Some(end)
    }

    fn field_split(&mut self, text: &[u8], at: usize) -> Option<usize> {
        (self.flags(text, at) & FIELD != 0).then(|| at + char_len(text, at))
    }
}

fn blanks(text: &[u8], at: usize) -> usize {
    text.get(at..).unwrap_or_default().iter().take_while(|byte| **byte == b' ').count()
}

/// Separators that are regular expressions.
pub(super) struct Patterns<'a> {
    field: Find<'a>,
    value: Find<'a>,
}

/// The matches of one expression, the last one remembered.
struct Find<'a> {
    regex: &'a RubyRegex,
    cache: &'a mut RegexCache,
    groups: Vec<Option<(u32, u32)>>,
    /// Where the search began, and the match.
    last: Option<(usize, Option<(usize, usize)>)>,
    /// The expression took too many steps.
    failed: bool,
}

impl<'a> Find<'a> {
    fn new((regex, cache): (&'a RubyRegex, &'a mut RegexCache)) -> Find<'a> {
        Find { regex, cache, groups: Vec::new(), last: None, failed: false }
    }

    /// The first match that begins at `at` or later.
    fn next(&mut self, text: &[u8], at: usize) -> Option<(usize, usize)> {
        if let Some((from, found)) = self.last
            && from <= at
            && found.is_none_or(|(start, _)| at <= start)
        {
            return found;
        }
        let found = match self.regex.captures(self.cache, text, at, &mut self.groups) {
            Ok(true) => self.groups.first().copied().flatten().map(|(start, end)| (start as usize, end as usize)),
            Ok(false) => None,
            Err(_) => {
                self.failed = true;
                None
            }
        };
        self.last = Some((at, found));
        found
    }

    fn at(&mut self, text: &[u8], at: usize) -> Option<usize> {
        self.next(text, at).filter(|(start, _)| *start == at).map(|(_, end)| end)
    }
}

impl<'a> Patterns<'a> {
    pub fn new(field: (&'a RubyRegex, &'a mut RegexCache), value: (&'a RubyRegex, &'a mut RegexCache)) -> Patterns<'a> {
        Patterns { field: Find::new(field), value: Find::new(value) }
    }

    /// True when an expression took too many steps; then what was found does not count.
    pub fn failed(&self) -> bool {
        self.field.failed || self.value.failed
    }

    /// Forgets what was found: the next text is another.
    pub fn restart(&mut self) {
        self.field.last = None;
        self.value.last = None;
    }
}

impl Splits for Patterns<'_> {
    fn run(&mut self, text: &[u8], at: usize, key: bool) -> Run {
        let mut escaped = None;
        let mut from = at;
        loop {
            let mut stop = self.field.next(text, from).map_or(text.len(), |(start, _)| start);
            if key && let Some((start, _)) = self.value.next(text, from) {
                stop = stop.min(start);
            }
            let ahead = text.get(from..stop).unwrap_or_default();
            // A run keeps to its line.
            let stop = memchr(b'\n', ahead).map_or(stop, |line| from + line);
            let ahead = text.get(from..stop).unwrap_or_default();
            let Some(slash) = memchr(b'\\', ahead) else { return Run { end: stop.max(at), escaped } };
            from += slash + 1;
            if text.get(from).is_some_and(|next| *next != b'\n') {
                if key && self.value.at(text, from).is_some() {
                    escaped = Some(from);
                }
                from += char_len(text, from);
            }
        }
    }

    fn value_split(&mut self, text: &[u8], at: usize) -> Option<usize> {
        self.value.at(text, at)
    }

    fn field_split(&mut self, text: &[u8], at: usize) -> Option<usize> {
        self.field.at(text, at)
    }
}
