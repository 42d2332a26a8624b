//! From the tree to the automata of regex-automata: exactly, for patterns that need nothing more, and as an
//! over-approximation of all others, which serves to refuse texts that cannot match.

use regex_automata::hybrid::dfa;
use regex_automata::nfa::thompson;
use regex_automata::{Input, meta};
use regex_syntax::hir::{self, Hir, Look, Repetition};

use super::ir::{Assert, Ir, any_char};

/// The largest automaton that is built, in bytes.
const MAX_NFA_BYTES: usize = 16 << 20;
/// Memory for what one caller's automaton of one pattern remembers, in bytes.
const MAX_REFUSER_BYTES: usize = 512 << 10;
/// Counted repetitions above this are taken for endless ones where exactness is not asked.
const MAX_COUNTED: u32 = 4;

/// The automaton for a pattern that [`Ir::is_regular`]; `None` if it would be too large.
pub(crate) fn exact(ir: &Ir) -> Option<meta::Regex> {
    build(&hir(ir, false))
}

/// An automaton that says of some texts, in linear time, that a pattern cannot match them.
#[derive(Debug)]
pub(crate) struct Refuser(dfa::DFA);

/// What a [`Refuser`] has built so far, for one caller.
#[derive(Debug)]
pub(crate) struct RefuserCache(dfa::Cache);

impl Refuser {
    /// `None` if the automaton would be too large.
    pub(crate) fn new(ir: &Ir) -> Option<Refuser> {
        let config = thompson::Config::new()
            .which_captures(thompson::WhichCaptures::None)
            .nfa_size_limit(Some(MAX_NFA_BYTES));
        let nfa = thompson::Compiler::new()
            .configure(config)
            .build_from_hir(&hir(ir, true))
            .ok()?;
        let config = dfa::Config::new()
            .cache_capacity(MAX_REFUSER_BYTES)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(2));
        dfa::Builder::new()
            .configure(config)
            .build_from_nfa(nfa)
            .ok()
            .map(Refuser)
    }

    /// May a match begin at or after `start`? Yes, unless the automaton could tell.
    pub(crate) fn admits(
        &self,
        cache: &mut Option<RefuserCache>,
        text: &[u8],
        start: usize,
    ) -> bool {
        let cache = cache.get_or_insert_with(|| RefuserCache(self.0.create_cache()));
        let input = Input::new(text).span(start..text.len()).earliest(true);
        // An error means that the cache filled too often, which says nothing about the text.
        !matches!(self.0.try_search_fwd(&mut cache.0, &input), Ok(None))
    }
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
        Ir::Group(index, body) => Hir::capture(hir::Capture {
            index: *index,
            name: None,
            sub: Box::new(one(body)),
        }),
        Ir::Concat(items) => Hir::concat(items.iter().map(one).collect()),
        Ir::Alt(items) => Hir::alternation(items.iter().map(one).collect()),
        Ir::Repeat {
            body,
            min,
            max,
            lazy,
        } => {
            let (min, max) = if relaxed {
                loosened(*min, *max)
            } else {
                (*min, *max)
            };
            Hir::repetition(Repetition {
                min,
                max,
                greedy: !lazy,
                sub: Box::new(one(body)),
            })
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

/// Bounds that allow at least as much, but need few states.
fn loosened(min: u32, max: Option<u32>) -> (u32, Option<u32>) {
    (min.min(MAX_COUNTED), max.filter(|max| *max <= MAX_COUNTED))
}

fn look(assert: Assert, relaxed: bool) -> Hir {
    let look = match assert {
        Assert::LineStart => Look::StartLF,
        Assert::LineEnd | Assert::TextEndNewline => Look::EndLF,
        Assert::TextStart => Look::Start,
        Assert::TextEnd => Look::End,
        // Unicode word boundaries stop the fast automata at the first byte that is not ASCII.
        Assert::Word | Assert::NotWord if relaxed => return Hir::empty(),
        Assert::Word => Look::WordUnicode,
        Assert::NotWord => Look::WordUnicodeNegate,
        Assert::SearchStart => return Hir::empty(),
    };
    Hir::look(look)
}

fn build(hir: &Hir) -> Option<meta::Regex> {
    let config = meta::Config::new()
        .utf8_empty(true)
        .nfa_size_limit(Some(MAX_NFA_BYTES));
    meta::Builder::new()
        .configure(config)
        .build_from_hir(hir)
        .ok()
}
