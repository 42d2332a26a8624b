//! logmill: runs Logstash pipelines, unchanged and fast.
//!
//! One direction: config text becomes a plan when the process starts; bytes become events become bytes
//! while it runs; answers become commits on the way back. `ARCHITECTURE.md` is the map.

pub mod api;
pub mod catalogue;
pub mod cli;
pub mod codecs;
pub mod delivery;
pub mod elasticsearch;
pub mod event;
pub mod filters;
pub mod grok;
pub mod inputs;
pub mod language;
pub mod loadtest;
pub mod outputs;
pub mod pipeline;
pub mod plan;
pub mod plugin;
pub mod telemetry;
pub mod time;

/// Locks a mutex; a panic elsewhere while it was held does not spread.
pub fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
