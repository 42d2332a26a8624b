//! A strict and fast JSON validator for documents of a bulk: grammar, UTF-8, duplicate keys, names that Elasticsearch refuses.
//!
//! No tree of values is built. Strings are skipped 16 bytes at a time, in plain registers: that needs no `unsafe`.
//! Documents of a stream repeat their keys in the same order, so everything between their scalars, their skeleton, is kept
//! ([`Checker`]). A document with a known skeleton is as valid as its scalars, and only those are looked at; that its keys
//! are legal and differ was settled by the full check of the first one.

use std::borrow::Cow;
use std::fmt;

/// Deepest nesting of arrays and objects, as in Elasticsearch's own parser.
pub const MAX_DEPTH: usize = 1000;
/// Longest number in bytes, as in Elasticsearch's own parser.
pub const MAX_NUMBER: usize = 1000;
/// Pieces of skeletons kept; when they are used up, all are forgotten and learned anew.
const MAX_NODES: usize = 16_384;
/// Pieces kept for one place; documents with more variety than that take the full check.
const MAX_BRANCHES: usize = 24;
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
    /// A string; its opening quote belongs to the token before.
    Text,
    /// Any other value with all that is in it; `depth` counts the objects around it.
    Value { depth: u32 },
    /// The end of the line; no gap.
    End,
}

/// A piece of a skeleton: everything between one scalar (or array) and the next, such as `,"level":"`.
struct Node {
    /// The first 32 bytes of `token` in two halves, little-endian, zero beyond its end.
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
        let (mut head, mut mask) = ([[0u8; 16]; 2], [[0u8; 16]; 2]);
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

    /// Whether `rest` begins with the token.
    #[inline]
    fn begins(&self, rest: &[u8]) -> bool {
        let Some(window) = rest.first_chunk::<16>() else {
            return rest.starts_with(&self.token);
        };
        let differs = (u128::from_le_bytes(*window) ^ self.head[0]) & self.mask[0];
        differs == 0 && (self.token.len() <= 16 || self.goes_on(rest))
    }

    /// Whether the token stands there behind its first 16 bytes, too.
    #[inline]
    fn goes_on(&self, rest: &[u8]) -> bool {
        let Some(window) = rest.get(16..).and_then(<[u8]>::first_chunk::<16>) else {
            return rest.starts_with(&self.token);
        };
        let differs = (u128::from_le_bytes(*window) ^ self.head[1]) & self.mask[1];
        differs == 0
            && (self.token.len() <= 32 || rest.get(32..self.token.len()) == self.token.get(32..))
    }
}

/// A validator that remembers the skeletons of documents. One per stream of documents works best.
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
    /// Knows no skeleton yet.
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
    #[inline]
    pub fn document(&mut self, bytes: &[u8], at: usize) -> Result<usize, Problem> {
        match self.follow(bytes, at) {
            Some(end) => Ok(end),
            None => self.check_and_learn(bytes, at),
        }
    }

    /// Checks a document of a known skeleton. `None` says only that it cannot tell.
    fn follow(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let nodes = self.nodes.as_slice();
        let mut rest = bytes.get(at..)?;
        let mut index = self.root;
        loop {
            let mut node = nodes.get(index as usize)?;
            while !node.begins(rest) {
                node = nodes.get(node.sibling as usize)?;
            }
            rest = rest.get(node.token.len()..)?;
            let len = match node.gap {
                Gap::Text => quick_string(rest)?,
                Gap::Value { depth } => match quick_number(rest) {
                    Some(len) => len,
                    None => value(rest, 0, depth as usize).ok()?,
                },
                Gap::End => return Some(bytes.len() - rest.len()),
            };
            rest = rest.get(len..)?;
            index = node.next;
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
                b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'[' => Gap::Value { depth },
                b'\n' => Gap::End,
                byte => {
                    depth = match byte {
                        b'{' => depth + 1,
                        b'}' => depth.saturating_sub(1),
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
            token_start = pos;
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

/// The high bits of the bytes of `word` that end a plain stretch of a string: quote, backslash, control character,
/// non-ASCII. Only the lowest one is exact, because a borrow can mark bytes above it.
#[inline]
fn stops(word: u64) -> u64 {
    let below_blank = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * 0x22)).wrapping_sub(ONES);
    let slash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (below_blank | quote | slash | word) & (ONES * 0x80)
}

/// The offset of the first of 16 bytes that ends a plain stretch of a string; `None` when none does.
#[inline]
fn first_stop(chunk: &[u8; 16]) -> Option<usize> {
    let (halves, _) = chunk.as_chunks::<8>();
    let [low, high] = halves else { return None };
    let (low, high) = (
        stops(u64::from_le_bytes(*low)),
        stops(u64::from_le_bytes(*high)),
    );
    // Chosen by arithmetic: where strings end cannot be foretold, and a wrong guess costs more than this.
    let in_high = u32::from(low == 0);
    let found = low | (high & u64::from(in_high).wrapping_neg());
    (found != 0).then(|| (8 * in_high + found.trailing_zeros() / 8) as usize)
}

/// The offset of the first byte from `pos` on that ends a plain stretch of a string; the end of `bytes` at the latest.
fn plain_end(bytes: &[u8], pos: usize) -> usize {
    let mut rest = bytes.get(pos..).unwrap_or_default();
    let mut windows = 0;
    while let Some((chunk, behind)) = rest.split_first_chunk::<16>() {
        if let Some(stop) = first_stop(chunk) {
            return bytes.len() - rest.len() + stop;
        }
        rest = behind;
        windows += 1;
        if windows == 3 {
            rest = skip_plain_blocks(rest);
        }
    }
    short_plain_end(bytes, bytes.len() - rest.len())
}

/// Skips blocks of 64 bytes in which nothing ends a string; compilers make a few vector instructions of each.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "branches would keep the loop from being vectorised"
)]
fn skip_plain_blocks(mut rest: &[u8]) -> &[u8] {
    while let Some((block, behind)) = rest.split_first_chunk::<64>() {
        // Signed, so that bytes from 0x80 on count as below the blank too.
        let stop = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte.cast_signed() < 0x20);
        if block.iter().fold(false, |any, &byte| any | stop(byte)) {
            break;
        }
        rest = behind;
    }
    rest
}

#[cold]
#[inline(never)]
fn short_plain_end(bytes: &[u8], pos: usize) -> usize {
    let rest = bytes.get(pos..).unwrap_or_default();
    let found = rest
        .iter()
        .position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20 | 0x80..));
    pos + found.unwrap_or(rest.len())
}

/// The length of the string whose text `rest` begins with, its closing quote included; `None` when it is not valid.
#[inline]
fn quick_string(rest: &[u8]) -> Option<usize> {
    let Some(chunk) = rest.first_chunk::<16>() else {
        return long_string(rest, 0);
    };
    match first_stop(chunk) {
        Some(stop) if chunk.get(stop) == Some(&b'"') => Some(stop + 1),
        Some(stop) => long_string(rest, stop),
        None => long_string(rest, chunk.len()),
    }
}

/// The same for any string, of which `from` bytes are known to be plain.
#[inline(never)]
fn long_string(rest: &[u8], from: usize) -> Option<usize> {
    let pos = plain_end(rest, from);
    if rest.get(pos) == Some(&b'"') {
        Some(pos + 1)
    } else {
        odd_string(rest, 0, pos).ok()
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
#[inline(never)]
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
