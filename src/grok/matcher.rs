//! Runs programs by backtracking: the fastest way for the patterns of logs, which seldom have two ways to go.
//!
//! What makes backtracking dangerous is bounded in stages. A search that takes more steps than a match without
//! detours first asks an automaton, in linear time, whether the text can match at all. If it can, a regular pattern is
//! matched by an automaton as well. Any other may take many more steps; then it starts remembering from where it
//! failed, so that no way is tried twice. What cannot be remembered, or would need too much memory, ends with
//! [`MatchError::Limit`].

use std::sync::OnceLock;

use memchr::memmem::Finder;
use regex_automata::{Input, meta};

use super::ir::{Assert, Ir, any_char};
use super::linear::{self, Refuser};
use super::machine::{NONE, Run, Scratch, after_char};
use super::program::{Program, TooLarge};
use super::simplify::simplify;

/// Steps (instructions) per eight bytes, and in addition, before the automaton is asked. A match without detours needs
/// fewer.
const EASY_STEPS: (u64, u64) = (1, 64);
/// Steps that may be spent on other places of the text when the first one was tried in vain.
const ELSEWHERE_STEPS: u64 = 32;
/// The same before failures are remembered.
const HARD_STEPS: (u64, u64) = (1_000, 100_000);
/// Steps after which a search is given up that does not remember its failures.
const MAX_STEPS: u64 = 50_000_000;
/// Memory for remembered failures, in 64-bit words (8 MiB); above it, failures are not remembered.
const MAX_MEMO_WORDS: usize = 1 << 20;
/// Memory for remembered failures that a cache keeps between searches, in words.
const KEPT_MEMO_WORDS: usize = 1 << 14;

/// Why a search ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// It took too many steps: the pattern backtracks without end on this text.
    #[error("the pattern needs too many steps on this text: make its repetitions less ambiguous")]
    Limit,
}

/// Where a match may begin.
#[derive(Clone, Debug)]
enum Lead {
    /// At the beginning of the text.
    Text,
    /// At the beginning of a line.
    Line,
    /// Where the search begins: the pattern begins with "anything", so all later places are covered.
    Once,
    /// Where the search begins or a line begins: the same, but "anything" ends with the line.
    LineOrHere,
    /// At this text.
    Literal(Box<Finder<'static>>),
    /// At one of the bytes with which the program begins.
    Bytes,
}

/// A pattern with everything needed to search with it.
#[derive(Debug)]
pub(crate) struct Backtracker {
    program: Program,
    lead: Lead,
    required: Option<Finder<'static>>,
    /// All texts without which nothing matches.
    literals: Vec<Vec<u8>>,
    ir: Ir,
    relaxed: OnceLock<Option<Refuser>>,
    /// The engine of last resort of a regular pattern.
    exact: OnceLock<Option<meta::Regex>>,
    regular: bool,
}

impl Backtracker {
    /// Compiles a tree with `groups` capturing groups.
    pub(crate) fn new(ir: &Ir, groups: usize) -> Result<Backtracker, TooLarge> {
        let ir = simplify(ir);
        let program = Program::compile(&ir, groups)?;
        let literals = required(&ir);
        let longest = literals.iter().rev().max_by_key(|text| text.len());
        Ok(Backtracker {
            lead: lead(&ir),
            required: longest.map(|text| Finder::new(text).into_owned()),
            regular: ir.is_regular() && !loops_on_nothing(&ir),
            literals,
            program,
            ir,
            relaxed: OnceLock::new(),
            exact: OnceLock::new(),
        })
    }

    /// The literal text without which nothing matches.
    pub(crate) fn required(&self) -> Option<&[u8]> {
        self.required.as_ref().map(Finder::needle)
    }

    /// All texts that every match holds.
    pub(crate) fn literals(&self) -> &[Vec<u8>] {
        &self.literals
    }

    /// What runs the pattern, in words.
    pub(crate) fn engine(&self) -> String {
        self.program.kind()
    }

    /// What happens to a text on which the program takes too many steps, in words.
    pub(crate) fn fallback(&self) -> &'static str {
        if self.regular {
            "an automaton refuses texts that cannot match, another matches the rest: linear time"
        } else {
            "an automaton refuses texts that cannot match; the rest has a budget of steps, since the pattern needs what \
             automata cannot do (look-around, atomic groups, back-references)"
        }
    }

    /// The program, an instruction a line.
    pub(crate) fn listing(&self) -> String {
        self.program.listing()
    }

    /// Number of instructions.
    pub(crate) fn instructions(&self) -> usize {
        self.program.insts.len()
    }

    /// How places where a match may begin are found, in words.
    pub(crate) fn lead(&self) -> String {
        match &self.lead {
            Lead::Text => "at the beginning of the text".to_owned(),
            Lead::Line => "at the beginnings of lines".to_owned(),
            Lead::Once => "once, where the search begins".to_owned(),
            Lead::LineOrHere => "once per line".to_owned(),
            Lead::Literal(finder) => format!("at {:?}", String::from_utf8_lossy(finder.needle())),
            Lead::Bytes => format!("at one of {} bytes", self.program.first.bytes.len()),
        }
    }

    /// Finds the leftmost match that begins at or after `start`; its groups are then in `scratch`.
    pub(crate) fn search(
        &self,
        scratch: &mut Scratch,
        text: &[u8],
        start: usize,
    ) -> Result<bool, MatchError> {
        self.search_from(scratch, text, start, Stage::Easy)
    }

    /// The same, with failures remembered from the beginning.
    #[cfg(test)]
    pub(crate) fn search_remembering(
        &self,
        scratch: &mut Scratch,
        text: &[u8],
        start: usize,
    ) -> Result<bool, MatchError> {
        scratch.memo.clear();
        scratch.memo.resize(
            text.len() * self.program.choices as usize / 64 + self.program.choices as usize + 1,
            0,
        );
        self.search_from(scratch, text, start, Stage::Remembering)
    }

    fn search_from(
        &self,
        scratch: &mut Scratch,
        text: &[u8],
        start: usize,
        stage: Stage,
    ) -> Result<bool, MatchError> {
        if u32::try_from(text.len()).is_err() {
            return Err(MatchError::Limit);
        }
        let Some(ahead) = text.get(start..) else {
            return Ok(false);
        };
        if self
            .required
            .as_ref()
            .is_some_and(|finder| finder.find(ahead).is_none())
        {
            return Ok(false);
        }
        let mut search = Search {
            regex: self,
            text,
            start,
            stage,
        };
        let mut pos = search.first_place();
        let mut limit = text.len() as u64 / 8 * EASY_STEPS.0 + EASY_STEPS.1;
        scratch.slots.clear();
        scratch.slots.resize(self.program.slots, NONE);
        loop {
            let mut run = Run {
                program: &self.program,
                text,
                stack: &mut scratch.stack,
                slots: &mut scratch.slots,
                memo: &mut scratch.memo,
                remember: matches!(search.stage, Stage::Remembering),
                search_start: start,
                steps: 0,
                limit,
                dirty: true,
            };
            let mut found = Ok(false);
            let mut elsewhere = run.limit - 1;
            while let Some(place) = pos {
                found = run.attempt(place);
                if found != Ok(false) {
                    break;
                }
                pos = search.next_place(place);
                if run.limit > elsewhere && matches!(search.stage, Stage::Easy) {
                    elsewhere = elsewhere.min(run.steps + ELSEWHERE_STEPS);
                    run.limit = elsewhere;
                }
            }
            if let Ok(found) = found {
                return Ok(Search::done(scratch, found));
            }
            match search.escalate(scratch, pos.unwrap_or(start))? {
                Next::Steps(more) => limit = more,
                Next::Never => return Ok(Search::done(scratch, false)),
                Next::Automaton => {
                    if let Some(found) = self.search_linear(scratch, text, start) {
                        return Ok(Search::done(scratch, found));
                    }
                    limit = steps(HARD_STEPS, text.len());
                }
            }
        }
    }

    /// The same by an automaton, for regular patterns; `None` if it would be too large.
    fn search_linear(&self, scratch: &mut Scratch, text: &[u8], start: usize) -> Option<bool> {
        let regex = self
            .exact
            .get_or_init(|| linear::exact(&self.ir))
            .as_ref()?;
        let cache = scratch.exact.get_or_insert_with(|| regex.create_cache());
        scratch.exact_slots.clear();
        scratch.exact_slots.resize(self.program.slots, None);
        let input = Input::new(text).span(start..text.len());
        let found = regex.search_slots_with(cache, &input, &mut scratch.exact_slots);
        for (to, from) in scratch.slots.iter_mut().zip(&scratch.exact_slots) {
            *to = from.map_or(NONE, |place| u32::try_from(place.get()).unwrap_or(NONE));
        }
        Some(found.is_some())
    }

    /// Can the text from `place` on match at all? True where that is not known.
    fn possible(&self, scratch: &mut Scratch, text: &[u8], place: usize) -> bool {
        let Some(relaxed) = self.relaxed.get_or_init(|| Refuser::new(&self.ir)) else {
            return true;
        };
        relaxed.admits(&mut scratch.relaxed, text, place)
    }
}

fn steps((per_byte, more): (u64, u64), len: usize) -> u64 {
    (per_byte * len as u64).saturating_add(more).min(MAX_STEPS)
}

/// How careful a search has become.
enum Stage {
    Easy,
    Hard,
    Remembering,
    Last,
}

/// How a search goes on that took too many steps.
enum Next {
    /// So many more may be taken.
    Steps(u64),
    /// There can be no match.
    Never,
    /// An automaton takes over.
    Automaton,
}

struct Search<'a> {
    regex: &'a Backtracker,
    text: &'a [u8],
    start: usize,
    stage: Stage,
}

impl Search<'_> {
    fn first_place(&self) -> Option<usize> {
        match &self.regex.lead {
            Lead::Text => (self.start == 0).then_some(0),
            Lead::Line if self.start > 0 && self.text.get(self.start - 1) != Some(&b'\n') => {
                self.next_line(self.start)
            }
            Lead::Line | Lead::Once | Lead::LineOrHere => Some(self.start),
            Lead::Literal(_) | Lead::Bytes => self.place_from(self.start),
        }
    }

    fn next_place(&self, place: usize) -> Option<usize> {
        match &self.regex.lead {
            Lead::Text | Lead::Once => None,
            Lead::Line | Lead::LineOrHere => self.next_line(place),
            Lead::Literal(_) | Lead::Bytes => self.place_from(after_char(self.text, place)?),
        }
    }

    /// The beginning of the first line that begins after `from`.
    fn next_line(&self, from: usize) -> Option<usize> {
        let rest = self.text.get(from..)?;
        memchr::memchr(b'\n', rest).map(|newline| from + newline + 1)
    }

    /// The first place at or after `from` where the pattern may begin.
    fn place_from(&self, from: usize) -> Option<usize> {
        let rest = self.text.get(from..)?;
        if let Lead::Literal(finder) = &self.regex.lead {
            return finder.find(rest).map(|found| from + found);
        }
        let first = &self.regex.program.first;
        if let Some(found) = rest
            .iter()
            .position(|byte| first.bytes.has(*byte) && (*byte & 0xc0) != 0x80)
        {
            return Some(from + found);
        }
        (first.eof && from <= self.text.len()).then_some(self.text.len())
    }

    /// After too many steps from `place`: how many more may be taken, or `None` if there can be no match.
    fn escalate(&mut self, scratch: &mut Scratch, place: usize) -> Result<Next, MatchError> {
        let program = &self.regex.program;
        if matches!(self.stage, Stage::Easy) {
            if !self.regex.possible(scratch, self.text, place) {
                return Ok(Next::Never);
            }
            self.stage = Stage::Hard;
            return Ok(if self.regex.regular {
                Next::Automaton
            } else {
                Next::Steps(steps(HARD_STEPS, self.text.len()))
            });
        }
        let mut more = MAX_STEPS;
        let words = (self.text.len() + 1).saturating_mul(program.choices as usize) / 64 + 1;
        self.stage = match self.stage {
            Stage::Hard if program.context_free && words <= MAX_MEMO_WORDS => {
                scratch.memo.clear();
                scratch.memo.resize(words, 0);
                // Each choice is made at most once at each place, with few instructions in between.
                more = more.max(words as u64 * 64 * 16);
                Stage::Remembering
            }
            Stage::Hard => Stage::Last,
            _ => {
                Self::done(scratch, false);
                return Err(MatchError::Limit);
            }
        };
        Ok(Next::Steps(more))
    }

    /// Leaves no more memory in the scratch than is worth keeping.
    fn done(scratch: &mut Scratch, found: bool) -> bool {
        if scratch.memo.capacity() > KEPT_MEMO_WORDS {
            scratch.memo = Vec::new();
        }
        if scratch.stack.capacity() > KEPT_MEMO_WORDS {
            scratch.stack = Vec::new();
        }
        found
    }
}

/// Where a match of the pattern may begin.
fn lead(ir: &Ir) -> Lead {
    match ir {
        Ir::Assert(Assert::TextStart) => Lead::Text,
        Ir::Assert(Assert::LineStart) => Lead::Line,
        Ir::Group(_, body) => lead(body),
        Ir::Repeat {
            body,
            min: 0,
            max: None,
            ..
        } => match super::ir::one_char(body) {
            Some(class) if class == any_char() => Lead::Once,
            Some(class) if class == super::classes::not_newline() => Lead::LineOrHere,
            _ => Lead::Bytes,
        },
        Ir::Concat(items) => match items.first() {
            Some(Ir::Char(_)) => literal_lead(ir),
            Some(first) => lead(first),
            None => Lead::Bytes,
        },
        Ir::Char(_) => literal_lead(ir),
        _ => Lead::Bytes,
    }
}

fn literal_lead(ir: &Ir) -> Lead {
    let items = if let Ir::Concat(items) = ir {
        items.as_slice()
    } else {
        std::slice::from_ref(ir)
    };
    let text: String = items
        .iter()
        .map_while(|item| {
            if let Ir::Char(c) = item {
                Some(*c)
            } else {
                None
            }
        })
        .collect();
    Lead::Literal(Box::new(Finder::new(&text).into_owned()))
}

/// The texts that are part of every match.
fn required(ir: &Ir) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut current = String::new();
    collect_required(ir, &mut current, &mut all);
    keep(&mut current, &mut all);
    all
}

fn keep(current: &mut String, all: &mut Vec<Vec<u8>>) {
    if !current.is_empty() {
        all.push(std::mem::take(current).into_bytes());
    }
}

fn collect_required(ir: &Ir, current: &mut String, all: &mut Vec<Vec<u8>>) {
    match ir {
        Ir::Char(c) => current.push(*c),
        Ir::Concat(items) => items
            .iter()
            .for_each(|item| collect_required(item, current, all)),
        Ir::Group(_, body) => collect_required(body, current, all),
        Ir::Atomic(body) | Ir::Repeat { body, min: 1.., .. } => {
            keep(current, all);
            collect_required(body, current, all);
            keep(current, all);
        }
        Ir::Empty | Ir::Keep | Ir::Assert(_) => {}
        _ => keep(current, all),
    }
}

/// Does the tree repeat something that can match nothing? Engines do not agree on the groups in it.
fn loops_on_nothing(ir: &Ir) -> bool {
    match ir {
        Ir::Repeat { body, max, .. } => {
            (*max != Some(1) && body.nullable()) || loops_on_nothing(body)
        }
        Ir::Group(_, body) | Ir::Atomic(body) | Ir::Look { body, .. } => loops_on_nothing(body),
        Ir::Concat(items) | Ir::Alt(items) => items.iter().any(loops_on_nothing),
        Ir::Cond { yes, no, .. } => loops_on_nothing(yes) || loops_on_nothing(no),
        _ => false,
    }
}
