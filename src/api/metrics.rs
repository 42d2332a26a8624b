//! Metrics as Prometheus text (format 0.0.4), read from the counters where they happen.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::pipeline::Shared;
use crate::plugin::PluginMetrics;
use crate::plugin::metrics::STATUS_LABELS;

/// All metrics of a pipeline and of the process.
#[must_use]
pub fn render(shared: &Shared, pipeline: &str) -> String {
    let mut text = Text {
        out: String::with_capacity(16 << 10),
        pipeline: escape(pipeline),
    };
    inputs(&mut text, shared);
    filters(&mut text, shared);
    outputs(&mut text, shared);
    bounds(&mut text, shared);
    super::process::render(&mut text.out);
    text.out
}

struct Text {
    out: String,
    pipeline: String,
}

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let _ = write!(self.out, "{name}{{pipeline=\"{}\"", self.pipeline);
        for (label, text) in labels {
            let _ = write!(self.out, ",{label}=\"{}\"", escape(text));
        }
        let _ = writeln!(self.out, "}} {value}");
    }

    /// One family with a sample per plugin.
    fn family<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        nodes: impl Iterator<Item = (&'a str, &'a str, &'a PluginMetrics)>,
        pick: impl Fn(&PluginMetrics) -> &AtomicU64,
    ) {
        self.head(name, kind, help);
        for (id, plugin, metrics) in nodes {
            if !metrics.hidden.load(Relaxed) {
                let value = pick(metrics).load(Relaxed);
                self.sample(name, &[(label, id), ("plugin", plugin)], value);
            }
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn inputs(text: &mut Text, shared: &Shared) {
    let nodes = || {
        shared
            .plan
            .inputs
            .iter()
            .map(|node| (node.id.as_str(), node.name, &*node.metrics))
    };
    text.family(
        "logmill_input_events_total",
        "counter",
        "Events made by an input.",
        "input",
        nodes(),
        |m| &m.events_out,
    );
    text.family(
        "logmill_input_bytes_total",
        "counter",
        "Bytes read by an input.",
        "input",
        nodes(),
        |m| &m.bytes,
    );
    text.family(
        "logmill_input_decode_failures_total",
        "counter",
        "Records that the codec could not decode; their events are tagged.",
        "input",
        nodes(),
        |m| &m.failures,
    );
    text.family(
        "logmill_input_dropped_total",
        "counter",
        "Datagrams or connections refused because a bound was reached.",
        "input",
        nodes(),
        |m| &m.dropped,
    );
    text.head(
        "logmill_input_lag_bytes",
        "gauge",
        "Bytes that wait to be read.",
    );
    for (node, lag) in shared.plan.inputs.iter().zip(shared.lags()) {
        if !node.metrics.hidden.load(Relaxed) {
            text.sample(
                "logmill_input_lag_bytes",
                &[("input", &node.id), ("plugin", node.name)],
                lag,
            );
        }
    }
}

fn filters(text: &mut Text, shared: &Shared) {
    let nodes = || {
        shared
            .plan
            .filters
            .iter()
            .map(|node| (node.id.as_str(), node.name, &*node.metrics))
    };
    text.family(
        "logmill_filter_events_in_total",
        "counter",
        "Events that entered a filter.",
        "filter",
        nodes(),
        |m| &m.events_in,
    );
    text.family(
        "logmill_filter_events_out_total",
        "counter",
        "Events that left a filter.",
        "filter",
        nodes(),
        |m| &m.events_out,
    );
    text.family(
        "logmill_filter_matches_total",
        "counter",
        "Events on which a filter succeeded, for filters that look something up or parse.",
        "filter",
        nodes(),
        |m| &m.matches,
    );
    text.family(
        "logmill_filter_failures_total",
        "counter",
        "Events that a filter tagged as failed.",
        "filter",
        nodes(),
        |m| &m.failures,
    );
    text.head(
        "logmill_condition_errors_total",
        "counter",
        "Events set aside because a condition had no answer for them.",
    );
    text.sample(
        "logmill_condition_errors_total",
        &[],
        shared.condition_errors.load(Relaxed),
    );
    for (name, help, value) in [
        (
            "logmill_events_in_total",
            "Events made by all inputs.",
            &shared.events.input,
        ),
        (
            "logmill_events_filtered_total",
            "Events that left the filters.",
            &shared.events.filtered,
        ),
        (
            "logmill_events_out_total",
            "Events given to outputs, once per output.",
            &shared.events.output,
        ),
    ] {
        text.head(name, "counter", help);
        text.sample(name, &[], value.load(Relaxed));
    }
}

fn outputs(text: &mut Text, shared: &Shared) {
    let nodes = || {
        shared
            .plan
            .outputs
            .iter()
            .map(|node| (node.id.as_str(), node.name, &*node.metrics))
    };
    text.family(
        "logmill_output_events_in_total",
        "counter",
        "Events given to an output.",
        "output",
        nodes(),
        |m| &m.events_in,
    );
    text.family(
        "logmill_output_events_total",
        "counter",
        "Events that an output delivered.",
        "output",
        nodes(),
        |m| &m.events_out,
    );
    text.family(
        "logmill_output_bytes_total",
        "counter",
        "Bytes sent by an output.",
        "output",
        nodes(),
        |m| &m.bytes,
    );
    text.family(
        "logmill_output_set_aside_total",
        "counter",
        "Events set aside with a reason, which is logged.",
        "output",
        nodes(),
        |m| &m.set_aside,
    );
    text.family(
        "logmill_output_retried_total",
        "counter",
        "Items sent again.",
        "output",
        nodes(),
        |m| &m.retried,
    );
    text.head(
        "logmill_bulk_requests_total",
        "counter",
        "Bulk requests by result.",
    );
    for (id, plugin, metrics) in nodes() {
        for (result, value) in [
            ("success", &metrics.requests_ok),
            ("with_errors", &metrics.requests_with_errors),
            ("failed", &metrics.requests_failed),
        ] {
            if plugin == "elasticsearch" && !metrics.hidden.load(Relaxed) {
                text.sample(
                    "logmill_bulk_requests_total",
                    &[("output", id), ("result", result)],
                    value.load(Relaxed),
                );
            }
        }
    }
    for (name, help, pick) in [
        (
            "logmill_bulk_requests_under_way",
            "Bulk requests that wait for their answer or for another try.",
            (|m: &PluginMetrics| &m.depth) as fn(&PluginMetrics) -> &AtomicU64,
        ),
        (
            "logmill_bulk_request_target_bytes",
            "Bytes that a bulk request has at most at the moment; it adapts to the answers.",
            |m| &m.request_target,
        ),
    ] {
        text.head(name, "gauge", help);
        for (id, plugin, metrics) in nodes() {
            if plugin == "elasticsearch" && !metrics.hidden.load(Relaxed) {
                text.sample(name, &[("output", id)], pick(metrics).load(Relaxed));
            }
        }
    }
    text.head(
        "logmill_bulk_items_total",
        "counter",
        "Bulk items by the status of their answer.",
    );
    for (id, plugin, metrics) in nodes() {
        for (status, value) in STATUS_LABELS.iter().zip(&metrics.items_by_status) {
            if plugin == "elasticsearch" && !metrics.hidden.load(Relaxed) {
                text.sample(
                    "logmill_bulk_items_total",
                    &[("output", id), ("status", status)],
                    value.load(Relaxed),
                );
            }
        }
    }
}

fn bounds(text: &mut Text, shared: &Shared) {
    let (in_use, total) = shared.blocks.in_use();
    text.head(
        "logmill_blocks",
        "gauge",
        "Blocks of input that are being worked on.",
    );
    text.sample("logmill_blocks", &[], in_use as u64);
    text.head(
        "logmill_blocks_max",
        "gauge",
        "Bound on the blocks of input.",
    );
    text.sample("logmill_blocks_max", &[], total as u64);
    let held: Vec<(usize, usize, usize)> = shared
        .budgets
        .iter()
        .map(|budget| (budget.held().0, budget.held().1, budget.max()))
        .collect();
    for (name, help, pick) in [
        (
            "logmill_output_pending_bytes",
            "Bytes that wait for an output's answer.",
            0,
        ),
        (
            "logmill_output_pending_bodies",
            "Requests that wait for an output's answer.",
            1,
        ),
        (
            "logmill_output_pending_bytes_max",
            "Bound on the bytes that may wait for an output's answer.",
            2,
        ),
    ] {
        text.head(name, "gauge", help);
        for (node, (bytes, bodies, max)) in shared.plan.outputs.iter().zip(&held) {
            let value = [*bytes, *bodies, *max][pick];
            text.sample(name, &[("output", &node.id)], value as u64);
        }
    }
    let (in_flight, totals) = shared.delivery_state();
    for (name, kind, help, value) in [
        (
            "logmill_delivery_streams",
            "gauge",
            "Streams whose positions are tracked.",
            u64::from(in_flight.streams),
        ),
        (
            "logmill_delivery_open_runs",
            "gauge",
            "Runs of records that wait for answers.",
            u64::from(in_flight.tickets),
        ),
        (
            "logmill_delivery_open_events",
            "gauge",
            "Events of tracked streams that wait for answers.",
            in_flight.items,
        ),
        (
            "logmill_delivery_indexed_total",
            "counter",
            "Events of tracked streams that were stored.",
            totals.indexed,
        ),
        (
            "logmill_delivery_set_aside_total",
            "counter",
            "Events of tracked streams that were set aside.",
            totals.set_aside,
        ),
        (
            "logmill_delivery_dropped_total",
            "counter",
            "Events of tracked streams that a rule dropped at an output.",
            totals.dropped,
        ),
        (
            "logmill_delivery_late_total",
            "counter",
            "Answers that came after their stream was closed.",
            totals.late,
        ),
    ] {
        text.head(name, kind, help);
        text.sample(name, &[], value);
    }
}
