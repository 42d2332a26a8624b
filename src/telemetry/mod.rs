//! What logmill says about itself: its log. Metrics are counted where they happen and read by [`crate::api`].

pub mod log;
