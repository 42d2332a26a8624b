//! A strict and fast JSON validator for documents of a bulk: grammar, UTF-8, duplicate keys, names that Elasticsearch refuses.
//!
//! No tree is built. Strings are skipped 16 bytes at a time, in plain registers: that needs no
//! `unsafe`. Documents of a stream repeat their keys in the same order, so
//! the keys seen so far are kept as a tree of shapes ([`Checker`]): a known key at its place is one comparison, and that it
//! doubles no other was settled when it was learned. Whatever does not fit goes through a plain recursive check.

use std::collections::HashSet;
use std::fmt;

/// Deepest nesting of arrays and objects, as in Elasticsearch's own parser.
pub const MAX_DEPTH: usize = 1000;
/// Longest number in bytes, as in Elasticsearch's own parser.
pub const MAX_NUMBER: usize = 1000;
/// Keys kept as shapes; when they are used up, all are forgotten and learned anew.
const MAX_NODES: usize = 4096;
/// Keys tried at one place before the plain check takes over.
const MAX_BRANCHES: usize = 24;
/// An object with more keys than this is not learned.
const MAX_LEARNED_KEYS: usize = 256;
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

/// Why the check by shapes ended early.
enum Stop {
    Problem(Problem),
    /// The shapes cannot take this document; the plain check has to decide.
    Unlearnable,
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

fn problem<T>(at: usize, fault: Fault) -> Checked<T> {
    Err(Problem { at, fault })
}

/// A key at its place behind other keys.
struct Node {
    /// The first 16 bytes of `token`, little-endian, zero beyond its end.
    head: u128,
    /// Ones where `head` counts.
    mask: u128,
    /// `"key":` and the blanks that follow.
    token: Box<[u8]>,
    /// The key, decoded.
    name: Box<[u8]>,
    /// The key before it in the same object.
    parent: u32,
    /// First key seen behind this one.
    next: u32,
    /// Another key seen at this place.
    sibling: u32,
    /// First key of an object that is this key's value (or in its array).
    inner: u32,
    /// Place in the object, from 1.
    ordinal: u32,
    /// Whether it is a key of the document itself.
    top: bool,
}

/// The list of alternatives that a key is looked up in.
#[derive(Clone, Copy)]
enum Place {
    /// First key of a document.
    Root,
    /// First key of an object under this node.
    Inside(u32),
    /// Behind this node in the same object.
    Behind(u32),
}

/// A validator that remembers the shapes of documents. One per stream of documents works best.
pub struct Checker {
    nodes: Vec<Node>,
    root: u32,
}

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

impl Checker {
    /// Knows no shape yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            root: NONE,
        }
    }

    /// Checks the document that begins at `at` and ends with its line. Returns the offset behind the newline.
    ///
    /// # Errors
    /// The first problem. The line's end is then to be found by the caller.
    pub fn document(&mut self, bytes: &[u8], at: usize) -> Result<usize, Problem> {
        if self.nodes.len() >= MAX_NODES {
            self.nodes.clear();
            self.root = NONE;
        }
        let start = skip_blank(bytes, at);
        if byte_at(bytes, start) != b'{' {
            return Err(not_an_object(bytes, start));
        }
        let end = match self.object(bytes, start, Place::Root, 1) {
            Ok(end) => end,
            Err(Stop::Problem(problem)) => return Err(problem),
            Err(Stop::Unlearnable) => plain_value(bytes, start, 0)?,
        };
        let end = skip_blank(bytes, end);
        match bytes.get(end) {
            Some(b'\n') => Ok(end + 1),
            None => Ok(end),
            Some(_) => Err(Problem {
                at: end,
                fault: Fault::Syntax,
            }),
        }
    }

    /// Checks the object whose brace stands at `at`; returns the offset behind its closing brace.
    fn object(
        &mut self,
        bytes: &[u8],
        at: usize,
        place: Place,
        depth: usize,
    ) -> Result<usize, Stop> {
        let mut place = place;
        let mut pos = skip_blank(bytes, at + 1);
        if byte_at(bytes, pos) == b'}' {
            return Ok(pos + 1);
        }
        loop {
            let (node, behind) = self.key(bytes, pos, place)?;
            pos = behind;
            pos = self.value(bytes, pos, node, depth)?;
            match byte_at(bytes, pos) {
                b',' => pos = skip_blank(bytes, pos + 1),
                b'}' => return Ok(pos + 1),
                _ => return Ok(unexpected(bytes, pos)?),
            }
            place = Place::Behind(node);
        }
    }

    /// Checks the value at `pos`, which belongs to the key `node`; returns the offset of what follows it, blanks skipped.
    #[inline]
    fn value(&mut self, bytes: &[u8], pos: usize, node: u32, depth: usize) -> Result<usize, Stop> {
        let pos = skip_blank(bytes, pos);
        let end = match byte_at(bytes, pos) {
            b'"' => string(bytes, pos + 1)?,
            b'{' if depth < MAX_DEPTH => self.object(bytes, pos, Place::Inside(node), depth + 1)?,
            b'[' if depth < MAX_DEPTH => self.array(bytes, pos, node, depth + 1)?,
            b'{' | b'[' => return Ok(problem(pos, Fault::TooDeep)?),
            _ => scalar(bytes, pos)?,
        };
        Ok(skip_blank(bytes, end))
    }

    fn array(&mut self, bytes: &[u8], at: usize, node: u32, depth: usize) -> Result<usize, Stop> {
        let mut pos = skip_blank(bytes, at + 1);
        if byte_at(bytes, pos) == b']' {
            return Ok(pos + 1);
        }
        loop {
            pos = self.value(bytes, pos, node, depth)?;
            match byte_at(bytes, pos) {
                b',' => pos += 1,
                b']' => return Ok(pos + 1),
                _ => return Ok(unexpected(bytes, pos)?),
            }
        }
    }

    /// The node of the key at `pos`, and the offset behind its colon.
    #[inline]
    fn key(&mut self, bytes: &[u8], pos: usize, place: Place) -> Result<(u32, usize), Stop> {
        let window = window(bytes, pos);
        let mut index = self.first(place);
        let mut branches = 0;
        while let Some(node) = self.nodes.get(index as usize) {
            if (window ^ node.head) & node.mask == 0 {
                let end = pos + node.token.len();
                if node.token.len() <= 16 || bytes.get(pos + 16..end) == node.token.get(16..) {
                    return Ok((index, end));
                }
            }
            index = node.sibling;
            branches += 1;
        }
        if branches >= MAX_BRANCHES {
            return Err(Stop::Unlearnable);
        }
        self.learn(bytes, pos, place)
    }

    fn first(&self, place: Place) -> u32 {
        match place {
            Place::Root => self.root,
            Place::Inside(node) => self
                .nodes
                .get(node as usize)
                .map_or(NONE, |node| node.inner),
            Place::Behind(node) => self.nodes.get(node as usize).map_or(NONE, |node| node.next),
        }
    }

    /// Takes the key at `pos` into the shapes, once it is known to be legal there.
    #[cold]
    fn learn(&mut self, bytes: &[u8], pos: usize, place: Place) -> Result<(u32, usize), Stop> {
        if byte_at(bytes, pos) != b'"' {
            return Ok(unexpected(bytes, pos)?);
        }
        let end = string(bytes, pos + 1)?;
        if byte_at(bytes, end) != b':' {
            return Err(Stop::Unlearnable);
        }
        // Blanks behind the colon are part of the token, so that the usual `"key": ` is one comparison too.
        let behind = skip_blank(bytes, end + 1);
        let (Some(token), Some(raw)) = (bytes.get(pos..behind), bytes.get(pos + 1..end - 1)) else {
            return Ok(unexpected(bytes, pos)?);
        };
        let name = decode(raw);
        let top = match place {
            Place::Root => true,
            Place::Inside(_) => false,
            Place::Behind(before) => self
                .nodes
                .get(before as usize)
                .is_some_and(|before| before.top),
        };
        check_name(&name, pos, top)?;
        let parent = if let Place::Behind(before) = place {
            before
        } else {
            NONE
        };
        self.check_doubled(&name, parent, pos)?;
        let ordinal = self
            .nodes
            .get(parent as usize)
            .map_or(1, |before| before.ordinal + 1);
        if self.nodes.len() >= MAX_NODES || ordinal as usize > MAX_LEARNED_KEYS {
            return Err(Stop::Unlearnable);
        }
        let index = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let mut head = [0u8; 16];
        for (slot, byte) in head.iter_mut().zip(token) {
            *slot = *byte;
        }
        let mask = if token.len() >= 16 {
            u128::MAX
        } else {
            (1u128 << (8 * token.len())) - 1
        };
        let sibling = self.first(place);
        self.nodes.push(Node {
            head: u128::from_le_bytes(head),
            mask,
            token: token.into(),
            name,
            parent,
            next: NONE,
            sibling,
            inner: NONE,
            ordinal,
            top,
        });
        match place {
            Place::Root => self.root = index,
            Place::Inside(node) => {
                if let Some(node) = self.nodes.get_mut(node as usize) {
                    node.inner = index;
                }
            }
            Place::Behind(node) => {
                if let Some(node) = self.nodes.get_mut(node as usize) {
                    node.next = index;
                }
            }
        }
        Ok((index, behind))
    }

    fn check_doubled(&self, name: &[u8], last: u32, at: usize) -> Checked<()> {
        let mut index = last;
        while let Some(node) = self.nodes.get(index as usize) {
            if *node.name == *name {
                return problem(at, Fault::DuplicateKey);
            }
            index = node.parent;
        }
        Ok(())
    }
}

/// What is wrong with a line that does not begin with a brace.
#[cold]
fn not_an_object(bytes: &[u8], start: usize) -> Problem {
    match plain_value(bytes, start, 0) {
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

/// 16 bytes from `pos` as a number, little-endian, filled with newlines beyond the end.
#[inline]
fn window(bytes: &[u8], pos: usize) -> u128 {
    match bytes.get(pos..).and_then(<[u8]>::first_chunk::<16>) {
        Some(chunk) => u128::from_le_bytes(*chunk),
        None => short_window(bytes, pos),
    }
}

#[cold]
fn short_window(bytes: &[u8], pos: usize) -> u128 {
    let mut chunk = [b'\n'; 16];
    for (slot, byte) in chunk.iter_mut().zip(bytes.get(pos..).unwrap_or_default()) {
        *slot = *byte;
    }
    u128::from_le_bytes(chunk)
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

/// The high bits of the bytes of `word` that end a plain stretch of a string: quote, backslash, control character,
/// non-ASCII. Only the lowest one is exact: a borrow can mark bytes above it.
#[inline]
fn stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let low = word.wrapping_sub(ONES * b' ' as u64) & !word;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let slash = slash.wrapping_sub(ONES) & !slash;
    (low | quote | slash | word) & (ONES * 0x80)
}

/// The offset of the first byte from `pos` on that ends a plain stretch of a string; the end of `bytes` at the latest.
#[inline]
fn plain_end(bytes: &[u8], mut pos: usize) -> usize {
    loop {
        let bits = window(bytes, pos);
        // Truncation is the point: the two halves.
        let (low, high) = (stops(bits as u64), stops((bits >> 64) as u64));
        if low != 0 {
            return pos + (low.trailing_zeros() / 8) as usize;
        }
        if high != 0 {
            return pos + 8 + (high.trailing_zeros() / 8) as usize;
        }
        pos += 16;
    }
}

/// Checks a string from behind its opening quote; returns the offset behind the closing one.
#[inline]
fn string(bytes: &[u8], start: usize) -> Checked<usize> {
    let pos = plain_end(bytes, start);
    if bytes.get(pos) == Some(&b'"') {
        Ok(pos + 1)
    } else {
        odd_string(bytes, start, pos)
    }
}

/// A string with escapes or non-ASCII characters: goes on at `pos`, then checks the UTF-8 of the whole.
fn odd_string(bytes: &[u8], start: usize, mut pos: usize) -> Checked<usize> {
    let mut ascii = true;
    loop {
        match byte_at(bytes, pos) {
            b'"' => break,
            b'\\' => pos = escape(bytes, pos)?,
            0x80.. => {
                ascii = false;
                pos += 1;
            }
            0..=0x1f => return unexpected(bytes, pos),
            _ => pos += 1,
        }
        // Plain stretches in between are skipped as elsewhere; a stretch of non-ASCII goes byte by byte.
        if byte_at(bytes, pos) < 0x80 {
            pos = plain_end(bytes, pos);
        }
    }
    let text = bytes.get(start..pos).unwrap_or_default();
    match if ascii {
        Ok("")
    } else {
        std::str::from_utf8(text)
    } {
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
    while byte_at(bytes, pos).is_ascii_digit() {
        pos += 1;
    }
    pos
}

/// A key without its escapes. `raw` was checked before.
fn decode(raw: &[u8]) -> Box<[u8]> {
    if !raw.contains(&b'\\') {
        return raw.into();
    }
    let quoted = [b"\"", raw, b"\""].concat();
    serde_json::from_slice::<String>(&quoted)
        .map_or_else(|_| raw.into(), |text| text.into_bytes().into())
}

/// Checks any value with blanks between its tokens and any number of keys; knows no shapes. `depth` counts what is open.
fn plain_value(bytes: &[u8], pos: usize, depth: usize) -> Checked<usize> {
    let pos = skip_blank(bytes, pos);
    match byte_at(bytes, pos) {
        b'"' => string(bytes, pos + 1),
        b'{' | b'[' if depth >= MAX_DEPTH => problem(pos, Fault::TooDeep),
        b'{' => plain_object(bytes, pos, depth + 1),
        b'[' => plain_array(bytes, pos, depth + 1),
        _ => scalar(bytes, pos),
    }
}

fn plain_object(bytes: &[u8], at: usize, depth: usize) -> Checked<usize> {
    let mut pos = skip_blank(bytes, at + 1);
    if byte_at(bytes, pos) == b'}' {
        return Ok(pos + 1);
    }
    let mut names: HashSet<Box<[u8]>> = HashSet::new();
    loop {
        pos = skip_blank(bytes, pos);
        if byte_at(bytes, pos) != b'"' {
            return unexpected(bytes, pos);
        }
        let end = string(bytes, pos + 1)?;
        let name = decode(bytes.get(pos + 1..end - 1).unwrap_or_default());
        check_name(&name, pos, depth == 1)?;
        if !names.insert(name) {
            return problem(pos, Fault::DuplicateKey);
        }
        pos = skip_blank(bytes, end);
        if byte_at(bytes, pos) != b':' {
            return unexpected(bytes, pos);
        }
        pos = skip_blank(bytes, plain_value(bytes, pos + 1, depth)?);
        match byte_at(bytes, pos) {
            b',' => pos += 1,
            b'}' => return Ok(pos + 1),
            _ => return unexpected(bytes, pos),
        }
    }
}

fn plain_array(bytes: &[u8], at: usize, depth: usize) -> Checked<usize> {
    let mut pos = skip_blank(bytes, at + 1);
    if byte_at(bytes, pos) == b']' {
        return Ok(pos + 1);
    }
    loop {
        pos = skip_blank(bytes, plain_value(bytes, pos, depth)?);
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
