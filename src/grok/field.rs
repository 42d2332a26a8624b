//! Fields of a pattern as tables: the part between two places where the match is noted or may branch, run by one
//! look-up per byte.
//!
//! A field must have but one end that the match can go on from. Of all prefixes that the part matches, those count
//! behind which a byte stands that may come next. If no accepting state can take such a byte, there is at most one:
//! the longest prefix, and only where the automaton stops right behind it. Whichever way the expression would have
//! tried its alternatives, it ends up there; so the table is exact, for failures too. A part that can go on with what
//! comes next is left to the machine's other instructions, unless nothing follows and it always takes the longest
//! match.

use std::sync::{Arc, LazyLock, Mutex, Weak};

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use rustc_hash::FxHashMap;

use super::ir::{ByteSet, First, Ir, continuations};
use super::linear;
use crate::lock;

/// Most states of a field.
const MAX_STATES: usize = 400;
/// Largest automata that are built on the way, in bytes: what grows beyond has too many states anyway.
const MAX_NFA_BYTES: usize = 24 << 10;
const MAX_DFA_BYTES: usize = 64 << 10;
const MAX_BUILD_BYTES: usize = 256 << 10;
/// Parts that are remembered with what became of them.
const MAX_KNOWN: usize = 4096;
/// Parts of fewer instructions than this are as fast without a table.
const WORTHWHILE: u32 = 3;

/// The table of one field.
#[derive(Debug)]
pub(crate) struct Field {
    /// The column of each byte.
    columns: [u8; 256],
    /// Rows of states: where the table goes on, as the beginning of that row; 0 is the row that nothing leaves.
    rows: Box<[u16]>,
    /// Beginning of the first row.
    start: u16,
    /// Rows from here on accept.
    accepting: u16,
    /// Nothing is asked of what follows: the last accepting place is the end, wherever the automaton stops.
    to_the_last: bool,
}

impl Field {
    /// The table for a part of a pattern before `follow`; `None` where it would not be exact, or not worthwhile.
    pub(crate) fn new(ir: &Ir, follow: First) -> Option<Arc<Field>> {
        type Known = FxHashMap<(String, ByteSet, bool), Option<Weak<Field>>>;
        static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
        if !suits(ir) || weight(ir) < WORTHWHILE {
            return None;
        }
        let hir = linear::hir(ir, false);
        let key = (hir.to_string(), follow.bytes, follow.sure);
        match lock(&KNOWN).get(&key) {
            Some(None) => return None,
            Some(Some(field)) => {
                if let Some(field) = field.upgrade() {
                    return Some(field);
                }
            }
            None => {}
        }
        let field = Field::build(&hir, ir, follow).map(Arc::new);
        let mut known = lock(&KNOWN);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(key, field.as_ref().map(Arc::downgrade));
        field
    }

    fn build(hir: &regex_syntax::hir::Hir, ir: &Ir, follow: First) -> Option<Field> {
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .which_captures(thompson::WhichCaptures::None)
                    .nfa_size_limit(Some(MAX_NFA_BYTES)),
            )
            .build_from_hir(hir)
            .ok()?;
        let config = dense::Config::new()
            .match_kind(MatchKind::All)
            .start_kind(StartKind::Anchored)
            .dfa_size_limit(Some(MAX_DFA_BYTES))
            .determinize_size_limit(Some(MAX_BUILD_BYTES));
        let dfa = dense::Builder::new()
            .configure(config)
            .build_from_nfa(&nfa)
            .ok()?;
        let longest = follow.sure && continuations(ir).is_some();
        let graph = Graph::of(&dfa)?;
        if !longest && !graph.ends_before(follow.bytes) {
            return None;
        }
        graph.table(longest)
    }

    /// The end of the field that begins at `pos`; `None` when there is none from which the match can go on.
    #[inline]
    pub(crate) fn end(&self, text: &[u8], pos: usize) -> Option<usize> {
        if self.to_the_last {
            return self.last_end(text, pos);
        }
        let mut row = self.start;
        let mut end = pos;
        while let Some(byte) = text.get(end) {
            let next = self.step(row, *byte);
            if next == 0 {
                break;
            }
            row = next;
            end += 1;
        }
        (row >= self.accepting).then_some(end)
    }

    fn last_end(&self, text: &[u8], pos: usize) -> Option<usize> {
        let mut row = self.start;
        let mut at = pos;
        let mut end = (row >= self.accepting).then_some(pos);
        while let Some(byte) = text.get(at) {
            row = self.step(row, *byte);
            if row == 0 {
                break;
            }
            at += 1;
            if row >= self.accepting {
                end = Some(at);
            }
        }
        end
    }

    #[inline]
    fn step(&self, row: u16, byte: u8) -> u16 {
        let at = usize::from(row) + usize::from(self.columns[usize::from(byte)]);
        self.rows.get(at).copied().unwrap_or(0)
    }

    /// Number of states.
    pub(crate) fn states(&self) -> usize {
        let width = self
            .columns
            .iter()
            .max()
            .map_or(1, |most| usize::from(*most) + 1);
        self.rows.len() / width - 1
    }
}

/// The states of an automaton that can be reached from its start, with where each byte leads.
struct Graph {
    /// `None`: nothing more can match.
    next: Vec<[Option<u16>; 256]>,
    accepts: Vec<bool>,
}

impl Graph {
    fn of(dfa: &dense::DFA<Vec<u32>>) -> Option<Graph> {
        let config = start::Config::new().anchored(Anchored::Yes);
        let first = dfa.start_state(&config).ok()?;
        let mut ids = FxHashMap::default();
        ids.insert(first, 0u16);
        let mut queue = vec![first];
        let mut graph = Graph {
            next: Vec::new(),
            accepts: Vec::new(),
        };
        while let Some(state) = queue.get(graph.next.len()).copied() {
            if dfa.is_quit_state(state) {
                return None;
            }
            let mut row = [None; 256];
            for (byte, place) in (0..=u8::MAX).zip(row.iter_mut()) {
                let next = dfa.next_state(state, byte);
                if dfa.is_dead_state(next) {
                    continue;
                }
                let id = u16::try_from(ids.len()).ok()?;
                *place = Some(*ids.entry(next).or_insert_with(|| {
                    queue.push(next);
                    id
                }));
            }
            graph.next.push(row);
            graph
                .accepts
                .push(dfa.is_match_state(dfa.next_eoi_state(state)));
            if graph.next.len() > MAX_STATES {
                return None;
            }
        }
        graph.trim();
        Some(graph)
    }

    /// Takes away ways into states from which nothing is ever accepted: there the automaton may as well stop.
    fn trim(&mut self) {
        let mut alive = self.accepts.clone();
        loop {
            let mut changed = false;
            for (state, row) in self.next.iter().enumerate() {
                let leads = row
                    .iter()
                    .flatten()
                    .any(|next| alive.get(usize::from(*next)) == Some(&true));
                if leads && !alive[state] {
                    alive[state] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        for place in self.next.iter_mut().flatten() {
            if place.is_some_and(|next| alive.get(usize::from(next)) != Some(&true)) {
                *place = None;
            }
        }
    }

    /// No accepting state can go on with one of these bytes.
    fn ends_before(&self, follow: ByteSet) -> bool {
        self.next
            .iter()
            .zip(&self.accepts)
            .filter(|(_, accepts)| **accepts)
            .all(|(row, _)| {
                (0..=u8::MAX)
                    .zip(row)
                    .all(|(byte, next)| next.is_none() || !follow.has(byte))
            })
    }

    /// Bytes that lead to the same places share a column; accepting states come last.
    fn table(&self, to_the_last: bool) -> Option<Field> {
        let mut columns = [0u8; 256];
        let mut distinct: FxHashMap<Vec<Option<u16>>, u8> = FxHashMap::default();
        let mut kinds: Vec<Vec<Option<u16>>> = Vec::new();
        for byte in 0..256 {
            let column: Vec<_> = self.next.iter().map(|row| row[byte]).collect();
            let new = u8::try_from(kinds.len()).ok();
            let index = match distinct.get(&column) {
                Some(index) => *index,
                None => {
                    kinds.push(column.clone());
                    distinct.insert(column, new?);
                    new?
                }
            };
            columns[byte] = index;
        }
        let width = kinds.len();
        let mut order: Vec<usize> = (0..self.next.len()).collect();
        order.sort_by_key(|state| self.accepts[*state]);
        let mut begins = vec![0u16; order.len()];
        for (place, state) in (1..).zip(&order) {
            begins[*state] = u16::try_from(place * width).ok()?;
        }
        let mut rows = vec![0u16; width * (order.len() + 1)];
        for (place, state) in (1..).zip(&order) {
            for (column, kind) in kinds.iter().enumerate() {
                rows[place * width + column] =
                    kind[*state].map_or(0, |next| begins[usize::from(next)]);
            }
        }
        let refusing = self.accepts.iter().filter(|accepts| !**accepts).count();
        Some(Field {
            columns,
            rows: rows.into(),
            start: begins[0],
            accepting: u16::try_from((refusing + 1) * width).ok()?,
            to_the_last,
        })
    }
}

/// Only characters, without groups to note and positions to test; and no long runs of almost any character, which
/// are searched for faster than walked through.
pub(crate) fn suits(ir: &Ir) -> bool {
    match ir {
        Ir::Empty | Ir::Char(_) | Ir::Set(_) => true,
        Ir::Concat(items) | Ir::Alt(items) => items.iter().all(suits),
        Ir::Repeat { body, max, .. } => suits(body) && (max.is_some() || !is_broad(body)),
        _ => false,
    }
}

/// Nearly every character.
fn is_broad(ir: &Ir) -> bool {
    super::ir::one_char(ir).is_some_and(|class| ByteSet::first_of_class(&class).len() > 200)
}

/// About how many instructions the part would be.
fn weight(ir: &Ir) -> u32 {
    match ir {
        Ir::Char(_) | Ir::Set(_) => 1,
        Ir::Concat(items) => items.iter().map(weight).sum(),
        Ir::Alt(items) => items.iter().map(weight).sum::<u32>() + 1,
        Ir::Repeat { body, max, min, .. } if super::ir::one_char(body).is_none() => {
            weight(body) * min.max(&max.unwrap_or(1).min(4)) + 1
        }
        Ir::Repeat { .. } => 1,
        _ => 0,
    }
}
