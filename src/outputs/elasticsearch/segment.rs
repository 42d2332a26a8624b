//! Items of one body on their way: cut, chosen and answered without copying them, until the body can be used again.

use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::sync::oneshot;

use crate::delivery::Outcome;
use crate::elasticsearch::{Backoff, Payload};
use crate::plugin::output::Item;
use crate::plugin::{Body, SendCx};

/// Stretches of a body that are sent as they lie there; more are joined first, as every write has its price.
const MAX_STRETCHES: usize = 8;

/// A body that was given to the output. It goes back when nothing refers to it any more, the socket included.
struct Origin {
    body: Body,
    cx: SendCx,
    done: Option<oneshot::Sender<Body>>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            // Nobody waits for it when the process stops.
            let _ = done.send(std::mem::take(&mut self.body));
        }
    }
}

/// A share in a body's bytes.
struct Shared(Arc<Origin>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.body.bytes
    }
}

/// Items of one body that wait for their answers together.
pub(super) struct Segment {
    origin: Arc<Origin>,
    /// All bytes of the body.
    bytes: Bytes,
    /// Numbers of its items, in their order; no stretch is empty.
    stretches: Vec<Range<usize>>,
    /// Pauses, once it has been refused.
    pub backoff: Option<Backoff>,
}

impl Segment {
    /// All items of a body that have bytes; the others, which could not be encoded, are answered. `done` gets the body
    /// back.
    pub fn of(body: Body, cx: SendCx, done: oneshot::Sender<Body>) -> Option<Segment> {
        let mut stretches: Vec<Range<usize>> = Vec::with_capacity(1);
        let mut start = 0;
        for (at, Item { end, run }) in body.items.iter().enumerate() {
            if *end == start {
                (cx.answer)(*run, 1, Outcome::SetAside);
            } else {
                extend(&mut stretches, at);
            }
            start = *end;
        }
        let origin = Arc::new(Origin {
            body,
            cx,
            done: Some(done),
        });
        (!stretches.is_empty()).then(|| Segment {
            bytes: Bytes::from_owner(Shared(Arc::clone(&origin))),
            origin,
            stretches,
            backoff: None,
        })
    }

    /// Where its answers go.
    pub fn cx(&self) -> &SendCx {
        &self.origin.cx
    }

    /// How many items it has.
    pub fn items(&self) -> usize {
        self.stretches.iter().map(ExactSizeIterator::len).sum()
    }

    /// How many bytes they have.
    pub fn len(&self) -> usize {
        self.stretches
            .iter()
            .map(|stretch| self.place(stretch).len())
            .sum()
    }

    /// The bytes of a stretch of items.
    fn place(&self, stretch: &Range<usize>) -> Range<usize> {
        let end = |item: Option<usize>| {
            let item = item.and_then(|at| self.origin.body.items.get(at));
            item.map_or(0, |item| item.end as usize)
        };
        end(stretch.start.checked_sub(1))..end(stretch.end.checked_sub(1))
    }

    /// Appends its bytes.
    pub fn append_to(&self, payload: &mut Payload) {
        if self.stretches.len() <= MAX_STRETCHES {
            for stretch in &self.stretches {
                payload.push(self.bytes.slice(self.place(stretch)));
            }
            return;
        }
        let mut joined = BytesMut::with_capacity(self.len());
        for stretch in &self.stretches {
            joined.put_slice(self.bytes.get(self.place(stretch)).unwrap_or_default());
        }
        payload.push(joined.freeze());
    }

    /// Numbers of its items.
    fn numbers(&self) -> impl Iterator<Item = usize> {
        self.stretches.iter().flat_map(Clone::clone)
    }

    /// The items of which `takes`, asked for each in their order, says yes; none when it never does.
    pub fn select(&self, mut takes: impl FnMut(usize) -> bool) -> Option<Segment> {
        let mut stretches = Vec::new();
        for (nth, number) in self.numbers().enumerate() {
            if takes(nth) {
                extend(&mut stretches, number);
            }
        }
        (!stretches.is_empty()).then(|| Segment {
            origin: Arc::clone(&self.origin),
            bytes: self.bytes.clone(),
            stretches,
            backoff: self.backoff.clone(),
        })
    }

    /// The first items that have no more than so many bytes together, one at least, and the rest.
    pub fn cut(self, most: usize) -> (Segment, Option<Segment>) {
        let (mut bytes, mut count) = (0, 0);
        for number in self.numbers() {
            bytes += self.place(&(number..number + 1)).len();
            if bytes > most && count > 0 {
                break;
            }
            count += 1;
        }
        self.split(count)
    }

    /// The first `count` items, and the rest.
    pub fn split(self, count: usize) -> (Segment, Option<Segment>) {
        let rest = self.select(|nth| nth >= count);
        match self.select(|nth| nth < count) {
            Some(first) => (first, rest),
            None => (self, None),
        }
    }

    /// Answers all items alike.
    pub fn answer_all(&self, outcome: Outcome) {
        self.answer_each(|_| Some(outcome));
    }

    /// Answers each item as `outcome`, asked for each in their order, says; those for which it says nothing stay open.
    pub fn answer_each(&self, mut outcome: impl FnMut(usize) -> Option<Outcome>) {
        // Neighbours of one run with one outcome are answered together: one look at the ledger for all of them.
        let mut open: Option<(u32, Outcome, u32)> = None;
        let tell = |(run, outcome, count)| (self.origin.cx.answer)(run, count, outcome);
        for (nth, number) in self.numbers().enumerate() {
            let Some(item) = self.origin.body.items.get(number) else {
                continue;
            };
            let Some(outcome) = outcome(nth) else {
                continue;
            };
            match &mut open {
                Some((run, same, count)) if *run == item.run && *same == outcome => *count += 1,
                open => {
                    if let Some(before) = open.replace((item.run, outcome, 1)) {
                        tell(before);
                    }
                }
            }
        }
        if let Some(last) = open {
            tell(last);
        }
    }
}

fn extend(stretches: &mut Vec<Range<usize>>, number: usize) {
    match stretches.last_mut() {
        Some(last) if last.end == number => last.end += 1,
        _ => stretches.push(number..number + 1),
    }
}
