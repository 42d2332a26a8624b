//! The delivery core under suspicion: the real one, or the real one with a defect that the simulation has to notice.

use std::collections::HashMap;

use logmill::delivery::{Commit, Delivery, OpenError, Outcome, StreamId, Ticket};

use crate::LIMITS;

/// Ways to get delivery wrong, which the simulation has to notice.
#[derive(Clone, Copy, PartialEq)]
pub enum Defect {
    CommitsAtOpen,
    SkipsGaps,
    OneAnswerIsEnough,
    FinishesEarly,
    ForgetsFences,
    SwallowsCommits,
}

pub struct Core {
    sound: Delivery,
    defect: Option<Defect>,
    /// Commits that a defect makes up, by stream.
    made_up: HashMap<StreamId, (u64, bool)>,
    /// Open tickets with their stream, end and items still to come.
    open: HashMap<Ticket, (StreamId, u64, u32)>,
}

impl std::ops::Deref for Core {
    type Target = Delivery;
    fn deref(&self) -> &Delivery {
        &self.sound
    }
}

impl Core {
    pub fn new(defect: Option<Defect>) -> Self {
        Self {
            sound: Delivery::with_limits(LIMITS),
            defect,
            made_up: HashMap::new(),
            open: HashMap::new(),
        }
    }

    pub fn register(&mut self, start: u64) -> StreamId {
        self.sound.register(start)
    }

    pub fn open(&mut self, stream: StreamId, end: u64) -> Result<Ticket, OpenError> {
        let ticket = self.sound.open(stream, end)?;
        self.open.insert(ticket, (stream, end, 0));
        if self.defect == Some(Defect::CommitsAtOpen) {
            self.made_up.insert(stream, (end, false));
        }
        Ok(ticket)
    }

    pub fn expect(&mut self, ticket: Ticket, items: u32) {
        self.sound.expect(ticket, items);
        if let Some(open) = self.open.get_mut(&ticket) {
            open.2 = items;
        }
    }

    pub fn answer(&mut self, ticket: Ticket, items: u32, outcome: Outcome) {
        let Some((stream, end, remaining)) = self.open.get_mut(&ticket) else {
            return self.sound.answer(ticket, items, outcome);
        };
        let items = if self.defect == Some(Defect::OneAnswerIsEnough) {
            *remaining
        } else {
            items
        };
        *remaining = remaining.saturating_sub(items);
        if *remaining == 0 && self.defect == Some(Defect::SkipsGaps) {
            self.made_up.insert(*stream, (*end, false));
        }
        self.sound.answer(ticket, items, outcome);
    }

    pub fn fence(&mut self, stream: StreamId) {
        if self.defect != Some(Defect::ForgetsFences) {
            self.sound.fence(stream);
        }
    }

    pub fn finish(&mut self, stream: StreamId) {
        self.sound.finish(stream);
        if self.defect == Some(Defect::FinishesEarly) {
            self.made_up
                .insert(stream, (self.sound.answered_to(stream).unwrap_or(0), true));
        }
    }

    pub fn unregister(&mut self, stream: StreamId) {
        self.sound.unregister(stream);
    }

    pub fn poll(&mut self, out: &mut Vec<Commit>) {
        self.sound.poll(out);
        if self.defect == Some(Defect::SwallowsCommits) {
            out.pop();
        }
        for (stream, (pos, finished)) in self.made_up.drain() {
            out.retain(|it| it.stream != stream);
            out.push(Commit {
                stream,
                pos,
                finished,
                deltas: (),
            });
        }
    }
}
