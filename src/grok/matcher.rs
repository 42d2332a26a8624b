//! Runs programs by backtracking: the fastest way for the patterns of logs, which seldom have two ways to go.
//!
//! What makes backtracking dangerous is bounded in three stages. A search that takes more steps than a few per byte
//! first asks an automaton, in linear time, whether the text can match at all. If it can, the search may take many
//! more steps; then it starts remembering from where it failed, so that no way is tried twice. What cannot be
//! remembered, or would need too much memory, ends with [`MatchError::Limit`].

use std::sync::OnceLock;

use memchr::memmem::Finder;

use super::ir::{Assert, Ir, any_char};
use super::linear::{Refuser, RefuserCache};
use super::program::{Class, Op, Program, Table, TooLarge};

/// Steps (instructions) per byte, and in addition, before the automaton is asked. A match without detours needs fewer.
const EASY_STEPS: (u64, u64) = (2, 128);
/// The same before failures are remembered.
const HARD_STEPS: (u64, u64) = (1_000, 100_000);
/// Steps after which a search is given up that does not remember its failures.
const MAX_STEPS: u64 = 50_000_000;
/// Memory for remembered failures, in 64-bit words (8 MiB); above it, failures are not remembered.
const MAX_MEMO_WORDS: usize = 1 << 20;
/// Memory for remembered failures that a cache keeps between searches, in words.
const KEPT_MEMO_WORDS: usize = 1 << 14;
/// Ways that wait to be tried, at most.
const MAX_STACK: usize = 1 << 22;
/// A slot that holds no position.
const NONE: u32 = u32::MAX;

/// Why a search ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// It took too many steps: the pattern backtracks without end on this text.
    #[error("the pattern needs too many steps on this text: make its repetitions less ambiguous")]
    Limit,
}

/// A way not taken yet.
#[derive(Clone, Copy, Debug)]
enum Frame {
    Branch {
        pc: u32,
        pos: u32,
    },
    List {
        table: u32,
        list: u16,
        next: u16,
        pos: u32,
    },
    Greedy {
        pc: u32,
        low: u32,
        pos: u32,
    },
    Lazy {
        pc: u32,
        pos: u32,
        high: u32,
    },
    Restore {
        slot: u32,
        value: u32,
    },
}

/// What one caller needs to run a program; reused from search to search.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    stack: Vec<Frame>,
    slots: Vec<u32>,
    memo: Vec<u64>,
    relaxed: Option<RefuserCache>,
}

impl Scratch {
    /// The bounds of a group in the last match.
    pub(crate) fn group(&self, index: usize) -> Option<(u32, u32)> {
        let bounds = self.slots.get(2 * index..2 * index + 2)?;
        if bounds[0] == NONE || bounds[1] == NONE {
            None
        } else {
            Some((bounds[0], bounds[1]))
        }
    }
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
    ir: Ir,
    relaxed: OnceLock<Option<Refuser>>,
}

impl Backtracker {
    /// Compiles a tree with `groups` capturing groups.
    pub(crate) fn new(ir: Ir, groups: usize) -> Result<Backtracker, TooLarge> {
        let program = Program::compile(&ir, groups)?;
        let required = required(&ir).filter(|text| !text.is_empty());
        Ok(Backtracker {
            lead: lead(&ir),
            required: required.map(|text| Finder::new(&text).into_owned()),
            program,
            ir,
            relaxed: OnceLock::new(),
        })
    }

    /// The literal text without which nothing matches.
    pub(crate) fn required(&self) -> Option<&[u8]> {
        self.required.as_ref().map(Finder::needle)
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
        let mut limit = steps(EASY_STEPS, text.len());
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
            while let Some(place) = pos {
                found = run.attempt(place);
                if found != Ok(false) {
                    break;
                }
                pos = search.next_place(place);
            }
            if let Ok(found) = found {
                return Ok(search.done(scratch, found));
            }
            match search.escalate(scratch, pos.unwrap_or(start))? {
                Some(more) => limit = more,
                None => return Ok(search.done(scratch, false)),
            }
        }
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
    fn escalate(&mut self, scratch: &mut Scratch, place: usize) -> Result<Option<u64>, MatchError> {
        let program = &self.regex.program;
        if matches!(self.stage, Stage::Easy) {
            if !self.regex.possible(scratch, self.text, place) {
                return Ok(None);
            }
            self.stage = Stage::Hard;
            return Ok(Some(steps(HARD_STEPS, self.text.len())));
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
                self.done(scratch, false);
                return Err(MatchError::Limit);
            }
        };
        Ok(Some(more))
    }

    /// Leaves no more memory in the scratch than is worth keeping.
    fn done(&self, scratch: &mut Scratch, found: bool) -> bool {
        if scratch.memo.capacity() > KEPT_MEMO_WORDS {
            scratch.memo = Vec::new();
        }
        if scratch.stack.capacity() > KEPT_MEMO_WORDS {
            scratch.stack = Vec::new();
        }
        found
    }
}

/// The place after the character at `place`; `None` at the end of the text.
fn after_char(text: &[u8], place: usize) -> Option<usize> {
    let byte = *text.get(place)?;
    Some(if byte < 0x80 {
        place + 1
    } else {
        place + decode(text, place).map_or(1, |(_, len)| len)
    })
}

/// The character at `place` and its length in bytes; `None` where the bytes are no UTF-8.
fn decode(text: &[u8], place: usize) -> Option<(char, usize)> {
    let len = match *text.get(place)? {
        0..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let found = std::str::from_utf8(text.get(place..place + len)?).ok()?;
    found.chars().next().map(|c| (c, len))
}

/// The character that ends at `place`.
fn decode_before(text: &[u8], place: usize) -> Option<(char, usize)> {
    let begin = before_char(text, place)?;
    decode(text, begin).filter(|(_, len)| begin + len == place)
}

/// Where the character that ends at `place` begins.
fn before_char(text: &[u8], place: usize) -> Option<usize> {
    let mut begin = place.checked_sub(1)?;
    while begin > 0 && place - begin < 4 && text.get(begin).is_some_and(|byte| byte & 0xc0 == 0x80)
    {
        begin -= 1;
    }
    Some(begin)
}

/// One attempt to match, at one place.
struct Run<'a> {
    program: &'a Program,
    text: &'a [u8],
    stack: &'a mut Vec<Frame>,
    slots: &'a mut Vec<u32>,
    memo: &'a mut Vec<u64>,
    remember: bool,
    search_start: usize,
    steps: u64,
    limit: u64,
    /// A slot may hold a position.
    dirty: bool,
}

/// Positions fit 32 bits: longer texts are refused before the search.
#[allow(clippy::cast_possible_truncation)]
fn short(pos: usize) -> u32 {
    pos as u32
}

impl Run<'_> {
    fn attempt(&mut self, place: usize) -> Result<bool, MatchError> {
        self.stack.clear();
        if self.dirty {
            self.slots.fill(NONE);
            self.dirty = false;
        }
        if let Some(begin) = self.slots.first_mut() {
            *begin = short(place);
        }
        let end = self.run(self.program.entry, place, 0)?;
        if let (Some(end), Some(slot)) = (end, self.slots.get_mut(1)) {
            *slot = short(end);
        }
        Ok(end.is_some())
    }

    /// Runs from `pc` until the body accepts. `depth` counts the look-arounds and atomic groups around it.
    fn run(&mut self, pc: u32, pos: usize, depth: u32) -> Result<Option<usize>, MatchError> {
        let base = self.stack.len();
        let (mut pc, mut pos) = (pc, pos);
        let mut executed = 0;
        loop {
            executed += 1;
            let Some(inst) = self.program.insts.get(pc as usize) else {
                return Ok(None);
            };
            let next = match &inst.op {
                Op::Accept => return Ok(Some(pos)),
                Op::Byte(byte) => {
                    (self.text.get(pos) == Some(byte)).then_some((inst.next, pos + 1))
                }
                Op::Literal { start, len } => {
                    self.literal(*start, *len, pos).map(|end| (inst.next, end))
                }
                Op::Class(class) => self
                    .class(*class)
                    .and_then(|class| self.step(class, pos))
                    .map(|end| (inst.next, end)),
                Op::Run { class, min, max } => self
                    .run_of(*class, *min, *max, pos)
                    .map(|end| (inst.next, end)),
                Op::Save(slot) => {
                    self.save(*slot, pos);
                    Some((inst.next, pos))
                }
                Op::Split {
                    first,
                    first_if,
                    second_if,
                } => self.split(pc, pos, depth, (*first, inst.next), (*first_if, *second_if)),
                Op::Dispatch(table) => self.dispatch(pc, pos, depth, *table),
                Op::Greedy {
                    class,
                    min,
                    max,
                    stop,
                } => self
                    .greedy(pc, pos, depth, (*class, *min, *max, *stop))
                    .map(|end| (inst.next, end)),
                Op::Lazy {
                    class,
                    min,
                    max,
                    stop,
                } => self
                    .lazy(pc, pos, depth, (*class, *min, *max, *stop))
                    .map(|end| (inst.next, end)),
                Op::Assert(assert) => self.holds(*assert, pos).then_some((inst.next, pos)),
                Op::Near {
                    class,
                    behind,
                    negative,
                } => (self.near(*class, *behind, pos) != *negative).then_some((inst.next, pos)),
                Op::Jump => Some((inst.next, pos)),
                Op::Fail => None,
                Op::Progress { slot, exit } => {
                    let begun = self.slots.get(*slot as usize).copied();
                    Some((
                        if begun == Some(short(pos)) {
                            *exit
                        } else {
                            inst.next
                        },
                        pos,
                    ))
                }
                Op::Atomic { entry } => self.inner(*entry, pos, depth)?.map(|end| (inst.next, end)),
                Op::Look {
                    entry,
                    back,
                    negative,
                } => self
                    .look(*entry, *back, *negative, pos, depth)?
                    .then_some((inst.next, pos)),
                Op::Backref { list, fold } => {
                    self.backref(*list, *fold, pos).map(|end| (inst.next, end))
                }
                Op::Cond { group, no } => {
                    let took_part = self
                        .slots
                        .get(2 * *group as usize + 1)
                        .is_some_and(|end| *end != NONE);
                    Some((if took_part { inst.next } else { *no }, pos))
                }
            };
            (pc, pos) = match next {
                Some(next) => next,
                None => {
                    self.steps += std::mem::take(&mut executed);
                    match self.back(base)? {
                        Some(next) => next,
                        None => return Ok(None),
                    }
                }
            };
        }
    }

    /// The next way not taken yet.
    fn back(&mut self, base: usize) -> Result<Option<(u32, usize)>, MatchError> {
        if self.steps > self.limit || self.stack.len() > MAX_STACK {
            return Err(MatchError::Limit);
        }
        while self.stack.len() > base {
            match self.stack.pop() {
                Some(Frame::Restore { slot, value }) => {
                    if let Some(place) = self.slots.get_mut(slot as usize) {
                        *place = value;
                    }
                }
                Some(Frame::Branch { pc, pos }) => return Ok(Some((pc, pos as usize))),
                Some(Frame::List {
                    table,
                    list,
                    next,
                    pos,
                }) => {
                    let found = self
                        .program
                        .tables
                        .get(table as usize)
                        .and_then(|table| self.branch(table, list, next));
                    let Some((pc, more)) = found else { continue };
                    if more {
                        self.stack.push(Frame::List {
                            table,
                            list,
                            next: next + 1,
                            pos,
                        });
                    }
                    return Ok(Some((pc, pos as usize)));
                }
                Some(Frame::Greedy { pc, low, pos }) => {
                    if let Some(next) = self.greedy_again(pc, low as usize, pos as usize) {
                        return Ok(Some(next));
                    }
                }
                Some(Frame::Lazy { pc, pos, high }) => {
                    if let Some(next) = self.lazy_again(pc, pos as usize, high as usize) {
                        return Ok(Some(next));
                    }
                }
                None => break,
            }
        }
        Ok(None)
    }

    fn class(&self, class: u32) -> Option<&Class> {
        self.program.classes.get(class as usize)
    }

    fn literal(&self, start: u32, len: u32, pos: usize) -> Option<usize> {
        let wanted = self
            .program
            .literals
            .get(start as usize..(start + len) as usize)?;
        self.text
            .get(pos..)?
            .starts_with(wanted)
            .then(|| pos + wanted.len())
    }

    /// The place after one character of the class.
    #[inline]
    fn step(&self, class: &Class, pos: usize) -> Option<usize> {
        let byte = *self.text.get(pos)?;
        match class.table[usize::from(byte)] {
            0 => None,
            1 => Some(pos + 1),
            _ => self.step_wide(class, pos),
        }
    }

    /// The same for a character beyond ASCII. A byte that is no UTF-8 counts as a character where all are allowed.
    fn step_wide(&self, class: &Class, pos: usize) -> Option<usize> {
        match decode(self.text, pos) {
            Some((_, len)) if class.all_wide => Some(pos + len),
            Some((c, len)) => holds_char(class, c).then_some(pos + len),
            None => class.all_wide.then_some(pos + 1),
        }
    }

    /// The end of the run of at most `max` characters of the class.
    fn span(&mut self, class: u32, pos: usize, max: u32) -> usize {
        let Some(class) = self.program.classes.get(class as usize) else {
            return pos;
        };
        let mut end = pos;
        if max == u32::MAX {
            while let Some(byte) = self.text.get(end) {
                match class.table[usize::from(*byte)] {
                    0 => break,
                    1 => end += 1,
                    _ if class.all_wide => end += 1,
                    _ => match self.step_wide(class, end) {
                        Some(next) => end = next,
                        None => break,
                    },
                }
            }
        } else {
            for _ in 0..max {
                let Some(next) = self.step(class, end) else {
                    break;
                };
                end = next;
            }
        }
        self.steps += ((end - pos) / 32) as u64;
        end
    }

    /// The place after exactly `count` characters of the class.
    fn exactly(&self, class: u32, pos: usize, count: u32) -> Option<usize> {
        let class = self.class(class)?;
        (0..count).try_fold(pos, |pos, _| self.step(class, pos))
    }

    fn run_of(&mut self, class: u32, min: u32, max: u32, pos: usize) -> Option<usize> {
        let low = self.exactly(class, pos, min)?;
        Some(self.span(class, low, if max == u32::MAX { max } else { max - min }))
    }

    fn save(&mut self, slot: u32, pos: usize) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            // With no way left to go back to, nobody will look at the old value.
            if !self.stack.is_empty() {
                self.stack.push(Frame::Restore {
                    slot,
                    value: *place,
                });
            }
            *place = short(pos);
            self.dirty = true;
        }
    }

    /// Was this choice made at this place before? Remembers it for the next time.
    fn seen(&mut self, pc: u32, pos: usize) -> bool {
        let choice = self
            .program
            .choice_of
            .get(pc as usize)
            .copied()
            .unwrap_or(0) as usize;
        let bit = choice * (self.text.len() + 1) + pos;
        let Some(word) = self.memo.get_mut(bit / 64) else {
            return false;
        };
        let before = *word;
        *word |= 1 << (bit % 64);
        self.steps += 1;
        before == *word
    }

    /// Failures are remembered outside of look-arounds and atomic groups only: what these match depends on where
    /// they were entered.
    fn remembers(&self, depth: u32) -> bool {
        self.remember && depth == 0
    }

    fn split(
        &mut self,
        pc: u32,
        pos: usize,
        depth: u32,
        (first, second): (u32, u32),
        (first_if, second_if): (u32, u32),
    ) -> Option<(u32, usize)> {
        if self.remembers(depth) && self.seen(pc, pos) {
            return None;
        }
        let admits = |stop: u32| {
            self.program
                .stops
                .get(stop as usize)
                .is_some_and(|stop| stop.first.admits(self.text, pos))
        };
        match (admits(first_if), admits(second_if)) {
            (true, true) => {
                self.stack.push(Frame::Branch {
                    pc: second,
                    pos: short(pos),
                });
                Some((first, pos))
            }
            (true, false) => Some((first, pos)),
            (false, true) => Some((second, pos)),
            (false, false) => None,
        }
    }

    fn dispatch(&mut self, pc: u32, pos: usize, depth: u32, table: u32) -> Option<(u32, usize)> {
        if self.remembers(depth) && self.seen(pc, pos) {
            return None;
        }
        let branches = self.program.tables.get(table as usize)?;
        let list = self
            .text
            .get(pos)
            .map_or(branches.at_end, |byte| branches.by_byte[usize::from(*byte)]);
        let (entry, more) = self.branch(branches, list, 0)?;
        if more {
            self.stack.push(Frame::List {
                table,
                list,
                next: 1,
                pos: short(pos),
            });
        }
        Some((entry, pos))
    }

    /// A branch of a list, and whether there are more.
    fn branch(&self, table: &Table, list: u16, index: u16) -> Option<(u32, bool)> {
        let list = table.lists.get(usize::from(list))?;
        list.get(usize::from(index))
            .map(|entry| (*entry, usize::from(index) + 1 < list.len()))
    }

    fn greedy(
        &mut self,
        pc: u32,
        pos: usize,
        depth: u32,
        (class, min, max, stop): (u32, u32, u32, u32),
    ) -> Option<usize> {
        let low = self.exactly(class, pos, min)?;
        let high = if max == u32::MAX && self.remembers(depth) {
            self.unseen(pc, class, low)?
        } else if self.remembers(depth) && self.seen(pc, pos) {
            return None;
        } else {
            self.span(class, low, if max == u32::MAX { max } else { max - min })
        };
        let stop = *self.program.stops.get(stop as usize)?;
        let end = if stop.first.admits(self.text, high) {
            high
        } else {
            self.last_stop(low, high, &stop)?
        };
        if end > low {
            self.stack.push(Frame::Greedy {
                pc,
                low: short(low),
                pos: short(end),
            });
        }
        Some(end)
    }

    /// The end of the run, or of its part that was not tried before; `None` if all of it was.
    fn unseen(&mut self, pc: u32, class: u32, low: usize) -> Option<usize> {
        if self.seen(pc, low) {
            return None;
        }
        let mut end = low;
        while let Some(next) = self.class(class).and_then(|class| self.step(class, end)) {
            if self.seen(pc, next) {
                break;
            }
            end = next;
        }
        Some(end)
    }

    /// The last place from `low` to before `high` where a match may go on.
    fn last_stop(&self, low: usize, high: usize, stop: &super::program::Stop) -> Option<usize> {
        if let Some(only) = stop.only {
            return memchr::memrchr(only, self.text.get(low..high)?).map(|found| low + found);
        }
        let mut end = high;
        while end > low {
            end = before_char(self.text, end)?.max(low);
            if stop.first.admits(self.text, end) {
                return Some(end);
            }
        }
        None
    }

    fn greedy_again(&mut self, pc: u32, low: usize, pos: usize) -> Option<(u32, usize)> {
        let inst = self.program.insts.get(pc as usize)?;
        let Op::Greedy { stop, .. } = &inst.op else {
            return None;
        };
        let stop = self.program.stops.get(*stop as usize)?;
        let end = self.last_stop(low, pos, stop)?;
        self.steps += ((pos - end) / 32) as u64;
        if end > low {
            self.stack.push(Frame::Greedy {
                pc,
                low: short(low),
                pos: short(end),
            });
        }
        Some((inst.next, end))
    }

    fn lazy(
        &mut self,
        pc: u32,
        pos: usize,
        depth: u32,
        (class, min, max, stop): (u32, u32, u32, u32),
    ) -> Option<usize> {
        let low = self.exactly(class, pos, min)?;
        let high = if max == u32::MAX {
            self.text.len()
        } else {
            self.span(class, low, max - min)
        };
        if max == u32::MAX && self.remembers(depth) {
            let high = self.unseen(pc, class, low)?;
            return self.lazy_from(pc, class, stop, low, high);
        }
        if self.remembers(depth) && self.seen(pc, pos) {
            return None;
        }
        self.lazy_from(pc, class, stop, low, high)
    }

    /// The first place from `low` to `high` where a match may go on.
    fn lazy_from(
        &mut self,
        pc: u32,
        class: u32,
        stop: u32,
        low: usize,
        high: usize,
    ) -> Option<usize> {
        let stop = self.program.stops.get(stop as usize)?;
        let class = self.program.classes.get(class as usize)?;
        let mut end = low;
        if let (Some(only), true) = (stop.only, class.everything) {
            let until = self.text.len().min(high + 1);
            end += memchr::memchr(only, self.text.get(low..until)?)?;
        } else {
            while !stop.first.admits(self.text, end) {
                if end >= high {
                    return None;
                }
                end = self.step(class, end)?;
            }
        }
        self.steps += ((end - low) / 32) as u64;
        if end < high {
            self.stack.push(Frame::Lazy {
                pc,
                pos: short(end),
                high: short(high),
            });
        }
        Some(end)
    }

    fn lazy_again(&mut self, pc: u32, pos: usize, high: usize) -> Option<(u32, usize)> {
        let inst = self.program.insts.get(pc as usize)?;
        let Op::Lazy { class, stop, .. } = &inst.op else {
            return None;
        };
        let (class, stop) = (*class, *stop);
        let next = inst.next;
        let low = self.class(class).and_then(|class| self.step(class, pos))?;
        self.lazy_from(pc, class, stop, low, high)
            .map(|end| (next, end))
    }

    fn holds(&self, assert: Assert, pos: usize) -> bool {
        let before = pos.checked_sub(1).and_then(|pos| self.text.get(pos));
        let after = self.text.get(pos);
        match assert {
            Assert::LineStart => before.is_none_or(|byte| *byte == b'\n'),
            Assert::LineEnd => after.is_none_or(|byte| *byte == b'\n'),
            Assert::TextStart => pos == 0,
            Assert::TextEnd => after.is_none(),
            Assert::TextEndNewline => {
                after.is_none_or(|byte| *byte == b'\n' && pos + 1 == self.text.len())
            }
            Assert::SearchStart => pos == self.search_start,
            Assert::Word | Assert::NotWord => {
                (self.word_before(pos) != self.word_after(pos)) == (assert == Assert::Word)
            }
        }
    }

    fn word_before(&self, pos: usize) -> bool {
        match pos.checked_sub(1).and_then(|pos| self.text.get(pos)) {
            None => false,
            Some(byte) if *byte < 0x80 => is_word_byte(*byte),
            Some(_) => decode_before(self.text, pos).is_some_and(|(c, _)| is_word(c)),
        }
    }

    fn word_after(&self, pos: usize) -> bool {
        match self.text.get(pos) {
            None => false,
            Some(byte) if *byte < 0x80 => is_word_byte(*byte),
            Some(_) => decode(self.text, pos).is_some_and(|(c, _)| is_word(c)),
        }
    }

    /// Is the character before or after the place one of the class?
    fn near(&self, class: u32, behind: bool, pos: usize) -> bool {
        let Some(class) = self.class(class) else {
            return false;
        };
        if !behind {
            return self.step(class, pos).is_some();
        }
        match pos.checked_sub(1).and_then(|pos| self.text.get(pos)) {
            None => false,
            Some(byte) if *byte < 0x80 => class.table[usize::from(*byte)] == 1,
            Some(_) => match decode_before(self.text, pos) {
                Some((c, _)) => holds_char(class, c),
                None => class.all_wide,
            },
        }
    }

    /// Runs the body of a look-around or atomic group; the ways it left open are closed.
    fn inner(&mut self, entry: u32, pos: usize, depth: u32) -> Result<Option<usize>, MatchError> {
        let begun = self.slots.first().copied().unwrap_or(NONE);
        // Something to go back to, so that groups inside the body are restored if it fails.
        self.stack.push(Frame::Restore {
            slot: 0,
            value: begun,
        });
        let base = self.stack.len();
        self.steps += 1;
        let end = self.run(entry, pos, depth + 1)?;
        let mut kept = base;
        for index in base..self.stack.len() {
            if let Some(frame @ Frame::Restore { .. }) = self.stack.get(index).copied() {
                if let Some(place) = self.stack.get_mut(kept) {
                    *place = frame;
                }
                kept += 1;
            }
        }
        self.stack.truncate(kept);
        Ok(end)
    }

    fn look(
        &mut self,
        entry: u32,
        back: u32,
        negative: bool,
        pos: usize,
        depth: u32,
    ) -> Result<bool, MatchError> {
        let begin = (0..back).try_fold(pos, |pos, _| before_char(self.text, pos));
        let Some(begin) = begin else {
            return Ok(negative);
        };
        let base = self.stack.len();
        let end = self.inner(entry, begin, depth)?;
        let found = end.is_some_and(|end| back == 0 || end == pos);
        if negative {
            // Groups inside a negative look-around stay as they were.
            while self.stack.len() > base {
                if let (Some(Frame::Restore { slot, value }), true) = (self.stack.pop(), found) {
                    if let Some(place) = self.slots.get_mut(slot as usize) {
                        *place = value;
                    }
                }
            }
        }
        Ok(found != negative)
    }

    /// The place after the text of the last of these groups that took part; a group that did not never matches.
    fn backref(&self, list: u32, fold: bool, pos: usize) -> Option<usize> {
        let groups = self.program.refs.get(list as usize)?;
        let bounds = groups.iter().rev().find_map(|group| {
            let bounds = self
                .slots
                .get(2 * *group as usize..2 * *group as usize + 2)?;
            (bounds[0] != NONE && bounds[1] != NONE)
                .then_some((bounds[0] as usize, bounds[1] as usize))
        })?;
        let wanted = self.text.get(bounds.0..bounds.1)?;
        let here = self.text.get(pos..pos + wanted.len())?;
        let same = if fold {
            here.eq_ignore_ascii_case(wanted)
        } else {
            here == wanted
        };
        same.then(|| pos + wanted.len())
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_word(c: char) -> bool {
    regex_syntax::try_is_word_character(c).unwrap_or(false)
}

fn holds_char(class: &Class, c: char) -> bool {
    let ranges = class.set.ranges();
    let after = ranges.partition_point(|range| range.start() <= c);
    after > 0 && ranges.get(after - 1).is_some_and(|range| c <= range.end())
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

/// The longest text that is part of every match.
fn required(ir: &Ir) -> Option<Vec<u8>> {
    let mut best = Vec::new();
    let mut current = String::new();
    collect_required(ir, &mut current, &mut best);
    keep_longer(&mut current, &mut best);
    Some(best)
}

fn keep_longer(current: &mut String, best: &mut Vec<u8>) {
    if current.len() > best.len() {
        *best = current.clone().into_bytes();
    }
    current.clear();
}

fn collect_required(ir: &Ir, current: &mut String, best: &mut Vec<u8>) {
    match ir {
        Ir::Char(c) => current.push(*c),
        Ir::Concat(items) => items
            .iter()
            .for_each(|item| collect_required(item, current, best)),
        Ir::Group(_, body) => collect_required(body, current, best),
        Ir::Atomic(body) | Ir::Repeat { body, min: 1.., .. } => {
            keep_longer(current, best);
            collect_required(body, current, best);
            keep_longer(current, best);
        }
        Ir::Empty | Ir::Keep | Ir::Assert(_) => {}
        _ => keep_longer(current, best),
    }
}
