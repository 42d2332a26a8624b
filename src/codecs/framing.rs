//! Framers that several codecs share: records that end with a delimiter, and whole messages.

use memchr::memmem;

use crate::plugin::block::REC_CUT;
use crate::plugin::{Block, Framer, Framing, Rec};

/// Longest record when the settings name none: 16 MiB.
pub const DEFAULT_MAX_RECORD_BYTES: usize = 16 << 20;

/// A held record's buffer keeps at most so many bytes of capacity once the record has left.
const KEPT_CAPACITY: usize = 64 << 10;

/// The limit that `settings` give for one record; 0 stands for the default.
#[must_use]
pub fn max_record_bytes(settings: &crate::plugin::Settings) -> usize {
    if settings.max_record_bytes == 0 {
        DEFAULT_MAX_RECORD_BYTES
    } else {
        settings.max_record_bytes
    }
}

/// The delimiter of a stream's lines: the input's own where it cuts, else the codec's. None for whole messages.
#[must_use]
pub fn line_delimiter<'a>(framing: &'a Framing, own: &'a [u8]) -> Option<&'a [u8]> {
    match framing {
        Framing::Lines(delimiter) if delimiter.is_empty() => Some(b"\n"),
        Framing::Lines(delimiter) => Some(delimiter),
        Framing::Stream => Some(own),
        Framing::Message => None,
    }
}

/// How much of `bytes` can stay so that no UTF-8 character is cut at the end. Text in another charset is hardly ever
/// shortened, and by three bytes at most.
#[must_use]
pub fn whole_characters(bytes: &[u8]) -> usize {
    let back = bytes
        .iter()
        .rev()
        .take(3)
        .take_while(|byte| **byte & 0xC0 == 0x80)
        .count();
    let lead_at = bytes.len().saturating_sub(back + 1);
    let needed = match bytes.get(lead_at) {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => return bytes.len(),
    };
    if back + 1 < needed {
        lead_at
    } else {
        bytes.len()
    }
}

enum Delimiter {
    Byte(u8),
    Text(Box<memmem::Finder<'static>>),
}

impl Delimiter {
    fn len(&self) -> usize {
        match self {
            Delimiter::Byte(_) => 1,
            Delimiter::Text(finder) => finder.needle().len(),
        }
    }

    fn find(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Delimiter::Byte(byte) => memchr::memchr(*byte, bytes),
            Delimiter::Text(finder) => finder.find(bytes),
        }
    }
}

/// Finds records that end with a delimiter. A record is copied only when its end comes with a later feed than its
/// beginning; of one that is too long the first part leaves, flagged, and the rest is skipped.
pub struct LineFramer {
    delimiter: Delimiter,
    max: usize,
    /// Beginning of the record whose end has not come, at most `max` bytes.
    held: Vec<u8>,
    /// Length of that record so far; more than `held` has when it is too long.
    held_len: usize,
    /// Its last bytes, fewer than the delimiter has: the delimiter may have begun in them.
    tail: Vec<u8>,
    /// Position of that record, or of the next.
    start: u64,
}

impl LineFramer {
    /// A framer of records of at most `max` bytes that end with `delimiter` (a line feed when that is empty).
    #[must_use]
    pub fn new(delimiter: &[u8], max: usize) -> Self {
        let delimiter = match delimiter {
            [] => Delimiter::Byte(b'\n'),
            [byte] => Delimiter::Byte(*byte),
            text => Delimiter::Text(Box::new(memmem::Finder::new(text).into_owned())),
        };
        LineFramer {
            delimiter,
            max: max.max(1),
            held: Vec::new(),
            held_len: 0,
            tail: Vec::new(),
            start: 0,
        }
    }

    /// Looks for the end of the held record in `block.buf[from..end]`; returns where the next record begins.
    fn close_held(&mut self, block: &mut Block, from: usize, end: usize) -> Option<usize> {
        if let Some((overlap, next)) = self.delimiter_across(&block.buf[from..end]) {
            // The delimiter began in bytes that were taken for the record's.
            self.held_len -= overlap;
            self.held.truncate(self.held_len);
            self.emit_held(block, from, from);
            return Some(from + next);
        }
        let at = from + self.delimiter.find(&block.buf[from..end])?;
        self.emit_held(block, from, at);
        Some(at + self.delimiter.len())
    }

    /// A delimiter that begins in `tail` and ends in `fresh`: how many of its bytes lie in each.
    fn delimiter_across(&self, fresh: &[u8]) -> Option<(usize, usize)> {
        let Delimiter::Text(finder) = &self.delimiter else {
            return None;
        };
        let needle = finder.needle();
        (1..=self.tail.len()).rev().find_map(|overlap| {
            let (first, second) = needle.split_at(overlap);
            (self.tail.ends_with(first) && fresh.starts_with(second))
                .then_some((overlap, second.len()))
        })
    }

    /// The held record, completed by `block.buf[from..to]`, leaves.
    fn emit_held(&mut self, block: &mut Block, from: usize, to: usize) {
        let off = block.buf.len();
        let total = self.held_len + (to - from);
        let more = (to - from).min(self.max.saturating_sub(self.held.len()));
        block.buf.extend_from_slice(&self.held);
        if self.held.len() == self.held_len {
            block.buf.extend_from_within(from..from + more);
        }
        let mut flags = 0;
        if total > self.max {
            flags = REC_CUT;
            let kept = whole_characters(&block.buf[off..]);
            block.buf.truncate(off + kept);
        }
        block.recs.push(Rec {
            off: small(off),
            len: small(block.buf.len() - off),
            pos: self.start,
            flags,
        });
        self.forget();
    }

    fn forget(&mut self) {
        self.held.clear();
        self.held.shrink_to(KEPT_CAPACITY);
        self.held_len = 0;
        self.tail.clear();
    }

    fn hold(&mut self, fresh: &[u8]) {
        if self.held.len() == self.held_len {
            let room = self.max.saturating_sub(self.held.len());
            self.held.extend_from_slice(&fresh[..fresh.len().min(room)]);
        }
        self.held_len += fresh.len();
        let keep = self.delimiter.len() - 1;
        if keep > 0 {
            self.tail
                .extend_from_slice(&fresh[fresh.len().saturating_sub(keep)..]);
            let surplus = self.tail.len().saturating_sub(keep);
            self.tail.drain(..surplus);
        }
    }

    fn push_record(&self, block: &mut Block, from: usize, to: usize, pos: u64) {
        let (mut len, mut flags) = (to - from, 0);
        if len > self.max {
            flags = REC_CUT;
            len = whole_characters(&block.buf[from..from + self.max]);
        }
        block.recs.push(Rec {
            off: small(from),
            len: small(len),
            pos,
            flags,
        });
    }
}

impl Framer for LineFramer {
    fn feed(&mut self, block: &mut Block, from: usize, pos: u64) {
        let end = block.buf.len();
        if from >= end {
            return;
        }
        let position = |at: usize| pos + (at - from) as u64;
        let mut at = from;
        if self.held_len > 0 {
            let Some(next) = self.close_held(block, from, end) else {
                self.hold(&block.buf[from..end]);
                return;
            };
            at = next;
        }
        match &self.delimiter {
            Delimiter::Byte(byte) => {
                let Block { buf, recs, .. } = block;
                let first = at;
                for found in memchr::memchr_iter(*byte, &buf[first..end]) {
                    let found = first + found;
                    let rec = Rec {
                        off: small(at),
                        len: small(found - at),
                        pos: position(at),
                        flags: 0,
                    };
                    recs.push(if found - at > self.max {
                        cut(buf, rec, self.max)
                    } else {
                        rec
                    });
                    at = found + 1;
                }
            }
            Delimiter::Text(finder) => {
                while let Some(found) = finder.find(&block.buf[at..end]) {
                    self.push_record(block, at, at + found, position(at));
                    at += found + finder.needle().len();
                }
            }
        }
        self.start = position(at);
        self.hold(&block.buf[at..end]);
    }

    fn flush(&mut self, block: &mut Block) {
        if self.held_len > 0 {
            let end = self.start + self.held_len as u64;
            self.emit_held(block, 0, 0);
            self.start = end;
        }
    }

    fn settled(&self) -> u64 {
        self.start
    }

    fn is_holding(&self) -> bool {
        self.held_len > 0
    }

    fn restart(&mut self, pos: u64) {
        self.forget();
        self.start = pos;
    }
}

fn cut(buf: &[u8], rec: Rec, max: usize) -> Rec {
    let off = rec.off as usize;
    let len = whole_characters(buf.get(off..off + max).unwrap_or_default());
    Rec {
        len: small(len),
        flags: REC_CUT,
        ..rec
    }
}

/// Offsets into a block; its buffer stays far below 4 GiB.
pub(super) fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Makes one record of each feed.
pub struct MessageFramer {
    max: usize,
    next: u64,
}

impl MessageFramer {
    /// A framer of messages of which at most `max` bytes are kept.
    #[must_use]
    pub fn new(max: usize) -> Self {
        MessageFramer {
            max: max.max(1),
            next: 0,
        }
    }
}

impl Framer for MessageFramer {
    fn feed(&mut self, block: &mut Block, from: usize, pos: u64) {
        let len = block.buf.len().saturating_sub(from);
        let rec = Rec {
            off: small(from),
            len: small(len),
            pos,
            flags: 0,
        };
        let rec = if len > self.max {
            cut(&block.buf, rec, self.max)
        } else {
            rec
        };
        block.recs.push(rec);
        self.next = pos + len as u64;
    }

    fn flush(&mut self, _: &mut Block) {}

    fn settled(&self) -> u64 {
        self.next
    }

    fn is_holding(&self) -> bool {
        false
    }

    fn restart(&mut self, pos: u64) {
        self.next = pos;
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Feeds streams to framers in pieces of any size.

    use super::*;

    /// A record as it left: its bytes, position and flags.
    pub type Left = (Vec<u8>, u64, u8);

    /// Feeds `bytes`, cut at `cuts`, each piece in a block of its own, and flushes. Checks at each step that what is
    /// settled never passes what is held and never goes back.
    pub fn run(framer: &mut dyn Framer, bytes: &[u8], cuts: &[usize]) -> Vec<Left> {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut out = Vec::new();
        let mut settled = 0;
        for pair in cuts.windows(2) {
            let mut block = Block::default();
            block.buf.extend_from_slice(b"what was there before\n");
            let from = block.buf.len();
            block.buf.extend_from_slice(&bytes[pair[0]..pair[1]]);
            framer.feed(&mut block, from, pair[0] as u64);
            take(&block, &mut out);
            assert!(framer.settled() >= settled && framer.settled() <= pair[1] as u64);
            assert!(framer.is_holding() || framer.settled() == pair[1] as u64);
            settled = framer.settled();
        }
        let mut block = Block::default();
        framer.flush(&mut block);
        take(&block, &mut out);
        assert!(!framer.is_holding());
        assert_eq!(framer.settled(), bytes.len() as u64);
        out
    }

    fn take(block: &Block, out: &mut Vec<Left>) {
        for rec in &block.recs {
            let from = rec.off as usize;
            out.push((
                block.buf[from..from + rec.len as usize].to_vec(),
                rec.pos,
                rec.flags,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{Left, run};
    use super::*;

    fn lines(delimiter: &[u8], max: usize, bytes: &[u8], cuts: &[usize]) -> Vec<Left> {
        run(&mut LineFramer::new(delimiter, max), bytes, cuts)
    }

    /// What a reader of the whole would find.
    fn model(delimiter: &[u8], max: usize, bytes: &[u8]) -> Vec<Left> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let found = bytes[at..]
                .windows(delimiter.len())
                .position(|window| window == delimiter);
            let end = found.map_or(bytes.len(), |found| at + found);
            let mut line = bytes[at..end].to_vec();
            let flags = if line.len() > max {
                line.truncate(max);
                line.truncate(whole_characters(&line));
                REC_CUT
            } else {
                0
            };
            out.push((line, at as u64, flags));
            at = found.map_or(bytes.len(), |_| end + delimiter.len());
        }
        out
    }

    #[test]
    fn lines_with_their_positions() {
        let left = lines(b"\n", 100, b"a\n\nbc\r\nd", &[]);
        let expected: Vec<Left> = vec![
            (b"a".to_vec(), 0, 0),
            (b"".to_vec(), 2, 0),
            (b"bc\r".to_vec(), 3, 0),
            (b"d".to_vec(), 7, 0),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn records_in_one_feed_are_not_copied() {
        let mut block = Block {
            buf: b"one\ntwo\nthr".to_vec(),
            ..Block::default()
        };
        let mut framer = LineFramer::new(b"\n", 100);
        framer.feed(&mut block, 0, 1000);
        assert_eq!(block.buf, b"one\ntwo\nthr");
        assert_eq!((framer.settled(), framer.is_holding()), (1008, true));
        framer.restart(5000);
        assert_eq!((framer.settled(), framer.is_holding()), (5000, false));
    }

    #[test]
    fn every_boundary_gives_the_same_records() {
        let text = "ä\n\n--x--\r\n\0\u{feff}y--\n--z---\n--".as_bytes();
        for delimiter in [&b"\n"[..], b"--", b"\r\n", b"--\n", b"---"] {
            for max in [1, 2, 3, 5, 100] {
                for first in 0..text.len() {
                    for second in [first, first + 1, first + 2, first + 7] {
                        let left = lines(delimiter, max, text, &[first, second]);
                        assert_eq!(
                            left,
                            model(delimiter, max, text),
                            "{delimiter:?} {max} {first} {second}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_record_is_cut_once_at_a_character() {
        let mut text = "é".repeat(20).into_bytes();
        text.extend_from_slice(b"\nnext\n");
        for cuts in [&[][..], &[3, 9], &[39, 40, 41]] {
            let left = lines(b"\n", 7, &text, cuts);
            assert_eq!(
                left,
                [
                    ("é".repeat(3).into_bytes(), 0, REC_CUT),
                    (b"next".to_vec(), 41, 0)
                ]
            );
        }
    }

    #[test]
    fn three_mebibytes_cross_blocks() {
        let mut text = vec![b'x'; 3 << 20];
        text.push(b'\n');
        let cuts: Vec<usize> = (1..50).map(|at| at * 65_536).collect();
        let left = lines(b"\n", DEFAULT_MAX_RECORD_BYTES, &text, &cuts);
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].0.len(), left[0].2), (3 << 20, 0));
    }

    #[test]
    fn a_message_is_one_record() {
        let mut block = Block {
            buf: b"headone\ntwo\n".to_vec(),
            ..Block::default()
        };
        let mut framer = MessageFramer::new(100);
        framer.feed(&mut block, 4, 9);
        framer.flush(&mut block);
        assert_eq!(
            block.recs,
            [Rec {
                off: 4,
                len: 8,
                pos: 9,
                flags: 0
            }]
        );
        assert_eq!(framer.settled(), 17);
        MessageFramer::new(3).feed(&mut block, 4, 0);
        assert_eq!((block.recs[1].len, block.recs[1].flags), (3, REC_CUT));
    }

    #[test]
    fn cuts_keep_characters_whole() {
        for (bytes, kept) in [
            (&b"abc"[..], 3),
            (b"ab\xC3", 2),
            (b"ab\xC3\xA9", 4),
            (b"a\xE2\x82", 1),
            (b"a\xF0\x9F\x98", 1),
            (b"a\xF0\x9F\x98\x80", 5),
            (b"\xFF\xFE", 2),
            (b"", 0),
        ] {
            assert_eq!(whole_characters(bytes), kept, "{bytes:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
        #[test]
        fn any_pieces_give_the_same_records(
            bytes in prop::collection::vec(prop::sample::select(b"\n\r-ab\xC3\xA9".to_vec()), 0..80),
            cuts in prop::collection::vec(0..100_usize, 0..12),
            delimiter in prop::sample::select(vec![&b"\n"[..], b"--", b"\r\n", b"-a-"]),
            max in 1..20_usize,
        ) {
            prop_assert_eq!(lines(delimiter, max, &bytes, &cuts), model(delimiter, max, &bytes));
        }
    }
}
