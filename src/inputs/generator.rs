//! `generator`: the same texts again and again, for trying out and measuring pipelines.

use std::io::BufRead as _;
use std::sync::Arc;

use super::{hostname, text_attr};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::options::CodecRef;
use crate::plugin::{
    Attrs, Block, Build, Fill, FillCx, Framing, Input, Make, Options, PluginMetrics, PluginSpec,
    Rec, Source, StartCx, Started,
};

options! {
    /// Options of the `generator` input.
    pub struct Config {
        /// How a text becomes events; each text is one message.
        codec: CodecRef = "plain";
        /// The text, unless `lines` are given. `stdin` stands for the first line of the standard input.
        message: String = "Hello world!";
        /// Texts, in this order, again and again.
        lines: Vec<String>;
        /// How often each text is given (by each thread). 0: for ever.
        count: u64 = 0;
        /// How many generators run; each gives every text `count` times. They take turns here.
        threads: u64 = 1;
    }
}

/// `generator` for the catalogue.
pub const SPEC: PluginSpec = PluginSpec {
    name: "generator",
    about: "Makes events of the same texts again and again, as fast as they are taken. Adds the machine's name as \
            `[host][name]` and the number of the round, from 0, as `[event][sequence]` (`host` and `sequence` without \
            ECS compatibility) where an event has none.",
    options: Config::specs,
    make: Make::Input(make),
};

/// Most records of one block when the pipeline sets no limit: short texts would make huge batches.
const BLOCK_RECORDS: usize = 8_192;

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Input>> {
    let config = Config::read(plugin, build)?;
    let (host, sequence) = if build.ecs.enabled() {
        ("[host][name]", "[event][sequence]")
    } else {
        ("host", "sequence")
    };
    let attrs = Attrs {
        fields: vec![text_attr(&build.path(host), hostname())],
        offset_field: Some(build.path(sequence)),
    };
    let ask_stdin = config.lines.is_empty() && config.message == "stdin";
    let lines = if config.lines.is_empty() {
        vec![config.message]
    } else {
        config.lines
    };
    Some(Box::new(Generator {
        codec: config.codec,
        lines,
        ask_stdin,
        count: config.count,
        threads: config.threads.max(1),
        attrs: Arc::new(attrs),
    }))
}

struct Generator {
    codec: CodecRef,
    lines: Vec<String>,
    /// The only line is to be read from the standard input.
    ask_stdin: bool,
    count: u64,
    threads: u64,
    attrs: Arc<Attrs>,
}

impl Input for Generator {
    fn start(&self, cx: StartCx) -> Result<Started, String> {
        let mut lines = self.lines.clone();
        if let (true, [line]) = (self.ask_stdin, lines.as_mut_slice()) {
            line.clear();
            std::io::stdin().lock().read_line(line).map_err(|error| {
                format!("generator: cannot read its message from stdin: {error}")
            })?;
        }
        let round = Round::new(&lines, self.threads, &self.codec);
        let source = Generating {
            round,
            count: self.count,
            number: 0,
            at: 0,
            attrs: Arc::clone(&self.attrs),
            metrics: cx.metrics,
        };
        Ok(Started {
            source: Box::new(source),
            checkpoints: None,
            codec: Arc::clone(&self.codec.codec),
            ordered: false,
        })
    }
}

/// All records of one round, framed once.
struct Round {
    bytes: Vec<u8>,
    recs: Vec<Rec>,
}

impl Round {
    fn new(lines: &[String], threads: u64, codec: &CodecRef) -> Self {
        let mut framer = codec.codec.framer(&Framing::Message);
        let mut block = Block::default();
        for line in lines {
            for _ in 0..threads {
                let from = block.buf.len();
                block.buf.extend_from_slice(line.as_bytes());
                framer.restart(0);
                framer.feed(&mut block, from, 0);
                framer.flush(&mut block);
            }
        }
        // Packed one behind the other, so that a stretch of records is a stretch of bytes.
        let mut round = Round {
            bytes: Vec::new(),
            recs: Vec::new(),
        };
        for rec in block.recs {
            let from = rec.off as usize;
            let off = u32::try_from(round.bytes.len()).unwrap_or(u32::MAX);
            let text = block.buf.get(from..from + rec.len as usize);
            round.bytes.extend_from_slice(text.unwrap_or_default());
            round.recs.push(Rec { off, ..rec });
        }
        round
    }
}

struct Generating {
    round: Round,
    count: u64,
    /// Number of the round, and of the record in it that comes next.
    number: u64,
    at: usize,
    attrs: Arc<Attrs>,
    metrics: Arc<PluginMetrics>,
}

impl Generating {
    fn is_done(&self) -> bool {
        self.round.recs.is_empty() || (self.count > 0 && self.number >= self.count)
    }
}

impl Source for Generating {
    fn fill(&mut self, block: &mut Block, cx: &mut FillCx<'_>) -> Fill {
        let most = cx
            .max_records
            .unwrap_or(BLOCK_RECORDS)
            .max(block.recs.len() + 1);
        let (from, before) = (block.buf.len(), block.recs.len());
        while !cx.stopping && !self.is_done() && block.recs.len() < most {
            let Some(rec) = self.round.recs.get(self.at).copied() else {
                break;
            };
            if block.buf.len() > from && block.buf.len() + rec.len as usize > cx.block_bytes {
                break;
            }
            let off = u32::try_from(block.buf.len()).unwrap_or(u32::MAX);
            let start = rec.off as usize;
            let text = self.round.bytes.get(start..start + rec.len as usize);
            block.buf.extend_from_slice(text.unwrap_or_default());
            block.recs.push(Rec {
                off,
                pos: self.number,
                ..rec
            });
            self.at += 1;
            if self.at == self.round.recs.len() {
                self.at = 0;
                self.number += 1;
            }
        }
        PluginMetrics::add(&self.metrics.bytes, (block.buf.len() - from) as u64);
        if block.recs.len() > before {
            block.end_run(None, &self.attrs, 0);
        }
        if cx.stopping || self.is_done() {
            Fill::Ended
        } else {
            Fill::More
        }
    }

    fn idle_reason(&self) -> String {
        format!("generator: {} rounds are given out", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::testing::{Drain, start, start_cx};

    fn records(config: &str) -> Vec<String> {
        let (cx, _, _) = start_cx();
        let mut started = start(SPEC, config, cx).unwrap();
        Drain::default().until_end(&mut *started.source)
    }

    #[test]
    fn texts_in_rounds() {
        assert_eq!(records("generator { count => 2 }"), ["Hello world!"; 2]);
        let config = "generator { lines => ['a', 'b'] count => 2 threads => 2 }";
        assert_eq!(records(config), ["a", "a", "b", "b", "a", "a", "b", "b"]);
        let config = "generator { lines => ['a', 'b'] count => 1 codec => line }";
        assert_eq!(records(config), ["a", "b"]);
        let config =
            "generator { message => 'a||b' count => 2 codec => line { delimiter => '||' } }";
        assert_eq!(records(config), ["a", "b", "a", "b"]);
    }

    #[test]
    fn rounds_are_numbered_and_blocks_are_bounded() {
        let (cx, _, _) = start_cx();
        let mut started = start(SPEC, "generator { count => 20000 }", cx).unwrap();
        let drain = Drain::default();
        let mut block = Block::default();
        assert_eq!(drain.fill(&mut *started.source, &mut block), Fill::More);
        assert_eq!(block.recs.len(), BLOCK_RECORDS);
        assert_eq!(block.recs.last().map(|rec| rec.pos), Some(8191));
        assert_eq!(block.runs.len(), 1);
        assert!(block.runs[0].attrs.offset_field.is_some());
        let small = Drain {
            max_records: Some(3),
            ..Drain::default()
        };
        block.clear();
        small.fill(&mut *started.source, &mut block);
        assert_eq!(
            block.recs.iter().map(|rec| rec.pos).collect::<Vec<_>>(),
            [8192, 8193, 8194]
        );
        let stopping = Drain {
            stopping: true,
            ..Drain::default()
        };
        block.clear();
        assert_eq!(stopping.fill(&mut *started.source, &mut block), Fill::Ended);
    }
}
