//! From the tree to the automata of regex-automata: exactly, for patterns that need nothing more, and as an
//! over-approximation of all others, which serves to refuse texts that cannot match.

use regex_automata::meta;
use regex_syntax::hir::{self, Hir, Look, Repetition};

use super::ir::{Assert, Ir, any_char};

/// The largest automaton that is built, in bytes.
const MAX_NFA_BYTES: usize = 16 << 20;

/// The automaton for a pattern that [`Ir::is_regular`]; `None` if it would be too large.
pub(crate) fn exact(ir: &Ir) -> Option<meta::Regex> {
    build(&hir(ir, false))
}

/// An automaton that matches wherever the pattern does, and maybe elsewhere too. It captures nothing.
pub(crate) fn relaxed(ir: &Ir) -> Option<meta::Regex> {
    build(&hir(ir, true))
}

/// The pattern in the syntax of the regex crate, with tests of the position left out if `relaxed`.
pub(crate) fn hir(ir: &Ir, relaxed: bool) -> Hir {
    let one = |ir: &Ir| hir(ir, relaxed);
    match ir {
        Ir::Empty | Ir::Keep | Ir::Look { .. } => Hir::empty(),
        Ir::Char(c) => {
            let mut buf = [0; 4];
            Hir::literal(c.encode_utf8(&mut buf).as_bytes())
        }
        Ir::Set(class) => Hir::class(hir::Class::Unicode(class.clone())),
        Ir::Assert(assert) => look(*assert, relaxed),
        Ir::Group(_, body) if relaxed => one(body),
        Ir::Group(index, body) => {
            Hir::capture(hir::Capture { index: *index, name: None, sub: Box::new(one(body)) })
        }
        Ir::Concat(items) => Hir::concat(items.iter().map(one).collect()),
        Ir::Alt(items) => Hir::alternation(items.iter().map(one).collect()),
        Ir::Repeat { body, min, max, lazy } => {
            Hir::repetition(Repetition { min: *min, max: *max, greedy: !lazy, sub: Box::new(one(body)) })
        }
        Ir::Atomic(body) => one(body),
        Ir::Backref { .. } => Hir::repetition(Repetition {
            min: 0,
            max: None,
            greedy: true,
            sub: Box::new(Hir::class(hir::Class::Unicode(any_char()))),
        }),
        Ir::Cond { yes, no, .. } => Hir::alternation(vec![one(yes), one(no)]),
    }
}

fn look(assert: Assert, relaxed: bool) -> Hir {
    let look = match assert {
        Assert::LineStart => Look::StartLF,
        Assert::LineEnd => Look::EndLF,
        Assert::TextStart => Look::Start,
        Assert::TextEnd => Look::End,
        // Unicode word boundaries stop the fast automata at the first byte that is not ASCII.
        Assert::Word | Assert::NotWord if relaxed => return Hir::empty(),
        Assert::Word => Look::WordUnicode,
        Assert::NotWord => Look::WordUnicodeNegate,
        Assert::TextEndNewline => Look::EndLF,
        Assert::SearchStart => return Hir::empty(),
    };
    Hir::look(look)
}

fn build(hir: &Hir) -> Option<meta::Regex> {
    let config = meta::Config::new().utf8_empty(true).nfa_size_limit(Some(MAX_NFA_BYTES));
    meta::Builder::new().configure(config).build_from_hir(hir).ok()
}

