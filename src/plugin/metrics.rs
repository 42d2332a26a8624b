//! Counters of one plugin: plain atomics, bumped once per batch.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters that every plugin has; what a kind of plugin does not use stays 0 and is not shown.
#[derive(Debug, Default)]
pub struct PluginMetrics {
    /// `enable_metric => false`: not shown.
    pub hidden: std::sync::atomic::AtomicBool,
    /// Events that entered (filters, outputs) or were made (inputs).
    pub events_in: AtomicU64,
    /// Events that left.
    pub events_out: AtomicU64,
    /// Bytes read or sent.
    pub bytes: AtomicU64,
    /// Events that the plugin matched (grok), found (geoip) or parsed (json).
    pub matches: AtomicU64,
    /// Events that it tagged as failed.
    pub failures: AtomicU64,
    /// Events set aside with a reason (conditions, outputs).
    pub set_aside: AtomicU64,
    /// Bulk requests answered with success.
    pub requests_ok: AtomicU64,
    /// Bulk requests answered with errors in some items.
    pub requests_with_errors: AtomicU64,
    /// Bulk requests that failed as a whole and were sent again.
    pub requests_failed: AtomicU64,
    /// Items sent again.
    pub retried: AtomicU64,
    /// Items answered, by status: see [`STATUS_LABELS`].
    pub items_by_status: [AtomicU64; 7],
    /// Datagrams or connections refused because a bound was reached.
    pub dropped: AtomicU64,
    /// Records waiting, connections open or requests under way (a gauge).
    pub depth: AtomicU64,
    /// Bytes that wait to be read or answered (a gauge).
    pub lag: AtomicU64,
    /// Bytes that a request should have at the moment (a gauge of outputs that adapt it).
    pub request_target: AtomicU64,
}

/// Label values of [`PluginMetrics::items_by_status`].
pub const STATUS_LABELS: [&str; 7] = ["2xx", "400", "404", "409", "429", "5xx", "other"];

impl PluginMetrics {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: u64) {
        if count > 0 {
            counter.fetch_add(count, Relaxed);
        }
    }

    /// Counts items of one HTTP status.
    pub fn add_status(&self, status: u16, count: u64) {
        let at = match status {
            200..=299 => 0,
            400 => 1,
            404 => 2,
            409 => 3,
            429 => 4,
            500..=599 => 5,
            _ => 6,
        };
        Self::add(&self.items_by_status[at], count);
    }
}
