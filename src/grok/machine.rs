//! The machine that runs a program at one place of a text: registers, a stack of ways not taken, and a memory of
//! choices that failed.

use regex_automata::meta;
use regex_automata::util::primitives::NonMaxUsize;

use super::ir::Assert;
use super::linear::RefuserCache;
use super::matcher::MatchError;
use super::program::{Class, Op, Program, Stop, Table};

/// Ways that wait to be tried, at most.
const MAX_STACK: usize = 1 << 21;
/// A slot that holds no position.
pub(crate) const NONE: u32 = u32::MAX;

/// A way not taken yet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Frame {
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
    pub(crate) stack: Vec<Frame>,
    pub(crate) slots: Vec<u32>,
    pub(crate) memo: Vec<u64>,
    pub(crate) relaxed: Option<RefuserCache>,
    pub(crate) exact: Option<meta::Cache>,
    pub(crate) exact_slots: Vec<Option<NonMaxUsize>>,
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

/// One attempt to match, at one place.
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Program,
    pub(crate) text: &'a [u8],
    pub(crate) stack: &'a mut Vec<Frame>,
    pub(crate) slots: &'a mut Vec<u32>,
    pub(crate) memo: &'a mut Vec<u64>,
    pub(crate) remember: bool,
    pub(crate) search_start: usize,
    pub(crate) steps: u64,
    pub(crate) limit: u64,
    /// A slot may hold a position.
    pub(crate) dirty: bool,
}

/// Positions fit 32 bits: longer texts are refused before the search.
#[allow(clippy::cast_possible_truncation)]
fn short(pos: usize) -> u32 {
    pos as u32
}

impl Run<'_> {
    /// Does the program match here? Then its groups are in the slots.
    pub(crate) fn attempt(&mut self, place: usize) -> Result<bool, MatchError> {
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
    #[allow(clippy::too_many_lines)] // one flat table of instructions
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
                Op::Field(field) => {
                    let end = self
                        .program
                        .fields
                        .get(*field as usize)
                        .and_then(|field| field.end(self.text, pos));
                    if let Some(end) = end {
                        self.steps += ((end - pos) / 32) as u64;
                    }
                    end.map(|end| (inst.next, end))
                }
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
            (pc, pos) = if let Some(next) = next {
                next
            } else {
                self.steps += std::mem::take(&mut executed);
                match self.back(base)? {
                    Some(next) => next,
                    None => return Ok(None),
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
                        .and_then(|table| Self::branch(table, list, next));
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
        if max == u32::MAX
            && let Some(all_but) = &class.all_but
        {
            let rest = self.text.get(pos..).unwrap_or_default();
            let found = match **all_but {
                [one] => memchr::memchr(one, rest),
                [one, two] => memchr::memchr2(one, two, rest),
                [one, two, three] => memchr::memchr3(one, two, three, rest),
                _ => Some(0),
            };
            end = pos + found.unwrap_or(rest.len());
        } else if max == u32::MAX && class.everything {
            end = self.text.len().max(pos);
        } else if max == u32::MAX {
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
        let (entry, more) = Self::branch(branches, list, 0)?;
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
    fn branch(table: &Table, list: u16, index: u16) -> Option<(u32, bool)> {
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
    fn last_stop(&self, low: usize, high: usize, stop: &Stop) -> Option<usize> {
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
                if let (Some(Frame::Restore { slot, value }), true) = (self.stack.pop(), found)
                    && let Some(place) = self.slots.get_mut(slot as usize)
                {
                    *place = value;
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

/// The place after the character at `place`; `None` at the end of the text.
pub(crate) fn after_char(text: &[u8], place: usize) -> Option<usize> {
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
