//! `elasticsearch`: writes events to Elasticsearch with bulk requests.

mod config;
mod deliver;
mod flow;
mod segment;
mod target;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::elasticsearch::{Client, Policy, Template};
use crate::event::{Batch, Selection};
use crate::language::ast::Plugin;
use crate::plugin::options::Options as _;
use crate::plugin::output::BoxFuture;
use crate::plugin::{Body, Build, Cx, Make, Output, PluginMetrics, PluginSpec, SendCx};
use target::{Target, TargetScratch};

pub use config::Config;

/// The catalogue's entry.
pub const SPEC: PluginSpec = PluginSpec {
    name: "elasticsearch",
    about: "Writes events to Elasticsearch (7 or newer) with `_bulk` requests. The pipeline starts even while \
            Elasticsearch is away: what is read waits, bounded, and reading stops when the bound is reached.\n\n\
            Items that Elasticsearch refuses for good (400, 404) are set aside: counted, logged with the reason, \
            and the rest of the bulk is unaffected. Items and requests refused for now (429, 5xx, no connection …) \
            are sent again for ever, with pauses from `retry_initial_interval` to `retry_max_interval`.\n\n\
            Without `index`, and with nothing else set that rules it out, events go to the data stream \
            `logs-generic-default`, as in the original.",
    options: Config::specs,
    make: Make::Output(make),
};

/// The output.
pub struct Elasticsearch {
    client: Client,
    target: Target,
    policy: Policy,
    template: Option<Template>,
    compression_level: u32,
    retry: (Duration, Duration),
    /// The server was asked who it is, and the template is there.
    ready: watch::Sender<bool>,
    trouble: Mutex<Option<String>>,
    /// Requests under way to one host, and to all together.
    per_host: usize,
    pool_max: usize,
    line: Mutex<deliver::Line>,
    /// Known from the start on, for the gauges.
    metrics: OnceLock<Arc<PluginMetrics>>,
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Output>> {
    let config = Config::read(plugin, build)?;
    let span = plugin.name.span;
    let target = Target::new(&config, plugin, build)?;
    let (client, template) = config.connection(plugin, build)?;
    let policy = Policy {
        drop_error_types: config.drop_error_types,
        dlq_custom_codes: config.dlq_custom_codes,
        silence_errors_in_log: config.silence_errors_in_log,
    };
    let seconds = |number: f64| {
        Duration::try_from_secs_f64(number)
            .ok()
            .filter(|pause| !pause.is_zero())
    };
    let (Some(first), Some(longest)) = (
        seconds(config.retry_initial_interval),
        seconds(config.retry_max_interval),
    ) else {
        build.error(
            "option-value",
            "`retry_initial_interval` and `retry_max_interval` must be positive",
            span,
        );
        return None;
    };
    let compression_level = config
        .http_compression
        .map_or(config.compression_level, u32::from);
    Some(Arc::new(Elasticsearch {
        client,
        target,
        policy,
        template,
        compression_level,
        retry: (first, longest.max(first)),
        ready: watch::Sender::new(false),
        trouble: Mutex::new(None),
        per_host: deliver::PER_HOST.min(config.pool_max_per_route.max(1)),
        pool_max: config.pool_max.max(1),
        line: Mutex::new(deliver::Line::new()),
        metrics: OnceLock::new(),
    }))
}

impl Output for Elasticsearch {
    fn scratch(&self) -> Box<dyn std::any::Any + Send> {
        Box::new(TargetScratch::default())
    }

    fn encode(&self, batch: &mut Batch, sel: &Selection, body: &mut Body, cx: &mut Cx<'_>) {
        let Some(scratch) = cx.scratch.downcast_mut::<TargetScratch>() else {
            return;
        };
        let mut aside = 0;
        for &id in sel.ids() {
            if let Err(reason) = self.target.write(batch, id, &mut body.bytes, scratch) {
                log::warn!("elasticsearch: an event was set aside: {reason}");
                aside += 1;
            }
            body.end_item(batch.run_of(id));
        }
        PluginMetrics::add(&cx.metrics.set_aside, aside);
    }

    fn deliver(self: Arc<Self>, body: Body, cx: SendCx) -> BoxFuture<Body> {
        Box::pin(deliver::deliver(self, body, cx))
    }

    fn start(self: Arc<Self>, cx: SendCx) {
        tokio::runtime::Handle::try_current().map_or_else(
            |_| log::error!("elasticsearch: no I/O runtime"),
            |runtime| drop(runtime.spawn(deliver::prepare(self, cx))),
        );
    }

    fn trouble(&self) -> Option<String> {
        crate::lock(&self.trouble).clone()
    }
}
