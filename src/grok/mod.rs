//! Grok: named patterns, and the regular expressions in Ruby's syntax that they and the rest of a configuration use.
//!
//! A pattern goes from text to matcher in four steps, a file each: `expand` replaces `%{NAME:field}` by definitions of
//! a [`PatternSet`], `syntax` reads the expression into the tree of `ir`, `program` turns that into instructions, and
//! `matcher` runs them. [`RubyRegex`] is the same without the first step.

mod classes;
mod escapes;
mod expand;
mod field;
mod ir;
mod linear;
mod list;
mod listing;
mod machine;
mod matcher;
mod program;
mod ruby;
mod set;
mod simplify;
mod syntax;
#[cfg(test)]
mod tests;

pub use list::{Candidates, Prefilter};
pub use matcher::MatchError;
pub use ruby::{RegexCache, RegexOptions, Replacement, RubyRegex};
pub use set::{Bundled, PatternSet};
pub use syntax::RegexError;

use machine::Scratch;
use matcher::Backtracker;
use syntax::{Parsed, SyntaxOptions};

/// Why a grok pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrokError {
    /// A name without definition.
    #[error("pattern %{{{name}}} not defined{}", hint(candidates))]
    UnknownPattern {
        /// The name as written.
        name: String,
        /// Names that the user may have meant, the likeliest first.
        candidates: Vec<String>,
    },
    /// More than 10 000 references were replaced.
    #[error("more than 10000 references to expand: does a pattern refer to itself?")]
    TooManyReplacements,
    /// The expanded expression is longer than 1 MiB.
    #[error("the expanded pattern is longer than 1 MiB: use fewer or smaller patterns")]
    TooLong,
    /// The pattern has more than 65 535 captures.
    #[error("more than 65535 captures in one pattern")]
    TooManyCaptures,
    /// The expanded expression is no valid regular expression.
    #[error("{error} in {expanded}")]
    Regex {
        /// What is wrong, with its offset in `expanded`.
        error: RegexError,
        /// The expanded expression around the place of the error.
        expanded: String,
    },
}

fn hint(candidates: &[String]) -> String {
    match candidates.first() {
        Some(name) => format!("; did you mean %{{{name}}}?"),
        None => String::new(),
    }
}

/// How patterns are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileOptions {
    /// References without a field capture nothing (the default); otherwise they capture under the pattern's name.
    pub named_captures_only: bool,
}

impl Default for CompileOptions {
    fn default() -> CompileOptions {
        CompileOptions {
            named_captures_only: true,
        }
    }
}

/// What a captured text is turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureKind {
    /// It stays a string.
    String,
    /// Ruby's `to_i`: the integer at its beginning, else 0.
    Int,
    /// Ruby's `to_f`: the number at its beginning, else 0.0.
    Float,
}

/// One capture of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The field's name as written: `clientip` or `[source][address]`.
    pub name: String,
    /// What to make of the text. Of several captures of one field through the same pattern, only the first is
    /// converted.
    pub kind: CaptureKind,
}

/// A compiled pattern: immutable, shared by all workers.
#[derive(Debug)]
pub struct Grok {
    captures: Vec<Capture>,
    /// The group of each capture.
    groups: Vec<u32>,
    expanded: String,
    matcher: Backtracker,
}

/// One caller's working memory for one [`Grok`].
#[derive(Debug, Default)]
pub struct GrokCache {
    scratch: Scratch,
}

impl Grok {
    /// Compiles a pattern with the definitions of a set.
    ///
    /// # Errors
    /// When a name is not defined, definitions go round in circles, or the expression is invalid or too large.
    pub fn compile(
        pattern: &str,
        set: &PatternSet,
        options: CompileOptions,
    ) -> Result<Grok, GrokError> {
        let expanded = expand::expand(pattern, set, options.named_captures_only)?;
        let refused = |error: RegexError| {
            let expanded = excerpt(&expanded, error.offset);
            GrokError::Regex { error, expanded }
        };
        let syntax = SyntaxOptions {
            dot_newline: true,
            ignore_case: false,
        };
        let Parsed { ir, names } = syntax::parse(&expanded, syntax).map_err(refused)?;
        let matcher = Backtracker::new(&ir, names.len()).map_err(|_| refused(ruby::too_large()))?;
        let (captures, groups) = captures_of(&names);
        if captures.len() > usize::from(u16::MAX) {
            return Err(GrokError::TooManyCaptures);
        }
        Ok(Grok {
            captures,
            groups,
            expanded,
            matcher,
        })
    }

    /// The captures in the order in which they are assigned: those of one field through the same pattern stand
    /// together, where the first of them is.
    #[must_use]
    pub fn captures(&self) -> &[Capture] {
        &self.captures
    }

    /// Working memory for one caller.
    #[must_use]
    pub fn new_cache(&self) -> GrokCache {
        GrokCache::default()
    }

    /// Searches the text. `out` gets each capture that took part: its index in [`Grok::captures`] and its bounds in
    /// bytes, empty ones included, in the order of that list.
    ///
    /// # Errors
    /// [`MatchError::Limit`] when the pattern backtracks without end on this text, or the text is 4 GiB or longer.
    pub fn matches(
        &self,
        cache: &mut GrokCache,
        text: &[u8],
        out: &mut Vec<(u16, u32, u32)>,
    ) -> Result<bool, MatchError> {
        out.clear();
        if !self.matcher.search(&mut cache.scratch, text, 0)? {
            return Ok(false);
        }
        for (index, group) in (0..).zip(&self.groups) {
            if let Some((begin, end)) = cache.scratch.group(*group as usize) {
                out.push((index, begin, end));
            }
        }
        Ok(true)
    }

    /// Texts that are part of every match.
    pub(crate) fn literals(&self) -> &[Vec<u8>] {
        self.matcher.literals()
    }

    /// How the pattern is run, for people: which engine and why, where matches are looked for, what is required, the
    /// program, and the expression.
    #[must_use]
    pub fn explain(&self) -> String {
        let required = match self.matcher.required() {
            Some(text) => format!("{:?}", String::from_utf8_lossy(text)),
            None => "nothing".to_owned(),
        };
        format!(
            "engine: {}\nbeyond its steps: {}\ntries: {}\nrequires: {required}\nprogram:\n{}expression: {}\n",
            self.matcher.engine(),
            self.matcher.fallback(),
            self.matcher.lead(),
            self.matcher.listing(),
            self.expanded,
        )
    }
}

/// A piece of a long expression around an offset.
fn excerpt(text: &str, offset: usize) -> String {
    const AROUND: usize = 60;
    let chars = |from: usize, to: usize| text.get(from..to);
    let begin = (offset.saturating_sub(AROUND)..=offset)
        .find_map(|from| chars(from, text.len()).map(|_| from));
    let begin = begin.unwrap_or(0);
    let end = (offset.saturating_add(AROUND)..)
        .take(4)
        .find_map(|to| chars(0, to).map(|_| to));
    let end = end.unwrap_or(text.len()).max(begin);
    text.get(begin..end).unwrap_or_default().to_owned()
}

/// The captures and their groups. Captures of one field through the same pattern stand together, as the original
/// assigns them.
fn captures_of(names: &[Option<String>]) -> (Vec<Capture>, Vec<u32>) {
    let mut by_name: Vec<(&str, Vec<u32>)> = Vec::new();
    let mut places: rustc_hash::FxHashMap<&str, usize> = rustc_hash::FxHashMap::default();
    for (group, name) in (1..).zip(names) {
        let Some(name) = name else { continue };
        let place = *places.entry(name).or_insert_with(|| {
            by_name.push((name, Vec::new()));
            by_name.len() - 1
        });
        if let Some((_, groups)) = by_name.get_mut(place) {
            groups.push(group);
        }
    }
    let (mut captures, mut all_groups) = (Vec::new(), Vec::new());
    for (full, groups) in by_name {
        let (field, kind) = field_of(full);
        for (occurrence, group) in groups.into_iter().enumerate() {
            let kind = if occurrence == 0 {
                kind
            } else {
                CaptureKind::String
            };
            captures.push(Capture {
                name: field.to_owned(),
                kind,
            });
            all_groups.push(group);
        }
    }
    (captures, all_groups)
}

/// The field and type in a group's name: `%PATTERN:field:type`, or `field:type` where the group is the user's own.
fn field_of(name: &str) -> (&str, CaptureKind) {
    let written = match name.strip_prefix(expand::FROM_REFERENCE) {
        Some(reference) => reference
            .split_once(':')
            .map_or(reference, |(_, field)| field),
        None => name,
    };
    let mut parts = written.split(':');
    let field = parts.next().unwrap_or_default();
    let kind = match parts.next() {
        Some("int") => CaptureKind::Int,
        Some("float") => CaptureKind::Float,
        _ => CaptureKind::String,
    };
    (field, kind)
}
