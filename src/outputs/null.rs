//! `null`: drops every event it is given.

use std::sync::Arc;

use crate::delivery::Outcome;
use crate::event::{Batch, Selection};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::options::Options as _;
use crate::plugin::{Body, Build, Cx, Make, Output, PluginMetrics, PluginSpec, SendCx};

options! {
    /// Options of the `null` output.
    pub struct Config {
        /// Write each event as JSON before dropping it: for measuring what encoding costs.
        encode: bool = false;
    }
}

/// The catalogue's entry.
pub const SPEC: PluginSpec = PluginSpec {
    name: "null",
    about: "Drops every event that reaches it, and counts it as delivered. For tests and measurements.",
    options: Config::specs,
    make: Make::Output(make),
};

struct Null {
    encode: bool,
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Output>> {
    let config = Config::read(plugin, build)?;
    Some(Arc::new(Null {
        encode: config.encode,
    }))
}

impl Output for Null {
    fn encode(&self, batch: &mut Batch, sel: &Selection, body: &mut Body, _: &mut Cx<'_>) {
        for &id in sel.ids() {
            if self.encode {
                batch.write_event(id, &mut body.bytes);
            }
            body.end_item(batch.run_of(id));
        }
    }

    fn deliver_now(&self, body: &Body, cx: &SendCx) -> bool {
        PluginMetrics::add(&cx.metrics.events_out, body.items.len() as u64);
        body.answer_all(cx, Outcome::Dropped);
        true
    }

    fn discards(&self) -> bool {
        true
    }
}
