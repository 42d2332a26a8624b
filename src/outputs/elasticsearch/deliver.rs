//! Delivery of bulk bodies: what was stored is answered, what was refused is set aside, the rest goes again.
//!
//! A body that finds a free place among the requests under way goes out at once. One that does not waits in line, and
//! when a place is free, as many as the size that is aimed at allows go out as one request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Elasticsearch;
use super::flow::Flow;
use super::segment::Segment;
use crate::delivery;
use crate::elasticsearch::{Backoff, BulkBody, BulkResult, ItemResult, Outcome, Payload, classify};
use crate::lock;
use crate::plugin::{Body, PluginMetrics, SendCx};

/// Requests under way to one host.
pub(super) const PER_HOST: usize = 4;

/// What waits for a place among the requests under way.
pub(super) struct Line {
    waiting: VecDeque<Segment>,
    /// Places taken.
    under_way: usize,
    flow: Flow,
}

impl Line {
    pub fn new() -> Self {
        Line {
            waiting: VecDeque::new(),
            under_way: 0,
            flow: Flow::new(),
        }
    }

    /// Takes a place where one is free and something waits.
    fn claim(&mut self, places: usize) -> bool {
        let free = self.under_way < places && !self.waiting.is_empty();
        self.under_way += usize::from(free);
        free
    }

    /// What goes into the next request, and whether more waits than fits in; nothing gives the place back.
    fn next(&mut self) -> Option<(Vec<Segment>, bool)> {
        let Some(first) = self.waiting.pop_front() else {
            self.under_way -= 1;
            return None;
        };
        let most = self.flow.target();
        if first.len() > most {
            let (first, rest) = first.cut(most);
            if let Some(rest) = rest {
                self.waiting.push_front(rest);
            }
            return Some((vec![first], true));
        }
        let mut bytes = first.len();
        let mut request = vec![first];
        while let Some(next) = self.waiting.pop_front_if(|next| bytes + next.len() <= most) {
            bytes += next.len();
            request.push(next);
        }
        Some((request, !self.waiting.is_empty()))
    }
}

/// Asks the server who it is and installs the template, again and again until it agrees.
pub(super) async fn prepare(output: Arc<Elasticsearch>, mut cx: SendCx) {
    output.metrics.get_or_init(|| Arc::clone(&cx.metrics));
    output.show(&lock(&output.line));
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
pub(super) async fn deliver(output: Arc<Elasticsearch>, body: Body, cx: SendCx) -> Body {
    let (done, answered) = oneshot::channel();
    if let Some(segment) = Segment::of(body, cx, done) {
        let mut line = lock(&output.line);
        line.waiting.push_back(segment);
        output.open(&mut line);
    }
    answered.await.unwrap_or_default()
}

/// Sends one request after another until nothing waits.
async fn serve(output: Arc<Elasticsearch>) {
    loop {
        let next = {
            let mut line = lock(&output.line);
            let next = line.next();
            output.show(&line);
            next
        };
        let Some((request, full)) = next else {
            return;
        };
        attend(&output, request, full).await;
    }
}

/// Sends a request until each of its items has its answer or waits for another try, or the process stops.
/// `full`: more waited than it could hold.
async fn attend(output: &Arc<Elasticsearch>, request: Vec<Segment>, full: bool) {
    let Some(mut cx) = request.first().map(|segment| segment.cx().clone()) else {
        return;
    };
    let mut ready = output.ready.subscribe();
    let is_ready = tokio::select! {
        biased;
        () = stopped(&mut cx) => false,
        ready = ready.wait_for(|ready| *ready) => ready.is_ok(),
    };
    if !is_ready {
        return;
    }
    let mut todo = vec![request];
    while let Some(request) = todo.pop() {
        let items: usize = request.iter().map(Segment::items).sum();
        let (body, plain) = output.body(&request, items).await;
        let started = Instant::now();
        let result = output.client.send_bulk(&body).await;
        let elapsed = started.elapsed();
        let sent = body.payload.len() as u64;
        drop(body);
        match result {
            BulkResult::AllOk => {
                if full {
                    lock(&output.line).flow.taken(plain, started, elapsed);
                }
                *lock(&output.trouble) = None;
                PluginMetrics::add(&cx.metrics.requests_ok, 1);
                PluginMetrics::add(&cx.metrics.bytes, sent);
                PluginMetrics::add(&cx.metrics.events_out, items as u64);
                cx.metrics.add_status(201, items as u64);
                for segment in request {
                    segment.answer_all(delivery::Outcome::Indexed);
                }
            }
            BulkResult::Items(results) => {
                PluginMetrics::add(&cx.metrics.requests_with_errors, 1);
                PluginMetrics::add(&cx.metrics.bytes, sent);
                {
                    let flow = &mut lock(&output.line).flow;
                    if results.iter().any(|result| result.status == 429) {
                        flow.pushed_back(started, elapsed);
                    } else if full {
                        flow.taken(plain, started, elapsed);
                    }
                }
                output.sort_out(request, &results, &cx);
            }
            // One action line that Elasticsearch cannot take spoils the whole request: it is looked for.
            BulkResult::Retry {
                status: Some(400), ..
            } if items > 1 => {
                PluginMetrics::add(&cx.metrics.requests_failed, 1);
                todo.extend(halves(request, items));
            }
            BulkResult::TooLarge if items > 1 => {
                PluginMetrics::add(&cx.metrics.requests_failed, 1);
                lock(&output.line).flow.too_large(plain);
                todo.extend(halves(request, items));
            }
            BulkResult::Retry {
                why,
                status: Some(400),
                ..
            } => set_aside(&request, &why),
            BulkResult::TooLarge => set_aside(
                &request,
                &crate::elasticsearch::bulk::too_large_reason(plain),
            ),
            BulkResult::Retry {
                why,
                after,
                overloaded,
                ..
            } => {
                PluginMetrics::add(&cx.metrics.requests_failed, 1);
                PluginMetrics::add(&cx.metrics.retried, items as u64);
                log::warn!("elasticsearch: {why}");
                *lock(&output.trouble) = Some(why);
                if overloaded {
                    lock(&output.line).flow.pushed_back(started, elapsed);
                }
                output.again(request, after, &mut cx).await;
            }
        }
    }
}

/// The items of a request in two requests, the second one first: the last is sent next.
fn halves(request: Vec<Segment>, items: usize) -> Vec<Vec<Segment>> {
    let mut room = items / 2;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for segment in request {
        let count = segment.items();
        if room >= count {
            first.push(segment);
        } else if room == 0 {
            second.push(segment);
        } else {
            let (head, tail) = segment.split(room);
            first.push(head);
            second.extend(tail);
        }
        room = room.saturating_sub(count);
    }
    vec![second, first]
}

/// Answers the one item of a request that will never be taken.
fn set_aside(request: &[Segment], why: &str) {
    log::warn!("elasticsearch: an event was set aside: {why}");
    for segment in request {
        let metrics = &segment.cx().metrics;
        PluginMetrics::add(&metrics.requests_failed, 1);
        PluginMetrics::add(&metrics.set_aside, segment.items() as u64);
        segment.answer_all(delivery::Outcome::SetAside);
    }
}

impl Elasticsearch {
    /// How many requests may be under way.
    fn places(&self) -> usize {
        (self.client.live_hosts() * self.per_host).clamp(1, self.pool_max)
    }

    /// Begins another request where there is a place for it.
    fn open(self: &Arc<Self>, line: &mut Line) {
        if line.claim(self.places()) {
            tokio::spawn(serve(Arc::clone(self)));
        }
    }

    /// Tells the gauges.
    fn show(&self, line: &Line) {
        if let Some(metrics) = self.metrics.get() {
            metrics.depth.store(line.under_way as u64, Relaxed);
            let target = line.flow.target() as u64;
            metrics.request_target.store(target, Relaxed);
        }
    }

    /// The body of a request, and its length before compression.
    async fn body(&self, request: &[Segment], items: usize) -> (BulkBody, usize) {
        let mut payload = Payload::default();
        for segment in request {
            segment.append_to(&mut payload);
        }
        let plain = payload.len();
        let (items, level) = (count(items), self.compression_level);
        if level == 0 {
            return (BulkBody::plain(payload, items), plain);
        }
        // Compression is work for a thread that no socket waits for.
        let uncompressed = payload.clone();
        let packed =
            tokio::task::spawn_blocking(move || BulkBody::compressed(payload, items, level)).await;
        match packed.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(body) => (body, plain),
            Err(error) => {
                log::error!(
                    "elasticsearch: cannot compress a request: {error}; it goes uncompressed"
                );
                (BulkBody::plain(uncompressed, items), plain)
            }
        }
    }

    /// Puts a request of which nothing was taken back in line after a pause, during which its place is kept: what
    /// ails the server would ail the next request too.
    async fn again(&self, mut request: Vec<Segment>, after: Option<Duration>, cx: &mut SendCx) {
        let mut backoff = request
            .iter_mut()
            .find_map(|segment| segment.backoff.take())
            .unwrap_or_else(|| Backoff::new(self.retry.0, self.retry.1));
        if !pause(&mut backoff, after, cx).await {
            return;
        }
        for segment in &mut request {
            segment.backoff = Some(backoff.clone());
        }
        let mut line = lock(&self.line);
        for segment in request.into_iter().rev() {
            line.waiting.push_front(segment);
        }
    }

    /// Puts refused items back in line after a pause, during which others may go.
    fn later(self: &Arc<Self>, mut segment: Segment) {
        let output = Arc::clone(self);
        tokio::spawn(async move {
            let mut backoff = segment
                .backoff
                .take()
                .unwrap_or_else(|| Backoff::new(output.retry.0, output.retry.1));
            if pause(&mut backoff, None, &mut segment.cx().clone()).await {
                segment.backoff = Some(backoff);
                let mut line = lock(&output.line);
                line.waiting.push_front(segment);
                output.open(&mut line);
            }
        });
    }

    /// Answers what is decided; what has to go again waits for its time.
    fn sort_out(self: &Arc<Self>, request: Vec<Segment>, results: &[ItemResult], cx: &SendCx) {
        let (mut ok, mut aside) = (0, 0);
        let (mut again, mut why) = (0, None);
        let mut results = results.iter();
        for segment in request {
            let mut open = vec![false; segment.items()];
            segment.answer_each(|nth| {
                let result = results.next()?;
                cx.metrics.add_status(result.status, 1);
                match classify(result, &self.policy) {
                    Outcome::Done => {
                        ok += 1;
                        Some(delivery::Outcome::Indexed)
                    }
                    Outcome::Conflict => {
                        if self.policy.logs(&result.error_type) {
                            log::warn!(
                                "elasticsearch: a document exists already and was not written again: {result}"
                            );
                        }
                        Some(delivery::Outcome::Dropped)
                    }
                    Outcome::Refused(reason) => {
                        aside += 1;
                        if self.policy.logs(&result.error_type) {
                            log::warn!("elasticsearch: an event was set aside: {reason}");
                        }
                        Some(delivery::Outcome::SetAside)
                    }
                    Outcome::DroppedByRule => {
                        log::warn!(
                            "elasticsearch: an event was dropped by `drop_error_types`: {result}"
                        );
                        Some(delivery::Outcome::Dropped)
                    }
                    Outcome::Retry => {
                        why.get_or_insert_with(|| result.to_string());
                        if let Some(open) = open.get_mut(nth) {
                            *open = true;
                        }
                        None
                    }
                }
            });
            if let Some(rest) = segment.select(|nth| open.get(nth) == Some(&true)) {
                again += rest.items();
                self.later(rest);
            }
        }
        PluginMetrics::add(&cx.metrics.set_aside, aside);
        PluginMetrics::add(&cx.metrics.events_out, ok);
        PluginMetrics::add(&cx.metrics.retried, again as u64);
        if let Some(why) = &why {
            log::warn!("elasticsearch: {again} items go again: {why}");
        }
        *lock(&self.trouble) = why;
    }
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
