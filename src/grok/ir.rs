//! The tree that Ruby patterns are parsed into, and what can be said about a tree without running it:
//! can it match nothing, with which bytes may it begin, can it fail at all.

use regex_syntax::hir::ClassUnicode;

/// One node of a parsed pattern. Characters are Unicode scalar values; groups are numbered from 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ir {
    /// Matches the empty text.
    Empty,
    /// Exactly this character.
    Char(char),
    /// One character out of a set.
    Set(ClassUnicode),
    /// A test of the position.
    Assert(Assert),
    /// A capturing group.
    Group(u32, Box<Ir>),
    /// One after another.
    Concat(Vec<Ir>),
    /// The first alternative that leads to a match.
    Alt(Vec<Ir>),
    /// `min` to `max` times (`None`: no upper bound).
    Repeat {
        body: Box<Ir>,
        min: u32,
        max: Option<u32>,
        lazy: bool,
    },
    /// The body's first match only: what follows never makes it try another.
    Atomic(Box<Ir>),
    /// Look-ahead or look-behind, positive or negative.
    Look {
        behind: bool,
        negative: bool,
        body: Box<Ir>,
    },
    /// The text of the last of these groups that took part.
    Backref { groups: Vec<u32>, fold: bool },
    /// `\K`: the reported match begins here.
    Keep,
    /// `(?(n)yes|no)`: `yes` if the group took part, else `no`.
    Cond {
        group: u32,
        yes: Box<Ir>,
        no: Box<Ir>,
    },
}

/// Tests of a position that consume nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assert {
    /// `^`: at the beginning or after a newline.
    LineStart,
    /// `$`: at the end or before a newline.
    LineEnd,
    /// `\A`
    TextStart,
    /// `\z`
    TextEnd,
    /// `\Z`: at the end or before a newline that ends the text.
    TextEndNewline,
    /// `\G`: where the search began.
    SearchStart,
    /// `\b`; Unicode letters count as word characters.
    Word,
    /// `\B`
    NotWord,
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(crate) const EMPTY: ByteSet = ByteSet([0; 4]);
    pub(crate) const ALL: ByteSet = ByteSet([u64::MAX; 4]);

    /// The set of one byte.
    pub(crate) fn one(byte: u8) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        set.insert(byte);
        set
    }

    /// The bytes with which characters of `class` begin. All bytes of other than ASCII characters are taken
    /// together: if one may begin so, the set holds every byte from 0x80 on.
    pub(crate) fn first_of_class(class: &ClassUnicode) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        for range in class.iter() {
            let (start, end) = (u32::from(range.start()), u32::from(range.end()));
            for byte in start..=end.min(0x7f) {
                #[allow(clippy::cast_possible_truncation)] // at most 0x7f
                set.insert(byte as u8);
            }
            if end >= 0x80 {
                set.0[2] = u64::MAX;
                set.0[3] = u64::MAX;
            }
        }
        set
    }

    pub(crate) fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    #[inline]
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    pub(crate) fn or(self, other: ByteSet) -> ByteSet {
        ByteSet(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    pub(crate) fn and(self, other: ByteSet) -> ByteSet {
        ByteSet(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    /// Without the ASCII bytes of `other`. Bytes from 0x80 on stay, because they stand for many characters each.
    pub(crate) fn minus_ascii(self, other: ByteSet) -> ByteSet {
        ByteSet([
            self.0[0] & !other.0[0],
            self.0[1] & !other.0[1],
            self.0[2],
            self.0[3],
        ])
    }

    pub(crate) fn is_empty(self) -> bool {
        self == ByteSet::EMPTY
    }

    pub(crate) fn len(self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The only byte of the set, if it is one ASCII byte.
    pub(crate) fn only(self) -> Option<u8> {
        if self.len() != 1 {
            return None;
        }
        (0..0x80u8).find(|byte| self.has(*byte))
    }
}

/// With what a match may go on at some point of a pattern. Always an over-approximation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct First {
    /// The next byte, if there is one, is in this set.
    pub(crate) bytes: ByteSet,
    /// It may go on at the end of the text.
    pub(crate) eof: bool,
    /// Going on from here never fails, whatever the text.
    pub(crate) sure: bool,
}

impl First {
    /// The pattern is at its end: nothing more is asked.
    pub(crate) const ACCEPT: First = First {
        bytes: ByteSet::ALL,
        eof: true,
        sure: true,
    };
    /// No match is possible.
    pub(crate) const NEVER: First = First {
        bytes: ByteSet::EMPTY,
        eof: false,
        sure: false,
    };

    pub(crate) fn or(self, other: First) -> First {
        First {
            bytes: self.bytes.or(other.bytes),
            eof: self.eof || other.eof,
            sure: self.sure || other.sure,
        }
    }

    /// May a match go on at this place of the text?
    #[inline]
    pub(crate) fn admits(&self, text: &[u8], pos: usize) -> bool {
        text.get(pos).map_or(self.eof, |byte| self.bytes.has(*byte))
    }
}

/// The class of all characters.
pub(crate) fn any_char() -> ClassUnicode {
    ClassUnicode::new([regex_syntax::hir::ClassUnicodeRange::new('\0', char::MAX)])
}

/// The first byte of a character.
pub(crate) fn lead_byte(c: char) -> u8 {
    let mut buf = [0; 4];
    c.encode_utf8(&mut buf);
    buf[0]
}

impl Ir {
    /// Can the node match the empty text (tests of the position counted as passed)?
    pub(crate) fn nullable(&self) -> bool {
        match self {
            Ir::Char(_) | Ir::Set(_) => false,
            Ir::Empty | Ir::Assert(_) | Ir::Look { .. } | Ir::Backref { .. } | Ir::Keep => true,
            Ir::Group(_, body) | Ir::Atomic(body) => body.nullable(),
            Ir::Concat(items) => items.iter().all(Ir::nullable),
            Ir::Alt(items) => items.iter().any(Ir::nullable),
            Ir::Repeat { body, min, .. } => *min == 0 || body.nullable(),
            Ir::Cond { yes, no, .. } => yes.nullable() || no.nullable(),
        }
    }

    /// With what a match of this node, followed by something that begins with `follow`, may begin.
    pub(crate) fn then(&self, follow: First) -> First {
        match self {
            Ir::Empty | Ir::Keep | Ir::Repeat { max: Some(0), .. } => follow,
            Ir::Char(c) => First {
                bytes: ByteSet::one(lead_byte(*c)),
                ..First::NEVER
            },
            Ir::Set(class) => First {
                bytes: ByteSet::first_of_class(class),
                ..First::NEVER
            },
            Ir::Assert(assert) => assert_then(*assert, follow),
            Ir::Group(_, body) | Ir::Atomic(body) => body.then(follow),
            Ir::Concat(items) => items
                .iter()
                .rev()
                .fold(follow, |next, item| item.then(next)),
            Ir::Alt(items) => items
                .iter()
                .fold(First::NEVER, |all, item| all.or(item.then(follow))),
            Ir::Repeat { body, min, .. } => {
                let taken = body.then(First::NEVER);
                if *min == 0 || body.nullable() {
                    First {
                        bytes: taken.bytes.or(follow.bytes),
                        eof: follow.eof,
                        sure: follow.sure && *min == 0,
                    }
                } else {
                    First {
                        sure: false,
                        ..taken
                    }
                }
            }
            Ir::Look {
                behind: false,
                negative: false,
                body,
            } if !body.nullable() => {
                let seen = body.then(First::ACCEPT);
                First {
                    bytes: follow.bytes.and(seen.bytes),
                    eof: false,
                    sure: false,
                }
            }
            Ir::Look {
                behind: false,
                negative: true,
                body,
            } => match one_char(body) {
                Some(class) => First {
                    bytes: follow.bytes.minus_ascii(ByteSet::first_of_class(&class)),
                    eof: follow.eof,
                    sure: false,
                },
                None => First {
                    sure: false,
                    ..follow
                },
            },
            Ir::Look { .. } => First {
                sure: false,
                ..follow
            },
            Ir::Backref { .. } => First {
                bytes: ByteSet::ALL,
                eof: follow.eof,
                sure: false,
            },
            Ir::Cond { yes, no, .. } => First {
                sure: false,
                ..yes.then(follow).or(no.then(follow))
            },
        }
    }

    /// Is the node free of everything that a finite automaton cannot do?
    pub(crate) fn is_regular(&self) -> bool {
        match self {
            Ir::Empty | Ir::Char(_) | Ir::Set(_) => true,
            Ir::Assert(assert) => !matches!(assert, Assert::TextEndNewline | Assert::SearchStart),
            Ir::Group(_, body) | Ir::Repeat { body, .. } => body.is_regular(),
            Ir::Concat(items) | Ir::Alt(items) => items.iter().all(Ir::is_regular),
            Ir::Atomic(_) | Ir::Look { .. } | Ir::Backref { .. } | Ir::Keep | Ir::Cond { .. } => {
                false
            }
        }
    }

    /// The text that the node matches, if it is plain text.
    pub(crate) fn literal(&self) -> Option<String> {
        match self {
            Ir::Empty => Some(String::new()),
            Ir::Char(c) => Some(c.to_string()),
            Ir::Concat(items) => items.iter().map(Ir::literal).collect(),
            _ => None,
        }
    }

    /// The length in characters of every match, if they all have the same.
    pub(crate) fn width(&self) -> Option<u32> {
        match self {
            Ir::Empty | Ir::Assert(_) | Ir::Look { .. } | Ir::Keep => Some(0),
            Ir::Char(_) | Ir::Set(_) => Some(1),
            Ir::Group(_, body) | Ir::Atomic(body) => body.width(),
            Ir::Concat(items) => items
                .iter()
                .try_fold(0u32, |sum, item| sum.checked_add(item.width()?)),
            Ir::Alt(items) => {
                let first = items.first()?.width()?;
                items
                    .iter()
                    .all(|item| item.width() == Some(first))
                    .then_some(first)
            }
            Ir::Repeat { body, min, max, .. } => {
                if *max == Some(*min) {
                    body.width()?.checked_mul(*min)
                } else {
                    None
                }
            }
            Ir::Backref { .. } => None,
            Ir::Cond { yes, no, .. } => yes.width().filter(|width| no.width() == Some(*width)),
        }
    }
}

fn assert_then(assert: Assert, follow: First) -> First {
    match assert {
        Assert::LineEnd | Assert::TextEndNewline => First {
            bytes: follow.bytes.and(ByteSet::one(b'\n')),
            eof: follow.eof,
            sure: false,
        },
        Assert::TextEnd => First {
            bytes: ByteSet::EMPTY,
            eof: follow.eof,
            sure: false,
        },
        Assert::LineStart
        | Assert::TextStart
        | Assert::SearchStart
        | Assert::Word
        | Assert::NotWord => First {
            sure: false,
            ..follow
        },
    }
}

/// The set of characters that the node matches, if it matches exactly one character and does nothing else.
pub(crate) fn one_char(ir: &Ir) -> Option<ClassUnicode> {
    match ir {
        Ir::Char(c) => Some(ClassUnicode::new([
            regex_syntax::hir::ClassUnicodeRange::new(*c, *c),
        ])),
        Ir::Set(class) => Some(class.clone()),
        Ir::Alt(items) => {
            let mut all = ClassUnicode::empty();
            for item in items {
                all.union(&one_char(item)?);
            }
            Some(all)
        }
        Ir::Concat(items) => match items.as_slice() {
            [only] => one_char(only),
            _ => None,
        },
        _ => None,
    }
}

/// If `ir` always takes the longest match that it has here, whatever the order of its choices: the bytes with
/// which a shorter match could be made longer. `None` if that cannot be told.
///
/// An atomic group around such a node changes nothing where what follows begins with none of these bytes.
pub(crate) fn continuations(ir: &Ir) -> Option<ByteSet> {
    match ir {
        Ir::Empty | Ir::Char(_) | Ir::Set(_) => Some(ByteSet::EMPTY),
        Ir::Group(_, body) | Ir::Atomic(body) => continuations(body),
        Ir::Concat(items) => {
            let mut all = ByteSet::EMPTY;
            for item in items {
                let first = starts(item);
                if !all.and(first).is_empty() {
                    return None;
                }
                let own = continuations(item)?;
                all = if item.nullable() {
                    all.or(first).or(own)
                } else {
                    own
                };
            }
            Some(all)
        }
        Ir::Alt(items) => {
            let (mut all, mut firsts) = (ByteSet::EMPTY, ByteSet::EMPTY);
            for item in items {
                let first = starts(item);
                if item.nullable() || !firsts.and(first).is_empty() {
                    return None;
                }
                firsts = firsts.or(first);
                all = all.or(continuations(item)?);
            }
            Some(all)
        }
        Ir::Repeat {
            body,
            min,
            max,
            lazy,
        } => {
            let (first, own) = (starts(body), continuations(body)?);
            if *max == Some(*min) && own.is_empty() {
                return Some(ByteSet::EMPTY);
            }
            let clash = *max != Some(1) && !own.and(first).is_empty();
            if *lazy || body.nullable() || clash {
                None
            } else {
                Some(first.or(own))
            }
        }
        Ir::Assert(_) | Ir::Look { .. } | Ir::Backref { .. } | Ir::Keep | Ir::Cond { .. } => None,
    }
}

/// The bytes with which a match of at least one character may begin.
fn starts(ir: &Ir) -> ByteSet {
    ir.then(First::NEVER).bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grok::syntax::{SyntaxOptions, parse};

    fn ir(pattern: &str) -> Ir {
        parse(pattern, SyntaxOptions::default()).unwrap().ir
    }

    #[test]
    fn what_follows_a_number_decides_whether_its_atomic_group_matters() {
        let number = continuations(&ir(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)")).unwrap();
        assert!(number.has(b'1') && number.has(b'.') && !number.has(b' ') && !number.has(b'+'));
        assert_eq!(
            continuations(&ir("a|ab")),
            None,
            "the first choice is not the longest"
        );
        assert_eq!(continuations(&ir("[a-z]+:|\\\\")), Some(ByteSet::EMPTY));
        assert_eq!(continuations(&ir("x*x")), None);
    }

    #[test]
    fn first_bytes() {
        let first = ir("(?:a|b)?c").then(First::ACCEPT);
        assert!(first.bytes.has(b'a') && first.bytes.has(b'c') && !first.bytes.has(b'd'));
        assert!(!first.eof && !first.sure);
        assert!(ir("a*").then(First::ACCEPT).sure);
        assert!(!ir("a*$").then(First::ACCEPT).sure);
        assert!(ir("[^a]").then(First::ACCEPT).bytes.has(0xc3));
    }

    #[test]
    fn widths() {
        assert_eq!(ir("a[bc]{3}(?:xy|zz)").width(), Some(6));
        assert_eq!(ir("a|bc").width(), None);
    }
}
