//! The filters: a file for each.

pub mod date;
pub mod dissect;
pub mod drop;
pub mod geoip;
#[cfg(test)]
mod golden;
pub mod grok;
pub mod json;
pub mod kv;
pub mod mutate;
pub mod split;
#[cfg(test)]
mod text_speed;
pub mod time_window;
