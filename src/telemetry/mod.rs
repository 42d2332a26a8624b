//! What logmill says about itself: its log, and the count of its allocations. Other metrics are counted where they
//! happen and read by [`crate::api`].

pub mod alloc;
pub mod log;
