//! A strict and fast JSON validator for documents of a bulk: grammar, UTF-8, duplicate keys, names that Elasticsearch refuses.
//!
//! No tree of values is built. Documents of a stream repeat their keys in the same order, so everything between their
//! scalars, their skeleton, is kept ([`Checker`]). A document with a known skeleton is as valid as its scalars, and only
//! those are looked at; that its keys are legal and differ was settled by the full check of the first one. Where strings
//! end is found for many documents at once.

use std::borrow::Cow;
use std::fmt;

use crate::event::scan::{Marks, find_stop};

/// Deepest nesting of arrays and objects, as in Elasticsearch's own parser.
pub const MAX_DEPTH: usize = 1000;
/// Longest number in bytes, as in Elasticsearch's own parser.
pub const MAX_NUMBER: usize = 1000;
/// Pieces of skeletons kept; when they are used up, all are forgotten and learned anew.
const MAX_NODES: usize = 16_384;
/// Pieces kept for one place; documents with more variety than that take the full check.
const MAX_BRANCHES: usize = 24;
/// Bytes of a piece that are compared at once.
const HEAD: usize = 32;
/// A one in each byte of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
/// No node.
const NONE: u32 = u32::MAX;

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something else was expected at this place.
    Syntax,
    /// The line ends within the document.
    Incomplete,
    /// Bytes that are no UTF-8.
    Utf8,
    /// An object has the same key twice.
    DuplicateKey,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// A number longer than [`MAX_NUMBER`].
    LongNumber,
    /// The line is valid JSON, but no object.
    NotAnObject,
    /// A field name that Elasticsearch refuses: empty, or with an empty part between dots.
    FieldName,
    /// A name at the top level that belongs to Elasticsearch, such as `_id`.
    MetadataField,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not valid JSON",
            Self::Incomplete => "the document is cut off",
            Self::Utf8 => "invalid UTF-8",
            Self::DuplicateKey => "duplicate field",
            Self::TooDeep => "nested too deeply (more than 1000 levels)",
            Self::LongNumber => "a number has more than 1000 characters",
            Self::NotAnObject => "not an object",
            Self::FieldName => "a field name is empty or has an empty part between its dots",
            Self::MetadataField => "a metadata field cannot be added inside a document",
        })
    }
}

/// Where and why a document is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Offset into the bytes that were given.
    pub at: usize,
    /// What is wrong.
    pub fault: Fault,
}

type Checked<T> = Result<T, Problem>;

fn problem<T>(at: usize, fault: Fault) -> Checked<T> {
    Err(Problem { at, fault })
}

/// What stands where a skeleton has a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    /// The inside of a string: its quotes belong to the pieces around it.
    Text,
    /// Any other value with all that is in it; `depth` counts the objects around it.
    Value { depth: u32 },
    /// The end of the line; no gap.
    End,
}

/// A piece of a skeleton: everything between one scalar (or array) and the next, such as `","level":"`.
struct Node {
    /// The first bytes of `token` in two halves, little-endian, zero beyond its end.
    head: [u128; 2],
    /// Ones where `head` counts.
    mask: [u128; 2],
    token: Box<[u8]>,
    gap: Gap,
    /// First piece seen behind the gap.
    next: u32,
    /// Another piece seen at this place.
    sibling: u32,
}

impl Node {
    fn new(token: &[u8], gap: Gap, sibling: u32) -> Self {
        let (mut head, mut mask) = ([[0u8; HEAD / 2]; 2], [[0u8; HEAD / 2]; 2]);
        let slots = head
            .as_flattened_mut()
            .iter_mut()
            .zip(mask.as_flattened_mut());
        for ((byte, counts), from) in slots.zip(token) {
            (*byte, *counts) = (*from, 0xff);
        }
        Self {
            head: head.map(u128::from_le_bytes),
            mask: mask.map(u128::from_le_bytes),
            token: token.into(),
            gap,
            next: NONE,
            sibling,
        }
    }

    /// Whether the token stands at `pos`.
    #[inline]
    fn stands_at(&self, bytes: &[u8], pos: usize) -> bool {
        let Some(window) = bytes.get(pos..).and_then(<[u8]>::first_chunk::<HEAD>) else {
            return self.goes_on(bytes, pos, 0);
        };
        let (halves, _) = window.as_chunks::<{ HEAD / 2 }>();
        let [first, second] = halves else {
            return false;
        };
        let differs = ((u128::from_le_bytes(*first) ^ self.head[0]) & self.mask[0])
            | ((u128::from_le_bytes(*second) ^ self.head[1]) & self.mask[1]);
        differs == 0 && (self.token.len() <= HEAD || self.goes_on(bytes, pos, HEAD))
    }

    /// Whether the token, of which `from` bytes are known to be there, stands at `pos`.
    #[inline(never)]
    fn goes_on(&self, bytes: &[u8], pos: usize, from: usize) -> bool {
        let token = self.token.get(from..).unwrap_or_default();
        bytes
            .get(pos + from..)
            .is_some_and(|rest| rest.starts_with(token))
    }
}

/// A validator that remembers the skeletons of documents. One per stream of documents works best.
pub struct Checker {
    nodes: Vec<Node>,
    root: u32,
    /// Where strings can end in the lines at hand.
    marks: Marks,
    /// Those lines are UTF-8.
    is_utf8: bool,
}

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

impl Checker {
    /// Knows no skeleton yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            root: NONE,
            marks: Marks::new(),
            is_utf8: false,
        }
    }

    /// Looks once over lines whose documents are to be checked next.
    pub fn begin(&mut self, lines: &[u8]) {
        self.is_utf8 =
            self.marks.mark(lines, 0, lines.len()) || simdutf8::basic::from_utf8(lines).is_ok();
    }

    /// Checks the document that begins at `at` of the lines that [`begin`](Self::begin) was given, and ends with its
    /// line. Returns the offset behind the newline.
    ///
    /// # Errors
    /// The first problem. The line's end is then to be found by the caller.
    #[inline]
    pub fn document(&mut self, lines: &[u8], at: usize) -> Result<usize, Problem> {
        match self.follow(lines, at) {
            Some(end) => Ok(end),
            None => self.check_and_learn(lines, at),
        }
    }

    /// Checks a document of a known skeleton. `None` says only that it cannot tell.
    fn follow(&self, bytes: &[u8], at: usize) -> Option<usize> {
        if !self.is_utf8 {
            return None;
        }
        let marks = self.marks.marked();
        let nodes = self.nodes.as_slice();
        let (mut pos, mut first, mut in_string) = (at, self.root, false);
        loop {
            let mut node = nodes.get(first as usize)?;
            while !node.stands_at(bytes, pos) {
                if let Some(sibling) = nodes.get(node.sibling as usize) {
                    node = sibling;
                } else if in_string && byte_at(bytes, pos) == b'\\' {
                    // The string goes on behind the escape.
                    pos = marks.next(escape(bytes, pos).ok()?);
                    node = nodes.get(first as usize)?;
                } else {
                    return None;
                }
            }
            pos += node.token.len();
            in_string = node.gap == Gap::Text;
            match node.gap {
                // A closing quote begins the next piece: no other end of a string fits there.
                Gap::Text => pos = marks.next(pos),
                Gap::Value { depth } => {
                    pos = match quick_number(bytes.get(pos..)?) {
                        Some(len) => pos + len,
                        None => value(bytes, pos, depth as usize).ok()?,
                    }
                }
                Gap::End => return Some(pos),
            }
            first = node.next;
        }
    }

    #[cold]
    #[inline(never)]
    fn check_and_learn(&mut self, bytes: &[u8], at: usize) -> Result<usize, Problem> {
        let start = skip_blank(bytes, at);
        if byte_at(bytes, start) != b'{' {
            return Err(not_an_object(bytes, start));
        }
        let end = skip_blank(bytes, value(bytes, start, 0)?);
        match bytes.get(end) {
            Some(b'\n') => {
                self.learn(bytes, at, end + 1);
                Ok(end + 1)
            }
            None => Ok(end),
            Some(_) => problem(end, Fault::Syntax),
        }
    }

    /// Takes the skeleton of the valid document at `at..end` into the tree.
    fn learn(&mut self, bytes: &[u8], at: usize, end: usize) {
        if self.nodes.len() >= MAX_NODES {
            self.nodes.clear();
            self.root = NONE;
        }
        let (mut before, mut token_start, mut depth, mut pos) = (NONE, at, 0u32, at);
        while pos < end && self.nodes.len() < MAX_NODES {
            let gap = match byte_at(bytes, pos) {
                b'"' if is_key(bytes, pos) => {
                    pos = string(bytes, pos + 1).unwrap_or(end);
                    continue;
                }
                b'"' => Gap::Text,
                b'[' if !is_short_list(bytes, pos) => Gap::Value { depth },
                b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Gap::Value { depth },
                b'\n' => Gap::End,
                byte => {
                    depth = match byte {
                        b'{' | b'[' => depth + 1,
                        b'}' | b']' => depth.saturating_sub(1),
                        _ => depth,
                    };
                    pos += 1;
                    continue;
                }
            };
            let token_end = pos + usize::from(matches!(gap, Gap::Text | Gap::End));
            let Some(node) = self.enter(
                before,
                bytes.get(token_start..token_end).unwrap_or_default(),
                gap,
            ) else {
                return;
            };
            if gap == Gap::End {
                return;
            }
            before = node;
            pos = value(bytes, pos, depth as usize).unwrap_or(end);
            token_start = pos - usize::from(gap == Gap::Text);
        }
    }

    /// The node of `token` behind the node `before`, made if need be; `None` where there are too many already.
    fn enter(&mut self, before: u32, token: &[u8], gap: Gap) -> Option<u32> {
        let first = self
            .nodes
            .get(before as usize)
            .map_or(self.root, |node| node.next);
        let (mut index, mut branches) = (first, 0);
        while let Some(node) = self.nodes.get(index as usize) {
            if *node.token == *token && node.gap == gap {
                return Some(index);
            }
            index = node.sibling;
            branches += 1;
        }
        if branches >= MAX_BRANCHES {
            return None;
        }
        let index = u32::try_from(self.nodes.len()).ok()?;
        self.nodes.push(Node::new(token, gap, first));
        match self.nodes.get_mut(before as usize) {
            Some(node) => node.next = index,
            None => self.root = index,
        }
        Some(index)
    }
}

/// Whether the array at `pos` is one of few scalars, such as tags: how many there are is then part of the skeleton.
fn is_short_list(bytes: &[u8], pos: usize) -> bool {
    const SHORT: usize = 100;
    let ahead = bytes.get(pos + 1..).unwrap_or_default();
    let ahead = ahead.get(..SHORT).unwrap_or(ahead);
    let end = ahead
        .iter()
        .position(|&byte| matches!(byte, b'[' | b']' | b'{'));
    end.is_some_and(|end| ahead.get(end) == Some(&b']'))
}

/// Whether the string at `pos` is a key: a colon follows it.
fn is_key(bytes: &[u8], pos: usize) -> bool {
    string(bytes, pos + 1).is_ok_and(|end| byte_at(bytes, skip_blank(bytes, end)) == b':')
}

/// What is wrong with a line that does not begin with a brace.
#[cold]
fn not_an_object(bytes: &[u8], start: usize) -> Problem {
    match value(bytes, start, 0) {
        Ok(_) => Problem {
            at: start,
            fault: Fault::NotAnObject,
        },
        Err(problem) => problem,
    }
}

/// Names that documents may not use at their top level.
const METADATA_FIELDS: [&[u8]; 11] = [
    b"_id",
    b"_index",
    b"_source",
    b"_routing",
    b"_seq_no",
    b"_version",
    b"_nested_path",
    b"_field_names",
    b"_ignored",
    b"_tier",
    b"_data_stream_timestamp",
];

fn check_name(name: &[u8], at: usize, top: bool) -> Checked<()> {
    if top && METADATA_FIELDS.contains(&name) {
        return problem(at, Fault::MetadataField);
    }
    // Parts that are empty or blank have no place in the tree of fields; dots at the end are overlooked there.
    let dots = name.iter().rev().take_while(|&&b| b == b'.').count();
    if name[..name.len() - dots]
        .split(|&b| b == b'.')
        .any(|part| part.iter().all(u8::is_ascii_whitespace))
    {
        return problem(at, Fault::FieldName);
    }
    Ok(())
}

/// The byte at `pos`; a newline beyond the end, as lines end with one.
#[inline]
fn byte_at(bytes: &[u8], pos: usize) -> u8 {
    bytes.get(pos).copied().unwrap_or(b'\n')
}

#[inline]
fn skip_blank(bytes: &[u8], mut pos: usize) -> usize {
    while matches!(byte_at(bytes, pos), b' ' | b'\t' | b'\r') {
        pos += 1;
    }
    pos
}

#[cold]
fn unexpected<T>(bytes: &[u8], pos: usize) -> Checked<T> {
    problem(
        pos,
        if byte_at(bytes, pos) == b'\n' {
            Fault::Incomplete
        } else {
            Fault::Syntax
        },
    )
}

/// Checks a string from behind its opening quote; returns the offset behind the closing one.
#[inline]
fn string(bytes: &[u8], start: usize) -> Checked<usize> {
    let mut pos = start;
    loop {
        pos += find_stop(bytes.get(pos..).unwrap_or_default());
        match byte_at(bytes, pos) {
            b'"' => break,
            b'\\' => pos = escape(bytes, pos)?,
            _ => return unexpected(bytes, pos),
        }
    }
    match std::str::from_utf8(bytes.get(start..pos).unwrap_or_default()) {
        Ok(_) => Ok(pos + 1),
        Err(error) => problem(start + error.valid_up_to(), Fault::Utf8),
    }
}

/// Checks the escape whose backslash stands at `pos`. Half a surrogate pair passes, as it does in Elasticsearch.
fn escape(bytes: &[u8], pos: usize) -> Checked<usize> {
    match byte_at(bytes, pos + 1) {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(pos + 2),
        b'u' => match (pos + 2..pos + 6).find(|&at| !byte_at(bytes, at).is_ascii_hexdigit()) {
            None => Ok(pos + 6),
            Some(at) => unexpected(bytes, at),
        },
        _ => unexpected(bytes, pos + 1),
    }
}

/// Checks a number or a literal.
#[inline]
fn scalar(bytes: &[u8], pos: usize) -> Checked<usize> {
    match byte_at(bytes, pos) {
        b'-' | b'0'..=b'9' => number(bytes, pos),
        b't' => literal(bytes, pos, b"true"),
        b'f' => literal(bytes, pos, b"false"),
        b'n' => literal(bytes, pos, b"null"),
        _ => unexpected(bytes, pos),
    }
}

#[inline]
fn literal(bytes: &[u8], pos: usize, word: &[u8]) -> Checked<usize> {
    let end = pos + word.len();
    if bytes.get(pos..end) == Some(word) {
        Ok(end)
    } else {
        unexpected(bytes, pos)
    }
}

/// The length of the plain number that `rest` begins with; `None` for all else, exponents and signs included.
#[inline]
fn quick_number(rest: &[u8]) -> Option<usize> {
    let mut end = digits(rest, 0);
    if end == 0 || (end > 1 && rest.first() == Some(&b'0')) {
        return None;
    }
    if rest.get(end) == Some(&b'.') {
        let point = end;
        end = digits(rest, point + 1);
        if end == point + 1 {
            return None;
        }
    }
    (end <= MAX_NUMBER && !matches!(rest.get(end), Some(b'e' | b'E'))).then_some(end)
}

/// The high bits of the bytes of `word` that are no digits.
#[inline]
fn not_digits(word: u64) -> u64 {
    // A digit without its 0x30 is at most 9; 0x76 lifts all else into the high bit.
    let bare = word ^ (ONES * 0x30);
    (((bare & (ONES * 0x7f)) + ONES * 0x76) | bare) & (ONES * 0x80)
}

fn number(bytes: &[u8], start: usize) -> Checked<usize> {
    let mut pos = start + usize::from(byte_at(bytes, start) == b'-');
    match byte_at(bytes, pos) {
        b'0' => pos += 1,
        b'1'..=b'9' => pos = digits(bytes, pos),
        _ => return unexpected(bytes, pos),
    }
    if byte_at(bytes, pos) == b'.' {
        let end = digits(bytes, pos + 1);
        if end == pos + 1 {
            return unexpected(bytes, end);
        }
        pos = end;
    }
    if matches!(byte_at(bytes, pos), b'e' | b'E') {
        let from = pos + 1 + usize::from(matches!(byte_at(bytes, pos + 1), b'+' | b'-'));
        pos = digits(bytes, from);
        if pos == from {
            return unexpected(bytes, pos);
        }
    }
    if pos - start > MAX_NUMBER {
        problem(start, Fault::LongNumber)
    } else {
        Ok(pos)
    }
}

/// The offset behind the digits at `pos`.
#[inline]
fn digits(bytes: &[u8], mut pos: usize) -> usize {
    while let Some(chunk) = bytes.get(pos..).and_then(<[u8]>::first_chunk::<8>) {
        let others = not_digits(u64::from_le_bytes(*chunk));
        if others != 0 {
            return pos + (others.trailing_zeros() / 8) as usize;
        }
        pos += 8;
    }
    while byte_at(bytes, pos).is_ascii_digit() {
        pos += 1;
    }
    pos
}

/// A key without its escapes. `raw` was checked before.
fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let quoted = [b"\"", raw, b"\""].concat();
    serde_json::from_slice::<String>(&quoted)
        .map_or(Cow::Borrowed(raw), |text| Cow::Owned(text.into_bytes()))
}

/// Checks any value, blanks before it included; returns the offset behind it. `depth` counts what is open.
fn value(bytes: &[u8], pos: usize, depth: usize) -> Checked<usize> {
    let pos = skip_blank(bytes, pos);
    match byte_at(bytes, pos) {
        b'"' => string(bytes, pos + 1),
        b'{' | b'[' if depth >= MAX_DEPTH => problem(pos, Fault::TooDeep),
        b'{' => object(bytes, pos, depth + 1),
        b'[' => array(bytes, pos, depth + 1),
        _ => scalar(bytes, pos),
    }
}

fn object(bytes: &[u8], at: usize, depth: usize) -> Checked<usize> {
    let mut pos = skip_blank(bytes, at + 1);
    if byte_at(bytes, pos) == b'}' {
        return Ok(pos + 1);
    }
    let mut names: Vec<(Cow<'_, [u8]>, usize)> = Vec::new();
    loop {
        pos = skip_blank(bytes, pos);
        if byte_at(bytes, pos) != b'"' {
            return unexpected(bytes, pos);
        }
        let end = string(bytes, pos + 1)?;
        let name = decode(bytes.get(pos + 1..end - 1).unwrap_or_default());
        check_name(&name, pos, depth == 1)?;
        names.push((name, pos));
        pos = skip_blank(bytes, end);
        if byte_at(bytes, pos) != b':' {
            return unexpected(bytes, pos);
        }
        pos = skip_blank(bytes, value(bytes, pos + 1, depth)?);
        match byte_at(bytes, pos) {
            b',' => pos += 1,
            b'}' => break,
            _ => return unexpected(bytes, pos),
        }
    }
    names.sort_unstable();
    match names
        .array_windows()
        .find(|[first, second]| first.0 == second.0)
    {
        Some([_, second]) => problem(second.1, Fault::DuplicateKey),
        None => Ok(pos + 1),
    }
}

fn array(bytes: &[u8], at: usize, depth: usize) -> Checked<usize> {
    let mut pos = skip_blank(bytes, at + 1);
    if byte_at(bytes, pos) == b']' {
        return Ok(pos + 1);
    }
    loop {
        pos = skip_blank(bytes, value(bytes, pos, depth)?);
        match byte_at(bytes, pos) {
            b',' => pos += 1,
            b']' => return Ok(pos + 1),
            _ => return unexpected(bytes, pos),
        }
    }
}

#[cfg(test)]
#[path = "json_check_tests.rs"]
mod tests;
