//! Regular expressions in Ruby's syntax and with Ruby's meaning, for everything in a configuration that takes one.

use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, meta};

use super::ir::Ir;
use super::linear;
use super::matcher::{Backtracker, MatchError, Scratch};
use super::syntax::{self, Parsed, RegexError, SyntaxOptions};

/// Options that hold for a whole pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegexOptions {
    /// The dot matches a newline too (Ruby's `m`). Grok sets it; conditions and gsub do not.
    pub dot_newline: bool,
    /// Upper and lower case are the same (Ruby's `i`).
    pub ignore_case: bool,
}

/// A compiled pattern: immutable, shared by all workers. What changes during a search is in a [`RegexCache`].
#[derive(Debug)]
pub struct RubyRegex {
    pattern: String,
    engine: Engine,
    names: Vec<Option<String>>,
}

#[derive(Debug)]
enum Engine {
    /// A finite automaton: linear time.
    Automaton { regex: Box<meta::Regex>, text: String },
    /// Patterns with look-around, atomic groups or back-references.
    Backtracker(Box<Backtracker>),
}

/// One caller's working memory for one [`RubyRegex`].
#[derive(Debug)]
pub struct RegexCache {
    automaton: Option<meta::Cache>,
    scratch: Scratch,
    slots: Vec<Option<NonMaxUsize>>,
    groups: Vec<Option<(u32, u32)>>,
}

impl RubyRegex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When the pattern is no valid Ruby regular expression, uses what is not supported (subexpression calls, the
    /// absent operator), or is too large; the error says where.
    pub fn new(pattern: &str, options: RegexOptions) -> Result<RubyRegex, RegexError> {
        let options = SyntaxOptions { dot_newline: options.dot_newline, ignore_case: options.ignore_case };
        let Parsed { ir, names } = syntax::parse(pattern, options)?;
        let engine = engine(ir, names.len())?;
        Ok(RubyRegex { pattern: pattern.to_owned(), engine, names })
    }

    /// The pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The names of the capturing groups, group 1 first.
    #[must_use]
    pub fn group_names(&self) -> &[Option<String>] {
        &self.names
    }

    /// The engine chosen and what it runs, for people.
    #[must_use]
    pub fn explain(&self) -> String {
        match &self.engine {
            Engine::Automaton { text, .. } => format!("finite automaton (linear time)\n{text}\n"),
            Engine::Backtracker(backtracker) => format!(
                "backtracking program of {} instructions with a step limit\n{}\n",
                backtracker.instructions(),
                self.pattern
            ),
        }
    }

    /// Working memory for one caller.
    #[must_use]
    pub fn new_cache(&self) -> RegexCache {
        let automaton = match &self.engine {
            Engine::Automaton { regex, .. } => Some(regex.create_cache()),
            Engine::Backtracker(_) => None,
        };
        RegexCache {
            automaton,
            scratch: Scratch::default(),
            slots: vec![None; 2 * (self.names.len() + 1)],
            groups: Vec::new(),
        }
    }

    /// Does the pattern occur in the text?
    ///
    /// # Errors
    /// [`MatchError::Limit`] when a backtracking pattern takes too many steps.
    pub fn is_match(&self, cache: &mut RegexCache, text: &[u8]) -> Result<bool, MatchError> {
        match &self.engine {
            Engine::Automaton { regex, .. } => {
                let cache = cache.automaton.get_or_insert_with(|| regex.create_cache());
                Ok(regex.search_half_with(cache, &Input::new(text).earliest(true)).is_some())
            }
            Engine::Backtracker(backtracker) => backtracker.search(&mut cache.scratch, text, 0),
        }
    }

    /// Finds the leftmost match that begins at byte `start` or later. `slots` gets the bounds of the match, then of
    /// each group, in bytes of `text`; `None` for a group that took no part.
    ///
    /// # Errors
    /// [`MatchError::Limit`] when a backtracking pattern takes too many steps, or the text is 4 GiB or longer.
    pub fn captures(
        &self,
        cache: &mut RegexCache,
        text: &[u8],
        start: usize,
        slots: &mut Vec<Option<(u32, u32)>>,
    ) -> Result<bool, MatchError> {
        slots.clear();
        if start > text.len() {
            return Ok(false);
        }
        let groups = 0..=self.names.len();
        match &self.engine {
            Engine::Backtracker(backtracker) => {
                let found = backtracker.search(&mut cache.scratch, text, start)?;
                if found {
                    slots.extend(groups.map(|group| cache.scratch.group(group)));
                }
                Ok(found)
            }
            Engine::Automaton { regex, .. } => {
                if u32::try_from(text.len()).is_err() {
                    return Err(MatchError::Limit);
                }
                let automaton = cache.automaton.get_or_insert_with(|| regex.create_cache());
                cache.slots.resize(2 * (self.names.len() + 1), None);
                let input = Input::new(text).span(start..text.len());
                let found = regex.search_slots_with(automaton, &input, &mut cache.slots).is_some();
                if found {
                    let at = |slot: usize| {
                        let place = (*cache.slots.get(slot)?)?;
                        u32::try_from(place.get()).ok()
                    };
                    slots.extend(groups.map(|group| at(2 * group).zip(at(2 * group + 1))));
                }
                Ok(found)
            }
        }
    }

    /// Appends `text` to `out` with every match replaced, as Ruby's `gsub`. An empty match is replaced too, and the
    /// search goes on one character further. Returns whether anything matched.
    ///
    /// # Errors
    /// [`MatchError::Limit`] as in [`RubyRegex::captures`]; then `out` is as it was.
    pub fn replace_all(
        &self,
        cache: &mut RegexCache,
        text: &[u8],
        replacement: &Replacement,
        out: &mut Vec<u8>,
    ) -> Result<bool, MatchError> {
        let kept = out.len();
        let mut groups = std::mem::take(&mut cache.groups);
        let result = self.replace_each(cache, text, replacement, out, &mut groups);
        cache.groups = groups;
        if result.is_err() {
            out.truncate(kept);
        }
        result
    }

    fn replace_each(
        &self,
        cache: &mut RegexCache,
        text: &[u8],
        replacement: &Replacement,
        out: &mut Vec<u8>,
        groups: &mut Vec<Option<(u32, u32)>>,
    ) -> Result<bool, MatchError> {
        let (mut copied, mut from, mut any) = (0, 0, false);
        while self.captures(cache, text, from, groups)? {
            let Some(Some((begin, end))) = groups.first().copied() else { break };
            let (begin, end) = (begin as usize, end as usize);
            any = true;
            out.extend_from_slice(text.get(copied..begin).unwrap_or_default());
            replacement.append(text, groups, &self.names, out);
            copied = end.max(copied);
            from = if end > begin { end } else { end + char_len(text, end) };
            if from > text.len() {
                break;
            }
        }
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
        Ok(any)
    }
}

/// The length in bytes of the character at `pos`; 1 at the end of the text and for bytes that are no UTF-8.
fn char_len(text: &[u8], pos: usize) -> usize {
    let rest = text.get(pos + 1..).unwrap_or_default();
    1 + rest.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count()
}

fn engine(ir: Ir, groups: usize) -> Result<Engine, RegexError> {
    if ir.is_regular() {
        let text = linear::hir(&ir, false).to_string();
        if let Some(regex) = linear::exact(&ir) {
            return Ok(Engine::Automaton { regex: Box::new(regex), text });
        }
    }
    let backtracker = Backtracker::new(ir, groups).map_err(|_| too_large())?;
    Ok(Engine::Backtracker(Box::new(backtracker)))
}

pub(crate) fn too_large() -> RegexError {
    RegexError { message: "the pattern is too large: lower its repeat counts".to_owned(), offset: 0 }
}

/// The replacement text of a `gsub`, in Ruby's syntax.
///
/// `\1` to `\9` are groups, `\0` and `\&` the whole match, `\k<name>` a named group, `` \` `` and `\'` the text before
/// and after the match, `\\` a backslash. Any other backslash stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Group(usize),
    Named(String),
    Before,
    After,
}

impl Replacement {
    /// Reads a replacement; every text is a valid one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Replacement {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some((byte, after)) = rest.split_first() {
            if let (b'\\', Some((part, after))) = (*byte, escape(after)) {
                if let Part::Text(more) = part {
                    literal.extend(more);
                } else {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(part);
                }
                rest = after;
            } else {
                literal.push(*byte);
                rest = after;
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Replacement { parts }
    }

    fn append(&self, text: &[u8], groups: &[Option<(u32, u32)>], names: &[Option<String>], out: &mut Vec<u8>) {
        let bounds = |group: usize| groups.get(group).copied().flatten();
        let slice = |group: usize| {
            let (begin, end) = bounds(group).unwrap_or((0, 0));
            text.get(begin as usize..end as usize).unwrap_or_default()
        };
        let (begin, end) = bounds(0).unwrap_or((0, 0));
        for part in &self.parts {
            out.extend_from_slice(match part {
                Part::Text(text) => text,
                Part::Group(group) => slice(*group),
                Part::Named(name) => {
                    let same = |group: &usize| names.get(*group - 1).is_some_and(|other| other.as_ref() == Some(name));
                    let mut named = (1..=names.len()).rev().filter(same);
                    named.find(|group| bounds(*group).is_some()).map(slice).unwrap_or_default()
                }
                Part::Before => text.get(..begin as usize).unwrap_or_default(),
                Part::After => text.get(end as usize..).unwrap_or_default(),
            });
        }
    }
}

/// What follows a backslash in a replacement, and the rest; `None` where the backslash stands for itself.
fn escape(text: &[u8]) -> Option<(Part, &[u8])> {
    let (byte, rest) = text.split_first()?;
    let part = match byte {
        b'0'..=b'9' => Part::Group(usize::from(byte - b'0')),
        b'&' => Part::Group(0),
        b'`' => Part::Before,
        b'\'' => Part::After,
        b'\\' => Part::Text(vec![b'\\']),
        b'k' => {
            let name = rest.strip_prefix(b"<")?;
            let end = memchr::memchr(b'>', name)?;
            let part = std::str::from_utf8(&name[..end]).ok()?.to_owned();
            return Some((Part::Named(part), &name[end + 1..]));
        }
        _ => return None,
    };
    Some((part, rest))
}
