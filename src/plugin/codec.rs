//! Codecs: a framer finds records where bytes are read, a decoder makes events of them in the worker,
//! an encoder writes events for outputs.

use std::time::Duration;

use super::block::{Block, Rec};
use crate::event::{Batch, EventId, Selection};

/// What the input hands to a codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A stream of bytes that the input itself cuts at a delimiter (file).
    Lines(Vec<u8>),
    /// A stream of bytes that the codec cuts as it likes (stdin, tcp).
    Stream,
    /// Whole messages, each fed with one `feed` and ended by `flush` (udp, generator, Kafka).
    Message,
}

/// Cuts one stream into records. One per stream, fed in order.
pub trait Framer: Send {
    /// `block.buf[from..]` are the next bytes of the stream and `pos` the position of the first. Appends the
    /// records that are complete; keeps the incomplete rest for the next call.
    fn feed(&mut self, block: &mut Block, from: usize, pos: u64);

    /// The stream ended, or fell silent for [`Framer::auto_flush`]: what is held becomes a record.
    fn flush(&mut self, block: &mut Block);

    /// Position up to which every byte has left as a record (or as a delimiter).
    fn settled(&self) -> u64;

    /// True while bytes are held.
    fn is_holding(&self) -> bool;

    /// After so long a silence a held event is complete. None: it waits for more.
    fn auto_flush(&self) -> Option<Duration> {
        None
    }

    /// Continue at a position, with nothing held (a checkpoint was found, or the file was truncated).
    fn restart(&mut self, pos: u64);
}

/// What a decoder works with.
pub struct DecodeCx<'a> {
    /// Number of the run that the records belong to.
    pub run: u32,
    /// Scratch for building text.
    pub buf: &'a mut Vec<u8>,
    /// Where the events go, in order.
    pub out: &'a mut Selection,
    /// Records that made no event (blank lines) are counted here.
    pub blank: u64,
    /// Records that failed to decode are counted here (their events are tagged).
    pub failed: u64,
}

/// A codec, shared by all streams and workers.
pub trait Codec: Send + Sync {
    /// A framer for a new stream that begins at position 0 (see [`Framer::restart`]).
    fn framer(&self, framing: &Framing) -> Box<dyn Framer>;

    /// Makes events of records of `batch`'s block. A bad record makes one flagged event and spoils no other.
    fn decode(&self, batch: &mut Batch, recs: &[Rec], cx: &mut DecodeCx<'_>);

    /// Appends the encoded event, delimiter included where the codec has one.
    fn encode(&self, batch: &mut Batch, id: EventId, out: &mut Vec<u8>, buf: &mut Vec<u8>);
}
