//! Pipelines inside this process, for tests and measurements: lines come from memory, bulks end in memory.
//!
//! The plan, the workers, the plugins and the encoding are the real ones. The catalogue differs in two entries: there
//! is an input `records`, and the `elasticsearch` output keeps or forgets what it encoded instead of sending it.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use logmill::catalogue::CATALOGUE;
use logmill::delivery::Outcome;
use logmill::event::{Batch, Selection};
use logmill::language::ast::Plugin;
use logmill::language::{ParseOptions, SourceMap};
use logmill::options;
use logmill::pipeline::{Pipeline, RunOptions};
use logmill::plan::{PlanOptions, compile};
use logmill::plugin::options::CodecRef;
use logmill::plugin::{
    Attrs, Block, Body, Build, Catalogue, Codec, Cx, Fill, FillCx, Framer, Framing, Input, Make,
    Options, Output, PluginKind, PluginMetrics, PluginSpec, SendCx, Settings, Source, StartCx,
    Started,
};

/// What goes in.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    /// Lines without their ends, in this order, again and again.
    pub lines: Vec<Vec<u8>>,
    /// Lines in all.
    pub records: u64,
    /// Most lines of each block, in turn; as many as fit where there is none.
    pub blocks: Vec<usize>,
}

/// What every run shares: its feed by id, and the bulks that it wrote where they are kept.
#[derive(Default)]
struct Exchange {
    feeds: HashMap<String, Feed>,
    bulks: HashMap<String, Vec<u8>>,
}

static EXCHANGE: LazyLock<Mutex<Exchange>> = LazyLock::new(Mutex::default);
static RUNS: AtomicU64 = AtomicU64::new(0);

fn exchange<T>(call: impl FnOnce(&mut Exchange) -> T) -> T {
    call(&mut EXCHANGE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The real catalogue, but for `records` and `elasticsearch`.
fn catalogue() -> Catalogue {
    static ALL: LazyLock<Vec<PluginSpec>> = LazyLock::new(|| {
        let mut all: Vec<PluginSpec> = CATALOGUE.0.to_vec();
        all.retain(|spec| spec.name != "elasticsearch");
        all.push(PluginSpec {
            name: "elasticsearch",
            make: Make::Output(make_bulks),
            ..logmill::outputs::elasticsearch::SPEC
        });
        all.push(PluginSpec {
            name: "records",
            about: "Lines from memory.",
            options: RecordsConfig::specs,
            make: Make::Input(make_records),
        });
        all
    });
    Catalogue(&ALL)
}

options! {
    /// Options of the `records` input.
    struct RecordsConfig {
        /// How a record becomes events.
        codec: CodecRef = "plain";
    }
}

fn make_records(plugin: &Plugin, build: &mut Build<'_>) -> Option<Box<dyn Input>> {
    Some(Box::new(Records {
        codec: RecordsConfig::read(plugin, build)?.codec.codec,
    }))
}

struct Records {
    codec: Arc<dyn Codec>,
}

impl Input for Records {
    fn start(&self, cx: StartCx) -> Result<Started, String> {
        let feed = exchange(|all| all.feeds.remove(&cx.id)).ok_or("nothing to feed")?;
        Ok(Started {
            source: Box::new(Feeding {
                framer: self.codec.framer(&Framing::Lines(b"\n".to_vec())),
                feed,
                given: 0,
                bytes: 0,
                block: 0,
                attrs: Arc::new(Attrs::default()),
            }),
            checkpoints: None,
            codec: Arc::clone(&self.codec),
            ordered: false,
        })
    }
}

struct Feeding {
    framer: Box<dyn Framer>,
    feed: Feed,
    given: u64,
    bytes: u64,
    block: usize,
    attrs: Arc<Attrs>,
}

impl Source for Feeding {
    fn fill(&mut self, block: &mut Block, cx: &mut FillCx<'_>) -> Fill {
        let Feed {
            lines,
            records,
            blocks,
        } = &self.feed;
        let most = match blocks.len() {
            0 => u64::MAX,
            turns => blocks[self.block % turns].max(1) as u64,
        };
        self.block += 1;
        let (from, last) = (block.buf.len(), self.given.saturating_add(most));
        while self.given < (*records).min(last) {
            let line = &lines[(self.given % lines.len() as u64) as usize];
            if block.buf.len() > from && block.buf.len() + line.len() >= cx.block_bytes {
                break;
            }
            block.buf.extend_from_slice(line);
            block.buf.push(b'\n');
            self.given += 1;
        }
        let fed = (block.buf.len() - from) as u64;
        self.framer.feed(block, from, self.bytes);
        self.bytes += fed;
        if self.given == *records {
            self.framer.flush(block);
        }
        block.end_run(None, &self.attrs, 0);
        if self.given == *records {
            Fill::Ended
        } else {
            Fill::More
        }
    }

    fn idle_reason(&self) -> String {
        "all records are given".to_owned()
    }
}

fn make_bulks(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Output>> {
    let spec = CATALOGUE.find(PluginKind::Output, "elasticsearch")?;
    let Make::Output(make) = spec.make else {
        return None;
    };
    Some(Arc::new(Bulks {
        inner: make(plugin, build)?,
        id: build.id.clone(),
    }))
}

/// Encodes like the output within, and sends nothing.
struct Bulks {
    inner: Arc<dyn Output>,
    id: String,
}

impl Output for Bulks {
    fn scratch(&self) -> Box<dyn Any + Send> {
        self.inner.scratch()
    }

    fn encode(&self, batch: &mut Batch, sel: &Selection, body: &mut Body, cx: &mut Cx<'_>) {
        self.inner.encode(batch, sel, body, cx);
    }

    fn deliver_now(&self, body: &Body, cx: &SendCx) -> bool {
        exchange(|all| {
            if let Some(kept) = all.bulks.get_mut(&self.id) {
                kept.extend_from_slice(&body.bytes);
            }
        });
        PluginMetrics::add(&cx.metrics.events_out, body.items.len() as u64);
        body.answer_all(cx, Outcome::Indexed);
        true
    }

    fn deliver(
        self: Arc<Self>,
        body: Body,
        _: SendCx,
    ) -> Pin<Box<dyn Future<Output = Body> + Send>> {
        Box::pin(async move { body })
    }
}

/// The output section that most runs end with; `index` may hold `%{…}`.
#[must_use]
pub fn elasticsearch(index: &str) -> String {
    format!(
        "elasticsearch {{ id => \"@ID@\" hosts => \"http://127.0.0.1:9\" index => \"{index}\" compression_level => 0 \
         manage_template => false data_stream => \"false\" ilm_enabled => \"false\" }}"
    )
}

/// Runs the feed through `codec`, the filters and the output, with one worker, to its end. What an output made by
/// [`elasticsearch`] encoded is returned when `keep` asks for it.
///
/// # Panics
/// When the config has errors, or the pipeline does not start.
pub fn run(feed: Feed, codec: &str, filters: &str, output: &str, keep: bool) -> Vec<u8> {
    let id = format!("run-{}", RUNS.fetch_add(1, Relaxed));
    let output = output.replace("@ID@", &id);
    // An id may stand once in each kind of plugin.
    let config = format!(
        "input {{ records {{ id => \"in-{id}\" codec => {codec} }} }}\nfilter {{\n{filters}\n}}\noutput {{ {output} }}\n"
    );
    exchange(|all| {
        all.feeds.insert(format!("in-{id}"), feed);
        if keep {
            all.bulks.insert(id.clone(), Vec::new());
        }
    });
    let source = SourceMap::single("inside", &config).expect("a small config");
    let settings = Settings {
        max_record_bytes: 16 << 20,
        ..Settings::default()
    };
    let compiled = compile(
        &source,
        &PlanOptions {
            catalogue: catalogue(),
            settings: &settings,
            environment: &|_| None,
            parse: ParseOptions::default(),
        },
    );
    let plan = compiled.plan.unwrap_or_else(|| {
        let errors = logmill::language::render(&compiled.diagnostics, &source, false);
        panic!("{errors}\n{config}")
    });
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    });
    let data = tempfile::tempdir().expect("a folder");
    let options = RunOptions {
        workers: 1,
        data_dir: data.path().to_path_buf(),
        // The end of a run waits for the next commit.
        commit_interval: Duration::from_millis(2),
        ..RunOptions::default()
    };
    let pipeline = {
        let _entered = RUNTIME.enter();
        Pipeline::start(plan, options, RUNTIME.handle().clone()).expect("the pipeline starts")
    };
    pipeline.wait();
    exchange(|all| all.bulks.remove(&id)).unwrap_or_default()
}
