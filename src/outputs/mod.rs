//! Outputs: one file per plugin.

pub mod elasticsearch;
pub mod null;
pub mod stdout;
