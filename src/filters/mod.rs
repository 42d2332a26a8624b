//! The filters: a file for each.

pub mod drop;
#[cfg(test)]
mod golden;
pub mod json;
pub mod mutate;
pub mod split;
