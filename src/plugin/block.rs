//! What an input yields: bytes, the records in them, and where each run of records came from.

use std::sync::Arc;

use crate::delivery::StreamId;
use crate::event::{Kind, Path};

/// A record is longer than the limit and was cut; the event says so by the tag `_record_cut`.
pub const REC_CUT: u8 = 1;
/// The record joins several lines (multiline codec).
pub const REC_JOINED: u8 = 2;
/// The multiline codec reached its number of lines.
pub const REC_MAX_LINES: u8 = 4;
/// The multiline codec reached its number of bytes.
pub const REC_MAX_BYTES: u8 = 8;

/// One record: a stretch of the block's bytes that becomes an event (or several).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rec {
    /// First byte in [`Block::buf`].
    pub off: u32,
    /// Length in bytes, without the delimiter.
    pub len: u32,
    /// Position of the record's first byte in its stream (decoded bytes).
    pub pos: u64,
    /// `REC_…` bits.
    pub flags: u8,
}

/// Consecutive records of one stream.
#[derive(Clone, Debug)]
pub struct Run {
    /// The stream, when its position is to be committed; none for sources that cannot replay.
    pub stream: Option<StreamId>,
    /// Fields that every event of the stream gets.
    pub attrs: Arc<Attrs>,
    /// One past the last record of the run, an index into [`Block::recs`].
    pub recs_end: u32,
    /// Position up to which the stream is settled once all events of the run are answered.
    pub end: u64,
}

/// A buffer of bytes with the records found in it. Blocks come from a bounded pool and go back to it.
#[derive(Debug, Default)]
pub struct Block {
    /// The bytes. Records may lie anywhere in it, in any order.
    pub buf: Vec<u8>,
    /// Records in reading order.
    pub recs: Vec<Rec>,
    /// Runs in reading order; they cover `recs` without gaps. A run may be empty (`recs_end` equal to the
    /// one before) to say that bytes without events are settled.
    pub runs: Vec<Run>,
}

impl Block {
    /// Forgets the contents, keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.recs.clear();
        self.runs.clear();
    }

    /// Ends a run after the records pushed so far. Does nothing when there is nothing to say.
    pub fn end_run(&mut self, stream: Option<StreamId>, attrs: &Arc<Attrs>, end: u64) {
        let recs_end = u32::try_from(self.recs.len()).unwrap_or(u32::MAX);
        self.runs.push(Run {
            stream,
            attrs: Arc::clone(attrs),
            recs_end,
            end,
        });
    }

    /// Appends a record made of bytes that are not in the block yet.
    pub fn push_record(&mut self, parts: &[&[u8]], pos: u64, flags: u8) {
        let off = u32::try_from(self.buf.len()).unwrap_or(u32::MAX);
        for part in parts {
            self.buf.extend_from_slice(part);
        }
        let len = u32::try_from(self.buf.len())
            .unwrap_or(u32::MAX)
            .saturating_sub(off);
        self.recs.push(Rec {
            off,
            len,
            pos,
            flags,
        });
    }
}

/// One field that an input gives to its events.
#[derive(Clone, Debug)]
pub struct Attr {
    /// Where it goes. It never replaces a field that the event has.
    pub path: Path,
    /// What `text` is: `Str` (plain text), `Int`, `RawObject` or `RawArray` (JSON text).
    pub kind: Kind,
    /// The value.
    pub text: Vec<u8>,
}

/// Fields that all events of a stream get from their input (path of the file, address of the client …).
#[derive(Clone, Debug, Default)]
pub struct Attrs {
    /// The fields, in the order in which they are set.
    pub fields: Vec<Attr>,
    /// Field for the record's position in its stream, when asked for.
    pub offset_field: Option<Path>,
}
