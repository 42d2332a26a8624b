//! Recognises records whose text is that of an earlier one but for its scalar values.
//!
//! Producers write record after record with the same keys in the same order. Of a record that was validated, the text
//! between its scalar values (braces, keys, colons, commas, blanks) is kept as a chain of literals in a trie. A record
//! that consists of the same literals with valid scalars between them is valid JSON too and has the same fields, so that
//! neither grammar nor keys need a look: a literal costs one comparison of 32 bytes, a string one search for its end.
//! Anything else is left to the walk, and learned from it.
//!
//! Measured on lines of eleven fields against marks and walk: 0.45 times the time, and the fields that a plan does not
//! name need not be entered into the event at all.

use std::mem::MaybeUninit;

use super::number::{escape, number, word};
#[cfg(target_arch = "x86_64")]
use super::stops::Avx2Half;
use super::stops::{self, BaseHalf, Half, Level};
use super::{Limits, RawKind};

/// Most nodes of the trie, shapes, fields and values of one shape, alternatives at one place, bytes of one literal.
const MAX_NODES: usize = 8192;
const MAX_SHAPES: usize = 1024;
const MAX_SPOTS: usize = 256;
const MAX_ALTERNATIVES: usize = 32;
const MAX_LITERAL: usize = 1024;
/// All literals together, bytes.
const MAX_TEXT: usize = 1 << 20;

/// After so many records it is asked whether looking for shapes pays.
const WINDOW: u32 = 1024;
/// So many records are not looked at when it did not.
const PAUSE: u32 = 16 * WINDOW;

const NONE: u32 = u32::MAX;
/// Bytes that are compared at once.
const STEP: usize = 32;
/// Bytes behind a record that [`Shapes::find`] may read.
pub const MARGIN: usize = STEP;

/// One scalar value of a record: where it stands in the buffer (of a string what is between the quotes), and its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spot {
    start: u32,
    /// Length, and the kind in the upper bits.
    len_kind: u32,
}

const KIND_SHIFT: u32 = 28;
/// Longer records are left to the walk.
const MAX_RECORD: u32 = 1 << KIND_SHIFT;

const KINDS: [RawKind; 7] = [
    RawKind::Null,
    RawKind::False,
    RawKind::True,
    RawKind::Int,
    RawKind::Float,
    RawKind::Str,
    RawKind::EscStr,
];

impl Spot {
    #[inline(always)]
    fn new(start: usize, end: usize, kind: RawKind) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "buffers are shorter than 4 GiB, records than 256 MiB"
        )]
        Spot {
            start: start as u32,
            len_kind: (end - start) as u32 | (kind as u32) << KIND_SHIFT,
        }
    }

    /// First byte and the byte after the last.
    #[inline(always)]
    #[must_use]
    pub const fn stretch(self) -> (u32, u32) {
        (self.start, self.start + (self.len_kind & (MAX_RECORD - 1)))
    }

    /// What the value is; never an object or an array.
    #[inline(always)]
    #[must_use]
    pub const fn kind(self) -> RawKind {
        KINDS[(self.len_kind >> KIND_SHIFT) as usize % KINDS.len()]
    }
}

/// A place in the text between the values: so many bytes behind the end of value `after - 1`, or, when `after` is 0,
/// behind the beginning of the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    after: u32,
    delta: u32,
}

impl Place {
    /// The offset in the buffer, for a record that begins at `start` and has these values.
    #[inline(always)]
    #[must_use]
    pub fn offset(self, start: u32, spots: &[Spot]) -> u32 {
        let from = match self.after.checked_sub(1) {
            None => start,
            Some(at) => spots
                .get(at as usize)
                .map_or(start, |spot| spot.stretch().1),
        };
        from + self.delta
    }
}

/// Where a shape has the value of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// The value with this number.
    Spot(u32),
    /// An object or an array.
    Nested {
        /// Which of the two.
        kind: RawKind,
        /// Its opening bracket.
        from: Place,
        /// Behind its closing bracket.
        to: Place,
    },
}

/// A top-level field of a shape.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShapeField {
    /// Its name; it holds no escapes.
    pub name: Box<[u8]>,
    /// The quote before its name.
    pub from: Place,
    /// Behind its value, and behind its closing quote if it has one.
    pub to: Place,
    /// Its value.
    pub value: At,
}

/// What a node of the trie expects behind its literal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// The inside of a string.
    Text,
    /// A number or a word.
    Bare,
    /// Nothing: the record is of this shape.
    End(u32),
}

/// One literal and what follows it: a cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Node {
    /// The first bytes of the literal, and which of them count.
    head: [u8; STEP],
    mask: u32,
    /// Length of the whole literal, whose other bytes lie here in `literals`.
    len: u32,
    rest: u32,
    then: Then,
    child: u32,
    sibling: u32,
}

/// Number of a shape.
pub type ShapeId = u32;

/// The shapes that were met.
#[derive(Debug)]
pub struct Shapes {
    level: Level,
    nodes: Vec<Node>,
    literals: Vec<u8>,
    root: u32,
    known: Vec<Box<[ShapeField]>>,
    /// Records looked at in this window, and those of a known shape.
    looked: u32,
    found: u32,
    /// Records that pass unseen.
    pause: u32,
    full: bool,
    /// Somewhere an alternative found no room.
    crowded: bool,
    limits: Limits,
}

impl Shapes {
    /// Knows no shape yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Shapes {
            level: Level::best(),
            nodes: Vec::new(),
            literals: Vec::new(),
            root: NONE,
            known: Vec::new(),
            looked: 0,
            found: 0,
            pause: 0,
            full: false,
            crowded: false,
            limits,
        }
    }

    /// The same with the instructions that every processor has: for comparing.
    #[must_use]
    pub fn portable(limits: Limits) -> Self {
        Shapes {
            level: Level::Base,
            ..Shapes::new(limits)
        }
    }

    /// The top-level fields of a shape, in their order; their names differ.
    #[must_use]
    pub fn fields(&self, shape: ShapeId) -> &[ShapeField] {
        self.known.get(shape as usize).map_or(&[], |fields| fields)
    }

    /// How many shapes are known; their numbers are below.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// True before the first was learned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Forgets what was learned where that no longer serves; true when it did. Numbers of shapes mean nothing then.
    pub fn tidy(&mut self) -> bool {
        if self.looked < WINDOW {
            return false;
        }
        let poor = self.found < self.looked / 2;
        (self.looked, self.found) = (0, 0);
        if !poor {
            return false;
        }
        self.pause = PAUSE;
        if !self.full && !self.crowded {
            return false;
        }
        self.nodes.clear();
        self.literals.clear();
        self.known.clear();
        self.root = NONE;
        self.full = false;
        self.crowded = false;
        true
    }

    /// The shape of the record in `buf[start..end]`, if it is a known one; its values are then appended to `spots`.
    ///
    /// Only records that end [`MARGIN`] bytes or more before the end of `buf` are looked at.
    /// The record is valid JSON in UTF-8 then, an object without a key that stands twice in one object.
    #[inline]
    pub fn find(
        &mut self,
        buf: &[u8],
        start: u32,
        end: u32,
        spots: &mut Vec<Spot>,
    ) -> Option<ShapeId> {
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        let (from, to) = (start as usize, end as usize);
        let fits = start < end && end - start < MAX_RECORD && to + STEP <= buf.len();
        if self.root == NONE || !fits {
            return None;
        }
        self.looked += 1;
        spots.reserve(MAX_SPOTS);
        let free = spots.spare_capacity_mut();
        let (shape, count) = match self.level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Level::Avx2` exists only where the processor was found to have AVX2; the rest is as below.
            Level::Avx2 => unsafe { self.find_avx2(buf, from, to, free) },
            // SAFETY: the range ends STEP bytes before the end of `buf`, and `free` holds MAX_SPOTS.
            Level::Base => unsafe { self.find_with::<BaseHalf>(buf, from, to, free) },
        }?;
        self.found += 1;
        // SAFETY: `count` values were written behind the length, within the capacity.
        unsafe { spots.set_len(spots.len() + count) };
        Some(shape)
    }

    /// As [`find_with`](Self::find_with).
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn find_avx2(
        &mut self,
        buf: &[u8],
        start: usize,
        end: usize,
        spots: &mut [MaybeUninit<Spot>],
    ) -> Option<(ShapeId, usize)> {
        // SAFETY: as this function's own.
        unsafe { self.find_with::<Avx2Half>(buf, start, end, spots) }
    }

    /// The shape, and how many values were written to `spots`.
    ///
    /// # Safety
    /// `start <= end` and `end + STEP <= buf.len()`, and `spots` holds [`MAX_SPOTS`]: both are read and written without a
    /// check. The processor has the instructions of `H`.
    #[inline(always)]
    unsafe fn find_with<H: Half>(
        &mut self,
        buf: &[u8],
        start: usize,
        end: usize,
        spots: &mut [MaybeUninit<Spot>],
    ) -> Option<(ShapeId, usize)> {
        let text = &buf[..end];
        let (mut pos, mut high, mut count) = (start, 0, 0);
        let (mut parent, mut at) = (NONE, self.root);
        loop {
            let node = self.nodes.get(at as usize)?;
            let from = pos + node.len as usize;
            // SAFETY: `pos` is at most `end`, as values end before the record does; STEP bytes lie behind `end`.
            let same = unsafe { H::equal(buf.as_ptr().add(pos), node.head.as_ptr()) };
            if same & node.mask != node.mask || !self.fits(text, pos, node) {
                at = self.other(text, pos, parent, at)?;
                continue;
            }
            let (to, kind) = match node.then {
                Then::Text => {
                    let mut to = from;
                    let stops = loop {
                        // SAFETY: `to` is at most `end`.
                        let (stops, tops) = unsafe { H::classify(buf.as_ptr().add(to)) };
                        high |= tops;
                        if stops != 0 {
                            break stops;
                        }
                        to += STEP;
                        if to > end {
                            return None;
                        }
                    };
                    to += stops.trailing_zeros() as usize;
                    if text.get(to) == Some(&b'"') {
                        (to, RawKind::Str)
                    } else {
                        // What the slow way sees is not watched for bytes above ASCII.
                        high = 1;
                        (escaped(text, to)?, RawKind::EscStr)
                    }
                }
                Then::Bare => bare(text, from, self.limits)?,
                Then::End(shape) => {
                    let valid = high == 0 || simdutf8::basic::from_utf8(&buf[start..end]).is_ok();
                    return valid.then_some((shape, count));
                }
            };
            // SAFETY: a way through the trie has no more values than a shape may have, and `spots` holds as many.
            unsafe { spots.get_unchecked_mut(count) }.write(Spot::new(from, to, kind));
            (count, pos) = (count + 1, to);
            (parent, at) = (at, node.child);
        }
    }

    /// Whether a node whose literal begins at `pos` can go on there: the rest of its literal stands there, the record does
    /// not end before that, and something as it expects follows.
    #[inline(always)]
    fn fits(&self, text: &[u8], pos: usize, node: &Node) -> bool {
        let from = pos + node.len as usize;
        (node.len as usize <= STEP || self.long_rest_follows(text, pos, node))
            && match node.then {
                Then::Text => from <= text.len(),
                Then::Bare => text
                    .get(from)
                    .is_some_and(|byte| matches!(byte, b'-' | b'0'..=b'9' | b't' | b'f' | b'n')),
                Then::End(_) => from == text.len(),
            }
    }

    #[inline(never)]
    fn long_rest_follows(&self, text: &[u8], pos: usize, node: &Node) -> bool {
        let (rest, len) = (node.rest as usize, node.len as usize);
        let literal = self.literals.get(rest..rest + len - STEP);
        literal.is_some() && text.get(pos + STEP..pos + len) == literal
    }

    /// The node beside `not` that fits; it is looked at first the next time.
    #[inline(never)]
    fn other(&mut self, text: &[u8], pos: usize, parent: u32, not: u32) -> Option<u32> {
        let (mut before, mut at) = (not, self.nodes.get(not as usize)?.sibling);
        loop {
            let node = self.nodes.get(at as usize)?;
            let head = &node.head[..STEP.min(node.len as usize)];
            if text.get(pos..pos + head.len()) == Some(head) && self.fits(text, pos, node) {
                self.put_first(parent, before, at);
                return Some(at);
            }
            (before, at) = (at, node.sibling);
        }
    }

    fn put_first(&mut self, parent: u32, before: u32, at: u32) {
        let next = self.nodes[at as usize].sibling;
        self.nodes[before as usize].sibling = next;
        let first = match self.nodes.get_mut(parent as usize) {
            Some(parent) => std::mem::replace(&mut parent.child, at),
            None => std::mem::replace(&mut self.root, at),
        };
        self.nodes[at as usize].sibling = first;
    }

    /// Learns the shape of `buf[start..end]`, a record that [`find`](Self::find) did not know: a valid object without a
    /// key that stands twice in one object. Does nothing when its keys hold escapes or a bound is reached.
    pub fn learn(&mut self, buf: &[u8], start: u32, end: u32) {
        if self.full || self.pause > 0 || end - start >= MAX_RECORD {
            return;
        }
        let Some(text) = buf.get(start as usize..end as usize) else {
            return;
        };
        let Some(learned) = Reader::new(text).read() else {
            return;
        };
        let (mut parent, mut fresh) = (NONE, false);
        for (number, (literal, quoted)) in learned.literals.iter().enumerate() {
            let then = match quoted {
                _ if number + 1 == learned.literals.len() => {
                    Then::End(u32::try_from(self.known.len()).unwrap_or(NONE))
                }
                true => Then::Text,
                false => Then::Bare,
            };
            match self.step(parent, &text[literal.clone()], then) {
                Some((node, made)) => (parent, fresh) = (node, made),
                None => return,
            }
        }
        // A shape that is known was missed only by its values, as an end of the record in the wrong place.
        if fresh {
            self.known.push(learned.fields.into());
            self.full |= self.known.len() >= MAX_SHAPES;
        }
    }

    fn is_literal(&self, node: &Node, literal: &[u8]) -> bool {
        let (head, rest) = literal.split_at(literal.len().min(STEP));
        node.len as usize == literal.len()
            && node.head.starts_with(head)
            && self
                .literals
                .get(node.rest as usize..node.rest as usize + rest.len())
                == Some(rest)
    }

    /// The child with this literal; makes one, unless there is no room.
    fn step(&mut self, parent: u32, literal: &[u8], then: Then) -> Option<(u32, bool)> {
        let first = match self.nodes.get(parent as usize) {
            Some(parent) => parent.child,
            None => self.root,
        };
        let (mut at, mut alternatives) = (first, 0);
        while let Some(node) = self.nodes.get(at as usize) {
            let same = std::mem::discriminant(&node.then) == std::mem::discriminant(&then);
            if same && self.is_literal(node, literal) {
                return Some((at, false));
            }
            (at, alternatives) = (node.sibling, alternatives + 1);
        }
        if alternatives >= MAX_ALTERNATIVES {
            self.crowded = true;
            return None;
        }
        if self.nodes.len() >= MAX_NODES || self.literals.len() + literal.len() > MAX_TEXT {
            self.full = true;
            return None;
        }
        let made = u32::try_from(self.nodes.len()).ok()?;
        let (first_bytes, rest) = literal.split_at(literal.len().min(STEP));
        let mut head = [0; STEP];
        head[..first_bytes.len()].copy_from_slice(first_bytes);
        self.nodes.push(Node {
            head,
            mask: u32::MAX >> (STEP - first_bytes.len()),
            len: u32::try_from(literal.len()).ok()?,
            rest: u32::try_from(self.literals.len()).ok()?,
            then,
            child: NONE,
            sibling: first,
        });
        self.literals.extend_from_slice(rest);
        match self.nodes.get_mut(parent as usize) {
            Some(parent) => parent.child = made,
            None => self.root = made,
        }
        Some((made, true))
    }
}

/// The end of a string that has something other than its closing quote at `stop`.
#[inline(never)]
fn escaped(text: &[u8], mut stop: usize) -> Option<usize> {
    while *text.get(stop)? == b'\\' {
        let next = escape(text, stop).ok()?;
        stop = next + stops::find_stop(text.get(next..)?);
    }
    (text.get(stop) == Some(&b'"')).then_some(stop)
}

/// The end of the number or word that begins at `from`.
#[inline(never)]
fn bare(text: &[u8], from: usize, limits: Limits) -> Option<(usize, RawKind)> {
    match text.get(from)? {
        b'-' | b'0'..=b'9' => number(text, from, &limits).ok(),
        _ => word(text, from),
    }
    .map(|(kind, to)| (to, kind))
}

/// What a record is made of.
struct Learned {
    /// The literals, as bounds in the record; whether a string follows.
    literals: Vec<(std::ops::Range<usize>, bool)>,
    fields: Vec<ShapeField>,
}

/// A top-level field whose end is still to come.
struct Begun {
    name: Box<[u8]>,
    from: Place,
    /// Of an object or array: which of the two, and its beginning.
    kind: RawKind,
    value: Place,
}

impl Begun {
    fn ended(self, to: Place, value: At) -> ShapeField {
        ShapeField {
            name: self.name,
            from: self.from,
            to,
            value,
        }
    }
}

/// Takes a valid record apart.
struct Reader<'a> {
    text: &'a [u8],
    pos: usize,
    literal_from: usize,
    literals: Vec<(std::ops::Range<usize>, bool)>,
    fields: Vec<ShapeField>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8]) -> Self {
        Reader {
            text,
            pos: 0,
            literal_from: 0,
            literals: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// None where the record is not to be learned.
    fn read(mut self) -> Option<Learned> {
        // Closing brackets awaited; true where a key comes next.
        let mut open: Vec<u8> = Vec::new();
        let mut key_next = false;
        let mut field: Option<Begun> = None;
        while let Some(&byte) = self.text.get(self.pos) {
            match byte {
                b'{' | b'[' => {
                    if let (1, Some(begun)) = (open.len(), &mut field) {
                        begun.kind = if byte == b'{' {
                            RawKind::Object
                        } else {
                            RawKind::Array
                        };
                        begun.value = self.place();
                    }
                    open.push(byte + 2);
                    key_next = byte == b'{';
                    self.pos += 1;
                }
                b'}' | b']' => {
                    open.pop()?;
                    self.pos += 1;
                    if open.len() == 1
                        && let Some(begun) = field.take()
                    {
                        let to = self.place();
                        let value = At::Nested {
                            kind: begun.kind,
                            from: begun.value,
                            to,
                        };
                        self.fields.push(begun.ended(to, value));
                    }
                }
                b',' => {
                    key_next = open.last() == Some(&b'}');
                    self.pos += 1;
                }
                b':' => {
                    key_next = false;
                    self.pos += 1;
                }
                b'"' if key_next => {
                    let from = self.place();
                    let name = self.key()?;
                    if open.len() == 1 {
                        field = Some(Begun {
                            name: name.into(),
                            from,
                            kind: RawKind::Null,
                            value: from,
                        });
                    }
                }
                byte if super::walk::is_blank(byte) => self.pos += 1,
                byte => {
                    let number = self.value(byte == b'"')?;
                    if open.len() == 1
                        && let Some(begun) = field.take()
                    {
                        let to = Place {
                            after: number + 1,
                            delta: u32::from(byte == b'"'),
                        };
                        self.fields.push(begun.ended(to, At::Spot(number)));
                    }
                }
            }
        }
        self.end_literal(self.pos, false)?;
        open.is_empty().then_some(Learned {
            literals: self.literals,
            fields: self.fields,
        })
    }

    fn place(&self) -> Place {
        let count = |number: usize| u32::try_from(number).unwrap_or(0);
        Place {
            after: count(self.literals.len()),
            delta: count(self.pos - self.literal_from),
        }
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let from = self.pos + 1;
        let len = stops::find_stop(self.text.get(from..)?);
        self.pos = from + len + 1;
        (self.text.get(from + len) == Some(&b'"')).then(|| &self.text[from..from + len])
    }

    /// Ends the literal before the value at hand; the number of the value.
    fn value(&mut self, quoted: bool) -> Option<u32> {
        let inside = self.pos + usize::from(quoted);
        self.end_literal(inside, quoted)?;
        let mut to = inside;
        if quoted {
            loop {
                to += stops::find_stop(self.text.get(to..)?);
                match self.text.get(to)? {
                    b'"' => break,
                    b'\\' => to += 2,
                    _ => return None,
                }
            }
        } else {
            let ends =
                |byte: &u8| matches!(byte, b',' | b'}' | b']') || super::walk::is_blank(*byte);
            to += self.text.get(to..)?.iter().position(ends)?;
        }
        self.literal_from = to;
        self.pos = to + usize::from(quoted);
        u32::try_from(self.literals.len() - 1).ok()
    }

    fn end_literal(&mut self, to: usize, quoted: bool) -> Option<()> {
        let literal = self.literal_from..to;
        if literal.len() > MAX_LITERAL || self.literals.len() >= MAX_SPOTS {
            return None;
        }
        self.literals.push((literal, quoted));
        Some(())
    }
}
