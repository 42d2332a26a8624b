//! Codecs: bytes to events and back, a file each.

mod charset;
mod framing;

pub mod cri;
pub mod json;
pub mod json_lines;
pub mod line;
pub mod multiline;
pub mod otlp;
pub mod plain;
pub mod rubydebug;

pub use charset::Charset;

#[cfg(test)]
pub(crate) mod testing;
