//! `stdout`: writes events to the standard output through a codec.

use std::io::Write as _;
use std::sync::Arc;

use crate::delivery::Outcome;
use crate::event::{Batch, Selection};
use crate::language::ast::Plugin;
use crate::options;
use crate::plugin::options::{CodecRef, Options as _};
use crate::plugin::{Body, Build, Cx, Make, Output, PluginMetrics, PluginSpec, SendCx};

options! {
    /// Options of the `stdout` output.
    pub struct Config {
        /// How events are written. The codec decides about line ends: `json` writes none, `json_lines` does.
        codec: CodecRef = "rubydebug";
    }
}

/// The catalogue's entry.
pub const SPEC: PluginSpec = PluginSpec {
    name: "stdout",
    about: "Writes events to the standard output. Each batch is written and flushed at once, so that logmill \
            works as a filter in a Unix pipe. When the reader goes away (broken pipe) the process ends with code 0, \
            and with code 1 when writing fails otherwise (disk full): what other outputs still held is then lost, unless its \
            source is read again.",
    options: Config::specs,
    make: Make::Output(make),
};

struct Stdout {
    codec: CodecRef,
}

fn make(plugin: &Plugin, build: &mut Build<'_>) -> Option<Arc<dyn Output>> {
    let config = Config::read(plugin, build)?;
    Some(Arc::new(Stdout {
        codec: config.codec,
    }))
}

impl Output for Stdout {
    fn encode(&self, batch: &mut Batch, sel: &Selection, body: &mut Body, cx: &mut Cx<'_>) {
        for &id in sel.ids() {
            self.codec.codec.encode(batch, id, &mut body.bytes, cx.buf);
            body.end_item(batch.run_of(id));
        }
    }

    fn deliver_now(&self, body: &Body, cx: &SendCx) -> bool {
        let mut out = std::io::stdout().lock();
        match out.write_all(&body.bytes).and_then(|()| out.flush()) {
            Ok(()) => {
                PluginMetrics::add(&cx.metrics.events_out, body.items.len() as u64);
                PluginMetrics::add(&cx.metrics.bytes, body.bytes.len() as u64);
                body.answer_all(cx, Outcome::Indexed);
            }
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                // Whoever read has gone: as for any Unix filter there is nothing left to do.
                std::process::exit(0);
            }
            Err(error) => {
                log::error!(
                    "stdout: cannot write: {error}; the process ends, as a filter in a pipe does"
                );
                crate::telemetry::log::flush(true);
                std::process::exit(1);
            }
        }
        true
    }
}
