//! Takes out of a tree what can be told at load to change nothing: tests of positions that always hold where they
//! stand, and atomic groups around a body that has but one way.
//!
//! `\b` before `\w+` behind a blank is such a test, and so is the look-around with which the usual definitions of
//! numbers and addresses guard their ends, wherever a pattern goes on with something that they forbid anyway. What is
//! left is regular far more often.

use regex_syntax::hir::ClassUnicode;

use super::ir::{Assert, ByteSet, Ir, continuations, one_char};

/// A set of characters, coarse beyond ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chars {
    ascii: u128,
    /// Characters beyond ASCII may belong to it.
    wide: bool,
}

impl Chars {
    const NONE: Chars = Chars {
        ascii: 0,
        wide: false,
    };
    const ALL: Chars = Chars {
        ascii: u128::MAX,
        wide: true,
    };

    fn of(class: &ClassUnicode) -> Chars {
        let mut ascii = 0;
        let mut wide = false;
        for range in class.iter() {
            let (start, end) = (u32::from(range.start()), u32::from(range.end()));
            for char in start..=end.min(0x7f) {
                ascii |= 1 << char;
            }
            wide |= end > 0x7f;
        }
        Chars { ascii, wide }
    }

    fn one(c: char) -> Chars {
        if c.is_ascii() {
            Chars {
                ascii: 1 << u32::from(c),
                ..Chars::NONE
            }
        } else {
            Chars {
                ascii: 0,
                ..Chars::ALL
            }
        }
    }

    fn or(self, other: Chars) -> Chars {
        Chars {
            ascii: self.ascii | other.ascii,
            wide: self.wide || other.wide,
        }
    }

    fn meets(self, other: Chars) -> bool {
        self.ascii & other.ascii != 0 || (self.wide && other.wide)
    }

    fn words_only(self) -> bool {
        self.ascii & !word_bits() == 0 && !self.wide
    }

    fn no_words(self) -> bool {
        self.ascii & word_bits() == 0 && !self.wide
    }

    fn bytes(self) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        for byte in 0..0x80u8 {
            if self.ascii >> byte & 1 != 0 {
                set.insert(byte);
            }
        }
        if self.wide {
            (0x80..=0xff).for_each(|byte| set.insert(byte));
        }
        set
    }
}

fn word_bits() -> u128 {
    let mut bits = 0;
    for byte in 0..0x80u8 {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            bits |= 1 << byte;
        }
    }
    bits
}

/// What may stand on one side of a position: one of these characters, or an end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Side {
    chars: Chars,
    edge: bool,
}

impl Side {
    const ANYTHING: Side = Side {
        chars: Chars::ALL,
        edge: true,
    };
    const NOTHING: Side = Side {
        chars: Chars::NONE,
        edge: false,
    };

    fn of(chars: Chars) -> Side {
        Side { chars, edge: false }
    }

    fn or(self, other: Side) -> Side {
        Side {
            chars: self.chars.or(other.chars),
            edge: self.edge || other.edge,
        }
    }

    /// A word character is sure to stand here.
    fn is_word(self) -> bool {
        !self.edge && self.chars.words_only()
    }
}

/// The tree without what changes nothing.
pub(crate) fn simplify(ir: &Ir) -> Ir {
    reduce(ir, Side::ANYTHING, Side::ANYTHING)
}

/// `before` is what may stand before the node, `after` what has to come behind it for the match to go on: where
/// something else comes, the match fails there anyway.
fn reduce(ir: &Ir, before: Side, after: Side) -> Ir {
    match ir {
        Ir::Concat(items) => concat(items, before, after),
        Ir::Alt(items) => Ir::Alt(
            items
                .iter()
                .map(|item| reduce(item, before, after))
                .collect(),
        ),
        Ir::Group(index, body) => Ir::Group(*index, Box::new(reduce(body, before, after))),
        Ir::Repeat {
            body,
            min,
            max,
            lazy,
        } => {
            let (mut inner_before, mut inner_after) = (before, after);
            if *max != Some(1) {
                inner_before = inner_before.or(last(body, Side::NOTHING));
                inner_after = inner_after.or(first(body, Side::NOTHING));
            }
            Ir::Repeat {
                body: Box::new(reduce(body, inner_before, inner_after)),
                min: *min,
                max: *max,
                lazy: *lazy,
            }
        }
        Ir::Atomic(body) => {
            // What follows must not decide between the body's ways: that is what the group is for.
            let body = reduce(body, before, Side::ANYTHING);
            let one_way =
                continuations(&body).is_some_and(|more| more.and(after.chars.bytes()).is_empty());
            if one_way {
                body
            } else {
                Ir::Atomic(Box::new(body))
            }
        }
        Ir::Assert(assert) if always_holds(*assert, before, after) => Ir::Empty,
        Ir::Look {
            behind,
            negative: true,
            body,
        } if never_seen(body, if *behind { before } else { after }, *behind) => Ir::Empty,
        Ir::Cond { group, yes, no } => Ir::Cond {
            group: *group,
            yes: Box::new(reduce(yes, before, after)),
            no: Box::new(reduce(no, before, after)),
        },
        other => other.clone(),
    }
}

fn concat(items: &[Ir], before: Side, after: Side) -> Ir {
    let mut afters = vec![after; items.len()];
    let mut next = after;
    for (item, place) in items.iter().zip(&mut afters).rev() {
        *place = next;
        next = first(item, next);
    }
    let mut here = before;
    let mut out = Vec::with_capacity(items.len());
    for (item, after) in items.iter().zip(afters) {
        match reduce(item, here, after) {
            Ir::Empty => {}
            Ir::Concat(inner) => out.extend(inner),
            reduced => out.push(reduced),
        }
        here = last(item, here);
    }
    match out.len() {
        0 => Ir::Empty,
        1 => out.remove(0),
        _ => Ir::Concat(out),
    }
}

fn always_holds(assert: Assert, before: Side, after: Side) -> bool {
    let (word_before, word_after) = (before.is_word(), after.is_word());
    let (none_before, none_after) = (before.chars.no_words(), after.chars.no_words());
    match assert {
        Assert::Word => (word_before && none_after) || (none_before && word_after),
        Assert::NotWord => (word_before && word_after) || (none_before && none_after),
        _ => false,
    }
}

/// True when what the look-around forbids cannot stand there.
fn never_seen(body: &Ir, side: Side, behind: bool) -> bool {
    if behind {
        return one_char(body).is_some_and(|class| !Chars::of(&class).meets(side.chars));
    }
    let begins = first(body, Side::ANYTHING);
    !body.nullable() && !begins.chars.meets(side.chars)
}

/// What a match of the node, followed by `after`, may begin with.
fn first(ir: &Ir, after: Side) -> Side {
    match ir {
        Ir::Empty | Ir::Keep | Ir::Repeat { max: Some(0), .. } => after,
        Ir::Char(c) => Side::of(Chars::one(*c)),
        Ir::Set(class) => Side::of(Chars::of(class)),
        Ir::Assert(_) | Ir::Look { .. } => after,
        Ir::Group(_, body) | Ir::Atomic(body) => first(body, after),
        Ir::Concat(items) => items
            .iter()
            .rev()
            .fold(after, |after, item| first(item, after)),
        Ir::Alt(items) => items
            .iter()
            .fold(Side::NOTHING, |all, item| all.or(first(item, after))),
        Ir::Repeat { body, min, .. } => {
            let own = first(body, Side::NOTHING);
            if *min == 0 || body.nullable() {
                own.or(after)
            } else {
                own
            }
        }
        Ir::Backref { .. } => Side::ANYTHING,
        Ir::Cond { yes, no, .. } => first(yes, after).or(first(no, after)),
    }
}

/// What may stand before the position behind a match of the node.
fn last(ir: &Ir, before: Side) -> Side {
    match ir {
        Ir::Empty | Ir::Keep | Ir::Look { .. } => before,
        Ir::Assert(Assert::TextStart) => Side {
            chars: Chars::NONE,
            edge: true,
        },
        Ir::Assert(Assert::LineStart) => Side {
            chars: Chars::one('\n'),
            edge: true,
        },
        Ir::Assert(_) => before,
        Ir::Char(c) => Side::of(Chars::one(*c)),
        Ir::Set(class) => Side::of(Chars::of(class)),
        Ir::Group(_, body) | Ir::Atomic(body) => last(body, before),
        Ir::Concat(items) => items.iter().fold(before, |before, item| last(item, before)),
        Ir::Alt(items) => items
            .iter()
            .fold(Side::NOTHING, |all, item| all.or(last(item, before))),
        Ir::Repeat { body, min, .. } => {
            let own = last(body, Side::NOTHING);
            if *min == 0 || body.nullable() {
                own.or(before)
            } else {
                own
            }
        }
        Ir::Backref { .. } => Side::ANYTHING,
        Ir::Cond { yes, no, .. } => last(yes, before).or(last(no, before)),
    }
}
