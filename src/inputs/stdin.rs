//! `stdin`: the standard input of the process, until it ends.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use super::{hostname, streaming_codec, text_attr};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::options::CodecRef;
use crate::plugin::{
    Attrs, Block, Build, Fill, FillCx, Framer, Framing, Input, Make, Options, PluginMetrics,
    PluginSpec, Source, StartCx, Started,
};

options! {
    /// Options of the `stdin` input.
    pub struct Config {
        /// How bytes become events. `plain` and `json` are taken as `line` and `json_lines`.
        codec: CodecRef = "line";
    }
}

/// `stdin` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "stdin",
    about: "Reads the standard input until it ends; a last line without its end counts. What one read brings goes on \
            at once, and events keep their order. Adds the machine's name as `[host][hostname]` (`host` without ECS \
            compatibility) where an event has none.",
    options: Config::specs,
    make: Make::Input(make),
};

/// Most bytes of one read.
const READ_BYTES: usize = 256 << 10;
/// Reads that may wait for a worker.
const WAITING_READS: usize = 4;
/// Bytes framed at once when the number of records in a block is limited.
const PIECE_BYTES: usize = 4 << 10;
/// The waker is called when something comes; this is only a safety net.
const IDLE: Duration = Duration::from_secs(1);

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Input>> {
    let config = Config::read(plugin, build)?;
    let codec = streaming_codec(config.codec, build)?;
    let host = build.path(if build.ecs.enabled() {
        "[host][hostname]"
    } else {
        "host"
    });
    let attrs = Attrs {
        fields: vec![text_attr(&host, hostname())],
        offset_field: None,
    };
    Some(Box::new(Stdin {
        codec,
        attrs: Arc::new(attrs),
    }))
}

struct Stdin {
    codec: CodecRef,
    attrs: Arc<Attrs>,
}

impl Input for Stdin {
    fn start(&self, cx: StartCx) -> Result<Started, String> {
        let framer = self.codec.codec.framer(&Framing::Stream);
        let source = Reading::start(std::io::stdin(), framer, Arc::clone(&self.attrs), &cx)?;
        Ok(Started {
            source: Box::new(source),
            checkpoints: None,
            codec: Arc::clone(&self.codec.codec),
            ordered: true,
        })
    }
}

/// One read: a buffer and how many of its bytes were filled.
type Chunk = (Vec<u8>, usize);

/// A thread that reads, and the source that frames what it read.
struct Reading {
    chunks: Receiver<Chunk>,
    spare: SyncSender<Vec<u8>>,
    stop: Arc<AtomicBool>,
    /// Bytes read that no block holds yet.
    waiting: Arc<AtomicU64>,
    /// A chunk of which only the first bytes were framed.
    rest: Option<(Chunk, usize)>,
    framer: Box<dyn Framer>,
    attrs: Arc<Attrs>,
    pos: u64,
    last: Instant,
    ended: bool,
    metrics: Arc<PluginMetrics>,
}

impl Reading {
    fn start(
        from: impl Read + Send + 'static,
        framer: Box<dyn Framer>,
        attrs: Arc<Attrs>,
        cx: &StartCx,
    ) -> Result<Self, String> {
        let (chunk_sender, chunks) = sync_channel(WAITING_READS);
        let (spare, spares) = sync_channel(WAITING_READS);
        let stop = Arc::new(AtomicBool::new(false));
        let waiting = Arc::new(AtomicU64::new(0));
        let thread = ReadThread {
            chunks: chunk_sender,
            spares,
            stop: Arc::clone(&stop),
            waiting: Arc::clone(&waiting),
            waker: Arc::clone(&cx.waker),
        };
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || thread.run(from))
            .map_err(|error| format!("stdin: cannot start a thread to read it: {error}"))?;
        Ok(Reading {
            chunks,
            spare,
            stop,
            waiting,
            rest: None,
            framer,
            attrs,
            pos: 0,
            last: Instant::now(),
            ended: false,
            metrics: Arc::clone(&cx.metrics),
        })
    }

    /// Frames bytes of a chunk; what does not fit stays in `rest`.
    fn take(&mut self, block: &mut Block, (mut bytes, len): Chunk, from: usize, cx: &FillCx<'_>) {
        let all = cx.max_records.is_none();
        let to = if all {
            len
        } else {
            len.min(from + PIECE_BYTES)
        };
        let taken = to - from;
        let at = block.buf.len();
        let whole = at == 0 && from == 0 && to == len;
        if whole {
            bytes.truncate(len);
            std::mem::swap(&mut block.buf, &mut bytes);
        } else {
            block
                .buf
                .extend_from_slice(bytes.get(from..to).unwrap_or_default());
        }
        self.framer.feed(block, at, self.pos);
        self.pos += taken as u64;
        self.waiting.fetch_sub(taken as u64, Relaxed);
        PluginMetrics::add(&self.metrics.bytes, taken as u64);
        if whole || to == len {
            // With a full pool the buffer is simply freed.
            let _ = self.spare.try_send(bytes);
        } else {
            self.rest = Some(((bytes, len), to));
        }
    }

    /// Frames what there is until the block is full. True when the reading thread has ended.
    fn take_all(&mut self, block: &mut Block, cx: &FillCx<'_>) -> bool {
        let full = |block: &Block| {
            block.buf.len() >= cx.block_bytes
                || cx.max_records.is_some_and(|max| block.recs.len() >= max)
        };
        while !full(block) {
            if let Some((chunk, from)) = self.rest.take() {
                self.take(block, chunk, from, cx);
                continue;
            }
            match self.chunks.try_recv() {
                Ok(chunk) => self.take(block, chunk, 0, cx),
                Err(TryRecvError::Empty) => return cx.stopping,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
        false
    }

    fn wait(&mut self, block: &mut Block, before: u64) -> Fill {
        let Some(limit) = self
            .framer
            .auto_flush()
            .filter(|_| self.framer.is_holding())
        else {
            return if self.pos > before {
                Fill::More
            } else {
                Fill::Idle(IDLE)
            };
        };
        if self.pos > before {
            self.last = Instant::now();
        }
        let left = limit.saturating_sub(self.last.elapsed());
        if left.is_zero() {
            self.framer.flush(block);
            return Fill::More;
        }
        Fill::Idle(left.min(IDLE))
    }
}

impl Source for Reading {
    fn fill(&mut self, block: &mut Block, cx: &mut FillCx<'_>) -> Fill {
        if self.ended {
            return Fill::Ended;
        }
        if cx.stopping {
            self.stop.store(true, Relaxed);
        }
        let records = block.recs.len();
        let before = self.pos;
        let fill = if self.take_all(block, cx) {
            self.framer.flush(block);
            self.ended = true;
            Fill::Ended
        } else {
            self.wait(block, before)
        };
        if block.recs.len() > records {
            block.end_run(None, &self.attrs, self.framer.settled());
        }
        fill
    }

    fn idle_reason(&self) -> String {
        if self.ended {
            "stdin: ended".to_owned()
        } else {
            format!("stdin: waiting for input, {} bytes read so far", self.pos)
        }
    }

    fn lost(&self) -> Option<String> {
        let waiting = self.waiting.load(Relaxed);
        (waiting > 0).then(|| format!("stdin: {waiting} bytes were read but not processed"))
    }

    fn lag(&self) -> u64 {
        self.waiting.load(Relaxed)
    }
}

struct ReadThread {
    chunks: SyncSender<Chunk>,
    spares: Receiver<Vec<u8>>,
    stop: Arc<AtomicBool>,
    waiting: Arc<AtomicU64>,
    waker: Arc<dyn Fn() + Send + Sync>,
}

impl ReadThread {
    fn run(self, mut from: impl Read) {
        loop {
            let mut buffer = self.spares.try_recv().unwrap_or_default();
            buffer.resize(READ_BYTES, 0);
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    log::error!("stdin: cannot be read any further: {error}");
                    break;
                }
            };
            if self.stop.load(Relaxed) {
                log::warn!("stdin: {read} bytes came after the stop and are lost");
                break;
            }
            self.waiting.fetch_add(read as u64, Relaxed);
            if self.chunks.send((buffer, read)).is_err() {
                return;
            }
            (self.waker)();
        }
        // The source must see the end of the channel when it is woken.
        drop(self.chunks);
        (self.waker)();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::inputs::testing::{Drain, framer, start_cx};

    /// Gives out one piece a read; an empty piece is a pause.
    struct Pieces(VecDeque<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let piece = self.0.pop_front().unwrap_or_default();
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    fn reading(codec: &str, pieces: &[&'static [u8]]) -> Reading {
        let pieces = Pieces(pieces.iter().copied().collect());
        let (cx, _, _) = start_cx();
        Reading::start(pieces, framer(codec), Arc::default(), &cx).unwrap()
    }

    #[test]
    fn lines_arrive_whole_and_in_order() {
        let mut source = reading("line {}", &[b"one\ntw", b"o\n", b"three"]);
        let records = Drain::default().until_end(&mut source);
        assert_eq!(records, ["one", "two", "three"]);
        assert_eq!(source.lost(), None);
        assert!(source.idle_reason().contains("ended"));
    }

    #[test]
    fn a_limit_of_records_gives_small_blocks() {
        static LINES: &[u8] = &{
            let mut lines = [b'\n'; 20_000];
            let mut at = 0;
            while at < lines.len() {
                lines[at] = b'x';
                at += 2;
            }
            lines
        };
        let mut source = reading("line {}", &[LINES]);
        let drain = Drain {
            max_records: Some(100),
            ..Drain::default()
        };
        let (records, largest) = drain.until_end_with_sizes(&mut source);
        assert_eq!(records.len(), 10_000);
        assert!(largest <= 100 + PIECE_BYTES / 2, "{largest}");
    }

    #[test]
    fn stopping_flushes_what_is_held() {
        struct Waiting(Option<&'static [u8]>, Receiver<()>);
        impl Read for Waiting {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                if let Some(piece) = self.0.take() {
                    buffer[..piece.len()].copy_from_slice(piece);
                    return Ok(piece.len());
                }
                let _ = self.1.recv();
                Ok(0)
            }
        }
        let (release, held) = sync_channel::<()>(1);
        let (cx, woken, _) = start_cx();
        let from = Waiting(Some(b"whole\npart"), held);
        let mut source = Reading::start(from, framer("line {}"), Arc::default(), &cx).unwrap();
        woken.recv_timeout(Duration::from_secs(5)).unwrap();
        let drain = Drain {
            stopping: true,
            ..Drain::default()
        };
        assert_eq!(drain.until_end(&mut source), ["whole", "part"]);
        drop(release);
    }
}
