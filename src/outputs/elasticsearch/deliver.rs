//! Delivery of bulk bodies: what was stored is answered, what was refused is set aside, the rest goes again.

use std::sync::Arc;

use bytes::Bytes;

use super::Elasticsearch;
use crate::delivery;
use crate::elasticsearch::{Backoff, BulkBody, BulkResult, ItemResult, Outcome, classify};
use crate::lock;
use crate::plugin::output::Item;
use crate::plugin::{Body, PluginMetrics, SendCx};

/// Largest request body; more is cut into several. The original's figure.
const MAX_REQUEST: usize = 20 << 20;

/// Asks the server who it is and installs the template, again and again until it agrees.
pub(super) async fn prepare(output: Arc<Elasticsearch>, mut cx: SendCx) {
    let mut backoff = Backoff::new(output.retry.0, output.retry.1);
    loop {
        match attempt(&output).await {
            Ok(()) => {
                *lock(&output.trouble) = None;
                output.ready.send_replace(true);
                return;
            }
            Err(error) => {
                log::warn!("elasticsearch: {error}");
                *lock(&output.trouble) = Some(error.to_string());
            }
        }
        if !pause(&mut backoff, None, &mut cx).await {
            return;
        }
    }
}

async fn attempt(output: &Elasticsearch) -> Result<(), crate::elasticsearch::StartupError> {
    let info = output.client.connect_and_check().await?;
    for warning in &info.warnings {
        log::warn!("elasticsearch: {warning}");
    }
    if let Some(template) = &output.template {
        let outcome = output.client.install_template(template, &info).await?;
        log::info!("elasticsearch: {}", outcome.sentence(&template.name));
    }
    Ok(())
}

/// Sleeps; false when the process stops instead.
async fn pause(backoff: &mut Backoff, least: Option<std::time::Duration>, cx: &mut SendCx) -> bool {
    let pause = backoff.pause().max(least.unwrap_or_default());
    tokio::select! {
        () = tokio::time::sleep(pause) => true,
        () = stopped(cx) => false,
    }
}

async fn stopped(cx: &mut SendCx) {
    // An error means that the pipeline is gone, which is as good as stopped.
    let _ = cx.stopping.wait_for(|stopping| *stopping).await;
}

/// Delivers a body; returns it for reuse when every item is answered or the process stops.
pub(super) async fn deliver(output: Arc<Elasticsearch>, body: Body, mut cx: SendCx) -> Body {
    let mut ready = output.ready.subscribe();
    let is_ready = tokio::select! {
        ready = ready.wait_for(|ready| *ready) => ready.is_ok(),
        () = stopped(&mut cx) => false,
    };
    if !is_ready {
        return body;
    }
    let Body { bytes, items } = body;
    let mut bytes = Bytes::from(bytes);
    let mut start = 0;
    let mut at = 0;
    while at < items.len() {
        // Without a break the whole body is one request.
        let mut end = at;
        while end < items.len() && (end == at || items[end].end as usize - start <= MAX_REQUEST) {
            end += 1;
        }
        let stop = items[end - 1].end as usize;
        let part = Part {
            bytes: bytes.slice(start..stop),
            items: items[at..end]
                .iter()
                .map(|item| Item {
                    end: item.end - u32::try_from(start).unwrap_or(0),
                    ..*item
                })
                .collect(),
        };
        output.send(part, &mut cx).await;
        start = stop;
        at = end;
    }
    let vec = Vec::from(std::mem::take(&mut bytes));
    Body { bytes: vec, items }
}

/// Items that go in one request.
struct Part {
    bytes: Bytes,
    items: Vec<Item>,
}

impl Part {
    fn range(&self, at: usize) -> std::ops::Range<usize> {
        let start = if at == 0 {
            0
        } else {
            self.items[at - 1].end as usize
        };
        start..self.items[at].end as usize
    }

    /// The chosen items as a part of their own.
    fn select(&self, chosen: &[usize]) -> Part {
        let mut bytes = Vec::with_capacity(chosen.iter().map(|at| self.range(*at).len()).sum());
        let mut items = Vec::with_capacity(chosen.len());
        for at in chosen {
            bytes.extend_from_slice(&self.bytes[self.range(*at)]);
            items.push(Item {
                end: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                run: self.items[*at].run,
            });
        }
        Part {
            bytes: Bytes::from(bytes),
            items,
        }
    }
}

impl Elasticsearch {
    /// Sends a part until each of its items has its answer, or the process stops.
    async fn send(&self, part: Part, cx: &mut SendCx) {
        let Some(part) = without_empty(part, cx) else {
            return;
        };
        let mut todo = vec![part];
        let mut backoff = Backoff::new(self.retry.0, self.retry.1);
        while let Some(part) = todo.pop() {
            let body = match self.body(&part).await {
                Ok(body) => body,
                Err(error) => {
                    log::error!(
                        "elasticsearch: cannot compress a request: {error}; it goes uncompressed"
                    );
                    BulkBody::plain(part.bytes.clone(), count(part.items.len()))
                }
            };
            match self.client.send_bulk(&body).await {
                BulkResult::AllOk => {
                    *lock(&self.trouble) = None;
                    PluginMetrics::add(&cx.metrics.requests_ok, 1);
                    PluginMetrics::add(&cx.metrics.bytes, body.bytes.len() as u64);
                    PluginMetrics::add(&cx.metrics.events_out, part.items.len() as u64);
                    cx.metrics.add_status(201, part.items.len() as u64);
                    answer(
                        cx,
                        part.items.iter().map(|item| item.run),
                        delivery::Outcome::Indexed,
                    );
                }
                BulkResult::Items(results) => {
                    PluginMetrics::add(&cx.metrics.requests_with_errors, 1);
                    PluginMetrics::add(&cx.metrics.bytes, body.bytes.len() as u64);
                    if let Some(rest) = self.sort_out(&part, &results, cx) {
                        todo.push(rest);
                        if !pause(&mut backoff, None, cx).await {
                            return;
                        }
                    } else {
                        *lock(&self.trouble) = None;
                    }
                }
                // One action line that Elasticsearch cannot take spoils the whole request: it is looked for.
                BulkResult::Retry {
                    why,
                    status: Some(400),
                    ..
                } => {
                    PluginMetrics::add(&cx.metrics.requests_failed, 1);
                    if part.items.len() > 1 {
                        let all: Vec<usize> = (0..part.items.len()).collect();
                        let (first, second) = all.split_at(all.len() / 2);
                        todo.push(part.select(second));
                        todo.push(part.select(first));
                    } else {
                        PluginMetrics::add(&cx.metrics.set_aside, 1);
                        log::warn!("elasticsearch: an event was set aside: {why}");
                        answer(
                            cx,
                            part.items.iter().map(|item| item.run),
                            delivery::Outcome::SetAside,
                        );
                    }
                }
                BulkResult::Retry { why, after, .. } => {
                    PluginMetrics::add(&cx.metrics.requests_failed, 1);
                    PluginMetrics::add(&cx.metrics.retried, part.items.len() as u64);
                    log::warn!("elasticsearch: {why}");
                    *lock(&self.trouble) = Some(why);
                    todo.push(part);
                    if !pause(&mut backoff, after, cx).await {
                        return;
                    }
                }
                BulkResult::TooLarge if part.items.len() > 1 => {
                    PluginMetrics::add(&cx.metrics.requests_failed, 1);
                    let all: Vec<usize> = (0..part.items.len()).collect();
                    let (first, second) = all.split_at(all.len() / 2);
                    todo.push(part.select(second));
                    todo.push(part.select(first));
                }
                BulkResult::TooLarge => {
                    PluginMetrics::add(&cx.metrics.set_aside, 1);
                    log::warn!(
                        "elasticsearch: an event was set aside: {}",
                        crate::elasticsearch::bulk::too_large_reason(part.bytes.len())
                    );
                    answer(
                        cx,
                        part.items.iter().map(|item| item.run),
                        delivery::Outcome::SetAside,
                    );
                }
            }
        }
    }

    async fn body(&self, part: &Part) -> std::io::Result<BulkBody> {
        let (bytes, items, level) = (
            part.bytes.clone(),
            count(part.items.len()),
            self.compression_level,
        );
        if level == 0 {
            return Ok(BulkBody::plain(bytes, items));
        }
        // Compression is work for a thread that no socket waits for.
        match tokio::task::spawn_blocking(move || BulkBody::compressed(bytes, items, level)).await {
            Ok(result) => result,
            Err(error) => Err(std::io::Error::other(error)),
        }
    }

    /// Answers what is decided; returns what has to go again.
    fn sort_out(&self, part: &Part, results: &[ItemResult], cx: &SendCx) -> Option<Part> {
        let mut again = Vec::new();
        let mut ok = 0_u64;
        let mut why = None;
        for (at, (item, result)) in part.items.iter().zip(results).enumerate() {
            cx.metrics.add_status(result.status, 1);
            let run = std::iter::once(item.run);
            match classify(result, &self.policy) {
                Outcome::Done => {
                    ok += 1;
                    answer(cx, run, delivery::Outcome::Indexed);
                }
                Outcome::Conflict => {
                    if self.policy.logs(&result.error_type) {
                        log::warn!(
                            "elasticsearch: a document exists already and was not written again: {result}"
                        );
                    }
                    answer(cx, run, delivery::Outcome::Dropped);
                }
                Outcome::Retry => {
                    why = Some(result.to_string());
                    again.push(at);
                }
                Outcome::Refused(reason) => {
                    PluginMetrics::add(&cx.metrics.set_aside, 1);
                    if self.policy.logs(&result.error_type) {
                        log::warn!("elasticsearch: an event was set aside: {reason}");
                    }
                    answer(cx, run, delivery::Outcome::SetAside);
                }
                Outcome::DroppedByRule => {
                    log::warn!(
                        "elasticsearch: an event was dropped by `drop_error_types`: {result}"
                    );
                    answer(cx, run, delivery::Outcome::Dropped);
                }
            }
        }
        PluginMetrics::add(&cx.metrics.events_out, ok);
        PluginMetrics::add(&cx.metrics.retried, again.len() as u64);
        if let Some(why) = why {
            log::warn!(
                "elasticsearch: {} of {} items go again: {why}",
                again.len(),
                part.items.len()
            );
            *lock(&self.trouble) = Some(why);
        }
        (!again.is_empty()).then(|| part.select(&again))
    }
}

/// Events that could not be encoded have no bytes: they are set aside already.
fn without_empty(part: Part, cx: &SendCx) -> Option<Part> {
    let empty: Vec<usize> = (0..part.items.len())
        .filter(|at| part.range(*at).is_empty())
        .collect();
    if empty.is_empty() {
        return Some(part);
    }
    answer(
        cx,
        empty.iter().map(|at| part.items[*at].run),
        delivery::Outcome::SetAside,
    );
    let rest: Vec<usize> = (0..part.items.len())
        .filter(|at| !part.range(*at).is_empty())
        .collect();
    (!rest.is_empty()).then(|| part.select(&rest))
}

fn answer(cx: &SendCx, runs: impl Iterator<Item = u32>, outcome: delivery::Outcome) {
    let mut last: Option<(u32, u32)> = None;
    for run in runs {
        last = Some(match last {
            Some((before, count)) if before == run => (run, count + 1),
            Some((before, count)) => {
                (cx.answer)(before, count, outcome);
                (run, 1)
            }
            None => (run, 1),
        });
    }
    if let Some((run, count)) = last {
        (cx.answer)(run, count, outcome);
    }
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
