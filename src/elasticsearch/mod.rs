//! Everything that speaks Elasticsearch's HTTP: the client, bulk requests and their answers, start-up, and a stand-in server.
//!
//! This room knows no event and no plugin: bodies come in as bytes with a count of items, answers go out per item.
//!
//! * [`config`] — what a user may write about a cluster, checked and resolved into hosts
//! * [`client`] — a small pooled HTTP/1.1 client over plain TCP or TLS
//! * [`action`] — action lines of a bulk body
//! * [`Payload`] — the bytes of a request, in pieces
//! * [`bulk`] — sending a bulk, reading its answer, the reaction table, back-off
//! * [`startup`] — version check and index templates
//! * [`json_check`] — a strict and fast JSON validator
//! * [`sink`] — the Elasticsearch stand-in that checks every bulk

pub mod action;
pub mod bulk;
pub mod client;
pub mod config;
pub mod json_check;
mod payload;
mod pool;
pub mod sink;
pub mod startup;
#[cfg(test)]
mod tests;
mod tls;

pub use action::{Action, ActionMeta, ActionPrefix, write_action, write_json_string};
pub use bulk::{Backoff, BulkBody, BulkResult, ItemResult, Outcome, Policy, classify};
pub use client::{Client, Response, TransportError};
pub use config::{Auth, ClientConfig, ConfigError, TlsOptions, VerificationMode};
pub use payload::Payload;
pub use sink::{Sink, SinkOptions, SinkStats};
pub use startup::{ServerInfo, StartupError, Template, TemplateApi, TemplateOutcome};
