//! Operations on text: patterns, case, blanks, splitting and joining.

use memchr::memmem;

use super::Failed;
use super::convert::ruby_text;
use crate::event::{Batch, EventId, Path, Value, text::as_str};
use crate::grok::{RegexCache, RegexOptions, Replacement, RubyRegex};
use crate::language::ast::Span;
use crate::plugin::{Build, Sprintf};

/// Patterns that depend on the event: so many are kept compiled.
const KEPT_PATTERNS: usize = 32;

/// One replacement of a pattern.
pub(super) struct Gsub {
    /// Which of the filter's replacements it is: its place in [`Scratch::caches`].
    place: usize,
    field: Path,
    pattern: Pattern,
    replacement: With,
}

enum Pattern {
    Fixed(RubyRegex),
    Dynamic(Sprintf),
}

enum With {
    Fixed(Replacement),
    Dynamic(Sprintf),
}

/// A worker's memory for the replacements of one filter.
pub(super) struct Scratch {
    caches: Vec<Option<RegexCache>>,
    kept: Vec<Kept>,
    oldest: usize,
    out: Vec<u8>,
}

/// A pattern that depends on the event, as it was for one.
struct Kept {
    pattern: Vec<u8>,
    /// None when the pattern is illegal.
    regex: Option<(RubyRegex, RegexCache)>,
}

impl Scratch {
    pub fn new<'a>(gsubs: impl Iterator<Item = &'a Gsub>) -> Scratch {
        let cache = |gsub: &Gsub| match &gsub.pattern {
            Pattern::Fixed(regex) => Some(regex.new_cache()),
            Pattern::Dynamic(_) => None,
        };
        Scratch {
            caches: gsubs.map(cache).collect(),
            kept: Vec::new(),
            oldest: 0,
            out: Vec::new(),
        }
    }

    /// The place of a compiled pattern in [`Scratch::kept`].
    fn keep(&mut self, pattern: &[u8]) -> usize {
        if let Some(at) = self.kept.iter().position(|kept| kept.pattern == pattern) {
            return at;
        }
        let regex = std::str::from_utf8(pattern)
            .ok()
            .and_then(|text| RubyRegex::new(text, RegexOptions::default()).ok());
        let regex = regex.map(|regex| {
            let cache = regex.new_cache();
            (regex, cache)
        });
        let entry = Kept {
            pattern: pattern.to_vec(),
            regex,
        };
        if self.kept.len() < KEPT_PATTERNS {
            self.kept.push(entry);
            return self.kept.len() - 1;
        }
        let at = self.oldest;
        self.oldest = (at + 1) % KEPT_PATTERNS;
        self.kept[at] = entry;
        at
    }
}

/// Reads the triples of `gsub`; reports what is wrong with them.
pub(super) fn gsubs(texts: &[String], span: Span, build: &mut Build<'_>) -> Option<Vec<Gsub>> {
    let (triples, rest) = texts.as_chunks::<3>();
    if !rest.is_empty() {
        let message = "`gsub` of `mutate` takes triples of field, pattern and replacement";
        build.error(
            "option-value",
            format!("{message}, but has {} elements", texts.len()),
            span,
        );
        return None;
    }
    let mut gsubs = Vec::with_capacity(triples.len());
    for (place, [field, pattern, replacement]) in triples.iter().enumerate() {
        let field = super::path(field, span, build)?;
        let pattern = if pattern.contains("%{") {
            Pattern::Dynamic(Sprintf::compile(pattern, build, span)?)
        } else {
            match RubyRegex::new(pattern, RegexOptions::default()) {
                Ok(regex) => Pattern::Fixed(regex),
                Err(error) => {
                    build.error(
                        "regex",
                        format!(
                            "the pattern `{pattern}` of `gsub` is illegal: {}",
                            error.message
                        ),
                        span,
                    );
                    return None;
                }
            }
        };
        let template = Sprintf::compile(replacement, build, span)?;
        let replacement = match template.as_literal() {
            Some(text) => With::Fixed(Replacement::parse(text.as_bytes())),
            None => With::Dynamic(template),
        };
        gsubs.push(Gsub {
            place,
            field,
            pattern,
            replacement,
        });
    }
    Some(gsubs)
}

impl Gsub {
    pub fn apply(
        &self,
        batch: &mut Batch,
        id: EventId,
        buf: &mut Vec<u8>,
        scratch: &mut Scratch,
    ) -> Result<(), Failed> {
        let value = batch.get(id, &self.field);
        if !value.is_str() && !value.is_array() {
            return Ok(());
        }
        let rendered;
        let replacement = match &self.replacement {
            With::Fixed(replacement) => replacement,
            With::Dynamic(template) => {
                buf.clear();
                template.render(batch, id, buf);
                rendered = Replacement::parse(buf);
                &rendered
            }
        };
        let mut out = std::mem::take(&mut scratch.out);
        let result = match &self.pattern {
            Pattern::Fixed(regex) => {
                match scratch.caches.get_mut(self.place).and_then(Option::as_mut) {
                    Some(cache) => self.replace(batch, id, regex, cache, replacement, &mut out),
                    None => Err(Failed),
                }
            }
            Pattern::Dynamic(template) => {
                buf.clear();
                template.render(batch, id, buf);
                let at = scratch.keep(buf);
                match scratch
                    .kept
                    .get_mut(at)
                    .and_then(|kept| kept.regex.as_mut())
                {
                    Some((regex, cache)) => {
                        self.replace(batch, id, regex, cache, replacement, &mut out)
                    }
                    None => Err(Failed),
                }
            }
        };
        scratch.out = out;
        result
    }

    fn replace(
        &self,
        batch: &mut Batch,
        id: EventId,
        regex: &RubyRegex,
        cache: &mut RegexCache,
        replacement: &Replacement,
        out: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        change_texts(batch, id, &self.field, Other::Keep, |batch, value| {
            out.clear();
            let found = regex
                .replace_all(cache, batch.bytes(value), replacement, out)
                .map_err(|_| Failed)?;
            Ok(if found { batch.push(out) } else { value })
        })
    }
}

/// What an element that is no text means for an array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Other {
    Keep,
    Fail,
}

/// Changes the text, or the elements of the array, in a field. Fields of other types are left alone.
fn change_texts(
    batch: &mut Batch,
    id: EventId,
    path: &Path,
    other: Other,
    mut change: impl FnMut(&mut Batch, Value) -> Result<Value, Failed>,
) -> Result<(), Failed> {
    let value = batch.get(id, path);
    if value.is_str() {
        let changed = change(batch, value)?;
        return if changed == value {
            Ok(())
        } else {
            Ok(batch.set(id, path, changed)?)
        };
    }
    if !value.is_array() {
        return Ok(());
    }
    let before = batch.get_expanded(id, path);
    let list = batch.new_list();
    let mut any = false;
    for at in 0..batch.node_len(before) {
        let element = batch.node_value(before, at);
        let changed = match other {
            _ if element.is_str() => change(batch, element)?,
            Other::Keep => element,
            Other::Fail => return Err(Failed),
        };
        any |= changed != element;
        batch.list_push(list, changed);
    }
    if any {
        Ok(batch.set(id, path, list)?)
    } else {
        Ok(())
    }
}

/// Letters of which case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Case {
    /// All upper case.
    Upper,
    /// All lower case.
    Lower,
    /// The first upper case, the others lower case.
    Capital,
}

pub(super) fn change_case(
    batch: &mut Batch,
    id: EventId,
    path: &Path,
    case: Case,
    buf: &mut Vec<u8>,
) -> Result<(), Failed> {
    change_texts(batch, id, path, Other::Keep, |batch, value| {
        buf.clear();
        write_case(as_str(batch.bytes(value)), case, buf);
        Ok(if buf == batch.bytes(value) {
            value
        } else {
            batch.push(buf)
        })
    })
}

/// Appends text in the given case, by Unicode's mappings of single characters.
pub(crate) fn write_case(text: &str, case: Case, out: &mut Vec<u8>) {
    let (first, rest) = match (case, text.chars().next()) {
        (Case::Capital, Some(first)) => text.split_at(first.len_utf8()),
        _ => ("", text),
    };
    write_title(first, out);
    let start = out.len();
    if rest.is_ascii() {
        out.extend_from_slice(rest.as_bytes());
        match case {
            Case::Upper => out[start..].make_ascii_uppercase(),
            Case::Lower | Case::Capital => out[start..].make_ascii_lowercase(),
        }
        return;
    }
    for char in rest.chars() {
        match case {
            Case::Upper => char.to_uppercase().for_each(|char| push_char(char, out)),
            Case::Lower | Case::Capital => {
                char.to_lowercase().for_each(|char| push_char(char, out));
            }
        }
    }
}

/// Appends one character as a word begins with it: `ß` becomes `Ss`.
fn write_title(text: &str, out: &mut Vec<u8>) {
    let upper = text.chars().flat_map(char::to_uppercase);
    for (at, char) in upper.enumerate() {
        if at == 0 {
            push_char(char, out);
        } else {
            char.to_lowercase().for_each(|char| push_char(char, out));
        }
    }
}

fn push_char(char: char, out: &mut Vec<u8>) {
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

pub(super) fn strip(batch: &mut Batch, id: EventId, path: &Path) -> Result<(), Failed> {
    change_texts(batch, id, path, Other::Fail, |batch, value| {
        let text = batch.bytes(value);
        let kept = stripped(text);
        if kept.len() == text.len() {
            return Ok(value);
        }
        let start = text.iter().take_while(|byte| is_blank(**byte)).count();
        let (start, end) = if kept.is_empty() {
            (0, 0)
        } else {
            (start, start + kept.len())
        };
        part(batch, value, start, end)
    })
}

/// Text without white space and NUL at its ends.
pub(super) fn stripped(text: &[u8]) -> &[u8] {
    let start = text.iter().take_while(|byte| is_blank(**byte)).count();
    let rest = text.get(start..).unwrap_or_default();
    let end = rest
        .iter()
        .rev()
        .take_while(|byte| is_blank(**byte))
        .count();
    rest.get(..rest.len() - end).unwrap_or_default()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, 0 | b'\t'..=b'\r' | b' ')
}

fn part(batch: &Batch, value: Value, start: usize, end: usize) -> Result<Value, Failed> {
    match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(batch.substr(value, start, end)),
        _ => Err(Failed),
    }
}

/// Splits text as Ruby's `String#split` does.
pub(super) fn split(
    batch: &mut Batch,
    id: EventId,
    path: &Path,
    separator: &str,
) -> Result<(), Failed> {
    let value = batch.get(id, path);
    if !value.is_str() {
        return Ok(());
    }
    let text = as_str(batch.bytes(value));
    let mut bounds: Vec<(usize, usize)> = Vec::new();
    if separator == " " {
        let base = text.as_ptr() as usize;
        let words = text
            .as_bytes()
            .split(|byte| is_blank(*byte) && *byte != 0)
            .filter(|word| !word.is_empty());
        bounds.extend(words.map(|word| {
            let start = word.as_ptr() as usize - base;
            (start, start + word.len())
        }));
    } else if separator.is_empty() {
        bounds.extend(
            text.char_indices()
                .map(|(at, char)| (at, at + char.len_utf8())),
        );
    } else {
        let mut from = 0;
        for at in memmem::find_iter(text.as_bytes(), separator) {
            bounds.push((from, at));
            from = at + separator.len();
        }
        bounds.push((from, text.len()));
        while bounds.pop_if(|(start, end)| start == end).is_some() {}
    }
    let list = batch.new_list();
    for (start, end) in bounds {
        let part = part(batch, value, start, end)?;
        batch.list_push(list, part);
    }
    Ok(batch.set(id, path, list)?)
}

/// Joins the elements of an array, arrays in it too.
pub(super) fn join(
    batch: &mut Batch,
    id: EventId,
    path: &Path,
    separator: &str,
    buf: &mut Vec<u8>,
) -> Result<(), Failed> {
    let list = batch.get_expanded(id, path);
    if !list.is_array() {
        return Ok(());
    }
    buf.clear();
    join_list(batch, list, separator.as_bytes(), buf);
    let text = batch.push(buf);
    Ok(batch.set(id, path, text)?)
}

fn join_list(batch: &mut Batch, list: Value, separator: &[u8], out: &mut Vec<u8>) {
    for at in 0..batch.node_len(list) {
        if at > 0 {
            out.extend_from_slice(separator);
        }
        let element = batch.node_value_expanded(list, at);
        if element.is_array() {
            join_list(batch, element, separator, out);
        } else {
            ruby_text(batch, element, out);
        }
    }
}
