//! Turns a tree into the program that the backtracking matcher runs.
//!
//! The program is written from its end to its beginning, so that at each point it is known with which bytes a match
//! may go on. That makes most choices need no way back: of two branches only one can begin with the byte at hand, and
//! a run of characters ends where the next element begins.

use std::sync::Arc;

use regex_syntax::hir::ClassUnicode;
use rustc_hash::FxHashMap;

use super::field::{Field, suits};
use super::ir::{Assert, ByteSet, First, Ir, continuations, one_char};

/// Programs of more instructions are refused.
const MAX_INSTRUCTIONS: usize = 200_000;
/// Repetitions nest and multiply; this bounds the work of unrolling them.
const MAX_UNROLLED: u32 = 20_000;

/// So often it is tried to make a field of the end of one row of items.
const MAX_REFUSED: u32 = 3;

/// Why a pattern could not be made a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// One instruction and the place of the next.
#[derive(Clone, Debug)]
pub(crate) struct Inst {
    pub(crate) op: Op,
    pub(crate) next: u32,
}

/// What an instruction does.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// The whole pattern, or the body of a [`Op::Look`] or [`Op::Atomic`], has matched.
    Accept,
    /// This way leads nowhere.
    Fail,
    /// Goes on at the next instruction.
    Jump,
    /// One byte.
    Byte(u8),
    /// Several bytes: a range of [`Program::literals`].
    Literal { start: u32, len: u32 },
    /// One character of a class.
    Class(u32),
    /// A part with but one end, run by its table: a place in [`Program::fields`].
    Field(u32),
    /// Characters of a class, as many as there are: nothing that follows could use fewer.
    Run { class: u32, min: u32, max: u32 },
    /// Characters of a class, the most first. `stop` is a place in [`Program::stops`] for what follows.
    Greedy {
        class: u32,
        min: u32,
        max: u32,
        stop: u32,
    },
    /// Characters of a class, the fewest first.
    Lazy {
        class: u32,
        min: u32,
        max: u32,
        stop: u32,
    },
    /// Two branches, tried in order.
    Split {
        first: u32,
        first_if: u32,
        second_if: u32,
    },
    /// Several branches: which are worth trying is looked up by the next byte.
    Dispatch(u32),
    /// Notes the position.
    Save(u32),
    /// Leaves a loop whose body matched the empty text: goes on at `exit`.
    Progress { slot: u32, exit: u32 },
    /// A test of the position.
    Assert(Assert),
    /// A test of the character before or after the position. At an end of the text there is none, and the test
    /// succeeds if it is negative.
    Near {
        class: u32,
        behind: bool,
        negative: bool,
    },
    /// Look-around: runs the body at `entry`, `back` characters before the position.
    Look {
        entry: u32,
        back: u32,
        negative: bool,
    },
    /// The first match of the body at `entry`.
    Atomic { entry: u32 },
    /// The text of a group again: a place in [`Program::refs`].
    Backref { list: u32, fold: bool },
    /// A branch by whether a group took part.
    Cond { group: u32, no: u32 },
}

/// The branches to try for each next byte.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// Index into `lists`, by byte.
    pub(crate) by_byte: [u16; 256],
    /// Index into `lists` for the end of the text.
    pub(crate) at_end: u16,
    pub(crate) lists: Vec<Box<[u32]>>,
}

/// With what a match may go on after a choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) first: First,
    /// The byte that must come next, if there is only one.
    pub(crate) only: Option<u8>,
}

/// A set of characters, ready to test bytes.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    /// By first byte: 0 no, 1 yes and the character is that byte, 2 look at the whole character.
    pub(crate) table: [u8; 256],
    /// Every character beyond ASCII belongs to the set.
    pub(crate) all_wide: bool,
    /// Every character belongs to the set.
    pub(crate) everything: bool,
    /// All characters but at most three of ASCII, which are then listed.
    pub(crate) all_but: Option<Box<[u8]>>,
    pub(crate) set: ClassUnicode,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) insts: Vec<Inst>,
    pub(crate) entry: u32,
    pub(crate) classes: Vec<Class>,
    pub(crate) stops: Vec<Stop>,
    pub(crate) tables: Vec<Table>,
    pub(crate) fields: Vec<Arc<Field>>,
    pub(crate) literals: Vec<u8>,
    pub(crate) refs: Vec<Vec<u32>>,
    /// Number of position slots: two per group, then one per loop that may match nothing.
    pub(crate) slots: usize,
    /// Number of instructions that make choices, each with its index in `choice_of`.
    pub(crate) choices: u32,
    /// For each instruction the number of its choice, or `u32::MAX`.
    pub(crate) choice_of: Vec<u32>,
    /// Whether a match can go on from some instruction and position depends on nothing else, so that failures may be
    /// remembered. Back-references and conditions make this false.
    pub(crate) context_free: bool,
    /// With what a match may begin.
    pub(crate) first: First,
}

impl Program {
    /// Compiles a tree with `groups` capturing groups.
    pub(crate) fn compile(ir: &Ir, groups: usize) -> Result<Program, TooLarge> {
        let mut writer = Writer {
            program: Program {
                insts: Vec::new(),
                entry: 0,
                classes: Vec::new(),
                stops: Vec::new(),
                tables: Vec::new(),
                fields: Vec::new(),
                literals: Vec::new(),
                refs: Vec::new(),
                slots: 2 * (groups + 1),
                choices: 0,
                choice_of: Vec::new(),
                context_free: true,
                first: ir.then(First::ACCEPT),
            },
            class_ids: FxHashMap::default(),
            first_ids: FxHashMap::default(),
            unrolled: 0,
        };
        let accept = writer.push(Op::Accept, 0)?;
        let entry = writer.emit(ir, accept, First::ACCEPT)?;
        let mut program = writer.program;
        program.entry = entry;
        for inst in &program.insts {
            let choice = matches!(
                inst.op,
                Op::Split { .. } | Op::Dispatch(_) | Op::Greedy { .. } | Op::Lazy { .. }
            );
            program
                .choice_of
                .push(if choice { program.choices } else { u32::MAX });
            program.choices += u32::from(choice);
        }
        Ok(program)
    }
}

struct Writer {
    program: Program,
    class_ids: FxHashMap<Vec<(char, char)>, u32>,
    first_ids: FxHashMap<(ByteSet, bool), u32>,
    unrolled: u32,
}

fn id(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Writer {
    fn push(&mut self, op: Op, next: u32) -> Result<u32, TooLarge> {
        if self.program.insts.len() >= MAX_INSTRUCTIONS {
            return Err(TooLarge);
        }
        self.program.insts.push(Inst { op, next });
        Ok(id(self.program.insts.len() - 1))
    }

    /// Writes the code for `ir`, which goes on at `next`, where a match begins with `follow`. Returns its entry.
    fn emit(&mut self, ir: &Ir, next: u32, follow: First) -> Result<u32, TooLarge> {
        if matches!(ir, Ir::Alt(_) | Ir::Repeat { .. })
            && let Some(field) = self.field(ir, next, follow)?
        {
            return Ok(field);
        }
        match ir {
            Ir::Empty => Ok(next),
            Ir::Char(c) => self.literal(c.encode_utf8(&mut [0; 4]).as_bytes(), next),
            Ir::Set(class) if class.ranges().is_empty() => self.push(Op::Fail, next),
            Ir::Set(class) => {
                let class = self.class(class);
                self.push(Op::Class(class), next)
            }
            Ir::Assert(assert) => self.push(Op::Assert(*assert), next),
            Ir::Group(index, body) => {
                let end = self.push(Op::Save(2 * index + 1), next)?;
                let body = self.emit(body, end, follow)?;
                self.push(Op::Save(2 * index), body)
            }
            Ir::Concat(items) => self.concat(items, next, follow),
            Ir::Alt(items) => {
                let mut branches = Vec::with_capacity(items.len());
                for item in items {
                    branches.push((self.emit(item, next, follow)?, item.then(follow)));
                }
                self.choice(&branches)
            }
            Ir::Repeat {
                body,
                min,
                max,
                lazy,
            } => match one_char(body) {
                Some(class) => self.run(&class, *min, *max, *lazy, next, follow),
                None => self.repeat(body, (*min, *max), *lazy, next, follow),
            },
            Ir::Atomic(body) => self.atomic(body, next, follow),
            Ir::Look {
                behind,
                negative,
                body,
            } => self.look(*behind, *negative, body, next, follow),
            Ir::Backref { groups, fold } => {
                self.program.context_free = false;
                self.program.refs.push(groups.clone());
                let list = id(self.program.refs.len() - 1);
                self.push(Op::Backref { list, fold: *fold }, next)
            }
            Ir::Keep => self.push(Op::Save(0), next),
            Ir::Cond { group, yes, no } => {
                self.program.context_free = false;
                let no = self.emit(no, next, follow)?;
                let yes = self.emit(yes, next, follow)?;
                self.push(Op::Cond { group: *group, no }, yes)
            }
        }
    }

    fn literal(&mut self, bytes: &[u8], next: u32) -> Result<u32, TooLarge> {
        if let [byte] = bytes {
            return self.push(Op::Byte(*byte), next);
        }
        let start = id(self.program.literals.len());
        self.program.literals.extend_from_slice(bytes);
        self.push(
            Op::Literal {
                start,
                len: id(bytes.len()),
            },
            next,
        )
    }

    fn concat(&mut self, items: &[Ir], next: u32, follow: First) -> Result<u32, TooLarge> {
        let (mut next, mut follow) = (next, follow);
        let mut end = items.len();
        let mut refused = 0;
        while end > 0 {
            let chars = items[..end]
                .iter()
                .rev()
                .take_while(|item| matches!(item, Ir::Char(_)))
                .count();
            if chars > 1 {
                let text: String = items[end - chars..end]
                    .iter()
                    .filter_map(|item| {
                        if let Ir::Char(c) = item {
                            Some(*c)
                        } else {
                            None
                        }
                    })
                    .collect();
                next = self.literal(text.as_bytes(), next)?;
                end -= chars;
                follow = items[end].then(follow);
                continue;
            }
            let begin = field_begin(&items[..end]);
            let field = if end - begin > 1 && refused < MAX_REFUSED {
                self.field(&Ir::Concat(items[begin..end].to_vec()), next, follow)?
            } else {
                None
            };
            if let Some(field) = field {
                next = field;
                follow = items[begin..end]
                    .iter()
                    .rev()
                    .fold(follow, |follow, item| item.then(follow));
                end = begin;
            } else {
                refused += u32::from(end - begin > 1);
                next = self.emit(&items[end - 1], next, follow)?;
                end -= 1;
                follow = items[end].then(follow);
            }
        }
        Ok(next)
    }

    /// The instruction that runs the part by its table, where it can be.
    fn field(&mut self, ir: &Ir, next: u32, follow: First) -> Result<Option<u32>, TooLarge> {
        let Some(field) = Field::new(ir, follow) else {
            return Ok(None);
        };
        self.program.fields.push(field);
        let index = id(self.program.fields.len() - 1);
        self.push(Op::Field(index), next).map(Some)
    }

    fn class(&mut self, set: &ClassUnicode) -> u32 {
        let key: Vec<(char, char)> = set
            .iter()
            .map(|range| (range.start(), range.end()))
            .collect();
        if let Some(known) = self.class_ids.get(&key) {
            return *known;
        }
        let mut wide = ClassUnicode::new([regex_syntax::hir::ClassUnicodeRange::new(
            '\u{80}',
            char::MAX,
        )]);
        let all = wide.clone();
        wide.intersect(set);
        let all_wide = wide == all;
        let first = ByteSet::first_of_class(set);
        let table = std::array::from_fn(|byte| {
            let byte = u8::try_from(byte).unwrap_or(u8::MAX);
            match (first.has(byte), byte < 0x80) {
                (false, _) => 0,
                (true, true) => 1,
                (true, false) => 2,
            }
        });
        let everything = all_wide && first == ByteSet::ALL;
        let missing: Vec<u8> = (0..0x80).filter(|byte| !first.has(*byte)).collect();
        self.program.classes.push(Class {
            table,
            all_wide,
            everything,
            all_but: (all_wide && (1..=3).contains(&missing.len())).then(|| missing.into()),
            set: set.clone(),
        });
        let new = id(self.program.classes.len() - 1);
        self.class_ids.insert(key, new);
        new
    }

    fn stop(&mut self, first: First) -> u32 {
        let stops = &mut self.program.stops;
        *self
            .first_ids
            .entry((first.bytes, first.eof))
            .or_insert_with(|| {
                let only = if first.eof { None } else { first.bytes.only() };
                stops.push(Stop { first, only });
                id(stops.len() - 1)
            })
    }

    /// The instruction that tries branches in order, given their entries and with what they may begin.
    fn choice(&mut self, branches: &[(u32, First)]) -> Result<u32, TooLarge> {
        let possible: Vec<(u32, First)> = branches
            .iter()
            .filter(|(_, first)| first.eof || !first.bytes.is_empty())
            .copied()
            .collect();
        match possible.as_slice() {
            [] => self.push(Op::Fail, 0),
            [(entry, _)] => Ok(*entry),
            [(first, first_if), (second, second_if)] => {
                let (first_if, second_if) = (self.stop(*first_if), self.stop(*second_if));
                self.push(
                    Op::Split {
                        first: *first,
                        first_if,
                        second_if,
                    },
                    *second,
                )
            }
            many => {
                let table = table(many).ok_or(TooLarge)?;
                self.program.tables.push(table);
                let table = id(self.program.tables.len() - 1);
                self.push(Op::Dispatch(table), 0)
            }
        }
    }

    fn run(
        &mut self,
        set: &ClassUnicode,
        min: u32,
        max: Option<u32>,
        lazy: bool,
        next: u32,
        follow: First,
    ) -> Result<u32, TooLarge> {
        if set.ranges().is_empty() {
            return if min == 0 {
                Ok(next)
            } else {
                self.push(Op::Fail, next)
            };
        }
        let class = self.class(set);
        let apart = ByteSet::first_of_class(set).and(follow.bytes).is_empty();
        let max = max.unwrap_or(u32::MAX);
        // Where fewer characters than possible are taken, one of the class follows. If nothing that comes next begins
        // so, there is but one number of characters to take, greedy or not.
        let op = if min == max || apart || (!lazy && follow.sure) {
            Op::Run { class, min, max }
        } else if lazy && follow.sure {
            Op::Run {
                class,
                min,
                max: min,
            }
        } else {
            let stop = self.stop(follow);
            if lazy {
                Op::Lazy {
                    class,
                    min,
                    max,
                    stop,
                }
            } else {
                Op::Greedy {
                    class,
                    min,
                    max,
                    stop,
                }
            }
        };
        self.push(op, next)
    }

    fn repeat(
        &mut self,
        body: &Ir,
        bounds: (u32, Option<u32>),
        lazy: bool,
        next: u32,
        follow: First,
    ) -> Result<u32, TooLarge> {
        let (min, max) = bounds;
        let (mut entry, mut entry_first) = match max {
            None => self.endless(body, lazy, next, follow)?,
            Some(max) => {
                let (mut entry, mut first) = (next, follow);
                for _ in min..max {
                    self.count_unrolled()?;
                    let taken = (self.emit(body, entry, first)?, body.then(first));
                    let skipped = (next, follow);
                    entry = self.choice(&if lazy {
                        [skipped, taken]
                    } else {
                        [taken, skipped]
                    })?;
                    first = taken.1.or(follow);
                }
                (entry, first)
            }
        };
        for _ in 0..min {
            self.count_unrolled()?;
            entry = self.emit(body, entry, entry_first)?;
            entry_first = body.then(entry_first);
        }
        Ok(entry)
    }

    fn count_unrolled(&mut self) -> Result<(), TooLarge> {
        self.unrolled += 1;
        if self.unrolled > MAX_UNROLLED {
            Err(TooLarge)
        } else {
            Ok(())
        }
    }

    /// A loop without upper bound; returns its entry and with what it begins.
    fn endless(
        &mut self,
        body: &Ir,
        lazy: bool,
        next: u32,
        follow: First,
    ) -> Result<(u32, First), TooLarge> {
        // The head is written before the body that jumps back to it, and filled in after.
        let head = self.push(Op::Fail, 0)?;
        let again = body
            .then(First {
                sure: false,
                ..follow
            })
            .or(follow);
        let again = body.then(again).or(follow);
        let taken = if body.nullable() {
            let slot = id(self.program.slots);
            self.program.slots += 1;
            let check = self.push(Op::Progress { slot, exit: next }, head)?;
            let body = self.emit(body, check, again)?;
            self.push(Op::Save(slot), body)?
        } else {
            self.emit(body, head, again)?
        };
        let taken_first = body.then(again);
        let (taken, skipped) = ((taken, taken_first), (next, follow));
        let before = self.program.insts.len();
        let choice = self.choice(&if lazy {
            [skipped, taken]
        } else {
            [taken, skipped]
        })?;
        let inst = if self.program.insts.len() > before {
            self.program.insts.pop()
        } else {
            None
        };
        if let Some(place) = self.program.insts.get_mut(head as usize) {
            // Without an instruction of its own, only one branch was possible.
            *place = inst.unwrap_or(Inst {
                op: Op::Jump,
                next: choice,
            });
        }
        Ok((head, taken.1.or(follow)))
    }

    fn atomic(&mut self, body: &Ir, next: u32, follow: First) -> Result<u32, TooLarge> {
        let plain = follow.sure
            || continuations(body).is_some_and(|more| more.and(follow.bytes).is_empty());
        if plain {
            return self.emit(body, next, follow);
        }
        let accept = self.push(Op::Accept, 0)?;
        let entry = self.emit(body, accept, First::ACCEPT)?;
        self.push(Op::Atomic { entry }, next)
    }

    fn look(
        &mut self,
        behind: bool,
        negative: bool,
        body: &Ir,
        next: u32,
        follow: First,
    ) -> Result<u32, TooLarge> {
        if let Some(set) = one_char(body) {
            let seen = ByteSet::first_of_class(&set);
            if !behind && negative && seen.and(follow.bytes).is_empty() {
                return Ok(next);
            }
            let class = self.class(&set);
            return self.push(
                Op::Near {
                    class,
                    behind,
                    negative,
                },
                next,
            );
        }
        let begins = body.then(First::ACCEPT);
        if !behind && negative && !begins.eof && begins.bytes.and(follow.bytes).is_empty() {
            return Ok(next);
        }
        let accept = self.push(Op::Accept, 0)?;
        let entry = self.emit(body, accept, First::ACCEPT)?;
        let back = if behind {
            body.width().ok_or(TooLarge)?
        } else {
            0
        };
        self.push(
            Op::Look {
                entry,
                back,
                negative,
            },
            next,
        )
    }
}

/// Where the longest row of items at the end begins that may be a field: with a part that is no plain character.
fn field_begin(items: &[Ir]) -> usize {
    let suited = items.iter().rev().take_while(|item| suits(item)).count();
    let begin = items.len() - suited;
    let plain = items[begin..]
        .iter()
        .take_while(|item| matches!(item, Ir::Char(_)))
        .count();
    begin + plain
}

/// Which of the branches are worth trying for each next byte; `None` if there are too many combinations.
fn table(branches: &[(u32, First)]) -> Option<Table> {
    let mut lists: Vec<Box<[u32]>> = Vec::new();
    let mut list: Vec<u32> = Vec::new();
    let mut place = |admits: &dyn Fn(&First) -> bool| {
        list.clear();
        list.extend(
            branches
                .iter()
                .filter(|(_, first)| admits(first))
                .map(|(entry, _)| *entry),
        );
        let known = lists.iter().position(|known| **known == *list);
        u16::try_from(known.unwrap_or_else(|| {
            lists.push(list.clone().into_boxed_slice());
            lists.len() - 1
        }))
        .ok()
    };
    let mut by_byte = [0; 256];
    for (byte, entry) in (0..=u8::MAX).zip(by_byte.iter_mut()) {
        *entry = place(&|first| first.bytes.has(byte))?;
    }
    let at_end = place(&|first| first.eof)?;
    Some(Table {
        by_byte,
        at_end,
        lists,
    })
}
