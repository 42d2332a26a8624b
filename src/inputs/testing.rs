//! Helpers for the tests of inputs: start one from its config, and take what it yields.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::delivery::Delivery;
use crate::plugin::testing::{build, parse_plugin};
use crate::plugin::{
    Block, Catalogue, Ecs, Fill, FillCx, Framer, Framing, Make, PluginMetrics, PluginSpec, Source,
    StartCx, Started,
};

/// The codecs that tests of inputs may name.
pub const CODECS: Catalogue = Catalogue(&[
    crate::codecs::plain::SPEC,
    crate::codecs::line::SPEC,
    crate::codecs::json::SPEC,
    crate::codecs::json_lines::SPEC,
]);

/// What an input is started with, a receiver that hears of each wake-up, and the switch that stops it.
pub fn start_cx() -> (StartCx, Receiver<()>, tokio::sync::watch::Sender<bool>) {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    });
    let (wake, woken) = std::sync::mpsc::sync_channel(1 << 16);
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let cx = StartCx {
        waker: Arc::new(move || {
            let _ = wake.try_send(());
        }),
        runtime: runtime.handle().clone(),
        data_dir: std::env::temp_dir(),
        stopping,
        metrics: Arc::new(PluginMetrics::default()),
        id: "test".to_owned(),
    };
    (cx, woken, stop)
}

/// Starts an input from its config.
pub fn start(spec: PluginSpec, config: &str, cx: StartCx) -> Result<Started, String> {
    let plugin = parse_plugin(config);
    let Make::Input(make) = spec.make else {
        panic!("{} is no input", spec.name)
    };
    let (input, _, diagnostics) = build(CODECS, Ecs::V8, |build| make(&plugin, build));
    input.unwrap_or_else(|| panic!("{diagnostics:?}")).start(cx)
}

/// A framer of a stream, from the config of its codec.
pub fn framer(codec: &str) -> Box<dyn Framer> {
    let plugin = parse_plugin(codec);
    let (codec, _, diagnostics) = build(CODECS, Ecs::V8, |build| build.codec(&plugin));
    codec
        .unwrap_or_else(|| panic!("{diagnostics:?}"))
        .framer(&Framing::Stream)
}

/// A port of the loopback address that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// How a source is emptied.
#[derive(Default)]
pub struct Drain {
    pub max_records: Option<usize>,
    pub stopping: bool,
}

impl Drain {
    pub fn fill(&self, source: &mut dyn Source, block: &mut Block) -> Fill {
        let delivery = Mutex::new(Delivery::default());
        source.fill(
            block,
            &mut FillCx {
                delivery: &delivery,
                stopping: self.stopping,
                max_records: self.max_records,
                block_bytes: 1 << 20,
            },
        )
    }

    /// The texts of all records, until the source ends.
    pub fn until_end(&self, source: &mut dyn Source) -> Vec<String> {
        self.until_end_with_sizes(source).0
    }

    /// [`Drain::until_end`], and the most records of a block.
    pub fn until_end_with_sizes(&self, source: &mut dyn Source) -> (Vec<String>, usize) {
        let (mut out, mut largest) = (Vec::new(), 0);
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let mut block = Block::default();
            let fill = self.fill(source, &mut block);
            largest = largest.max(block.recs.len());
            texts(&block, &mut out);
            match fill {
                Fill::Ended => return (out, largest),
                Fill::More => {}
                Fill::Idle(_) => std::thread::sleep(Duration::from_millis(1)),
            }
            assert!(
                Instant::now() < until,
                "the source does not end: {}",
                source.idle_reason()
            );
        }
    }

    /// Takes until there are `count` records; returns their blocks.
    pub fn until_records(&self, source: &mut dyn Source, count: usize) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let until = Instant::now() + Duration::from_secs(10);
        while blocks.iter().map(|block| block.recs.len()).sum::<usize>() < count {
            let mut block = Block::default();
            if matches!(self.fill(source, &mut block), Fill::Idle(_)) {
                std::thread::sleep(Duration::from_millis(1));
            }
            blocks.push(block);
            assert!(
                Instant::now() < until,
                "too few records: {}",
                source.idle_reason()
            );
        }
        blocks.retain(|block| !block.runs.is_empty());
        blocks
    }
}

/// Appends the texts of a block's records; checks that its runs cover them.
pub fn texts(block: &Block, out: &mut Vec<String>) {
    assert_eq!(
        block.runs.last().map_or(0, |run| run.recs_end as usize),
        block.recs.len()
    );
    for rec in &block.recs {
        let from = rec.off as usize;
        out.push(String::from_utf8_lossy(&block.buf[from..from + rec.len as usize]).into_owned());
    }
}
