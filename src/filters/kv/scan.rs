//! Finds the pairs in a text, in linear time, where the original's regular expression finds them.
//!
//! A pair is a key, a value separator, a value that may be missing, and a field separator or the end of a line. Keys and
//! bare values are runs of characters that are no separators, and of pairs of a backslash and any character. A value in
//! quotes or brackets is such a run up to a closing character behind which a field separator or the end follows; if there
//! is none, the quote is an ordinary character.
//!
//! Nearly always the longest run is the one that fits. Only where it does not and holds backslashes are the others tried,
//! in the order in which the expression would: a backslash may then be a character like any other.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::class::CharClass;
use crate::grok::{RegexCache, RubyRegex};

/// How far the longest run goes.
pub(super) struct Run {
    end: usize,
    /// It holds backslashes, so there may be others.
    slashes: bool,
}

/// Where a run may go on: behind a backslash and the character after it, or behind a single character.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    pair: Option<usize>,
    single: Option<usize>,
}

/// The two separators.
pub(super) trait Splits {
    /// The longest run from `at`: up to a field separator and, for keys, a value separator.
    fn run(&mut self, text: &[u8], at: usize, key: bool) -> Run;
    /// How a key goes on at `at`.
    fn key_steps(&mut self, text: &[u8], at: usize) -> Steps;
    /// The end of the value separator (with blanks around it, in lenient mode) that begins at `at`.
    fn value_split(&mut self, text: &[u8], at: usize) -> Option<usize>;
    /// The end of the field separator that begins at `at`.
    fn field_split(&mut self, text: &[u8], at: usize) -> Option<usize>;
}

/// A search through one text. It remembers places only: the text is handed to each call.
pub(super) struct Scan {
    at: usize,
    brackets: bool,
    /// Made at the first quote.
    closers: Option<[Closer; QUOTES.len()]>,
    keys: Failed,
}

const QUOTES: [(u8, u8); 5] = [
    (b'"', b'"'),
    (b'\'', b'\''),
    (b'(', b')'),
    (b'[', b']'),
    (b'<', b'>'),
];

/// What was found when a closing character was last looked for.
#[derive(Default)]
struct Closer {
    /// Where the search began; none before the first.
    from: Option<usize>,
    /// The first one without a backslash; the end of the text if there is none.
    at: usize,
    /// The end of what follows it, if it closes a value.
    end: Option<usize>,
    /// Backslashes lie in between.
    slashes: bool,
    failed: Failed,
}

/// Places at which no run can end, one bit for each byte of the text.
#[derive(Default)]
struct Failed {
    bits: Vec<u64>,
}

impl Failed {
    /// Notes a place; false when it was noted before.
    fn note(&mut self, at: usize) -> bool {
        let (word, bit) = (at / 64, 1_u64 << (at % 64));
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let before = self.bits[word];
        self.bits[word] = before | bit;
        before & bit == 0
    }
}

/// Tries the runs from `start` in the order of a backtracking expression: pairs before single characters, long before
/// short. Returns the end of the first one that `accept` takes, with what that says; else how far the furthest went.
fn try_runs(
    start: usize,
    failed: &mut Failed,
    mut steps: impl FnMut(usize) -> Steps,
    mut accept: impl FnMut(usize) -> Option<usize>,
) -> Result<(usize, usize), usize> {
    let mut furthest = start;
    let mut path = vec![(start, steps(start))];
    while let Some((at, left)) = path.last_mut() {
        if let Some(next) = left.pair.take().or_else(|| left.single.take()) {
            furthest = furthest.max(next);
            if failed.note(next) {
                path.push((next, steps(next)));
            }
        } else {
            let at = *at;
            if at > start
                && let Some(behind) = accept(at)
            {
                return Ok((at, behind));
            }
            path.pop();
        }
    }
    Err(furthest)
}

impl Scan {
    /// Starts at the beginning of a text.
    pub fn new(brackets: bool) -> Scan {
        Scan {
            at: 0,
            brackets,
            closers: None,
            keys: Failed::default(),
        }
    }

    /// The next key and value; the value is empty when it is missing.
    pub fn next(
        &mut self,
        text: &[u8],
        splits: &mut impl Splits,
    ) -> Option<(Range<usize>, Range<usize>)> {
        while self.at < text.len() {
            let start = self.at;
            match self.key(text, start, splits) {
                Ok((end, value_start)) => {
                    let (value, behind) = self.value(text, value_start, splits);
                    self.at = behind;
                    return Some((start..end, value));
                }
                Err(furthest) => self.at = furthest + char_len(text, furthest),
            }
        }
        None
    }

    /// The end of the key that begins at `start`, and of the separator behind it; else how far a key could go.
    fn key(
        &mut self,
        text: &[u8],
        start: usize,
        splits: &mut impl Splits,
    ) -> Result<(usize, usize), usize> {
        let run = splits.run(text, start, true);
        if run.end == start {
            return Err(start);
        }
        match splits.value_split(text, run.end) {
            Some(behind) => Ok((run.end, behind)),
            None if run.slashes => {
                let splits = std::cell::RefCell::new(splits);
                let steps = |at| splits.borrow_mut().key_steps(text, at);
                try_runs(start, &mut self.keys, steps, |at| {
                    splits.borrow_mut().value_split(text, at)
                })
            }
            None => Err(run.end),
        }
    }

    /// The value that begins at `at`, and where the next key may begin.
    fn value(&mut self, text: &[u8], at: usize, splits: &mut impl Splits) -> (Range<usize>, usize) {
        let quotes = if self.brackets {
            &QUOTES[..]
        } else {
            &QUOTES[..2]
        };
        let open = text.get(at).copied();
        let quote = quotes
            .iter()
            .position(|(opening, _)| Some(*opening) == open);
        if let Some(quote) = quote
            && let Some((end, behind)) = self.closing(text, at + 1, quote, splits)
        {
            return (at + 1..end, behind);
        }
        let end = splits.run(text, at, false).end;
        (at..end, terminator(text, end, splits).unwrap_or(end))
    }
}

impl Scan {
    fn closing(
        &mut self,
        text: &[u8],
        from: usize,
        quote: usize,
        splits: &mut impl Splits,
    ) -> Option<(usize, usize)> {
        let closer = self
            .closers
            .get_or_insert_with(Default::default)
            .get_mut(quote)?;
        closer.find(text, from, QUOTES.get(quote)?.1, splits)
    }
}

impl Closer {
    /// The place of the closing character of a value that begins at `from`, and the end of what follows it.
    fn find(
        &mut self,
        text: &[u8],
        from: usize,
        close: u8,
        splits: &mut impl Splits,
    ) -> Option<(usize, usize)> {
        if !self
            .from
            .is_some_and(|known| (known..=self.at).contains(&from))
        {
            self.search(text, from, close, splits);
        }
        if let Some(end) = self.end {
            return Some((self.at, end));
        }
        if !self.slashes {
            return None;
        }
        let steps = |at| Steps {
            pair: pair(text, at),
            single: text
                .get(at)
                .filter(|byte| **byte != close)
                .map(|_| at + char_len(text, at)),
        };
        let closing = |at: usize| {
            (text.get(at) == Some(&close))
                .then(|| terminator(text, at + 1, splits))
                .flatten()
        };
        try_runs(from, &mut self.failed, steps, closing).ok()
    }

    fn search(&mut self, text: &[u8], from: usize, close: u8, splits: &mut impl Splits) {
        (self.from, self.end, self.slashes) = (Some(from), None, false);
        let mut at = from;
        while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'\\', close, rest)) {
            at += found;
            if text.get(at) == Some(&close) {
                self.at = at;
                self.end = terminator(text, at + 1, splits);
                return;
            }
            self.slashes = true;
            at = pair(text, at).unwrap_or(at + 1);
        }
        self.at = text.len();
    }
}

/// The end of a backslash and the character after it, which is not the end of a line.
fn pair(text: &[u8], at: usize) -> Option<usize> {
    let behind = at + 1;
    let is_pair =
        text.get(at) == Some(&b'\\') && text.get(behind).is_some_and(|next| *next != b'\n');
    is_pair.then(|| (behind + char_len(text, behind)).min(text.len()))
}

/// The end of the field separator at `at`; an end of a line does as well.
fn terminator(text: &[u8], at: usize, splits: &mut impl Splits) -> Option<usize> {
    if at >= text.len() {
        return Some(at);
    }
    splits
        .field_split(text, at)
        .or_else(|| (text.get(at) == Some(&b'\n')).then_some(at))
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
        let beyond = if field.is_ascii() && value.is_ascii() {
            0
        } else {
            BEYOND
        };
        for (byte, flags) in (0_u8..=255).zip(&mut table) {
            *flags = if byte.is_ascii() {
                flags_of(&field, &value, char::from(byte))
            } else {
                beyond
            };
        }
        Classes {
            table,
            field,
            value,
            lenient,
        }
    }

    /// Which separator begins at `at`.
    fn flags(&self, text: &[u8], at: usize) -> u8 {
        let Some(byte) = text.get(at) else { return 0 };
        let flags = self.table[usize::from(*byte)];
        if flags & BEYOND == 0 {
            return flags;
        }
        let char = text
            .get(at..at + char_len(text, at))
            .and_then(|char| std::str::from_utf8(char).ok());
        char.and_then(|char| char.chars().next())
            .map_or(0, |char| flags_of(&self.field, &self.value, char))
    }
}

fn flags_of(field: &CharClass, value: &CharClass, char: char) -> u8 {
    let flag = |class: &CharClass, flag| if class.contains(char) { flag } else { 0 };
    flag(field, FIELD) | flag(value, VALUE)
}

impl Splits for &Classes {
    fn run(&mut self, text: &[u8], at: usize, key: bool) -> Run {
        let stops = if key { FIELD | VALUE } else { FIELD };
        let mut slashes = false;
        let mut end = at;
        while let Some(byte) = text.get(end) {
            let flags = self.table[usize::from(*byte)];
            if *byte == b'\\' {
                slashes = true;
                if let Some(behind) = pair(text, end) {
                    end = behind;
                    continue;
                }
            }
            if flags & stops != 0 {
                break;
            }
            if flags & BEYOND == 0 {
                end += 1;
            } else if self.flags(text, end) & stops == 0 {
                end += char_len(text, end);
            } else {
                break;
            }
        }
        Run {
            end: end.min(text.len()),
            slashes,
        }
    }

    fn key_steps(&mut self, text: &[u8], at: usize) -> Steps {
        let stands = at < text.len() && self.flags(text, at) & (FIELD | VALUE) == 0;
        Steps {
            pair: pair(text, at),
            single: stands.then(|| at + char_len(text, at)),
        }
    }

    fn value_split(&mut self, text: &[u8], at: usize) -> Option<usize> {
        let mut end = at;
        if self.lenient {
            end += blanks(text, end);
        }
        if self.flags(text, end) & VALUE == 0 {
            // The separator may itself be a blank.
            return (self.lenient && end > at && self.flags(text, end - 1) & VALUE != 0)
                .then_some(end);
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
    text.get(at..)
        .unwrap_or_default()
        .iter()
        .take_while(|byte| **byte == b' ')
        .count()
}

const NEWLINE: u8 = 8;
const SLASH: u8 = 16;

/// Separators of expressions that come down to one text each, or to a class of single ASCII characters: found without
/// the expressions, and at the same places.
#[derive(Debug)]
pub(super) struct Fixed {
    table: [u8; 256],
    field: Separator,
    value: Separator,
    lenient: bool,
}

/// What separates.
#[derive(Debug)]
pub(super) enum Separator {
    /// This text, which is not empty.
    Text(Box<[u8]>),
    /// One character of a class without any beyond ASCII.
    Class(CharClass),
}

impl Separator {
    fn starts_with(&self, byte: u8) -> bool {
        match self {
            Separator::Text(text) => text.first() == Some(&byte),
            Separator::Class(class) => byte.is_ascii() && class.contains(char::from(byte)),
        }
    }

    /// The end of the separator at `at`, whose first byte was seen to fit.
    #[inline]
    fn end(&self, text: &[u8], at: usize) -> Option<usize> {
        match self {
            Separator::Text(wanted) => text
                .get(at..)
                .is_some_and(|rest| rest.starts_with(wanted))
                .then(|| at + wanted.len()),
            Separator::Class(_) => Some(at + 1),
        }
    }
}

impl Fixed {
    /// None where a value separator that begins with a blank would compete with the blanks around it.
    pub fn new(field: Separator, value: Separator, lenient: bool) -> Option<Fixed> {
        if lenient && value.starts_with(b' ') {
            return None;
        }
        let mut table = [0; 256];
        for (byte, flags) in (0_u8..=255).zip(&mut table) {
            let flag = |is: bool, flag| if is { flag } else { 0 };
            let before_value = lenient && byte == b' ';
            *flags = flag(field.starts_with(byte), FIELD)
                | flag(value.starts_with(byte) || before_value, VALUE)
                | flag(byte == b'\n', NEWLINE)
                | flag(byte == b'\\', SLASH);
        }
        Some(Fixed {
            table,
            field,
            value,
            lenient,
        })
    }

    /// A search through one text.
    pub fn search(&self) -> FixedSearch<'_> {
        FixedSearch {
            fixed: self,
            no_value: 0,
        }
    }
}

/// A search with [`Fixed`] separators.
pub(super) struct FixedSearch<'a> {
    fixed: &'a Fixed,
    /// No value separator begins with a blank before this place: so that a long run of blanks is looked at once.
    no_value: usize,
}

impl FixedSearch<'_> {
    /// Forgets what was found: the next text is another.
    pub fn restart(&mut self) {
        self.no_value = 0;
    }

    #[inline]
    fn flags(&self, text: &[u8], at: usize) -> u8 {
        text.get(at)
            .map_or(0, |byte| self.fixed.table[usize::from(*byte)])
    }
}

impl Splits for FixedSearch<'_> {
    #[inline]
    fn run(&mut self, text: &[u8], at: usize, key: bool) -> Run {
        let stops = FIELD | NEWLINE | SLASH | if key { VALUE } else { 0 };
        let mut slashes = false;
        let mut end = at;
        while let Some(byte) = text.get(end) {
            let flags = self.fixed.table[usize::from(*byte)];
            if flags & stops == 0 {
                end += 1;
                continue;
            }
            let stands = flags & NEWLINE != 0
                || self.field_split(text, end).is_some()
                || (key && self.value_split(text, end).is_some());
            if stands {
                break;
            }
            if flags & SLASH == 0 {
                end += 1;
            } else {
                slashes = true;
                end = pair(text, end).unwrap_or(end + 1);
            }
        }
        Run {
            end: end.min(text.len()),
            slashes,
        }
    }

    fn key_steps(&mut self, text: &[u8], at: usize) -> Steps {
        let stands = at < text.len()
            && self.flags(text, at) & NEWLINE == 0
            && self.field_split(text, at).is_none()
            && self.value_split(text, at).is_none();
        Steps {
            pair: pair(text, at).filter(|_| stands),
            single: stands.then(|| at + char_len(text, at)),
        }
    }

    #[inline]
    fn value_split(&mut self, text: &[u8], at: usize) -> Option<usize> {
        if self.flags(text, at) & VALUE == 0 {
            return None;
        }
        if !self.fixed.lenient {
            return self.fixed.value.end(text, at);
        }
        let mut begin = at;
        if text.get(at) == Some(&b' ') {
            if at < self.no_value {
                return None;
            }
            begin += blanks(text, at);
            if text
                .get(begin)
                .is_none_or(|byte| !self.fixed.value.starts_with(*byte))
            {
                self.no_value = begin;
                return None;
            }
        }
        let end = self.fixed.value.end(text, begin)?;
        Some(end + blanks(text, end))
    }

    #[inline]
    fn field_split(&mut self, text: &[u8], at: usize) -> Option<usize> {
        if self.flags(text, at) & FIELD == 0 {
            return None;
        }
        self.fixed.field.end(text, at)
    }
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
        Find {
            regex,
            cache,
            groups: Vec::new(),
            last: None,
            failed: false,
        }
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
            Ok(true) => self
                .groups
                .first()
                .copied()
                .flatten()
                .map(|(start, end)| (start as usize, end as usize)),
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
        self.next(text, at)
            .filter(|(start, _)| *start == at)
            .map(|(_, end)| end)
    }
}

impl<'a> Patterns<'a> {
    pub fn new(
        field: (&'a RubyRegex, &'a mut RegexCache),
        value: (&'a RubyRegex, &'a mut RegexCache),
    ) -> Patterns<'a> {
        Patterns {
            field: Find::new(field),
            value: Find::new(value),
        }
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
        let mut slashes = false;
        let mut from = at;
        loop {
            let mut stop = self
                .field
                .next(text, from)
                .map_or(text.len(), |(start, _)| start);
            if key && let Some((start, _)) = self.value.next(text, from) {
                stop = stop.min(start);
            }
            let ahead = text.get(from..stop).unwrap_or_default();
            // A run keeps to its line.
            let stop = memchr(b'\n', ahead).map_or(stop, |line| from + line);
            let ahead = text.get(from..stop).unwrap_or_default();
            let Some(slash) = memchr(b'\\', ahead) else {
                return Run {
                    end: stop.max(at),
                    slashes,
                };
            };
            slashes = true;
            from += slash;
            from = pair(text, from).unwrap_or(from + 1);
        }
    }

    fn key_steps(&mut self, text: &[u8], at: usize) -> Steps {
        let stands = text.get(at).is_some_and(|byte| *byte != b'\n');
        if !stands || self.field.at(text, at).is_some() || self.value.at(text, at).is_some() {
            return Steps {
                pair: None,
                single: None,
            };
        }
        Steps {
            pair: pair(text, at),
            single: Some(at + char_len(text, at)),
        }
    }

    fn value_split(&mut self, text: &[u8], at: usize) -> Option<usize> {
        self.value.at(text, at)
    }

    fn field_split(&mut self, text: &[u8], at: usize) -> Option<usize> {
        self.field.at(text, at)
    }
}
