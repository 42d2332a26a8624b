//! A program in words, for people who ask how a pattern is run.

use std::fmt::Write as _;

use super::ir::ByteSet;
use super::program::{Class, Op, Program};

impl Program {
    /// What kind of program it is.
    pub(crate) fn kind(&self) -> String {
        let (mut runs, mut ways) = (0, 0);
        for inst in &self.insts {
            match &inst.op {
                Op::Split { .. } | Op::Dispatch(_) => ways += 1,
                Op::Greedy { .. } | Op::Lazy { .. } => runs += 1,
                _ => {}
            }
        }
        let what = match (runs, ways) {
            (0, 0) => "segments: every part has one end only, nothing is tried twice".to_owned(),
            (0, ways) => {
                format!("segments with {ways} choices, made by the next byte where that is enough")
            }
            (runs, ways) => format!(
                "segments with {ways} choices and {runs} parts that may end in several places"
            ),
        };
        format!("{what}; {} instructions", self.insts.len())
    }

    /// An instruction a line, in the order of the pattern; `→` names the next where it is not the one below.
    pub(crate) fn listing(&self) -> String {
        let mut out = String::new();
        let number = |index: usize| self.insts.len() - index;
        for (index, inst) in self.insts.iter().enumerate().rev() {
            // Writing to a string cannot fail.
            let _ = write!(
                out,
                "{:>5}  {}",
                number(index),
                self.words(&inst.op, &number)
            );
            let falls = index > 0 && inst.next as usize == index - 1;
            if !falls && !matches!(inst.op, Op::Accept | Op::Fail | Op::Dispatch(_)) {
                let _ = write!(out, "  → {}", number(inst.next as usize));
            }
            out.push('\n');
        }
        out
    }

    fn words(&self, op: &Op, number: &impl Fn(usize) -> usize) -> String {
        let class = |class: &u32| {
            self.classes
                .get(*class as usize)
                .map_or_else(String::new, words_of)
        };
        match op {
            Op::Accept => "match".to_owned(),
            Op::Fail => "no match".to_owned(),
            Op::Jump => "go on".to_owned(),
            Op::Byte(byte) => format!("literal {:?}", char::from(*byte)),
            Op::Literal { start, len } => {
                let range = *start as usize..(*start + *len) as usize;
                let text = self.literals.get(range).unwrap_or_default();
                format!("literal {:?}", String::from_utf8_lossy(text))
            }
            Op::Class(set) => format!("one of {}", class(set)),
            Op::Field(field) => {
                let states = self
                    .fields
                    .get(*field as usize)
                    .map_or(0, |field| field.states());
                format!("field: a table of {states} states")
            }
            Op::Run {
                class: set,
                min,
                max,
            } => format!("run of {}{}", class(set), times(*min, *max)),
            Op::Greedy {
                class: set,
                min,
                max,
                ..
            } => {
                format!(
                    "longest run of {}{} from which the rest matches",
                    class(set),
                    times(*min, *max)
                )
            }
            Op::Lazy {
                class: set,
                min,
                max,
                ..
            } => {
                format!(
                    "shortest run of {}{} from which the rest matches",
                    class(set),
                    times(*min, *max)
                )
            }
            Op::Split { first, .. } => format!("choice: first {}", number(*first as usize)),
            Op::Dispatch(table) => {
                let lists = self
                    .tables
                    .get(*table as usize)
                    .map_or(0, |table| table.lists.len());
                format!("choice by the next byte, {lists} cases")
            }
            Op::Save(0 | 1) => "the match begins here".to_owned(),
            Op::Save(slot) if slot % 2 == 0 => format!("group {} begins", slot / 2),
            Op::Save(slot) => format!("group {} ends", slot / 2),
            Op::Progress { .. } => "leave a loop that matched nothing".to_owned(),
            Op::Assert(assert) => format!("test of the position: {assert:?}"),
            Op::Near {
                class: set,
                behind,
                negative,
            } => format!(
                "{} {} {}",
                if *behind { "behind" } else { "ahead" },
                if *negative { "no" } else { "one" },
                class(set)
            ),
            Op::Look {
                entry,
                back,
                negative,
            } => format!(
                "look-around at {}, {back} characters back{}",
                number(*entry as usize),
                if *negative { ", must not match" } else { "" }
            ),
            Op::Atomic { entry } => format!("atomic group at {}", number(*entry as usize)),
            Op::Backref { .. } => "the text of a group again".to_owned(),
            Op::Cond { group, no } => {
                format!("unless group {group} took part: {}", number(*no as usize))
            }
        }
    }
}

fn times(min: u32, max: u32) -> String {
    match (min, max) {
        (0, u32::MAX) => String::new(),
        (min, u32::MAX) => format!(", {min} or more"),
        (min, max) if min == max => format!(", {min}"),
        (min, max) => format!(", {min} to {max}"),
    }
}

/// The ASCII characters of a class, or those that it lacks, whichever are fewer.
fn words_of(class: &Class) -> String {
    if class.everything {
        return "anything".to_owned();
    }
    let has = |byte: u8| class.table[usize::from(byte)] != 0;
    let mut out = String::from("[");
    let negated = class.all_wide;
    if negated {
        out.push('^');
    }
    let mut set = ByteSet::EMPTY;
    (0..0x80)
        .filter(|byte| has(*byte) != negated)
        .for_each(|byte| set.insert(byte));
    let mut byte = 0u8;
    while byte < 0x80 {
        if !set.has(byte) {
            byte += 1;
            continue;
        }
        let begin = byte;
        while byte < 0x7f && set.has(byte + 1) {
            byte += 1;
        }
        out.extend(char::from(begin).escape_debug());
        if byte > begin {
            if byte > begin + 1 {
                out.push('-');
            }
            out.extend(char::from(byte).escape_debug());
        }
        byte += 1;
    }
    if !class.all_wide && class.table[0xc3] != 0 {
        out.push('…');
    }
    out.push(']');
    out
}
